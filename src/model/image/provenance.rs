//! Decides whether an image is the factory's. Properties travel: Nova copies those of a base image
//! to snapshots of its servers, Cinder those of a volume's image to uploads, and people copy them
//! too. So they count only if they name the image that carries them.
use super::{IMAGE_ID, Image, RUN, STATE, State};

/// Origin of an image, as far as it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provenance {
    /// Made by a run of the factory: `factory_image_id` is its own ID. For a staged image without
    /// that property: its name is one that its run gives.
    Ours,
    /// Published before images carried a proof, without evidence against it. Its family's name
    /// refers to it only if no active image has a proof. Never changed or deleted until `image
    /// adopt`.
    Legacy,
    /// Not ours, with the reason. Never current, changed or deleted.
    Foreign(String),
}

impl Provenance {
    /// `ours`, `legacy`, `foreign`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Legacy => "legacy",
            Self::Foreign(_) => "foreign",
        }
    }
}

/// Suffixes of staged images' names, after the run's ID: of a builder's disk, a source, a smoke
/// machine's disk.
pub const STAGED: &str = "-staged";
pub const STAGED_SOURCE: &str = "-staged-source";
pub const SNAPSHOT: &str = "-snapshot";
/// The same, of a builder's disk after a step, until it is kept.
pub const STAGED_CHECKPOINT: &str = "-checkpoint";

/// All of them.
const STAGED_NAMES: [&str; 4] = [STAGED, STAGED_SOURCE, SNAPSHOT, STAGED_CHECKPOINT];

/// Properties that Nova writes on snapshots of servers, the last two on volume-backed ones.
/// Publication removes them.
const OF_A_SNAPSHOT: [&str; 4] =
    ["instance_uuid", "base_image_ref", "block_device_mapping", "bdm_v2"];

/// Other properties of images made by Nova, Cinder or people. Publication removes them; later tools
/// may add them.
const OF_OTHERS: [&str; 8] = [
    "boot_roles",
    "owner_user_name",
    "owner_project_name",
    "owner_id",
    "user_id",
    "image_location",
    "image_state",
    "signature_verified",
];

impl Image {
    pub fn provenance(&self) -> Provenance {
        let foreign = |why: &str| Provenance::Foreign(why.to_owned());
        if let Some(why) = &self.stranger {
            return foreign(why);
        }
        let run = self.text(RUN);
        if run.is_empty() {
            return foreign("no run of the factory made it");
        }
        if self.state == State::Staged {
            // Its ID is written when it is known; until then there is the name.
            return match self.text(IMAGE_ID) {
                id if same_id(id, &self.id) => Provenance::Ours,
                "" if is_staged_name(&self.name, run) => Provenance::Ours,
                _ => foreign(
                    "it has the properties of a staged image, and neither its ID nor its name: a \
                        snapshot or a copy",
                ),
            };
        }
        if self.has_marks_of_a_snapshot() {
            return foreign(
                "it is a snapshot of a server, with the properties of the image below that",
            );
        }
        match self.text(IMAGE_ID) {
            "" => self.without_proof(),
            id if same_id(id, &self.id) => Provenance::Ours,
            id => {
                Provenance::Foreign(format!("its properties are those of image {id}: it is a copy"))
            }
        }
    }

    /// Whether `run` made it and has not published it.
    pub fn is_staged_by(&self, run: &str) -> bool {
        let of_it =
            !run.is_empty() && self.text(RUN) == run && self.text(STATE) == State::Staged.name();
        of_it && self.state == State::Staged && self.provenance() == Provenance::Ours
    }

    /// Whether the image proves that a run of the factory published it.
    pub fn is_ours(&self) -> bool {
        self.provenance() == Provenance::Ours
    }

    /// Whether a family's name may refer to it.
    pub fn counts(&self) -> bool {
        self.state != State::Staged && !matches!(self.provenance(), Provenance::Foreign(_))
    }

    fn text(&self, key: &str) -> &str {
        self.properties.get(key).map(String::as_str).unwrap_or_default()
    }

    fn has_marks_of_a_snapshot(&self) -> bool {
        matches!(self.text("image_type"), "snapshot" | "backup")
            || OF_A_SNAPSHOT.iter().any(|key| self.properties.contains_key(*key))
    }

    /// Classifies an image without a proof. Images that the factory published before proofs existed
    /// carry only the requested properties.
    fn without_proof(&self) -> Provenance {
        let foreign = |why: String| Provenance::Foreign(why);
        let of_others = |key: &&String| {
            OF_OTHERS.contains(&key.as_str()) || key.starts_with("owner_specified.")
        };
        if let Some(key) = self.properties.keys().find(of_others) {
            return foreign(format!(
                "it does not say that it was published, and has `{key}`: a copy or a snapshot"
            ));
        }
        if self.family.is_empty() || !matches!(self.text(STATE), "active" | "deprecated") {
            return foreign("it does not say that it was published".into());
        }
        if looks_staged(&self.name) {
            return foreign("it has the name of a staged image, and was never published".into());
        }
        Provenance::Legacy
    }
}

/// Marks copies among images without a proof. A run publishes one image, so of several with the
/// same run, the first is the original.
pub fn tell_copies(images: &mut [Image]) {
    let mut published: Vec<&mut Image> = images.iter_mut().filter(|i| i.counts()).collect();
    published.sort_by_key(|i| (!i.is_ours(), i.created, i.id.clone()));
    let mut runs = std::collections::BTreeMap::<String, String>::new();
    for image in published {
        let run = image.text(RUN).to_owned();
        match runs.get(&run) {
            Some(first) if !image.is_ours() => {
                image.stranger =
                    Some(format!("run {run} published image {first}, and no other: it is a copy"));
            }
            _ => drop(runs.entry(run).or_insert_with(|| image.id.clone())),
        }
    }
}

/// Compares IDs as text, or as UUIDs: some tools omit the dashes.
fn same_id(one: &str, other: &str) -> bool {
    let uuid = |text: &str| uuid::Uuid::try_parse(text).ok();
    !one.is_empty() && (one == other || uuid(one).is_some_and(|id| uuid(other) == Some(id)))
}

/// Whether `run` gives this name to a staged image.
pub fn is_staged_name(name: &str, run: &str) -> bool {
    !run.is_empty() && STAGED_NAMES.iter().any(|end| name.strip_suffix(end) == Some(run))
}

/// Whether some run gives this name to a staged image: `20261120-233145-abcdef-staged`.
fn looks_staged(name: &str) -> bool {
    let is_run = |text: &str| {
        let parts: Vec<&str> = text.split('-').collect();
        let digits =
            |part: &str, count| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
        matches!(parts[..], [day, time, id] if digits(day, 8) && digits(time, 6) && id.len() == 6)
    };
    STAGED_NAMES.iter().filter_map(|end| name.strip_suffix(end)).any(is_run)
}

#[cfg(test)]
mod tests;

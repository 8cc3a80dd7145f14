//! An image, independent of the cloud that stores it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod provenance;

pub use provenance::{
    Provenance, SNAPSHOT, STAGED, STAGED_CHECKPOINT, STAGED_SOURCE, is_staged_name, tell_copies,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    Private,
    Shared,
    Community,
    Public,
}

/// State of an image: `building` (staged, not for use), `active`, `deprecated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    #[serde(rename = "building")]
    Staged,
    Active,
    Deprecated,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Staged => "building",
            State::Active => "active",
            State::Deprecated => "deprecated",
        }
    }
}

/// Lifecycle of a published image. `deprecate`, `rollback` and `prune` change it, in one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// Never `building`.
    pub state: State,
    /// Omitted from lists and families; still found by its ID.
    pub hidden: bool,
    /// Time at which a prune hid it.
    pub hidden_at: Option<jiff::Timestamp>,
    /// Time at which a person made it active again. A prune leaves it alone until a person
    /// deprecates it.
    pub held_at: Option<jiff::Timestamp>,
}

/// `deprecated, hidden since 2026-11-21T10:00:00Z`
impl std::fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.state.name())?;
        match (self.hidden, self.hidden_at) {
            (true, Some(at)) => write!(f, ", hidden since {at}")?,
            (true, None) => f.write_str(", hidden")?,
            (false, _) => {}
        }
        self.held_at.map_or(Ok(()), |at| write!(f, ", held since {at}"))
    }
}

impl Lifecycle {
    /// A person deprecates it: nobody holds it any more.
    #[must_use]
    pub fn deprecated(&self) -> Self {
        Self { state: State::Deprecated, held_at: None, ..self.clone() }
    }

    /// The properties that hold it; `None`: absent.
    pub fn times(&self) -> [(&'static str, Option<String>); 2] {
        let text = |at: &Option<jiff::Timestamp>| at.map(|at| at.to_string());
        [(HIDDEN_AT, text(&self.hidden_at)), (HELD_AT, text(&self.held_at))]
    }

    /// Whether the image carries [`TAG`], by which other clients find it.
    pub fn is_listed(&self) -> bool {
        self.state == State::Active && !self.hidden
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub id: String,
    pub name: String,
    /// `bundle.name` of its definition, from `factory_family`.
    pub family: String,
    pub state: State,
    pub created: jiff::Timestamp,
    /// Size of the stored file, in bytes.
    pub size: u64,
    /// Size of the disk that a machine sees, in bytes.
    pub virtual_size: u64,
    /// SHA-512 of the stored file, in hex: Glance's `os_hash_value`.
    pub checksum: String,
    pub properties: BTreeMap<String, String>,
    pub tags: Vec<String>,
    #[serde(rename = "min_disk_gb")]
    pub min_disk_gib: u64,
    #[serde(rename = "min_ram_mb")]
    pub min_ram_mib: u64,
    pub visibility: Visibility,
    pub protected: bool,
    pub hidden: bool,
    /// Why the image is not ours, whatever its properties say, as known to the store: another
    /// project owns it, or its directory was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stranger: Option<String>,
    /// Why machines cannot boot from it, as known to the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<Unusable>,
}

/// Why machines cannot boot from an image, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    pub why: String,
    pub way_out: String,
}

/// Placeholder ID, in a plan, of a base image that would be built first.
pub const NOT_BUILT: &str = "(not built yet)";

impl Image {
    /// Whether the image exists, as opposed to [`NOT_BUILT`].
    pub fn is_built(&self) -> bool {
        self.id != NOT_BUILT
    }

    /// A plain active image of the factory, for tests.
    #[cfg(test)]
    pub fn of_test(id: &str, name: &str, family: &str) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            family: family.into(),
            state: State::Active,
            created: jiff::Timestamp::UNIX_EPOCH,
            size: 1,
            virtual_size: 1 << 30,
            checksum: String::new(),
            properties: [
                (IMAGE_ID.to_owned(), id.to_owned()),
                (RUN.to_owned(), format!("run-of-{id}")),
                (STATE.to_owned(), "active".to_owned()),
                (FAMILY.to_owned(), family.to_owned()),
            ]
            .into(),
            tags: Vec::new(),
            min_disk_gib: 1,
            min_ram_mib: 0,
            visibility: Visibility::Private,
            protected: false,
            hidden: false,
            stranger: None,
            unusable: None,
        }
    }

    pub fn standing(&self) -> Lifecycle {
        let (hidden_at, held_at) = (self.hidden_at(), self.time(HELD_AT));
        Lifecycle { state: self.state, hidden: self.hidden, hidden_at, held_at }
    }

    /// Sets lifecycle and tags. For a store of our own, this is the write.
    pub fn stand(&mut self, to: &Lifecycle) {
        (self.state, self.hidden) = (to.state, to.hidden);
        self.properties.insert(STATE.into(), to.state.name().into());
        for (key, value) in to.times() {
            match value {
                Some(value) => self.properties.insert(key.into(), value),
                None => self.properties.remove(key),
            };
        }
        self.tags = with_mark(std::mem::take(&mut self.tags), to.is_listed());
    }

    /// Adds the proof of origin, with `at` as the time of publication.
    pub fn prove(&mut self, at: jiff::Timestamp) {
        self.properties.insert(IMAGE_ID.into(), self.id.clone());
        self.properties.insert(PUBLISHED_AT.into(), at.to_string());
        self.tags = with_mark(std::mem::take(&mut self.tags), self.standing().is_listed());
    }

    /// Time at which a prune hid it.
    pub fn hidden_at(&self) -> Option<jiff::Timestamp> {
        self.time(HIDDEN_AT)
    }

    /// Whether a prune hid it, and nobody has brought it back.
    pub fn is_pruned(&self) -> bool {
        self.state == State::Deprecated && self.hidden && self.hidden_at().is_some()
    }

    /// Whether a person made it active again, and has not deprecated it since.
    pub fn is_held(&self) -> bool {
        self.state == State::Active && self.properties.contains_key(HELD_AT)
    }

    /// Lifecycle of the image once a person has brought it back at `now`. What its definition
    /// published hidden stays hidden.
    pub fn brought_back(&self, now: jiff::Timestamp) -> Lifecycle {
        let by_definition = self.properties.contains_key(PUBLISHED_HIDDEN);
        Lifecycle {
            state: State::Active,
            hidden: self.hidden && (by_definition || self.hidden_at().is_none()),
            hidden_at: None,
            held_at: Some(self.standing().held_at.filter(|_| self.is_held()).unwrap_or(now)),
        }
    }

    fn time(&self, key: &str) -> Option<jiff::Timestamp> {
        self.properties.get(key)?.parse().ok()
    }

    /// ID and SHA-512 of its base image; the hash is empty if the cloud recorded none. `None` if
    /// built from a source.
    pub fn base(&self) -> Option<(&str, &str)> {
        let base = self.properties.get(BASE).filter(|base| !base.is_empty())?;
        Some(base.split_once("@sha512:").unwrap_or((base, "")))
    }

    /// Time of publication. `None` if missing, or too late for any image to follow.
    pub fn published_at(&self) -> Option<jiff::Timestamp> {
        let at = self.properties.get(PUBLISHED_AT)?.parse::<jiff::Timestamp>().ok()?;
        is_believed(at).then_some(at)
    }

    /// Sort key within a family. Each image is published after all existing ones, whatever clocks
    /// say; images without a proof come first. One without a date that is believed is the oldest.
    pub fn age_key(&self) -> (bool, jiff::Timestamp, &str) {
        let proven = self.is_ours();
        let created = Some(self.created).filter(|at| is_believed(*at)).unwrap_or_default();
        let at = self.published_at().filter(|_| proven).unwrap_or(created);
        (proven, at, &self.id)
    }
}

/// Whether an image that was published then can be followed by another: the date is no later than
/// the last that a publication writes.
pub fn is_believed(at: jiff::Timestamp) -> bool {
    at.as_second() < LAST_SECOND
}

/// 2900-01-01. No publication writes that date or a later one.
const LAST_SECOND: i64 = 29_348_006_400;

/// `tags`, with [`TAG`] only if the image is listed.
pub fn with_mark(mut tags: Vec<String>, listed: bool) -> Vec<String> {
    tags.retain(|tag| tag != TAG);
    if listed {
        tags.push(TAG.into());
    }
    tags
}

/// Tag of published images that are active and not hidden. Nova and Cinder copy properties but not
/// tags, so other clients can rely on it: `openstack image list --tag factory-published --property
/// factory_family=web`.
pub const TAG: &str = "factory-published";
/// The image's own ID, written at publication. Other properties count only if it matches.
pub const IMAGE_ID: &str = "factory_image_id";
/// Time of publication (RFC 3339), later than that of every existing image of the family.
pub const PUBLISHED_AT: &str = "factory_published_at";
/// Default user of the image, named as in OpenStack's metadata definitions.
pub const ADMIN_USER: &str = "os_admin_user";
pub const FAMILY: &str = "factory_family";
pub const RUN: &str = "factory_run";
pub const STATE: &str = "factory_state";
/// Value of [`STATE`] of an image that is a kept checkpoint, and nothing else.
pub const KEPT_CHECKPOINT: &str = "checkpoint";
/// What a kept checkpoint is found by.
pub const CHECKPOINT: &str = "factory_checkpoint";
pub const BASE: &str = "factory_base";
pub const COMMIT: &str = "factory_commit";
/// Digest of the definition's files, in hex.
pub const INPUTS: &str = "factory_inputs";
/// Digest of the definition's values, those of `--set` among them, in hex.
pub const VALUES: &str = "factory_values";
/// Label of the definition, such as `images/bundle-nginx`.
pub const DEFINITION: &str = "factory_definition";
/// Result of the smoke checks, in words.
pub const TESTS: &str = "factory_tests";
/// Time at which a prune hid the image, RFC 3339.
pub const HIDDEN_AT: &str = "factory_hidden_at";
/// Time at which a person made the image active again, RFC 3339.
pub const HELD_AT: &str = "factory_held_at";
/// `true` if its definition published the image hidden.
pub const PUBLISHED_HIDDEN: &str = "factory_published_hidden";
/// Digest of what its playbooks saw of the factory besides the definition, in hex. Its key stays on
/// the machine that built the image.
pub const SURROUNDINGS: &str = "factory_surroundings";
/// Time after which the result of a step is too old for its `fresh`, RFC 3339.
pub const FRESH_UNTIL: &str = "factory_fresh_until";
/// Checksum of the file that the image was made from, `sha512:<hex>`.
pub const SOURCE: &str = "factory_source";

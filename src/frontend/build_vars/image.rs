//! Keys for the image and the machine that builds it: all keys except `steps` and `source`.
use crate::model::category::OS;
use std::collections::BTreeMap;

use super::decode::{Field, Fields, GLANCE_WIDTH, Reader};
use super::{
    Base, GlanceOptions, MachineRequest, TIDY_ASKED, TIDY_PARTS, Timeouts, Visibility, Volume,
    glance_options, keys,
};

/// Longest name of an image, in bytes. Its log is `build.<name>-<six digits of the run>.log`, and a
/// file's name has at most 255 bytes, which are Glance's limit too.
const LONGEST_NAME: usize = 255 - "build.".len() - "-123456".len() - ".log".len();

/// Image attributes that Glance manages itself and refuses as properties (Image API v2,
/// `image-update`).
const GLANCE_OWN: &[&str] = &[
    "id",
    "name",
    "owner",
    "status",
    "visibility",
    "protected",
    "tags",
    "checksum",
    "size",
    "virtual_size",
    "min_disk",
    "min_ram",
    "disk_format",
    "container_format",
    "created_at",
    "updated_at",
    "file",
    "self",
    "schema",
    "direct_url",
    "locations",
    "stores",
    "os_hidden",
    "os_hash_algo",
    "os_hash_value",
];

/// The map `bundle`.
#[derive(Default)]
pub(super) struct Named {
    pub name: Option<String>,
    pub base: Option<Base>,
    pub properties: BTreeMap<String, String>,
}

impl Visibility {
    pub(super) const WORDS: &'static [&'static str] = &["private", "shared", "community", "public"];
    const ALL: [Self; 4] = [Self::Private, Self::Shared, Self::Community, Self::Public];

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().position(|w| *w == word).map(|index| Self::ALL[index])
    }

    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// Why a bundle must not set this property: it is part of the proof of origin.
fn reserved(key: &str) -> Option<&'static str> {
    // Glance's database may compare keys without case.
    let key = key.to_ascii_lowercase();
    match key.as_str() {
        "image_type" | "instance_uuid" | "base_image_ref" | "block_device_mapping" | "bdm_v2" => {
            Some(
                "Nova writes it on snapshots of servers: an image that has it is not taken for the \
                    factory's",
            )
        }
        _ if key.starts_with("factory_") => Some(
            "keys that start with `factory_` are the factory's: images prove by them who made them",
        ),
        _ => None,
    }
}

/// Why this is not a valid property name: message and hint.
pub(super) fn property_trouble(key: &str) -> Option<(String, &'static str)> {
    if key.is_empty() || key.chars().any(char::is_control) {
        Some(("a property needs a key of one line".into(), ""))
    } else if key.chars().count() > GLANCE_WIDTH {
        Some((format!("the key of a property has at most {GLANCE_WIDTH} characters"), ""))
    } else if key.starts_with("os_glance_") {
        Some((
            format!("`{key}` is reserved by Glance"),
            "keys that start with `os_glance_` belong to Glance",
        ))
    } else if let Some(why) = reserved(key) {
        Some((format!("`{key}` is not a bundle's to set"), why))
    } else if GLANCE_OWN.contains(&key) {
        let hint = match key {
            "min_disk" | "min_ram" | "protected" | "os_hidden" => "see `final_glance_options`",
            "visibility" | "tags" => "it is a key of its own at the top level",
            "name" => "see `bundle_target_name`",
            _ => "Glance sets it",
        };
        Some((format!("`{key}` is an attribute of every image and cannot be a property"), hint))
    } else {
        None
    }
}

/// `sourced`: the definition has a `source`, and so needs no base.
pub(super) fn named(reader: &mut Reader, top: &Fields, sourced: bool) -> Named {
    let Some(field) = top.get("bundle") else {
        if !top.lacks("bundle", keys::TOP) {
            return Named::default();
        }
        reader.missing("bundle", "`bundle: {name: my-image, img_base: os/debian-12}`");
        return Named::default();
    };
    let Some(bundle) = reader.fields(&field, keys::BUNDLE) else { return Named::default() };
    let name = bundle.read("name", |f| image_prefix(reader, f));
    if bundle.lacks("name", keys::BUNDLE) {
        reader.error(bundle.spot, "`bundle.name` is missing", "the prefix of the image's name");
    }
    let base = bundle.read("img_base", |f| base(reader, f));
    match bundle.get("img_base") {
        Some(field) if sourced => {
            reader.error(
                field.key,
                "`bundle.img_base` and `source` exclude each other",
                "an image is made from a base or from a source",
            );
        }
        None if !sourced && bundle.lacks("img_base", keys::BUNDLE) => {
            let hint = "the ID, exact name or family of an image, or os/<name> of this tree";
            reader.error(bundle.spot, "`bundle.img_base` is missing", hint);
        }
        _ => {}
    }
    let properties = bundle.read("properties", |f| properties(reader, f)).unwrap_or_default();
    Named { name, base, properties }
}

/// Becomes part of file names, host names and the family's name, so the characters are restricted.
fn image_prefix(reader: &mut Reader, field: &Field) -> Option<String> {
    let name = reader.word(field)?;
    let plain = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !plain {
        let hint = "letters, digits, `.`, `_` and `-`; a letter or digit first";
        reader.error(field.node.spot, format!("`bundle.name` cannot be `{name}`"), hint);
        return None;
    }
    // `-YYYY-MM-DDHHMM` follows.
    within(reader, field, &name, LONGEST_NAME - 16).then_some(name)
}

fn base(reader: &mut Reader, field: &Field) -> Option<Base> {
    let text = reader.word(field)?;
    let Some(name) = OS.name(&text) else { return Some(Base::Image(text)) };
    let name = name.trim_end_matches('/');
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        reader.error(field.node.spot, format!("`{text}` names no directory of os/"), "os/<name>");
        return None;
    }
    Some(Base::Os(name.to_owned()))
}

fn properties(reader: &mut Reader, field: &Field) -> Option<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    for (key, value) in reader.map(field)?.all() {
        if let Some((message, hint)) = property_trouble(key) {
            reader.error(value.key, message, hint);
        }
        if let Some(text) = reader.text(&value) {
            properties.insert(key.to_owned(), text);
        }
    }
    Some(properties)
}

/// `bundle_target_name`: an image name, and part of the log's file name.
pub(super) fn target_name(reader: &mut Reader, field: &Field) -> Option<String> {
    let name = reader.word(field)?;
    if name.contains('/') || name.starts_with('.') || name.trim() != name {
        let hint = "no `/`, no dot in front, no blanks around";
        reader.error(
            field.node.spot,
            format!("`bundle_target_name` cannot be `{name}`: it becomes part of a file name"),
            hint,
        );
        return None;
    }
    within(reader, field, &name, LONGEST_NAME).then_some(name)
}

/// Whether a name has at most so many bytes.
fn within(reader: &mut Reader, field: &Field, name: &str, most: usize) -> bool {
    let fits = name.len() <= most;
    if !fits {
        let message =
            format!("`{}` has {} bytes; at most {most} are possible", field.path, name.len());
        let hint = "the image's name, with a date and a suffix, is part of the name of a log file";
        reader.error(field.node.spot, message, hint);
    }
    fits
}

pub(super) fn glance(reader: &mut Reader, field: &Field) -> Option<GlanceOptions> {
    let text = reader.text(field)?;
    let (options, troubles) = glance_options::parse(&text);
    for (message, hint) in troubles {
        reader.error(field.node.spot, format!("`final_glance_options`: {message}"), &hint);
    }
    Some(options)
}

pub(super) fn visibility(
    reader: &mut Reader,
    field: &Field,
    glance: &GlanceOptions,
) -> Option<Visibility> {
    let visibility = reader.one_of(field, Visibility::WORDS).map(|index| Visibility::ALL[index])?;
    if let Some(other) = glance.visibility.filter(|other| *other != visibility) {
        let message = format!(
            "`visibility` is {}, but `final_glance_options` says {}",
            visibility.word(),
            other.word()
        );
        reader.error(field.node.spot, message, "say it once");
    }
    Some(visibility)
}

/// IDs of projects that the image is shared with.
pub(super) fn members(
    reader: &mut Reader,
    field: &Field,
    visibility: Option<Visibility>,
) -> Option<Vec<String>> {
    let members = reader.words(field)?;
    if let Some(other) = visibility.filter(|v| *v != Visibility::Shared && !members.is_empty()) {
        reader.error(
            field.key,
            format!("only shared images have members; this one is {}", other.word()),
            "visibility: shared",
        );
    }
    Some(members)
}

pub(super) fn ssh_user(reader: &mut Reader, field: &Field) -> Option<String> {
    let user = reader.word(field)?;
    let plain = !user.starts_with('-')
        && user.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !plain {
        reader.error(
            field.node.spot,
            format!("`ssh_user` cannot be `{user}`"),
            "letters, digits, `.`, `_` and `-`",
        );
        return None;
    }
    Some(user)
}

pub(super) fn volume(reader: &mut Reader, field: &Field) -> Option<Volume> {
    let volume = reader.fields(field, keys::VOLUME)?;
    Some(Volume {
        size_gib: volume.read("size", |f| reader.size(f, 1024)),
        kind: volume.read("type", |f| reader.word(f)),
        zone: volume.read("availability_zone", |f| reader.word(f)),
    })
}

pub(super) fn machine(reader: &mut Reader, field: &Field) -> Option<MachineRequest> {
    let machine = reader.fields(field, keys::MACHINE)?;
    Some(MachineRequest {
        cpus: machine.read("cpus", |f| reader.whole(f, 1)),
        ram_mib: machine.read("ram", |f| reader.size(f, 1)),
        disk_gib: machine.read("disk", |f| reader.size(f, 1024)),
    })
}

pub(super) fn timeouts(reader: &mut Reader, field: &Field) -> Option<Timeouts> {
    let timeouts = reader.fields(field, keys::TIMEOUTS)?;
    let mut read = |key| timeouts.read(key, |f| reader.duration(f));
    Some(Timeouts {
        source: read("source"),
        boot: read("boot"),
        ssh: read("ssh"),
        step: read("step"),
        capture: read("capture"),
        upload: read("upload"),
    })
}

/// Deviations from the default tidy.
#[derive(Default)]
pub(super) struct Tidy {
    /// Names of [`TIDY_PARTS`].
    pub off: Vec<String>,
    /// Names of [`TIDY_ASKED`].
    pub on: Vec<String>,
}

pub(super) fn tidy(reader: &mut Reader, field: &Field) -> Option<Tidy> {
    let known: Vec<&str> = TIDY_PARTS.iter().chain(TIDY_ASKED).copied().collect();
    let mut seen: Vec<&str> = Vec::new();
    let mut tidy = Tidy::default();
    for (key, value) in reader.map(field)?.all() {
        let Some(part) = known.iter().copied().find(|part| *part == key.replace('_', "-")) else {
            reader.error(
                value.key,
                format!("unknown key `{key}` in `tidy`"),
                &keys::advice("tidy", key, &known),
            );
            continue;
        };
        if seen.contains(&part) {
            reader.error(
                value.key,
                format!("`{part}` is given twice"),
                "`-` and `_` are the same here",
            );
        }
        seen.push(part);
        let Some(wanted) = reader.truth(&value) else { continue };
        match (TIDY_ASKED.contains(&part), wanted) {
            (true, true) => tidy.on.push(part.to_owned()),
            (false, false) if part == "build-key" => {
                let message = "`tidy.build-key` cannot be switched off";
                reader.error(
                    value.node.spot,
                    message,
                    "who holds the key of the build could log in to every machine of the image",
                );
            }
            (false, false) => tidy.off.push(part.to_owned()),
            _ => {}
        }
    }
    Some(tidy)
}

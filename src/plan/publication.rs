//! Name and properties of the published image.
use crate::model::publication::Publication;
use crate::model::publication::SET_AT_THE_END;
use crate::model::publication::SetBy;
use std::collections::BTreeMap;

use super::Findings;

use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::facts::ControllerFacts;
use crate::model::field::Field;
use crate::model::image::{self, Image, Visibility};

/// Properties that Nova uses for scheduling and booting, besides those of [`BOOTS_BY_PREFIX`].
/// Source: nova.objects.image_meta.ImageMetaProps.
const BOOTS_BY: [&str; 13] = [
    "architecture",
    "auto_disk_config",
    "hypervisor_type",
    "hypervisor_version_requires",
    "img_config_drive",
    "img_hide_hypervisor_id",
    "img_hv_requested_version",
    "img_hv_type",
    "img_linked_clone",
    "img_use_agent",
    "kernel_id",
    "ramdisk_id",
    "vm_mode",
];

/// Beginnings of names: hardware, operating system, traits of hosts, and VMware's own.
const BOOTS_BY_PREFIX: [&str; 4] = ["hw_", "os_", "trait:", "vmware_"];

/// Of these, what describes the stored file, which is another one.
const OF_THE_FILE: [&str; 3] = ["os_glance_", "os_hash", "vmware_disktype"];

/// Absent until the image has such a time, or its build has found that out.
const OF_BUILD: [&str; 5] =
    [image::HIDDEN_AT, image::HELD_AT, image::SOURCE, image::SURROUNDINGS, image::FRESH_UNTIL];

/// Inputs of a publication.
pub(super) struct Origins<'a> {
    pub base: Option<&'a Image>,
    /// GiB of the builder's disk, which becomes the image's; `None`: not known yet.
    pub disk_gib: Option<u64>,
    pub name: &'a str,
    pub run: &'a str,
    pub host: &'a ControllerFacts,
}

/// Minimum disk (GiB) and RAM (MiB) of the image: as the bundle claims, but at least those of the
/// image's disk and of its base.
pub(super) fn claims(
    bundle: &Definition,
    base: Option<&Image>,
    disk_gib: Option<u64>,
) -> (Option<u64>, u64) {
    let of_base = base.map_or(0, |b| b.min_disk_gib);
    let least = disk_gib.unwrap_or(0).max(of_base);
    let disk = match bundle.glance.min_disk_gib {
        Some(asked) => Some(asked.max(least)),
        // Where the disk is not known yet, the base's claim is.
        None => disk_gib.is_none().then_some(of_base).filter(|disk| *disk > 0),
    };
    (disk, bundle.glance.min_ram_mib.unwrap_or(0).max(base.map_or(0, |b| b.min_ram_mib)))
}

pub(super) fn publication(
    bundle: &Definition,
    from: &Origins<'_>,
    found: &mut Findings,
) -> Publication {
    let glance = &bundle.glance;
    let claimed = claims(bundle, from.base, from.disk_gib);
    raised(bundle, claimed, found);
    members(bundle, found);
    let Properties { values, set_by } = properties(bundle, from);
    let mut tags = bundle.tags.clone();
    tags.extend(glance.tags.iter().filter(|t| !bundle.tags.contains(t)).cloned());
    Publication {
        name: from.name.into(),
        chosen: bundle.target_name.is_some(),
        family: bundle.name.clone(),
        properties: values,
        set_by,
        tags,
        min_disk_gib: claimed.0,
        min_ram_mib: claimed.1,
        visibility: bundle.published_as(),
        members: bundle.members.clone(),
        protected: glance.protected.unwrap_or(false),
        hidden: glance.hidden.unwrap_or(false),
    }
}

/// Notes the minimums that are larger than the definition asks for.
fn raised(bundle: &Definition, claimed: (Option<u64>, u64), found: &mut Findings) {
    let glance = &bundle.glance;
    let minimums = [
        ("min_disk", "GiB", glance.min_disk_gib, claimed.0, "that is the image's disk"),
        ("min_ram", "MiB", glance.min_ram_mib, Some(claimed.1), "its base needs as much"),
    ];
    for (what, unit, asked, given, why) in minimums {
        if let (Some(asked), Some(given)) = (asked, given)
            && asked < given
        {
            found.notes.push(format!("{what} is raised from {asked} to {given} {unit}: {why}"));
        }
    }
}

/// Properties of an image, and who set each.
#[derive(Default)]
struct Properties {
    values: BTreeMap<String, String>,
    set_by: BTreeMap<String, SetBy>,
}

impl Properties {
    fn set(&mut self, key: &str, value: &str, by: SetBy) {
        self.values.insert(key.to_owned(), value.to_owned());
        self.set_by.insert(key.to_owned(), by);
    }

    fn remove(&mut self, key: &str) {
        self.values.remove(key);
        self.set_by.remove(key);
    }
}

/// Later ones win: those of the base that boot it, the definition's, the factory's.
fn properties(bundle: &Definition, from: &Origins<'_>) -> Properties {
    let mut all = Properties::default();
    for (key, value) in from.base.iter().flat_map(|b| &b.properties).filter(|(k, _)| boots(k)) {
        all.set(key, value, SetBy::Base);
    }
    for (key, value) in &bundle.properties {
        all.set(key, value, SetBy::BundleProperties);
    }
    for (key, value) in &bundle.glance.properties {
        all.set(key, value, SetBy::FinalGlanceOptions);
    }
    for (key, value) in [
        (image::FAMILY, bundle.name.as_str()),
        (image::RUN, from.run),
        (image::STATE, image::State::Active.name()),
        (image::DEFINITION, &bundle.label),
    ] {
        all.set(key, value, SetBy::Factory);
    }
    // A cloud may keep no digest.
    let base = from.base.map(|b| {
        if b.checksum.is_empty() { b.id.clone() } else { format!("{}@sha512:{}", b.id, b.checksum) }
    });
    let known = [
        (image::BASE, base),
        (image::COMMIT, from.host.commit.clone()),
        (image::INPUTS, from.host.inputs.as_ref().map(|inputs| inputs.sha256.clone())),
        (image::VALUES, from.host.values.clone()),
        (image::PUBLISHED_HIDDEN, bundle.glance.hidden.filter(|h| *h).map(|_| "true".into())),
    ];
    for (key, value) in known {
        match value {
            Some(value) => all.set(key, &value, SetBy::Factory),
            // Absent rather than another's: it may be one of the definition's own properties.
            None => all.remove(key),
        }
    }
    for key in SET_AT_THE_END.into_iter().chain(OF_BUILD) {
        all.remove(key);
    }
    all
}

/// Whether an image inherits this property of its base: a machine needs it to boot. The base's
/// origin is not inherited.
fn boots(key: &str) -> bool {
    let begins = |with: &[&str]| with.iter().any(|prefix| key.starts_with(prefix));
    BOOTS_BY.contains(&key) || begins(&BOOTS_BY_PREFIX) && !begins(&OF_THE_FILE)
}

/// Members make an image shared, but Glance validates none of them.
fn members(bundle: &Definition, found: &mut Findings) {
    if bundle.members.is_empty() {
        return;
    }
    let silent = bundle.visibility.or(bundle.glance.visibility).is_none();
    if silent {
        found.notes.push("the image is shared, because it has members".into());
    }
    if bundle.published_as() != Visibility::Shared {
        let place = bundle.locations.of(Field::Members);
        let message = format!(
            "only shared images have members; this one is {}",
            bundle.published_as().word()
        );
        found.wrong.push(
            Diagnostic::error(place, message)
                .hint(format!("{}: shared", bundle.locations.key(Field::Visibility))),
        );
    }
    let all = bundle.members.join(", ");
    found.notes.push(format!(
        "whether the members are projects of this cloud, Glance does not look: {all}"
    ));
}

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

/// Properties that Nova uses for scheduling and booting, besides `hw_*` and `os_*`.
const BOOTS_BY: [&str; 6] =
    ["architecture", "hypervisor_type", "vm_mode", "kernel_id", "ramdisk_id", "img_config_drive"];

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
    let disk = bundle.glance.min_disk_gib.map(|asked| asked.max(disk_gib.unwrap_or(0)));
    (disk, bundle.glance.min_ram_mib.unwrap_or(0).max(base.map_or(0, |b| b.min_ram_mib)))
}

pub(super) fn publication(
    bundle: &Definition,
    from: &Origins<'_>,
    found: &mut Findings,
) -> Publication {
    let Origins { base, disk_gib, name, run, host } = *from;
    let glance = &bundle.glance;
    let (min_disk_gib, min_ram_mib) = claims(bundle, base, disk_gib);
    let raised = [
        ("min_disk", "GiB", glance.min_disk_gib, min_disk_gib),
        ("min_ram", "MiB", glance.min_ram_mib, Some(min_ram_mib)),
    ];
    for (what, unit, asked, given) in raised {
        if let (Some(asked), Some(given)) = (asked, given)
            && asked < given
        {
            let why = if what == "min_disk" {
                "that is the image's disk"
            } else {
                "its base needs as much"
            };
            found.notes.push(format!("{what} is raised from {asked} to {given} {unit}: {why}"));
        }
    }
    members(bundle, found);
    let mut properties = BTreeMap::new();
    let mut set_by = BTreeMap::new();
    let mut set = |key: &str, value: &str, by: SetBy| {
        properties.insert(key.to_owned(), value.to_owned());
        set_by.insert(key.to_owned(), by);
    };
    // Inherits what a machine needs to boot, but not the base's origin.
    for (key, value) in base.iter().flat_map(|b| &b.properties) {
        let of_os =
            key.starts_with("os_") && !key.starts_with("os_glance_") && !key.starts_with("os_hash");
        if key.starts_with("hw_") || of_os || BOOTS_BY.contains(&key.as_str()) {
            set(key, value, SetBy::Base);
        }
    }
    let own = [
        (&bundle.properties, SetBy::BundleProperties),
        (&glance.properties, SetBy::FinalGlanceOptions),
    ];
    for (key, value, by) in
        own.into_iter().flat_map(|(all, by)| all.iter().map(move |(k, v)| (k, v, by)))
    {
        set(key, value, by);
    }
    let state = image::State::Active.name();
    for (key, value) in [
        (image::FAMILY, bundle.name.as_str()),
        (image::RUN, run),
        (image::STATE, state),
        (image::DEFINITION, &bundle.label),
    ] {
        set(key, value, SetBy::Factory);
    }
    // A cloud may keep no digest.
    let base = base.map(|b| {
        if b.checksum.is_empty() { b.id.clone() } else { format!("{}@sha512:{}", b.id, b.checksum) }
    });
    let known = [
        (image::BASE, base),
        (image::COMMIT, host.commit.clone()),
        (image::INPUTS, host.inputs.as_ref().map(|inputs| inputs.sha256.clone())),
    ];
    for (key, value) in &known {
        if let Some(value) = value {
            set(key, value, SetBy::Factory);
        }
    }
    // Absent rather than another's: these may have come in with the bundle's own properties.
    let absent = known.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| *key);
    for key in absent.chain(SET_AT_THE_END).chain([image::HIDDEN_AT]) {
        properties.remove(key);
        set_by.remove(key);
    }
    let mut tags = bundle.tags.clone();
    tags.extend(glance.tags.iter().filter(|t| !bundle.tags.contains(t)).cloned());
    Publication {
        name: name.into(),
        family: bundle.name.clone(),
        properties,
        set_by,
        tags,
        min_disk_gib,
        min_ram_mib,
        visibility: bundle.published_as(),
        members: bundle.members.clone(),
        protected: glance.protected.unwrap_or(false),
        hidden: glance.hidden.unwrap_or(false),
    }
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

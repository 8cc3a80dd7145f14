//! Volumes: those that machines boot from, and the one that a check attaches.

use super::Project;
use super::named::missing;
use crate::model::definition::{Definition, Volume};
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::facts::ProjectFacts;
use crate::model::field::Field;
use crate::model::placement::Placement;
use crate::model::placement::VolumePlan;
use crate::plan::Findings;

/// The volume that machines boot from; `disk_gib` is the size that the base needs.
pub(super) fn volume(
    on: Project<'_>,
    asked: &Volume,
    disk_gib: u64,
    found: &mut Findings,
) -> VolumePlan {
    encryption(on, asked, found);
    let size_gib = asked.size_gib.unwrap_or(disk_gib);
    if size_gib < disk_gib {
        let size = on.bundle.locations.short_key(Field::VolumeSize);
        found.wrong.push(
            Diagnostic::error(
                at(on.bundle, Field::VolumeSize),
                format!("a volume of {size_gib} GiB is too small for the base"),
            )
            .hint(format!("`{size}: {disk_gib}` or more")),
        );
    }
    VolumePlan { size_gib, kind: asked.kind.clone(), zone: volume_zone(on, asked, found) }
}

fn at(bundle: &Definition, field: Field) -> Option<Location> {
    bundle.locations.of_first(&[field, Field::Volume])
}

/// There is block storage of the type, and an image of such a volume can be used.
fn encryption(on: Project<'_>, asked: &Volume, found: &mut Findings) {
    let Project { bundle, facts } = on;
    let at = |field: Field| at(bundle, field);
    let of_type = asked.kind.as_ref().map_or_else(
        || "the default volume type".to_owned(),
        |kind| format!("volume type `{kind}`"),
    );
    match &facts.volume_types {
        None => found.wrong.push(
            Diagnostic::error(at(Field::Volume), "this cloud has no block storage")
                .hint(format!("leave `{}` out", bundle.locations.key(Field::Volume))),
        ),
        Some(types) => {
            if let Some(kind) =
                asked.kind.as_ref().filter(|k| !types.is_empty() && !types.contains(k))
            {
                found.wrong.push(missing("volume type", kind, types, at(Field::VolumeType)));
            } else if facts.encrypts == Some(true) {
                let message = format!(
                    "{of_type} encrypts: an image of such a volume is of use only with its key, \
                        and boots no machine"
                );
                found.wrong.push(Diagnostic::error(at(Field::VolumeType), message).hint(format!(
                    "name a `{}` that does not encrypt",
                    bundle.locations.short_key(Field::VolumeType)
                )));
            } else if facts.encrypts.is_none() {
                let text =
                    "does not tell; if it does, the build ends when its first volume is made";
                found.notes.push(format!("whether {of_type} encrypts, this cloud {text}"));
            }
        }
    }
}

/// Cinder's zones are not Nova's, though many clouds give them the same names.
fn volume_zone(on: Project<'_>, asked: &Volume, found: &mut Findings) -> Option<String> {
    let Project { bundle, facts } = on;
    let known = &facts.volume_zones;
    match (&asked.zone, &bundle.availability_zone) {
        (Some(zone), _) => {
            if !known.is_empty() && !known.contains(zone) {
                let at = bundle.locations.of(Field::VolumeZone);
                found.wrong.push(missing("availability zone of volumes", zone, known, at));
            }
            Some(zone.clone())
        }
        (None, Some(zone)) if known.contains(zone) => Some(zone.clone()),
        (None, Some(zone)) if !known.is_empty() => {
            let all = known.join(", ");
            found.notes.push(format!(
                "volumes go to Cinder's default zone: it has no `{zone}`, but \
                {all} (`{}`)",
                bundle.locations.key(Field::VolumeZone)
            ));
            None
        }
        (None, _) => None,
    }
}

/// The disk that the check `volume` gives to a machine. Where machines boot from volumes, it is of
/// their kind and place. Elsewhere it has to be in the zone of its server, where Cinder has that:
/// many clouds attach none across zones.
pub(in crate::plan) fn second_disk(
    size_gib: u64,
    facts: &ProjectFacts,
    plan: &Placement,
) -> VolumePlan {
    match &plan.volume {
        Some(volume) => VolumePlan { size_gib, ..volume.clone() },
        None => VolumePlan {
            size_gib,
            kind: None,
            zone: plan.zone.clone().filter(|zone| facts.volume_zones.contains(zone)),
        },
    }
}

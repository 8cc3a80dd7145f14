//! Peak resource use of a run in a project, compared with its quota. Pure.
//!
//! A run is a sequence of moments (see `engine`). Each resource is counted in the moment that uses
//! most of it. A finished machine is deleted with its volume and address before the next one is
//! created.
use super::machines::{MachinePlan, Machines};
use crate::model::definition::Definition;
use crate::model::facts::QuotaHeadroom;
use crate::model::field::Field;
use crate::model::placement::Placement;
use crate::model::placement::Security;

use super::{Findings, Purpose};
use crate::model::image::Image;

/// The parts of a run that determine its peak.
pub(super) struct Course<'a> {
    pub bundle: &'a Definition,
    pub purpose: Purpose,
    /// The run builds an image from the source instead of publishing the source.
    pub builder: bool,
    /// `None`: the definition brings its source, which is imported as an image of its own.
    pub base: Option<&'a Image>,
    /// Images of bases that are built before.
    pub bases: u64,
    /// Size of the disk for the check `volume`; `None`: the check is off.
    pub disk_gib: Option<u64>,
}

/// Resources that exist at the same time.
#[derive(Clone)]
struct Moment<'a> {
    machines: Vec<&'a MachinePlan>,
    disk_gib: Option<u64>,
    images: u64,
}

fn moment<'a>(machines: &[&'a MachinePlan], images: u64) -> Moment<'a> {
    Moment { machines: machines.to_vec(), disk_gib: None, images }
}

/// Maximum resources of a run at the same time.
pub(super) struct Peak {
    machines: u64,
    cores: u64,
    ram_mib: u64,
    /// Including boot volumes.
    volumes: u64,
    volume_gib: u64,
    images: u64,
    /// MiB per image, estimated by the base's file: a new image is hardly smaller.
    image_mib: u64,
}

impl Machines {
    fn moments(&self, course: &Course<'_>) -> Vec<Moment<'_>> {
        // The source is staged as an image of its own, until the builder is captured.
        let mut images = course.bases + u64::from(course.base.is_none());
        let mut moments = Vec::new();
        if course.builder && !matches!(course.purpose, Purpose::Test { .. }) {
            let captured = u64::from(course.purpose != Purpose::Visit);
            moments.push(moment(&[&self.builder], images + captured));
            images = course.bases + captured;
        }
        if course.purpose.smokes() {
            moments.push(Moment {
                disk_gib: course.disk_gib,
                ..moment(&[&self.first, &self.second], images)
            });
            // For the check `snapshot`: an image of the second is kept, and then a machine of that
            // takes the second's place.
            if let Some(other) = &self.other {
                moments.push(moment(&[&self.first, &self.second], images + 1));
                moments.push(moment(&[&self.first, other], images + 1));
            }
        }
        if moments.is_empty() {
            moments.push(moment(&[], images));
        }
        moments
    }

    /// `None`: a flavor is missing, or the cloud has none.
    pub fn peak(&self, course: &Course<'_>) -> Option<Peak> {
        let site = self.site.as_ref()?;
        let moments = self.moments(course);
        if moments.iter().flat_map(|m| &m.machines).any(|m| m.flavor.is_none()) {
            return None;
        }
        let most = |of: &dyn Fn(&Moment<'_>) -> u64| moments.iter().map(of).max().unwrap_or(0);
        let count = |m: &Moment<'_>| m.machines.len() as u64;
        let on_volumes = |m: &Moment<'_>| if site.volume.is_some() { count(m) } else { 0 };
        let boot_gib = site.volume.as_ref().map_or(0, |v| v.size_gib);
        let images = most(&|m| m.images);
        Some(Peak {
            machines: most(&count),
            cores: most(&|m| m.machines.iter().map(|m| u64::from(m.cpus)).sum()),
            ram_mib: most(&|m| m.machines.iter().map(|m| m.ram_mib).sum()),
            volumes: most(&|m| on_volumes(m) + u64::from(m.disk_gib.is_some())),
            volume_gib: most(&|m| on_volumes(m) * boot_gib + m.disk_gib.unwrap_or(0)),
            images,
            image_mib: images * course.base.map_or(0, |b| b.size >> 20),
        })
    }
}

/// Hint for an exceeded quota: settings of the bundle that lower the peak.
fn hint(what: &str, site: &Placement, course: &Course<'_>) -> String {
    let free = "delete what is not needed, or have the project's quota raised";
    match what {
        "floating IPs" => format!(
            "free some, or boot on a network that is reached directly and say `{}: none`",
            course.bundle.locations.key(Field::FloatingNetwork)
        ),
        "volumes" | "GiB of volumes" if course.disk_gib.is_some() && site.volume.is_none() => {
            format!(
                "{free}; the check `volume` attaches one, and `tests: {{skip: [volume]}}` \
                leaves it out"
            )
        }
        _ => free.into(),
    }
}

pub(super) fn room(
    room: &QuotaHeadroom,
    machines: &Machines,
    course: &Course<'_>,
    found: &mut Findings,
) {
    let (Some(site), Some(peak)) = (&machines.site, machines.peak(course)) else { return };
    let per_machine = |wanted: bool| if wanted { peak.machines } else { 0 };
    let group = matches!(site.security, Security::Temporary { .. }) && peak.machines > 0;
    let asked = [
        ("servers", room.servers, peak.machines),
        ("cores", room.cores, peak.cores),
        ("MiB of RAM", room.ram_mib, peak.ram_mib),
        ("floating IPs", room.floating_ips, per_machine(site.floating_network.is_some())),
        ("security groups", room.security_groups, u64::from(group)),
        ("volumes", room.volumes, peak.volumes),
        ("GiB of volumes", room.volume_gib, peak.volume_gib),
        ("images", room.images, peak.images),
        ("MiB of images", room.image_mib, peak.images.min(1)),
    ];
    for (what, left, need) in asked {
        if let Some(left) = left.filter(|left| *left < need) {
            let message =
                format!("the project's quota leaves {left} {what}, and {need} are needed");
            found.wrong.push(
                crate::model::diagnostic::Diagnostic::error(None, message)
                    .hint(hint(what, site, course)),
            );
        }
    }
    match room.image_mib {
        _ if peak.images == 0 => {}
        Some(left) if left >= 1 && left < peak.image_mib => {
            let of = if peak.images > 1 {
                format!(
                    "for {} images of the base's \
                size",
                    peak.images
                )
            } else {
                "the base alone".into()
            };
            let text = "how large images become shows when they are captured";
            found.notes.push(format!(
                "the quota leaves {left} MiB of images, and {of} takes {}: \
                {text}",
                peak.image_mib
            ));
        }
        Some(_) => {}
        None => found.notes.push(
            "Glance tells no limit of the project's images: whether one is \
            set shows when the image is stored"
                .into(),
        ),
    }
}

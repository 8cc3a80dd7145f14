//! Sizes of a run's machines: as the bundle says on this machine, by flavor in a project.
use crate::model::placement::Placement;
use serde::{Deserialize, Serialize};

use super::placement::{self, Needs};
use super::publication::claims;
use super::{Findings, GIB};
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::facts::{CloudFacts, Flavor, Named, ProjectFacts};
use crate::model::field::Field;
use crate::model::image::Image;

/// Default disk of a builder in GiB, unless the base needs more.
const DISK_GB: u64 = 4;
const RAM_MB: u64 = 1024;
const CPUS: u32 = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// Name and hostname.
    pub name: String,
    pub cpus: u32,
    #[serde(rename = "ram_mb")]
    pub ram_mib: u64,
    /// `None`: the image's size, known once the source is built.
    #[serde(rename = "disk_gb")]
    pub disk_gib: Option<u64>,
    /// Only on a cloud with flavors, which then determine CPUs, RAM and disk.
    pub flavor: Option<Named>,
}

/// The machines of a run.
pub(super) struct Machines {
    pub builder: MachinePlan,
    pub first: MachinePlan,
    pub second: MachinePlan,
    pub other: Option<MachinePlan>,
    pub site: Option<Placement>,
    pub grow_gib: u64,
}

/// Minimum disk of the base, in GiB.
fn base_disk(base: Option<&Image>) -> u64 {
    base.map_or(0, |b| b.virtual_size.div_ceil(GIB).max(b.min_disk_gib))
}

fn name(run: &str, role: &str) -> String {
    format!("factory-{run}-{role}")
}

/// Machines of the sizes in the bundle.
pub(super) fn on_this_machine(
    bundle: &Definition,
    facts: &CloudFacts,
    run: &str,
    base: Option<&Image>,
    wrong: &mut Vec<Diagnostic>,
) -> Machines {
    let wish = &bundle.machine;
    let machine = |role: &str| MachinePlan {
        name: name(run, role),
        cpus: wish.cpus.unwrap_or_else(|| CPUS.min(facts.max_cpus.unwrap_or(CPUS)).max(1)),
        ram_mib: wish.ram_mib.unwrap_or_else(|| RAM_MB.max(base.map_or(0, |b| b.min_ram_mib))),
        disk_gib: wish.disk_gib.or_else(|| base.map(|_| DISK_GB.max(base_disk(base)))),
        flavor: None,
    };
    // The second has no checks to run, only to boot.
    let (first, second) = (machine("smoke-a"), MachinePlan { cpus: 1, ..machine("smoke-b") });
    // As large a disk as the image of a smoke machine asks for.
    let larger = MachinePlan {
        cpus: 2,
        ram_mib: first.ram_mib + first.ram_mib / 2,
        disk_gib: None,
        ..machine("smoke-c")
    };
    let other = facts.max_ram_mib.is_none_or(|max| larger.ram_mib <= max).then_some(larger);
    too_large(bundle, facts, &first, base, wrong);
    Machines { builder: machine("builder"), first, second, other, site: None, grow_gib: 1 }
}

/// Machines of available flavors. The disk is the flavor's or the volume's.
pub(super) fn in_a_project(
    bundle: &Definition,
    facts: &ProjectFacts,
    run: &str,
    base: Option<&Image>,
    found: &mut Findings,
) -> Machines {
    let wish = &bundle.machine;
    let disk_gib =
        base_disk(base).max(wish.disk_gib.unwrap_or(if base.is_some() { 0 } else { DISK_GB }));
    let base_ram = base.map_or(0, |b| b.min_ram_mib);
    // A flavor that is named may have less than a comfortable machine; one that we choose may not.
    let least =
        Needs { cpus: wish.cpus.unwrap_or(1), ram_mib: wish.ram_mib.unwrap_or(base_ram), disk_gib };
    let comfortable =
        Needs { ram_mib: wish.ram_mib.unwrap_or_else(|| RAM_MB.max(base_ram)), ..least };
    let needs = |asked: Option<&str>| if asked.is_some() { least } else { comfortable };

    let asked = bundle.flavor.as_deref();
    let flavor = placement::flavor(bundle, facts, (Field::Flavor, asked), needs(asked), found);
    // A captured disk is as large as the builder's, and asks its machines for as much.
    let captured = Needs {
        cpus: 1,
        ram_mib: base_ram,
        disk_gib: flavor.as_ref().map_or(disk_gib, |f| f.disk_gib.max(disk_gib)),
    };
    let test_flavor = match bundle.test_flavor.as_deref() {
        Some(asked) => {
            placement::flavor(bundle, facts, (Field::TestFlavor, Some(asked)), captured, found)
        }
        None => flavor.clone(),
    };
    // What the image claims to need is proven by a machine that has no more.
    let least_flavor = test_flavor.as_ref().map(|tested| match bundle.test_flavor {
        Some(_) => tested.clone(),
        None => {
            let (disk, ram) = claims(bundle, base, Some(captured.disk_gib));
            let ram_mib = if ram > 0 { ram } else { tested.ram_mib };
            let needs = Needs { cpus: 1, ram_mib, disk_gib: disk.unwrap_or(captured.disk_gib) };
            // Of flavors of one size another may be dear, or of hosts that are not for everybody.
            let fits = tested.ram_mib <= needs.ram_mib
                && (bundle.volume.is_some() || tested.disk_gib <= needs.disk_gib);
            let less = || {
                placement::smallest(facts, bundle, needs).filter(|f| f.ram_mib <= tested.ram_mib)
            };
            if fits { tested } else { less().unwrap_or(tested) }.clone()
        }
    });
    // An image of a smoke machine asks for as large a disk as that has. Of those with room for it
    // the next one.
    let other = test_flavor.as_ref().and_then(|tested| {
        let has_room =
            |f: &Flavor| bundle.volume.is_some() || f.disk_gib > 0 && f.disk_gib >= tested.disk_gib;
        let fits = |f: &&Flavor| f.id != tested.id && has_room(f) && f.ram_mib >= tested.ram_mib;
        facts.flavors.iter().filter(fits).min_by_key(|f| (f.ram_mib, f.cpus, f.disk_gib)).cloned()
    });
    let plan = placement::site(bundle, facts, disk_gib, found);
    let machine = |role: &str, flavor: &Option<Flavor>| MachinePlan {
        name: name(run, role),
        cpus: flavor.as_ref().map_or(0, |f| f.cpus),
        ram_mib: flavor.as_ref().map_or(0, |f| f.ram_mib),
        disk_gib: plan
            .volume
            .as_ref()
            .map(|v| v.size_gib)
            .or(flavor.as_ref().map(|f| f.disk_gib).filter(|gb| *gb > 0)),
        flavor: flavor.as_ref().map(|f| Named { id: f.id.clone(), name: f.name.clone() }),
    };
    Machines {
        builder: machine("builder", &flavor),
        first: machine("smoke-a", &test_flavor),
        second: machine("smoke-b", &least_flavor),
        other: other.is_some().then(|| machine("smoke-c", &other)),
        site: Some(plan),
        grow_gib: 0,
    }
}

fn too_large(
    bundle: &Definition,
    facts: &CloudFacts,
    machine: &MachinePlan,
    base: Option<&Image>,
    wrong: &mut Vec<Diagnostic>,
) {
    let place = |field: Field| bundle.locations.of_first(&[field, Field::Machine]);
    if let Some(max) = facts.max_ram_mib.filter(|max| machine.ram_mib > *max) {
        wrong.push(
            Diagnostic::error(
                place(Field::Ram),
                format!(
                    "a machine with {} MiB RAM does not fit: {max} MiB are free",
                    machine.ram_mib
                ),
            )
            .hint(format!("lower `{}`", bundle.locations.key(Field::Ram))),
        );
    }
    if let (Some(disk), Some(base)) = (machine.disk_gib, base)
        && disk < base_disk(Some(base))
    {
        let need = base_disk(Some(base));
        wrong.push(
            Diagnostic::error(
                place(Field::Disk),
                format!("a disk of {disk} GiB is too small for base `{}`", base.name),
            )
            .hint(format!("`{}: {need}` or more", bundle.locations.key(Field::Disk))),
        );
    }
    // Overlay, captured image and two smoke overlays hold at most the used part several times; a
    // fifth of it all is a fair floor.
    let floor = 2 * GIB;
    if let Some(free) = facts.free_bytes.filter(|free| *free < floor) {
        wrong.push(
            Diagnostic::error(
                None,
                format!("only {} MiB are free for builds where images are kept", free >> 20),
            )
            .hint("free some space, or set IMAGE_FACTORY_HOME to a larger disk"),
        );
    }
}

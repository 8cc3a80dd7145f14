//! How large the machines of a run are: of this machine as the bundle says, of a project by its
//! flavors.
use serde::{Deserialize, Serialize};

use super::facts::{CloudFacts, Flavor, Named, SiteFacts};
use super::publication::claims;
use super::site::{self, Needs, SitePlan};
use super::{Findings, GIB};
use crate::bundle::Bundle;
use crate::diagnostic::Diagnostic;
use crate::image::Image;

/// Disk of a builder whose bundle asks for none, unless the base needs more.
const DISK_GB: u64 = 4;
const RAM_MB: u64 = 1024;
const CPUS: u32 = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// Name and hostname.
    pub name: String,
    pub cpus: u32,
    pub ram_mb: u64,
    /// `None`: the image's own size, known only when the source was built.
    pub disk_gb: Option<u64>,
    /// On a cloud that has flavors; CPUs, RAM and disk are then the flavor's.
    pub flavor: Option<Named>,
}

/// The machines of a run.
pub(super) struct Machines {
    pub builder: MachinePlan,
    pub first: MachinePlan,
    pub second: MachinePlan,
    pub other: Option<MachinePlan>,
    pub site: Option<SitePlan>,
    pub grow_gb: u64,
}

/// GiB that the base asks a disk to have.
fn base_disk(base: Option<&Image>) -> u64 {
    base.map_or(0, |b| b.virtual_size.div_ceil(GIB).max(b.min_disk_gb))
}

fn name(run: &str, role: &str) -> String {
    format!("factory-{run}-{role}")
}

/// Machines of the size the bundle says.
pub(super) fn on_this_machine(
    bundle: &Bundle,
    facts: &CloudFacts,
    run: &str,
    base: Option<&Image>,
    wrong: &mut Vec<Diagnostic>,
) -> Machines {
    let wish = &bundle.machine;
    let machine = |role: &str| MachinePlan {
        name: name(run, role),
        cpus: wish.cpus.unwrap_or_else(|| CPUS.min(facts.max_cpus.unwrap_or(CPUS)).max(1)),
        ram_mb: wish.ram_mb.unwrap_or_else(|| RAM_MB.max(base.map_or(0, |b| b.min_ram_mb))),
        disk_gb: wish.disk_gb.or_else(|| base.map(|_| DISK_GB.max(base_disk(base)))),
        flavor: None,
    };
    // The second has no checks to run, only to boot.
    let (first, second) = (machine("smoke-a"), MachinePlan { cpus: 1, ..machine("smoke-b") });
    // As large a disk as the image of a smoke machine asks for.
    let larger = MachinePlan {
        cpus: 2,
        ram_mb: first.ram_mb + first.ram_mb / 2,
        disk_gb: None,
        ..machine("smoke-c")
    };
    let other = facts.max_ram_mb.is_none_or(|max| larger.ram_mb <= max).then_some(larger);
    too_large(bundle, facts, &first, base, wrong);
    Machines { builder: machine("builder"), first, second, other, site: None, grow_gb: 1 }
}

/// Machines of the flavors there are. The disk of a machine is the flavor's, or the volume's.
pub(super) fn in_a_project(
    bundle: &Bundle,
    facts: &SiteFacts,
    run: &str,
    base: Option<&Image>,
    found: &mut Findings,
) -> Machines {
    let wish = &bundle.machine;
    let disk_gb =
        base_disk(base).max(wish.disk_gb.unwrap_or(if base.is_some() { 0 } else { DISK_GB }));
    let base_ram = base.map_or(0, |b| b.min_ram_mb);
    // A flavor that is named may have less than a comfortable machine; one that we choose may not.
    let least =
        Needs { cpus: wish.cpus.unwrap_or(1), ram_mb: wish.ram_mb.unwrap_or(base_ram), disk_gb };
    let comfortable =
        Needs { ram_mb: wish.ram_mb.unwrap_or_else(|| RAM_MB.max(base_ram)), ..least };
    let needs = |asked: Option<&str>| if asked.is_some() { least } else { comfortable };

    let asked = bundle.flavor.as_deref();
    let flavor = site::flavor(bundle, facts, ("vm_flavor", asked), needs(asked), found);
    // A captured disk is as large as the builder's, and asks its machines for as much.
    let captured = Needs {
        cpus: 1,
        ram_mb: base_ram,
        disk_gb: flavor.as_ref().map_or(disk_gb, |f| f.disk_gb.max(disk_gb)),
    };
    let test_flavor = match bundle.test_flavor.as_deref() {
        Some(asked) => site::flavor(bundle, facts, ("test_flavor", Some(asked)), captured, found),
        None => flavor.clone(),
    };
    // What the image claims to need is proven by a machine that has no more.
    let least_flavor = test_flavor.as_ref().map(|tested| match bundle.test_flavor {
        Some(_) => tested.clone(),
        None => {
            let (disk, ram) = claims(bundle, base, Some(captured.disk_gb));
            let ram_mb = if ram > 0 { ram } else { tested.ram_mb };
            let needs = Needs { cpus: 1, ram_mb, disk_gb: disk.unwrap_or(captured.disk_gb) };
            // Of flavors of one size another may be dear, or of hosts that are not for everybody.
            let fits = tested.ram_mb <= needs.ram_mb
                && (bundle.volume.is_some() || tested.disk_gb <= needs.disk_gb);
            let less =
                || site::smallest(facts, bundle, needs).filter(|f| f.ram_mb <= tested.ram_mb);
            if fits { tested } else { less().unwrap_or(tested) }.clone()
        }
    });
    // An image of a smoke machine asks for as large a disk as that has. Of those with room for it
    // the next one.
    let other = test_flavor.as_ref().and_then(|tested| {
        let has_room =
            |f: &Flavor| bundle.volume.is_some() || f.disk_gb > 0 && f.disk_gb >= tested.disk_gb;
        let fits = |f: &&Flavor| f.id != tested.id && has_room(f) && f.ram_mb >= tested.ram_mb;
        facts.flavors.iter().filter(fits).min_by_key(|f| (f.ram_mb, f.cpus, f.disk_gb)).cloned()
    });
    let plan = site::site(bundle, facts, disk_gb, found);
    let machine = |role: &str, flavor: &Option<Flavor>| MachinePlan {
        name: name(run, role),
        cpus: flavor.as_ref().map_or(0, |f| f.cpus),
        ram_mb: flavor.as_ref().map_or(0, |f| f.ram_mb),
        disk_gb: plan
            .volume
            .as_ref()
            .map(|v| v.size_gb)
            .or(flavor.as_ref().map(|f| f.disk_gb).filter(|gb| *gb > 0)),
        flavor: flavor.as_ref().map(|f| Named { id: f.id.clone(), name: f.name.clone() }),
    };
    Machines {
        builder: machine("builder", &flavor),
        first: machine("smoke-a", &test_flavor),
        second: machine("smoke-b", &least_flavor),
        other: other.is_some().then(|| machine("smoke-c", &other)),
        site: Some(plan),
        grow_gb: 0,
    }
}

fn too_large(
    bundle: &Bundle,
    facts: &CloudFacts,
    machine: &MachinePlan,
    base: Option<&Image>,
    wrong: &mut Vec<Diagnostic>,
) {
    let place =
        |key: &str| bundle.places.get(key).or_else(|| bundle.places.get("machine")).cloned();
    if let Some(max) = facts.max_ram_mb.filter(|max| machine.ram_mb > *max) {
        wrong.push(
            Diagnostic::error(
                place("machine.ram"),
                format!(
                    "a machine with {} MiB RAM does not fit: {max} MiB are free",
                    machine.ram_mb
                ),
            )
            .hint("lower `machine.ram`"),
        );
    }
    if let (Some(disk), Some(base)) = (machine.disk_gb, base)
        && disk < base_disk(Some(base))
    {
        let need = base_disk(Some(base));
        wrong.push(
            Diagnostic::error(
                place("machine.disk"),
                format!("a disk of {disk} GiB is too small for base `{}`", base.name),
            )
            .hint(format!("`machine.disk: {need}` or more")),
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

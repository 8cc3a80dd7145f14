//! Sizes of a run's machines: as the definition says where a cloud makes any, else by flavor.
use std::collections::BTreeMap;

use crate::model::placement::Placement;
use serde::{Deserialize, Serialize};

use super::placement::{self, Needs, Project};
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
    pub larger: BTreeMap<String, Vec<Flavor>>,
    pub grow_gib: u64,
}

/// Minimum disk of the base, in GiB.
fn base_disk(base: Option<&Image>) -> u64 {
    base.map_or(0, |b| b.virtual_size.div_ceil(GIB).max(b.min_disk_gib))
}

fn name(run: &str, role: &str) -> String {
    format!("factory-{run}-{role}")
}

/// What machines are planned for.
pub(super) struct Sizing<'a> {
    pub bundle: &'a Definition,
    pub run: &'a str,
    pub base: Option<&'a Image>,
}

impl Sizing<'_> {
    /// Machines of the sizes in the definition, where a cloud makes any.
    pub fn of_any_size(&self, facts: &CloudFacts, found: &mut Findings) -> Machines {
        let (wish, base) = (&self.bundle.machine, self.base);
        let machine = |role: &str| MachinePlan {
            name: name(self.run, role),
            cpus: wish.cpus.unwrap_or_else(|| CPUS.min(facts.max_cpus.unwrap_or(CPUS)).max(1)),
            ram_mib: wish.ram_mib.unwrap_or_else(|| RAM_MB.max(base.map_or(0, |b| b.min_ram_mib))),
            disk_gib: wish.disk_gib.or_else(|| base.map(|_| DISK_GB.max(base_disk(base)))),
            flavor: None,
        };
        let first = machine("smoke-a");
        // The second has no checks to run, only to boot: with no more than the image claims.
        let (disk, claimed) = claims(self.bundle, base, first.disk_gib);
        let least_ram = if claimed > 0 { claimed.min(first.ram_mib) } else { first.ram_mib };
        let second = MachinePlan {
            cpus: 1,
            ram_mib: least_ram,
            disk_gib: disk.or(first.disk_gib),
            ..machine("smoke-b")
        };
        // As large a disk as the image of a smoke machine asks for.
        let larger = MachinePlan {
            cpus: 2,
            ram_mib: first.ram_mib + first.ram_mib / 2,
            disk_gib: None,
            ..machine("smoke-c")
        };
        let other = facts.max_ram_mib.is_none_or(|max| larger.ram_mib <= max).then_some(larger);
        self.too_large(facts, &first, found);
        let (builder, larger) = (machine("builder"), BTreeMap::new());
        Machines { builder, first, second, other, site: None, larger, grow_gib: 1 }
    }

    /// Machines of available flavors. The disk is the flavor's or the volume's.
    pub fn of_flavors(&self, facts: &ProjectFacts, found: &mut Findings) -> Machines {
        let on = Project { bundle: self.bundle, facts };
        let least = self.least();
        let flavor = self.builder_flavor(on, least, found);
        // A captured disk is as large as the builder's, and asks its machines for as much.
        let captured = Needs {
            cpus: 1,
            ram_mib: self.base.map_or(0, |b| b.min_ram_mib),
            disk_gib: flavor.as_ref().map_or(least.disk_gib, |f| f.disk_gib.max(least.disk_gib)),
        };
        let test_flavor = match self.bundle.test_flavor.as_deref() {
            Some(asked) => placement::flavor(on, (Field::TestFlavor, Some(asked)), captured, found),
            None => flavor.clone(),
        };
        let least_flavor = test_flavor.as_ref().map(|f| self.least_flavor(on, f, captured));
        let other = test_flavor.as_ref().and_then(|f| other_flavor(on, f));
        let plan = placement::site(on, least.disk_gib, found);
        let machine = |role: &str, flavor: &Option<Flavor>| MachinePlan {
            name: name(self.run, role),
            cpus: flavor.as_ref().map_or(0, |f| f.cpus),
            ram_mib: flavor.as_ref().map_or(0, |f| f.ram_mib),
            disk_gib: plan
                .volume
                .as_ref()
                .map(|v| v.size_gib)
                .or(flavor.as_ref().map(|f| f.disk_gib).filter(|gb| *gb > 0)),
            flavor: flavor.as_ref().map(|f| Named { id: f.id.clone(), name: f.name.clone() }),
        };
        let chosen = [
            ("builder", &flavor, self.bundle.flavor.is_none()),
            ("smoke-a", &test_flavor, self.bundle.test_flavor.is_none()),
            ("smoke-b", &least_flavor, self.bundle.test_flavor.is_none()),
            ("smoke-c", &other, true),
        ];
        // Of a source nobody knows the size yet.
        let sizes = self.bundle.source.is_some() && self.bundle.volume.is_none();
        let larger = chosen.into_iter().filter(|(.., free)| sizes && *free);
        let larger = larger
            .filter_map(|(role, f, _)| Some((name(self.run, role), larger_than(on, f.as_ref()?))));
        Machines {
            larger: larger.collect(),
            builder: machine("builder", &flavor),
            first: machine("smoke-a", &test_flavor),
            second: machine("smoke-b", &least_flavor),
            other: other.is_some().then(|| machine("smoke-c", &other)),
            site: Some(plan),
            grow_gib: 0,
        }
    }

    /// What a builder must have.
    fn least(&self) -> Needs {
        let (wish, base) = (&self.bundle.machine, self.base);
        let default_disk = if base.is_some() { 0 } else { DISK_GB };
        Needs {
            cpus: wish.cpus.unwrap_or(1),
            ram_mib: wish.ram_mib.unwrap_or(0).max(base.map_or(0, |b| b.min_ram_mib)),
            disk_gib: base_disk(base).max(wish.disk_gib.unwrap_or(default_disk)),
        }
    }

    /// A flavor that is named may have less than a comfortable machine; one that we choose may not.
    fn builder_flavor(
        &self,
        on: Project<'_>,
        least: Needs,
        found: &mut Findings,
    ) -> Option<Flavor> {
        let comfortable = || match self.bundle.machine.ram_mib {
            Some(_) => least,
            None => Needs { ram_mib: RAM_MB.max(least.ram_mib), ..least },
        };
        let asked = self.bundle.flavor.as_deref();
        let needs = if asked.is_some() { least } else { comfortable() };
        placement::flavor(on, (Field::Flavor, asked), needs, found)
    }

    /// What the image claims to need is proven by a machine that has no more.
    fn least_flavor(&self, on: Project<'_>, tested: &Flavor, captured: Needs) -> Flavor {
        if self.bundle.test_flavor.is_some() {
            return tested.clone();
        }
        let (disk, ram) = claims(self.bundle, self.base, Some(captured.disk_gib));
        let ram_mib = if ram > 0 { ram } else { tested.ram_mib };
        let needs = Needs { cpus: 1, ram_mib, disk_gib: disk.unwrap_or(captured.disk_gib) };
        // Of flavors of one size another may be dear, or of hosts that are not for everybody.
        let fits = tested.ram_mib <= needs.ram_mib
            && (self.bundle.volume.is_some() || tested.disk_gib <= needs.disk_gib);
        let less = || placement::smallest(on, needs).filter(|f| f.ram_mib <= tested.ram_mib);
        if fits { tested } else { less().unwrap_or(tested) }.clone()
    }

    fn too_large(&self, facts: &CloudFacts, machine: &MachinePlan, found: &mut Findings) {
        let Self { bundle, base, .. } = *self;
        let place = |field: Field| bundle.locations.of_first(&[field, Field::Machine]);
        if let Some(max) = facts.max_ram_mib.filter(|max| machine.ram_mib > *max) {
            found.wrong.push(
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
        if let Some(max) = facts.max_cpus.filter(|max| machine.cpus > *max) {
            found.notes.push(format!(
                "machines have {} CPUs, and this host has {max}: they take turns",
                machine.cpus
            ));
        }
        if let Some(base) = base.filter(|base| machine.ram_mib < base.min_ram_mib) {
            let (ram, need) = (machine.ram_mib, base.min_ram_mib);
            found.wrong.push(
                Diagnostic::error(
                    place(Field::Ram),
                    format!("{ram} MiB RAM are too little for base `{}`", base.name),
                )
                .hint(format!("`{}: {need}` or more", bundle.locations.key(Field::Ram))),
            );
        }
        if let (Some(disk), Some(base)) = (machine.disk_gib, base)
            && disk < base_disk(Some(base))
        {
            let need = base_disk(Some(base));
            found.wrong.push(
                Diagnostic::error(
                    place(Field::Disk),
                    format!("a disk of {disk} GiB is too small for base `{}`", base.name),
                )
                .hint(format!("`{}: {need}` or more", bundle.locations.key(Field::Disk))),
            );
        }
        // Overlay, captured image and two smoke overlays hold at most the used part several times;
        // a fifth of it all is a fair floor.
        let floor = 2 * GIB;
        if let Some(free) = facts.free_bytes.filter(|free| *free < floor) {
            found.wrong.push(
                Diagnostic::error(
                    None,
                    format!("only {} MiB are free for builds where images are kept", free >> 20),
                )
                .hint("free some space, or set IMAGE_FACTORY_HOME to a larger disk"),
            );
        }
    }
}

/// For each larger disk the smallest flavor that has no less than this one otherwise.
fn larger_than(on: Project<'_>, chosen: &Flavor) -> Vec<Flavor> {
    let next = |than: &Flavor| {
        let needs =
            Needs { cpus: chosen.cpus, ram_mib: chosen.ram_mib, disk_gib: than.disk_gib + 1 };
        placement::smallest(on, needs).cloned()
    };
    std::iter::successors(next(chosen), next).collect()
}

/// The next flavor for an image of a smoke machine, which asks for as large a disk as that has.
fn other_flavor(on: Project<'_>, tested: &Flavor) -> Option<Flavor> {
    let on_volume = on.bundle.volume.is_some();
    let has_room = |f: &Flavor| on_volume || f.disk_gib > 0 && f.disk_gib >= tested.disk_gib;
    let fits = |f: &&Flavor| f.id != tested.id && has_room(f) && f.ram_mib >= tested.ram_mib;
    let flavors = on.facts.flavors.iter().filter(fits);
    flavors.min_by_key(|f| (f.ram_mib, f.cpus, f.disk_gib)).cloned()
}

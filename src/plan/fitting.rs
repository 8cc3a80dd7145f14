//! Machines of a plan whose source turns out to need more than was planned. A source's size is
//! known once it is there; the plan lists the flavors that may be taken then.
use super::{MachinePlan, Plan};
use crate::model::facts::{Flavor, Named};
use crate::model::units::GIB;

/// A source is larger than what the definition names for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    pub why: String,
    pub hint: String,
}

/// The plan for a source, and what is different.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    pub plan: Plan,
    pub notes: Vec<String>,
}

impl Plan {
    /// The plan for a source whose disk has `virtual_size` bytes: volumes as large, and flavors of
    /// [`Plan::larger`].
    pub fn fitted(&self, virtual_size: u64) -> Result<Fitted, Misfit> {
        let source = virtual_size.div_ceil(GIB);
        let (mut plan, mut notes) = (self.clone(), Vec::new());
        if let Some(volume) = plan.site.as_mut().and_then(|site| site.volume.as_mut()) {
            if volume.size_gib < source {
                let planned = volume.size_gib;
                notes.push(format!(
                    "volumes have {source} GiB and not {planned}: the source's disk needs as much"
                ));
                volume.size_gib = source;
                plan.machines().for_each(|machine| machine.disk_gib = Some(source));
            }
            return Ok(Fitted { plan, notes });
        }
        let mut need = source;
        if let Some(builder) = &mut plan.builder {
            self.fit(builder, need, &mut notes)?;
            // A captured disk is as large as the builder's.
            need = need.max(builder.disk_gib.unwrap_or(0));
        }
        if let Some(smoke) = &mut plan.smoke {
            // A smoke machine that grows is as large as its image needs.
            let grows = smoke.grow_gib > 0;
            for machine in [&mut smoke.first, &mut smoke.second].into_iter().filter(|_| !grows) {
                self.fit(machine, need, &mut notes)?;
            }
            let tested = smoke.first.flavor.clone();
            smoke.other = smoke.other.take().and_then(|mut other| {
                self.fit(&mut other, need, &mut notes).ok()?;
                (other.flavor.is_none() || other.flavor != tested).then_some(other)
            });
        }
        Ok(Fitted { plan, notes })
    }

    fn machines(&mut self) -> impl Iterator<Item = &mut MachinePlan> {
        let smoke = self.smoke.iter_mut();
        let smoke =
            smoke.flat_map(|s| [&mut s.first, &mut s.second].into_iter().chain(&mut s.other));
        self.builder.iter_mut().chain(smoke)
    }

    /// Gives a machine a flavor with a disk of `need` GiB, if it has less.
    fn fit(
        &self,
        machine: &mut MachinePlan,
        need: u64,
        notes: &mut Vec<String>,
    ) -> Result<(), Misfit> {
        // A flavor without a disk takes the image's size.
        let Some(disk) = machine.disk_gib.filter(|disk| *disk < need) else { return Ok(()) };
        let listed = self.larger.get(&machine.name);
        let mut larger = listed.into_iter().flatten();
        match (larger.find(|flavor| flavor.disk_gib >= need), &machine.flavor) {
            (Some(flavor), planned) => {
                let planned = planned.as_ref().map_or("", |f| f.name.as_str());
                notes.push(format!(
                    "{} gets flavor {} and not {planned}: the source needs a disk of {need} GiB",
                    machine.name, flavor.name
                ));
                take(machine, flavor);
                Ok(())
            }
            (None, Some(planned)) => Err(Misfit {
                why: format!(
                    "it needs a disk of {need} GiB, and flavor {} of {} has {disk}",
                    planned.name, machine.name
                ),
                hint: match listed {
                    Some(_) => "this cloud has no flavor with so large a disk; `volume: {}` boots \
                        from volumes"
                        .into(),
                    None => format!("name a flavor with a disk of {need} GiB or more"),
                },
            }),
            (None, None) => Err(Misfit {
                why: format!("it needs a disk of {need} GiB, and `machine.disk` is {disk}"),
                hint: format!("`machine.disk: {need}G` or more"),
            }),
        }
    }
}

fn take(machine: &mut MachinePlan, flavor: &Flavor) {
    machine.cpus = flavor.cpus;
    machine.ram_mib = flavor.ram_mib;
    machine.disk_gib = Some(flavor.disk_gib);
    machine.flavor = Some(Named { id: flavor.id.clone(), name: flavor.name.clone() });
}

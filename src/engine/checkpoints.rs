//! A build begins where an earlier one came to: its builder is restored from the longest known
//! prefix of the steps, or from a machine of the base that was just booted. What it comes to is
//! kept in turn.
//!
//! A state is found by a key of all that determined it: see [`keys`]. It never gets into an image
//! by itself: the smoke machines boot the captured disk.
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::machine::{self, BuilderKeys, Running};
use super::{BuildContext, BuildError, cloud_init, unwind};
use crate::model::event::Event;
use crate::model::image::Image;
use crate::plan::MachinePlan;
use crate::provider::checkpoints::{Checkpoint, Keeps};
use crate::provider::{BootSpec, Checkpoints};

mod keys;
mod note;
mod reads;
mod renewal;
#[cfg(test)]
mod tests;
mod traces;
mod trail;

use note::{Kept, Past};
pub(super) use reads::Watch;
pub(super) use trail::Trail;

/// Time limit for states that are still written when a build ends.
pub(super) const SETTLE: Duration = Duration::from_secs(120);

/// Which states a build may begin from, and which of its steps it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// Boots the builder, and runs every step.
    pub fresh: bool,
    /// The first step that is run even if its result is known; counted from 0.
    pub from: Option<usize>,
    /// The last step that is run.
    pub until: Option<usize>,
}

impl Range {
    /// How many of so many steps may come from a checkpoint.
    fn restores(self, steps: usize) -> usize {
        self.end(steps).min(self.from.unwrap_or(steps))
    }

    /// How many of so many steps the builder has behind it at the end.
    pub(super) fn end(self, steps: usize) -> usize {
        self.until.map_or(steps, |last| steps.min(last.saturating_add(1)))
    }
}

/// The cloud's checkpoints, if the build uses them.
fn of_cloud<'a>(site: &BuildContext<'a>) -> Option<&'a dyn Checkpoints> {
    let on_volume = site.plan.site.as_ref().is_some_and(|place| place.volume.is_some());
    let is_used = |cloud: &&dyn Checkpoints| match cloud.keeps() {
        Keeps::Memory => true,
        Keeps::Disk { .. } => site.definition.checkpoints && !on_volume,
    };
    site.cloud.checkpoints().filter(is_used)
}

/// A builder that is ready, with the steps that it has behind it.
pub(super) async fn builder(
    site: &BuildContext<'_>,
    wanted: &MachinePlan,
    base: &Image,
) -> Result<(Running, Trail), BuildError> {
    let mut trail = Trail::new(site, base).await?;
    if let Some(cloud) = of_cloud(site).filter(|_| !site.range.fresh)
        && let Some((running, past)) = restored(site, cloud, (wanted, base), &trail).await?
    {
        (trail.past, trail.since) = (past, Instant::now());
        return Ok((running, trail));
    }
    let running = machine::boot_builder(site, wanted, base).await?;
    trail.past.ran.push(Timestamp::now());
    trail.since = Instant::now();
    trail.keep(site, &running).await?;
    Ok((running, trail))
}

/// The builder in the longest known state that may be used.
async fn restored(
    site: &BuildContext<'_>,
    cloud: &dyn Checkpoints,
    (wanted, base): (&MachinePlan, &Image),
    trail: &Trail,
) -> Result<Option<(Running, Past)>, BuildError> {
    let spec = machine::spec(site, wanted, (base, 0), String::new());
    for done in (0..=site.range.restores(site.plan.steps.len())).rev() {
        let Some(key) = &trail.keys[done] else { continue };
        let found = match cloud.find(site.cx, &spec, key).await {
            Ok(found) => found,
            Err(e) => {
                site.cx.cancel.check()?;
                site.cx.events.warn(format!("checkpoints cannot be read: {e}"));
                return Ok(None);
            }
        };
        for checkpoint in found {
            let Some(kept) = Kept::read(&checkpoint.note, cloud.keeps(), done) else { continue };
            let past = kept.past();
            if !past.is_fresh(site.plan, Timestamp::now()) || !trail.is_current(past) {
                continue;
            }
            match begun(site, cloud, (&spec, &checkpoint), &kept).await {
                Ok(running) => {
                    tell(site, done, past);
                    return Ok(Some((running, past.clone())));
                }
                Err(e) => {
                    site.cx.cancel.check()?;
                    site.cx.events.warn(format!("a checkpoint is not used: {e}"));
                    unwind::discard(site, &wanted.name).await;
                }
            }
        }
    }
    Ok(None)
}

async fn begun(
    site: &BuildContext<'_>,
    cloud: &dyn Checkpoints,
    (spec, checkpoint): (&BootSpec, &Checkpoint),
    kept: &Kept,
) -> Result<Running, BuildError> {
    site.cx.events.doing(format!("restoring {}", spec.name));
    let keys = BuilderKeys::new(&site.plan.run);
    let user_data = cloud_init::builder_user_data(keys.login.public_key(), &keys.host);
    let spec = BootSpec { user_data, ..spec.clone() };
    let cx = site.cx.within(Duration::from_secs(site.plan.timeouts.boot));
    let machine = cloud.restore(&cx, &spec, checkpoint).await?;
    match kept {
        Kept::Memory(note) => renewal::renewed(site, machine, (&keys, note)).await,
        Kept::Disk(traces) => {
            let running = machine::came_up(site, machine, &keys).await?;
            traces::removed(site, &running, traces).await?;
            Ok(running)
        }
    }
}

fn tell(site: &BuildContext<'_>, done: usize, past: &Past) {
    let now = Timestamp::now();
    let age = |at: Timestamp| u64::try_from(now.duration_since(at).as_secs()).unwrap_or_default();
    let mut ages = past.ran.iter().copied().map(age);
    let age_seconds = ages.next().unwrap_or_default();
    site.cx.events.emit(Event::MachineRestored { age_seconds });
    let (of, steps) = (site.plan.steps.len(), site.plan.steps.iter().enumerate());
    for ((index, step), age_seconds) in steps.take(done).zip(ages) {
        let name = step.name.clone();
        site.cx.events.emit(Event::StepRestored { index, of, name, age_seconds });
    }
}

/// Waits until the states that were saved are whole: before the builder is turned off, and when a
/// build ends. One that cannot be kept fails no build, and is deleted with what the run owns.
pub(super) async fn settle(site: &BuildContext<'_>, limit: Duration) {
    let Some(cloud) = of_cloud(site) else { return };
    if let Err(e) = cloud.settle(&site.cx.within(limit)).await
        && site.cx.cancel.check().is_ok()
    {
        site.cx.events.warn(format!("a checkpoint is not kept: {e}"));
    }
}

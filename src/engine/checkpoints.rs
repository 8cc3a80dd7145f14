//! A build begins where an earlier one came to: its builder is restored from the longest known
//! prefix of the steps, or from a machine of the base that was just booted. What it comes to is
//! kept in turn.
//!
//! A state is found by a key of all that determined it: see [`keys`]. It never gets into an image
//! by itself: the smoke machines boot the captured disk.
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::machine::{self, BuilderKeys, Running};
use super::{BuildContext, BuildError, cloud_init, unwind};
use crate::frontend;
use crate::model::event::Event;
use crate::model::image::{self, Image, State};
use crate::model::inputs::Inputs;
use crate::model::step::Reads;
use crate::plan::{MachinePlan, Plan, StepPlan};
use crate::provider::checkpoints::{Checkpoint, NewCheckpoint, Saved};
use crate::provider::{BootSpec, Checkpoints};

mod keys;
mod note;
mod reads;
mod renewal;
#[cfg(test)]
mod tests;

use note::Note;
use reads::Read;
pub(super) use reads::Watch;

/// Age after which no state is used, whatever the steps say.
pub const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);

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

/// How far a builder has come.
pub(super) struct Trail {
    /// Key of the state before the first step, and after each.
    keys: Vec<Option<String>>,
    /// When the machine was booted, and when each step that is done was run.
    ran: Vec<Timestamp>,
    /// What each step that is done has read, besides what its key has.
    read: Vec<Read>,
    /// The files of the definition, if they are those of the plan.
    inputs: Option<Inputs>,
    /// There is no room for more states, which was told.
    full: bool,
}

/// A builder that is ready, with the steps that it has behind it.
pub(super) async fn builder(
    site: &BuildContext<'_>,
    wanted: &MachinePlan,
    base: &Image,
) -> Result<(Running, Trail), BuildError> {
    let mut trail = Trail::new(site, base).await?;
    if let Some(cloud) = site.cloud.checkpoints().filter(|_| !site.range.fresh)
        && let Some((running, note)) = restored(site, cloud, (wanted, base), &trail).await?
    {
        (trail.ran, trail.read) = (note.ran, note.read);
        return Ok((running, trail));
    }
    let running = machine::boot_builder(site, wanted, base).await?;
    trail.ran.push(Timestamp::now());
    trail.keep(site, &running).await?;
    Ok((running, trail))
}

/// The builder in the longest known state that may be used.
async fn restored(
    site: &BuildContext<'_>,
    cloud: &dyn Checkpoints,
    (wanted, base): (&MachinePlan, &Image),
    trail: &Trail,
) -> Result<Option<(Running, Note)>, BuildError> {
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
            let Some(note) = Note::read(&checkpoint.note, done) else { continue };
            if !note.is_fresh(site.plan, Timestamp::now()) || !trail.is_current(&note) {
                continue;
            }
            match begun(site, cloud, (&spec, &checkpoint), &note).await {
                Ok(running) => {
                    tell(site, done, &note);
                    return Ok(Some((running, note)));
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
    note: &Note,
) -> Result<Running, BuildError> {
    site.cx.events.doing(format!("restoring {}", spec.name));
    let keys = BuilderKeys::new(&site.plan.run);
    let user_data = cloud_init::builder_user_data(keys.login.public_key(), &keys.host);
    let spec = BootSpec { user_data, ..spec.clone() };
    let cx = site.cx.within(Duration::from_secs(site.plan.timeouts.boot));
    let machine = cloud.restore(&cx, &spec, checkpoint).await?;
    renewal::renewed(site, machine, (&keys, note)).await
}

fn tell(site: &BuildContext<'_>, done: usize, note: &Note) {
    let now = Timestamp::now();
    let age = |at: Timestamp| u64::try_from(now.duration_since(at).as_secs()).unwrap_or_default();
    let mut ages = note.ran.iter().copied().map(age);
    let age_seconds = ages.next().unwrap_or_default();
    site.cx.events.emit(Event::MachineRestored { age_seconds });
    let (of, steps) = (site.plan.steps.len(), site.plan.steps.iter().enumerate());
    for ((index, step), age_seconds) in steps.take(done).zip(ages) {
        let name = step.name.clone();
        site.cx.events.emit(Event::StepRestored { index, of, name, age_seconds });
    }
}

impl Trail {
    async fn new(site: &BuildContext<'_>, base: &Image) -> Result<Self, BuildError> {
        let steps = site.plan.steps.len();
        let none = Self {
            keys: vec![None; steps + 1],
            ran: Vec::new(),
            read: Vec::new(),
            inputs: None,
            full: false,
        };
        // A staged base goes with the run.
        if site.cloud.checkpoints().is_none() || base.state == State::Staged {
            return Ok(none);
        }
        let inputs = inputs(site).await.filter(|inputs| {
            site.plan.publish.properties.get(image::INPUTS) == Some(&inputs.sha256)
        });
        let keys = match &inputs {
            Some(_) => keys::of(site).await?,
            None => none.keys,
        };
        Ok(Self { keys, inputs, ..none })
    }

    /// Steps that are done: before them the machine was booted.
    pub(super) fn done(&self) -> usize {
        self.ran.len().saturating_sub(1)
    }

    fn is_current(&self, note: &Note) -> bool {
        let now = self.inputs.as_ref();
        now.is_some_and(|now| note.read.iter().all(|read| reads::are_current(read, now)))
    }

    /// Begins to watch what the next step reads.
    pub(super) fn watch(&self, site: &BuildContext<'_>) -> Option<Arc<Watch>> {
        let step = site.plan.steps.get(self.done()).filter(|step| keys::on_factory(step))?;
        self.keys[self.done() + 1].as_ref()?;
        let watch = Watch::begin(site.definition, self.inputs.as_ref()?);
        let watch = watch.inspect_err(|e| site.cx.events.note(format!("{}: {e}", step.name)));
        watch.ok().map(Arc::new)
    }

    /// The next step is done.
    pub(super) async fn passed(
        &mut self,
        site: &BuildContext<'_>,
        builder: &mut Running,
    ) -> Result<(), BuildError> {
        let watch = builder.reads.take();
        let step = &site.plan.steps[self.done()];
        self.ran.push(Timestamp::now());
        let read = match &self.inputs {
            Some(before) => read(site, step, (before, watch)).await,
            None => None,
        };
        match read {
            Some(read) => self.read.push(read),
            // Nor is anything known of what follows.
            None => {
                self.inputs = None;
                let done = self.done();
                self.keys[done..].fill(None);
            }
        }
        self.keep(site, builder).await
    }

    /// Keeps the state that the builder is in. That it cannot be kept fails no build.
    async fn keep(&mut self, site: &BuildContext<'_>, builder: &Running) -> Result<(), BuildError> {
        let (Some(cloud), Some(key)) = (site.cloud.checkpoints(), &self.keys[self.done()]) else {
            return Ok(());
        };
        if self.full {
            return Ok(());
        }
        site.cx.events.doing(format!("keeping the state of {}", builder.machine.name));
        let about = about(site.plan, self.done());
        let note = Note::of(builder, (self.ran.clone(), self.read.clone())).written();
        let new = NewCheckpoint { key, about: &about, note };
        let cx = site.cx.within(Duration::from_secs(site.plan.timeouts.boot));
        let why = match cloud.save(&cx, &builder.machine, &new).await {
            Ok(Saved::Kept) => return Ok(()),
            Ok(Saved::NoRoom(why)) => why,
            Err(e) => {
                site.cx.cancel.check()?;
                e.to_string()
            }
        };
        self.full = true;
        site.cx.events.warn(format!("this build keeps no more checkpoints: {why}"));
        Ok(())
    }
}

/// What a step that is done has read, besides what its key has. `None`: that is not known.
async fn read(
    site: &BuildContext<'_>,
    step: &StepPlan,
    (before, watch): (&Inputs, Option<Arc<Watch>>),
) -> Option<Read> {
    match step.action.reads() {
        Reads::Nothing => Some(Read::new()),
        Reads::Path(path) => {
            let after = inputs(site).await?;
            reads::stays(path, (before, &after)).then(Read::new)
        }
        Reads::Everything => {
            // First, for to take the digests opens every file.
            let opened = watch?.opened()?;
            let after = inputs(site).await?;
            reads::read(site.definition, opened, (before, &after))
        }
    }
}

/// The files of the definition as they are now.
async fn inputs(site: &BuildContext<'_>) -> Option<Inputs> {
    let definition = site.definition.clone();
    let read = tokio::task::spawn_blocking(move || frontend::inputs(&definition)).await;
    read.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())).ok()
}

/// `images/x, booted`; `images/x, step 2 of 3: web server`
fn about(plan: &Plan, done: usize) -> String {
    match done.checked_sub(1) {
        None => format!("{}, booted", plan.bundle),
        Some(last) => {
            let (of, name) = (plan.steps.len(), &plan.steps[last].name);
            format!("{}, step {done} of {of}: {name}", plan.bundle)
        }
    }
}

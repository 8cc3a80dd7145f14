//! How far a builder has come: what is known of that, and the keeping of its state.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::note::{Kept, Past};
use super::reads::{self, Read, Watch};
use super::{keys, of_cloud};
use crate::engine::answer::say;
use crate::engine::machine::{self, Running};
use crate::engine::{BuildContext, BuildError, surroundings};
use crate::frontend;
use crate::model::image::{self, Image, State};
use crate::model::inputs::Inputs;
use crate::model::step::Reads;
use crate::plan::{Plan, StepPlan};
use crate::provider::checkpoints::{Keeps, NewCheckpoint, Saved};
use crate::provider::{Checkpoints, CloudError};

/// Time limit for a builder to write what it has in memory to its disk.
const SYNC: Duration = Duration::from_secs(120);

/// How far a builder has come.
pub(in crate::engine) struct Trail {
    /// Key of the state before the first step, and after each.
    pub(super) keys: Vec<Option<String>>,
    pub(super) past: Past,
    /// The files of the definition, if they are those of the plan.
    pub(super) inputs: Option<Inputs>,
    /// What all playbooks see besides the definition. `None`: there is none, or it changed.
    pub(super) around: Option<String>,
    /// There is no room for more states, which was told.
    pub(super) full: bool,
    /// When the builder was ready, or was last in a state that is known.
    pub(super) since: Instant,
    /// How long it took to keep the last state.
    pub(super) cost: Duration,
}

impl Trail {
    pub(super) async fn new(site: &BuildContext<'_>, base: &Image) -> Result<Self, BuildError> {
        let steps = site.plan.steps.len();
        let none = Self {
            keys: vec![None; steps + 1],
            past: Past::default(),
            inputs: None,
            around: None,
            full: false,
            since: Instant::now(),
            cost: Duration::ZERO,
        };
        let plays = site.plan.steps.iter().any(keys::on_factory);
        let around = if plays { seen(site).await? } else { None };
        let none = Self { around, ..none };
        // A staged base goes with the run.
        if of_cloud(site).is_none() || base.state == State::Staged {
            return Ok(none);
        }
        let inputs = inputs(site).await.filter(|inputs| {
            site.plan.publish.properties.get(image::INPUTS) == Some(&inputs.sha256)
        });
        let keys = match &inputs {
            Some(_) => keys::of(site, none.around.as_deref())?,
            None => none.keys,
        };
        Ok(Self { keys, inputs, ..none })
    }

    /// What of the steps that are done an image is compared by.
    pub(in crate::engine) fn properties(&self, plan: &Plan) -> BTreeMap<String, String> {
        let ran = self.past.ran.iter().skip(1).zip(&plan.steps);
        let until = ran.filter_map(|(ran, step)| ran.checked_add(limit(step)?).ok()).min();
        let until = until.map(|until| (image::FRESH_UNTIL.to_owned(), until.to_string()));
        let around = self.around.clone().map(|around| (image::SURROUNDINGS.to_owned(), around));
        until.into_iter().chain(around).collect()
    }

    /// Steps that are done: before them the machine was booted.
    pub(in crate::engine) fn done(&self) -> usize {
        self.past.ran.len().saturating_sub(1)
    }

    pub(super) fn is_current(&self, past: &Past) -> bool {
        let now = self.inputs.as_ref();
        now.is_some_and(|now| past.read.iter().all(|read| reads::are_current(read, now)))
    }

    /// Begins to watch what the next step reads.
    pub(in crate::engine) fn watch(&self, site: &BuildContext<'_>) -> Option<Arc<Watch>> {
        let step = site.plan.steps.get(self.done()).filter(|step| keys::on_factory(step))?;
        self.keys[self.done() + 1].as_ref()?;
        let watch = Watch::begin(site.definition, self.inputs.as_ref()?);
        let watch = watch.inspect_err(|e| site.cx.events.note(format!("{}: {e}", step.name)));
        watch.ok().map(Arc::new)
    }

    /// The next step is done.
    pub(in crate::engine) async fn passed(
        &mut self,
        site: &BuildContext<'_>,
        builder: &mut Running,
    ) -> Result<(), BuildError> {
        let watch = builder.reads.take();
        let step = &site.plan.steps[self.done()];
        self.past.ran.push(Timestamp::now());
        let plays = keys::on_factory(step);
        if plays && self.around.is_some() && seen(site).await? != self.around {
            self.around = None;
        }
        let read = match &self.inputs {
            Some(before) if !plays || self.around.is_some() => {
                read(site, step, (before, watch)).await
            }
            _ => None,
        };
        match read {
            Some(read) => self.past.read.push(read),
            // Nor is anything known of what follows.
            None => {
                self.inputs = None;
                let done = self.done();
                self.keys[done..].fill(None);
            }
        }
        self.keep(site, builder).await
    }

    /// Keeps the state that the builder is in. That it cannot be kept fails no build; that nothing
    /// is known of the builder does.
    pub(super) async fn keep(
        &mut self,
        site: &BuildContext<'_>,
        builder: &Running,
    ) -> Result<(), BuildError> {
        let (Some(cloud), Some(key)) = (of_cloud(site), &self.keys[self.done()]) else {
            return Ok(());
        };
        if self.full || !self.is_worth_it(cloud.keeps()) {
            return Ok(());
        }
        site.cx.events.doing(format!("keeping the state of {}", builder.machine.name));
        let (about, begin) = (about(site.plan, self.done()), Instant::now());
        let note = Kept::of(builder, cloud.keeps(), self.past.clone()).written();
        let new = NewCheckpoint { key, about: &about, note };
        match saved(site, cloud, builder, &new).await {
            Ok(()) => {
                self.cost = begin.elapsed();
                self.since = Instant::now();
            }
            Err(NotKept::Lost(reason)) => {
                site.cx.cancel.check()?;
                let console = machine::shown_tail(site, &builder.machine).await;
                return Err(BuildError::BuilderLost { reason, console });
            }
            Err(NotKept::For(why)) => {
                site.cx.cancel.check()?;
                self.full = true;
                site.cx.events.warn(format!("this build keeps no more checkpoints: {why}"));
            }
        }
        Ok(())
    }

    /// Whether it takes longer to run the steps since the last state again than to keep this one.
    pub(super) fn is_worth_it(&self, keeps: Keeps) -> bool {
        match keeps {
            Keeps::Memory => true,
            // The base is the state before the first step.
            Keeps::Disk { worth } => {
                let cost = Duration::from_secs(2 * self.cost.as_secs());
                self.done() > 0 && self.since.elapsed() >= worth.max(cost)
            }
        }
    }
}

/// Why a state is not kept.
enum NotKept {
    For(String),
    /// Nothing is known of the builder any more.
    Lost(String),
}

async fn saved(
    site: &BuildContext<'_>,
    cloud: &dyn Checkpoints,
    builder: &Running,
    new: &NewCheckpoint<'_>,
) -> Result<(), NotKept> {
    if let Keeps::Disk { .. } = cloud.keeps() {
        // What is in its memory alone is not kept.
        let synced = site.cx.cancel.or(say(&*builder.remote, "sync", SYNC)).await;
        let synced = synced.map_err(|e| NotKept::For(e.to_string()))?;
        synced.map_err(|e| NotKept::For(format!("sync failed: {e}")))?;
    }
    let cx = site.cx.within(Duration::from_secs(site.plan.timeouts.boot));
    match cloud.save(&cx, &builder.machine, new).await {
        Ok(Saved::Kept) => Ok(()),
        Ok(Saved::NoRoom(why)) => Err(NotKept::For(why)),
        // An image of a server does nothing to it.
        Err(e @ CloudError::Unknown { .. }) if cloud.keeps() == Keeps::Memory => {
            Err(NotKept::Lost(e.to_string()))
        }
        Err(e) => Err(NotKept::For(e.to_string())),
    }
}

/// What playbooks see besides the definition.
pub(super) async fn seen(site: &BuildContext<'_>) -> Result<Option<String>, BuildError> {
    surroundings(site.wall, &site.home, &site.cx.cancel).await
}

/// For how long the result of a step may be used, if its definition says so.
fn limit(step: &StepPlan) -> Option<Duration> {
    step.fresh.map(Duration::from_secs)
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

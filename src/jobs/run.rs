//! One run of one bundle: facts, plan, run directory, build, outputs, retention.
use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;

use super::building::{build_in, stoppable};
use super::ending::Ending;
use super::factory::Setup;
use super::outcome::{RunError, RunOutcome};
use super::planning::{Moment, make_plan};
use super::results::{NotBuilt, Results};
use super::unchanged::unchanged;
use super::unplanned::{self, not_planned};
use crate::engine::Goal;
use crate::engine::run_dir::{self, Beginning, RunDir};
use crate::log;
use crate::model::definition::{Base, Definition};
use crate::model::event::{BUILDING, Event, Events, Stage, seconds};
use crate::plan::{self, Plan, Purpose};
use crate::provider::{CloudError, RunCx};

/// A context for calls that only read.
pub(super) fn reading(setup: Setup<'_>) -> RunCx {
    RunCx::outside(setup.options.cancel.clone())
}

/// A run that has begun: somebody may have seen its ID.
pub(super) struct Begun {
    pub run: String,
    /// How it is timed, and when it began.
    pub begin: Instant,
    pub now: Timestamp,
    pub dir: RunDir,
    pub recorder: log::Recorder,
    pub cx: RunCx,
}

/// Runs `bundle`, whose base must exist. Results of the last build are gone.
pub(super) async fn one(setup: Setup<'_>, bundle: &Definition, events: Events) -> RunOutcome {
    let mut begun = match begin(setup, bundle, events.clone()).await {
        Ok(begun) => begun,
        Err(e) => return setup.not_begun(bundle, e, &events),
    };
    begun.cx.events.emit(Event::StageStarted { stage: Stage::Plan });
    match unchanged(setup, bundle, &begun.cx).await {
        Ok(None) => {}
        Ok(Some(image)) => return unplanned::unchanged(setup, bundle, begun, image).await,
        Err(e) => return not_planned(setup, bundle, begun, e.into()),
    }
    let planned = match planned(setup, bundle, &begun).await {
        Ok(plan) => begun.dir.planned(&plan).map(|ledger| (plan, ledger)).map_err(RunError::from),
        Err(e) => Err(e),
    };
    let (plan, ledger) = match planned {
        Ok(planned) => planned,
        Err(e) => return not_planned(setup, bundle, begun, e),
    };
    let (events, total) = (&begun.cx.events, seconds(begun.begin.elapsed()));
    events.emit(Event::StageDone { stage: Stage::Plan, seconds: total });
    begun.cx = RunCx::new(&begun.run, ledger, events.clone(), setup.options.cancel.child());
    let outcome = stoppable(setup, &begun.cx, build_in(setup, (bundle, &plan), &begun.cx)).await;
    Ending { setup, bundle, plan: &plan, begun: &begun }.finish(outcome).await
}

/// Its directories are there before its ID is shown, so that each run that was seen can be looked
/// up.
pub(super) async fn begin(
    setup: Setup<'_>,
    bundle: &Definition,
    events: Events,
) -> Result<Begun, RunError> {
    let (begin, now) = (Instant::now(), Timestamp::now());
    let latest = run_dir::latest(Some(&setup.factory.home), &bundle.tree);
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    let run = plan::run_id_after(latest.as_deref(), now, random);
    let results = setup.results(bundle);
    results.in_tree()?;
    setup.factory.home.secure()?;
    let beginning = Beginning {
        run: &run,
        cloud: setup.factory.provider.name(),
        name: plan::image_name(bundle, now),
        publishes: matches!(setup.options.purpose(), Purpose::Build { .. }),
        shows_log: !setup.options.visits(),
    };
    let mut dir = RunDir::create(&setup.factory.home, &results.dir(), beginning).await?;
    let recorder = log::Recorder::default();
    events.add(Box::new(recorder.clone()));
    if let Err(e) = dir.begin(&events) {
        dir.forget();
        return Err(e.into());
    }
    events.add((setup.options.show)(&bundle.label));
    events.emit(Event::Started {
        run: run.clone(),
        bundle: bundle.label.clone(),
        purpose: match setup.options.goal {
            Goal::Tested => "testing",
            Goal::Provisioned(_) => "opening the builder",
            Goal::Warm => "booting a warm builder",
            Goal::Published => BUILDING,
        }
        .into(),
        image_name: match &bundle.base {
            Some(Base::Image(tested)) if setup.options.tests() => tested.clone(),
            // The plan settles it.
            _ => String::new(),
        },
        cloud: setup.factory.provider.name().into(),
    });
    let cx = reading(setup).with_events(events);
    Ok(Begun { run, begin, now, dir, recorder, cx })
}

/// The stage `plan`: reads only. What comes to light is told.
async fn planned(setup: Setup<'_>, bundle: &Definition, begun: &Begun) -> Result<Plan, RunError> {
    let cx = &begun.cx;
    let moment = Moment {
        run: &begun.run,
        now: begun.now,
        base: None,
        bases: 0,
        taken_by: begun.dir.taken_by.as_deref(),
    };
    let plan = make_plan(setup, bundle, &moment, cx).await?;
    if matches!(setup.options.goal, Goal::Published) {
        cx.events.emit(Event::Planned { image_name: plan.image_name.clone() });
    }
    cx.events.note(&plan.how);
    plan.warnings().into_iter().for_each(|w| cx.events.warn(w));
    plan.notes.iter().for_each(|note| cx.events.note(note));
    let lines = setup.factory.wall.lines(&plan, &cx.cancel).await.map_err(CloudError::from)?;
    lines.into_iter().for_each(
        |(warning, text)| if warning { cx.events.warn(text) } else { cx.events.note(text) },
    );
    Ok(plan)
}

impl Setup<'_> {
    /// The place of what a run of `bundle` shows.
    pub fn results(&self, bundle: &Definition) -> Results {
        let results = Results::of(bundle);
        if self.options.tests() { results.of_tests() } else { results }
    }

    /// Removes the last build's results, so that whatever comes, a kill too, they are not taken for
    /// those of this build. A visit leaves them.
    pub fn withdraw(&self, bundle: &Definition) -> Result<(), RunError> {
        if self.options.visits() { Ok(()) } else { self.results(bundle).withdraw() }
    }

    /// The outcome of `bundle` whose run did not begin.
    pub fn not_begun(&self, bundle: &Definition, error: RunError, events: &Events) -> RunOutcome {
        let dir = self.not_built(bundle, &error.unplanned(), error.exit_code(), events);
        RunOutcome { dir, ..RunOutcome::not_begun(error) }
    }

    /// Tells and records that no run of `bundle` was begun, and why, in place of the last build's
    /// results. The directory of that record; `None` if there is none.
    pub fn not_built(
        &self,
        bundle: &Definition,
        why: &str,
        exit_code: u8,
        events: &Events,
    ) -> Option<PathBuf> {
        if self.options.visits() {
            return None;
        }
        events.add((self.options.show)(&bundle.label));
        let cloud = self.factory.provider.name();
        let not = NotBuilt { cloud, why, exit_code, definition: Some(bundle) };
        self.results(bundle).not_built(&not, events)
    }
}

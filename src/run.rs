//! One run of one bundle: facts, plan, run directory, build, outputs. What is here when it ends is
//! the record of the run.
//!
//! What a run owns is written down under the factory's home; its log and copies of the rest lie in
//! the workspace (`dir`).
use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;

use crate::log;
use crate::model::definition::{Base, Definition};
use crate::model::event::{Event, Events, Stage, seconds};
use crate::plan::{self, Plan, Purpose};
use crate::provider::{CloudError, RunCx};

mod base;
mod building;
mod dir;
mod ending;
mod heat;
mod home;
mod index;
mod options;
mod outcome;
mod planning;
mod results;
mod retention;
#[cfg(test)]
mod tests;
mod unplanned;

use base::base_first;
pub use base::{base_name, first, missing_base};
use building::{build_in, stoppable};
use dir::{Beginning, RunDir};
pub use dir::{Record, directories, read_plan, read_record, read_start, read_text};
use ending::Ending;
pub use home::{CHECKED, Home};
pub use index::{IndexedRun, Life, bases_of_live_runs, indexed, life_elsewhere, tidy};
pub use options::{RunOptions, Show};
pub use outcome::{RetainedMachine, RunError, RunOutcome};
pub use planning::make_plans;
use planning::{Moment, make_plan};
pub use results::Results;
use unplanned::not_planned;

/// Where the outputs of a bundle go: `images/target/<bundle>`, `os/target/<os>`.
pub fn target_dir(bundle: &Definition) -> PathBuf {
    Results::of(bundle).dir()
}

fn target_in_tree(bundle: &Definition) -> Result<(), RunError> {
    Results::of(bundle).in_tree()
}

/// Builds a bundle. A base `os/<name>` that is missing is built first.
pub async fn run(setup: &RunOptions<'_>, bundle: &Definition) -> RunOutcome {
    // Whatever comes, a kill too: the last build's results are not taken for those of this one.
    if setup.person.is_none()
        && let Err(e) = Results::of(bundle).withdraw()
    {
        return RunOutcome::not_begun(e);
    }
    match base_first(setup, bundle).await {
        Ok(None) => one(setup, bundle).await,
        Ok(Some(ended)) => {
            let why = match &ended.result {
                Err(e) => e.to_string(),
                Ok(_) => "its base left something behind when it was built".into(),
            };
            not_built(setup, bundle, &why);
            ended
        }
        Err(e) => {
            not_built(setup, bundle, &e.to_string());
            RunOutcome::not_begun(e)
        }
    }
}

/// A context for calls that only read.
fn reading(setup: &RunOptions<'_>) -> RunCx {
    RunCx::outside(setup.cancel.clone())
}

/// A run that has begun: somebody may have seen its ID.
struct Begun {
    run: String,
    /// How it is timed, and when it began.
    begin: Instant,
    now: Timestamp,
    dir: RunDir,
    recorder: log::Recorder,
    cx: RunCx,
}

async fn one(setup: &RunOptions<'_>, bundle: &Definition) -> RunOutcome {
    let mut begun = match begin(setup, bundle).await {
        Ok(begun) => begun,
        Err(e) => {
            not_built(setup, bundle, &e.to_string());
            return RunOutcome::not_begun(e);
        }
    };
    let planned = match planned(setup, bundle, &begun).await {
        Ok(plan) => begun.dir.planned(&plan).map(|ledger| (plan, ledger)),
        Err(e) => Err(e),
    };
    let (plan, ledger) = match planned {
        Ok(planned) => planned,
        Err(e) => return not_planned(setup, bundle, begun, e),
    };
    let (events, total) = (&begun.cx.events, seconds(begun.begin.elapsed()));
    events.emit(Event::StageDone { stage: Stage::Plan, seconds: total });
    begun.cx = RunCx::new(&begun.run, ledger, events.clone(), setup.cancel.child());
    let outcome = stoppable(setup, &begun.cx, build_in(setup, &plan, &begun.cx)).await;
    Ending { setup, bundle, plan: &plan, begun: &begun }.finish(outcome).await
}

/// Its directories are there before its ID is shown, so that each run that was seen can be looked
/// up.
async fn begin(setup: &RunOptions<'_>, bundle: &Definition) -> Result<Begun, RunError> {
    let (begin, now) = (Instant::now(), Timestamp::now());
    let run = plan::run_id(now, uuid::Uuid::new_v4().as_u128() as u32);
    target_in_tree(bundle)?;
    setup.home.secure()?;
    let publishes = matches!(setup.purpose(), Purpose::Build { .. });
    let beginning = Beginning {
        run: &run,
        cloud: setup.cloud.name(),
        name: plan::image_name(bundle, now),
        publishes,
    };
    let mut dir = RunDir::create(setup.home, &target_dir(bundle), beginning).await?;
    let (events, recorder) = (Events::default(), log::Recorder::default());
    events.add(Box::new(recorder.clone()));
    if let Err(e) = dir.begin(&events) {
        dir.forget();
        return Err(e);
    }
    events.add((setup.show)(&bundle.label));
    events.emit(Event::Started {
        run: run.clone(),
        bundle: bundle.label.clone(),
        purpose: match setup.person {
            _ if setup.test_only => "testing",
            Some(_) => "opening the builder of",
            None => "building",
        }
        .into(),
        image_name: match &bundle.base {
            Some(Base::Image(tested)) if setup.test_only => tested.clone(),
            _ => dir.name.clone(),
        },
        cloud: setup.cloud.name().into(),
    });
    let cx = reading(setup).with_events(events);
    Ok(Begun { run, begin, now, dir, recorder, cx })
}

/// The stage `plan`: reads only. What comes to light is told.
async fn planned(
    setup: &RunOptions<'_>,
    bundle: &Definition,
    begun: &Begun,
) -> Result<Plan, RunError> {
    let cx = &begun.cx;
    cx.events.emit(Event::StageStarted { stage: Stage::Plan });
    let moment = Moment {
        run: &begun.run,
        now: begun.now,
        base: None,
        taken_by: begun.dir.taken_by.as_deref(),
    };
    let plan = make_plan(setup, bundle, &moment, cx).await?;
    cx.events.note(&plan.how);
    plan.warnings().into_iter().for_each(|w| cx.events.warn(w));
    plan.notes.iter().for_each(|note| cx.events.note(note));
    let lines = setup.wall.lines(&plan, &cx.cancel).await.map_err(CloudError::from)?;
    lines.into_iter().for_each(
        |(warning, text)| if warning { cx.events.warn(text) } else { cx.events.note(text) },
    );
    Ok(plan)
}

/// A build of `bundle` that no run was begun for, for this reason: where the last one left results,
/// these take their place.
pub fn not_built(setup: &RunOptions<'_>, bundle: &Definition, why: &str) {
    // A visit leaves what the last build left as it is.
    if setup.person.is_none() {
        Results::of(bundle).failed(setup.cloud.name(), why);
    }
}

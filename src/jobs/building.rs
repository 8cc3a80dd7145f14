//! The build of a run: its work directories, the engine, and the warning that a signal gets.
use super::factory::Setup;
use crate::engine::pool::Pool;
use crate::engine::run_dir::{hold, own_directory};
use crate::engine::{self, BuildContext, Outcome};
use crate::model::definition::Definition;
use crate::plan::Plan;
use crate::provider::RunCx;
use crate::provider::ledger::{Entry, Kind};

/// A signal is told of when it comes: what is at work ends first where it may be left, and the way
/// home takes its time.
pub(super) async fn stoppable(
    setup: Setup<'_>,
    cx: &RunCx,
    build: impl Future<Output = Outcome>,
) -> Outcome {
    tokio::pin!(build);
    tokio::select! {
        biased; // told before the build hears of it
        () = setup.options.cancel.stopped() => {}
        outcome = &mut build => return outcome,
    }
    cx.events.warn(interrupted(&cx.ledger.entries()));
    build.await
}

/// In words: what a run that is told to end removes; directories are not named. A machine of the
/// local cloud is a process.
pub(super) fn interrupted(owned: &[Entry]) -> String {
    let named = owned.iter().filter(|e| e.kind != Kind::Directory);
    let mut all: Vec<String> = named.map(|e| format!("{} {}", e.kind.name(), e.name)).collect();
    all.push("its work files".into());
    let all = all.join(", ");
    format!(
        "interrupted by a signal: the run ends, and what it made is removed ({all}); a second \
            signal leaves the rest to `sweep`"
    )
}

pub(super) async fn build_in(
    setup: Setup<'_>,
    (definition, plan): (&Definition, &Plan),
    cx: &RunCx,
) -> Outcome {
    let scratch = setup.factory.home.runtime.join(&plan.run);
    let work = setup.factory.home.data.join("building").join(&plan.run);
    let site = BuildContext {
        cloud: &*setup.factory.provider,
        connect: &*setup.factory.connect,
        cx,
        plan,
        definition,
        wall: &setup.factory.wall,
        scratch: scratch.clone(),
        work: work.clone(),
        until: setup.options.goal.clone(),
        pool: Pool::of(&*setup.factory.provider, &setup.factory.home, definition.warm),
        downloads: setup.factory.home.data.join("cache/downloads"),
        proxies: setup.factory.proxies.clone(),
        keep_on_failure: setup.options.keep_on_failure,
        home: setup.factory.home.data.clone(),
        range: setup.options.range,
    };
    for dir in [&work, &scratch] {
        if let Err(e) = own_directory(&cx.ledger, dir).await {
            return Outcome { result: Err(e), leaks: engine::unwind(&site).await, kept: None };
        }
    }
    let held = match hold(&scratch) {
        Ok(held) => held,
        Err(e) => {
            return Outcome { result: Err(e), leaks: engine::unwind(&site).await, kept: None };
        }
    };
    let outcome = engine::build(&site).await;
    drop(held);
    outcome
}

//! The build of a run: its work directories, the engine, and the warning that a signal gets.
use std::fs;
use std::path::Path;

use super::dir;
use super::options::RunOptions;
use crate::engine::{self, BuildContext, BuildError, Goal, Outcome};
use crate::plan::Plan;
use crate::provider::RunCx;
use crate::provider::ledger::{Entry, Kind, Ledger, Made};
use crate::system::durable;
use crate::system::lock::Held;

/// A signal is told of when it comes: what is at work ends first where it may be left, and the way
/// home takes its time.
pub(super) async fn stoppable(
    setup: &RunOptions<'_>,
    cx: &RunCx,
    build: impl Future<Output = Outcome>,
) -> Outcome {
    tokio::pin!(build);
    tokio::select! {
        biased; // told before the build hears of it
        () = setup.cancel.stopped() => {}
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

pub(super) async fn build_in(setup: &RunOptions<'_>, plan: &Plan, cx: &RunCx) -> Outcome {
    let scratch = setup.home.runtime.join(&plan.run);
    let work = setup.home.data.join("building").join(&plan.run);
    let site = BuildContext {
        cloud: setup.cloud,
        connect: setup.connect,
        cx,
        plan,
        wall: setup.wall,
        scratch: scratch.clone(),
        work: work.clone(),
        until: match setup.person {
            _ if setup.test_only => Goal::Tested,
            Some(person) => Goal::Provisioned(person),
            None => Goal::Published,
        },
        downloads: setup.home.data.join("cache/downloads"),
        proxies: setup.proxies.clone(),
        keep_on_failure: setup.keep_on_failure,
    };
    for dir in [&work, &scratch] {
        if let Err(e) = own_directory(&cx.ledger, dir).await {
            return Outcome { result: Err(e), leaks: engine::unwind(&site).await, kept: None };
        }
    }
    // Held while it lives, for factories with another home, which do not see the lock in ours.
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

pub(super) fn hold(dir: &Path) -> Result<Held, BuildError> {
    let path = dir.join(dir::LOCK);
    let held =
        durable::open_to_append(&path).and_then(|lock| Held::take(lock).map_err(|(_, e)| e.into()));
    held.map_err(|source| BuildError::Io { path, source })
}

pub(super) async fn own_directory(ledger: &Ledger, dir: &Path) -> Result<(), BuildError> {
    use std::os::unix::fs::DirBuilderExt;
    let name = dir.to_string_lossy().into_owned();
    ledger
        .own(Kind::Directory, &name, || async {
            let parents = dir
                .parent()
                .map_or(Ok(()), |p| fs::DirBuilder::new().recursive(true).mode(0o700).create(p));
            parents
                .and_then(|()| fs::DirBuilder::new().mode(0o700).create(dir))
                .map_err(|source| BuildError::Io { path: dir.into(), source })?;
            Ok(Made { id: name.clone(), value: () })
        })
        .await
}

//! The road home: what a run made is deleted, and what it started is ended.
use std::time::{Duration, Instant};

use super::BuildContext;
use crate::model::event::{Event, Stage, seconds};
use crate::provider::CloudError;
use crate::provider::ledger::{Entry, Kind, Leak};
use crate::system::exec::{self, process};

/// How long a single deletion may take before it is called a leak.
const DELETE: Duration = Duration::from_secs(120);

/// Deletes what the ledger holds, machines first and then newest first, past failures. What could
/// not be deleted is returned and stays in the ledger; so is the rest after a second signal, for
/// `sweep`.
pub async fn unwind(site: &BuildContext<'_>) -> Vec<Leak> {
    home(site, None).await
}

/// [`unwind`] of a run with a result: the image with the ID `published` is nobody's to delete, also
/// where the ledger could not be told so.
pub(super) async fn home(site: &BuildContext<'_>, published: Option<&str>) -> Vec<Leak> {
    let outlived = end_processes(site).await;
    let mut entries = site.cx.ledger.entries();
    entries.retain(|e| published.is_none() || e.id.as_deref() != published);
    // A disk that was given to a machine can go when that is gone.
    entries.sort_by_key(|e| e.kind != Kind::Machine);
    if entries.is_empty() {
        return outlived;
    }
    let begin = Instant::now();
    site.cx.events.emit(Event::StageStarted { stage: Stage::Unwind });
    let mut leaks = outlived;
    for entry in entries {
        let deleted = site
            .cx
            .cancel
            .for_unwind()
            .or(tokio::time::timeout(DELETE, site.cloud.resources().delete(&site.plan.run, &entry)))
            .await;
        let done = match deleted {
            Ok(Ok(done)) => done
                .and_then(|()| site.cx.ledger.gone(entry.seq).map_err(CloudError::from))
                .map_err(|e| e.to_string()),
            Ok(Err(_)) => Err(format!("not deleted after {DELETE:?}")),
            Err(_) => Err("a second signal ended the clean-up".into()),
        };
        if let Err(reason) = done {
            leaks.push(Leak { entry, reason });
        }
    }
    let seconds = seconds(begin.elapsed());
    site.cx.events.emit(match leaks.len() {
        0 => Event::StageDone { stage: Stage::Unwind, seconds },
        n => Event::StageFailed {
            stage: Stage::Unwind,
            seconds,
            error: format!("{n} things could not be deleted"),
        },
    });
    leaks
}

/// Ends what carries the run's mark and stands in no ledger: what a step or a script left running
/// and no wall ended. Machines are the cloud's to end. What does not end is returned.
pub(super) async fn end_processes(site: &BuildContext<'_>) -> Vec<Leak> {
    let entries = site.cx.ledger.entries();
    let called = |p: &process::Proc, name: &str| p.env(exec::PROCESS_MARK).as_deref() == Some(name);
    let known = |p: &process::Proc| {
        entries.iter().any(|e| e.id == Some(p.to_string()) || called(p, &e.name))
    };
    let mut leaks = Vec::new();
    let left = process::ours().into_iter().filter(|p| p.is_of(&site.plan.run) && !known(p));
    for proc in left {
        if proc.state() != process::State::Gone
            && let Err(e) = proc.end(Duration::from_secs(5)).await
        {
            let entry = Entry {
                seq: u64::MAX,
                kind: Kind::Process,
                name: proc.title(),
                id: Some(proc.to_string()),
                unanswered: None,
            };
            leaks.push(Leak { entry, reason: e.to_string() });
        }
    }
    leaks
}

/// A builder that has done its work gives back what it holds of the project's quota before the next
/// machines come up. What cannot be deleted now is deleted on the way home.
pub(super) async fn retire(site: &BuildContext<'_>, machine: &str) {
    let of_it = |e: &&Entry| {
        e.name == machine && matches!(e.kind, Kind::Machine | Kind::Address | Kind::Volume)
    };
    for entry in site.cx.ledger.entries().iter().filter(of_it) {
        if let Ok(Ok(())) =
            tokio::time::timeout(DELETE, site.cloud.resources().delete(&site.plan.run, entry)).await
        {
            let _ = site.cx.ledger.gone(entry.seq);
        }
    }
}

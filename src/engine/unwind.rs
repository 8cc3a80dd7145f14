//! The road home: what a run made is deleted, and what it started is ended.
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{BuildContext, pool};
use crate::model::event::{Event, Stage, seconds};
use crate::model::image::Image;
use crate::provider::ledger::{Entry, Kind, Leak, Ledger};
use crate::provider::{CloudError, Provider};
use crate::system::cancel::Cancel;
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
    let mut leaks = delete(site, entries, outlived).await;
    leaks.extend(pool::give_back(site, None).await);
    leaks
}

/// [`unwind`] around a machine that is left up for a person: what it stands on stays with it, and
/// is told; the other machines of the run go, with all that is theirs.
pub(super) async fn unwind_around(site: &BuildContext<'_>, kept: &str) -> Vec<Leak> {
    let outlived = end_processes(site).await;
    let all = machines(site);
    let others: Vec<&str> = all.into_iter().filter(|name| *name != kept).collect();
    let of_others = |e: &Entry| others.iter().any(|name| is_of(site, e, name));
    let (theirs, stays): (Vec<Entry>, Vec<Entry>) =
        site.cx.ledger.entries().into_iter().partition(of_others);
    let mut leaks = delete(site, theirs, outlived).await;
    leaks.extend(pool::give_back(site, Some(kept)).await);
    let with_it = stays.iter().filter(|e| e.kind != Kind::Directory && !is_of(site, e, kept));
    let with_it: Vec<String> = with_it.map(|e| format!("{} {}", e.kind.name(), e.name)).collect();
    if !with_it.is_empty() {
        let text = format!("{} stays up for {kept}, and is removed with it", with_it.join(", "));
        site.cx.events.note(text);
    }
    leaks
}

/// Names of the plan's machines.
fn machines<'p>(site: &BuildContext<'p>) -> Vec<&'p str> {
    let smoke = site.plan.smoke.iter();
    let smoke = smoke.flat_map(|s| [&s.first, &s.second].into_iter().chain(&s.other));
    site.plan.builder.iter().chain(smoke).map(|machine| machine.name.as_str()).collect()
}

/// Whether a thing is a machine's: it bears its name, or is a directory for it.
fn is_of(site: &BuildContext<'_>, entry: &Entry, machine: &str) -> bool {
    let prefix = format!("factory-{}-", site.plan.run);
    let role = machine.strip_prefix(&prefix).unwrap_or(machine);
    match entry.kind {
        Kind::Directory => {
            Path::new(&entry.name).file_name().is_some_and(|last| last == machine || last == role)
        }
        _ => entry.name.starts_with(machine),
    }
}

async fn delete(site: &BuildContext<'_>, entries: Vec<Entry>, outlived: Vec<Leak>) -> Vec<Leak> {
    if entries.is_empty() {
        return outlived;
    }
    let begin = Instant::now();
    site.cx.events.emit(Event::StageStarted { stage: Stage::Unwind });
    let mut leaks = outlived;
    let owner = Owner { run: &site.plan.run, ledger: &site.cx.ledger };
    leaks.extend(delete_of(site.cloud, owner, entries, &site.cx.cancel).await);
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

/// A run, and the ledger of what it owns.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub run: &'a str,
    pub ledger: &'a Ledger,
}

/// Deletes `entries` of a run, past failures: first the machines, all at once. What could not be
/// deleted is returned, and stays in the ledger.
pub(super) async fn delete_of(
    cloud: &dyn Provider,
    owner: Owner<'_>,
    entries: Vec<Entry>,
    cancel: &Cancel,
) -> Vec<Leak> {
    // A disk that was given to a machine can go when that is gone.
    let (machines, others): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|e| e.kind == Kind::Machine);
    let one = |entry| delete_one(cloud, owner, entry, cancel);
    let mut leaks: Vec<Leak> =
        join_all(machines.into_iter().map(one)).await.into_iter().flatten().collect();
    for entry in others {
        leaks.extend(one(entry).await);
    }
    leaks
}

/// Why it could not be deleted, if so.
async fn delete_one(
    cloud: &dyn Provider,
    owner: Owner<'_>,
    entry: Entry,
    cancel: &Cancel,
) -> Option<Leak> {
    let deleted = cancel
        .for_unwind()
        .or(tokio::time::timeout(DELETE, cloud.resources().delete(owner.run, &entry)))
        .await;
    let done = match deleted {
        Ok(Ok(done)) => done
            .and_then(|()| owner.ledger.gone(entry.seq).map_err(CloudError::from))
            .map_err(|e| e.to_string()),
        Ok(Err(_)) => Err(format!("not deleted after {DELETE:?}")),
        Err(_) => Err("a second signal ended the clean-up".into()),
    };
    done.err().map(|reason| Leak { entry, reason })
}

/// Ends what carries the run's mark and stands in no ledger: what a step or a script left running
/// and no wall ended. Machines are the cloud's to end. What does not end is returned.
async fn end_processes(site: &BuildContext<'_>) -> Vec<Leak> {
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
    let of_it = |e: &Entry| {
        e.name == machine && matches!(e.kind, Kind::Machine | Kind::Address | Kind::Volume)
    };
    delete_now(site, of_it).await;
    pool::give_back(site, None).await;
}

/// Removes all that is a machine's, so that another may have its name.
pub(super) async fn discard(site: &BuildContext<'_>, machine: &str) {
    delete_now(site, |e| is_of(site, e, machine)).await;
}

/// The same for a captured builder and its source, which is the run's if it was staged.
pub(super) async fn retire_builder(site: &BuildContext<'_>, machine: &str, source: &Image) {
    retire(site, machine).await;
    delete_now(site, |e| e.kind == Kind::Image && e.id.as_ref() == Some(&source.id)).await;
}

async fn delete_now(site: &BuildContext<'_>, which: impl Fn(&Entry) -> bool) {
    for entry in site.cx.ledger.entries().iter().filter(|e| which(e)) {
        if let Ok(Ok(())) =
            tokio::time::timeout(DELETE, site.cloud.resources().delete(&site.plan.run, entry)).await
        {
            let _ = site.cx.ledger.gone(entry.seq);
        }
    }
}

//! Removes what dead runs left behind: their ledgers are reconciled with what is seen to carry their mark.
//! A run that is alive holds its lock and is not touched.
use crate::cloud::ledger::{Entry, Kind, Leak, Ledger};
use crate::cloud::{Cloud, CloudError};
use crate::run::{self, Home, Indexed};

/// What was done about one run.
#[derive(Debug, serde::Serialize)]
pub struct Swept {
    pub run: String,
    pub state: State,
    /// Removed, or what would be.
    pub things: Vec<Entry>,
    pub leaks: Vec<Leak>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Another process works on it: left alone.
    Alive,
    /// Its machine was left up on purpose: removed only when asked for by name.
    Kept,
    Dead,
}

/// Looks at every run of the index, or at `only` that one.
pub async fn sweep(cloud: &dyn Cloud, home: &Home, only: Option<&str>, dry_run: bool) -> Result<Vec<Swept>, CloudError> {
    let runs = run::indexed(home).map_err(CloudError::io(format!("read the index of runs in {}", home.data.display())))?;
    let mut swept = Vec::new();
    for indexed in runs.iter().filter(|r| only.is_none_or(|o| o == r.run)) {
        let state = match (&indexed.lock, indexed.kept) {
            (None, _) => State::Alive,
            (_, true) if only.is_none() => State::Kept,
            _ => State::Dead,
        };
        let mut report = Swept { run: indexed.run.clone(), state, things: Vec::new(), leaks: Vec::new() };
        if state == State::Dead {
            one(cloud, indexed, dry_run, &mut report).await?;
        }
        swept.push(report);
    }
    Ok(swept)
}

async fn one(cloud: &dyn Cloud, run: &Indexed, dry_run: bool, report: &mut Swept) -> Result<(), CloudError> {
    let path = run.dir.join("ledger.jsonl");
    let ledger = if path.is_file() { Some(Ledger::open(&path)?) } else { None };
    let listed = ledger.as_ref().map(Ledger::entries).unwrap_or_default();
    // What is seen goes first, processes before all: a build tool that lives on would make new things while the old are removed.
    let mut things = cloud.owned(&run.run).await?;
    let seen = things.len();
    let same = |a: &Entry, b: &Entry| a.kind == b.kind && (a.id.is_some() && a.id == b.id || a.name == b.name);
    let unseen: Vec<Entry> = listed.iter().filter(|l| !things.iter().any(|t| same(l, t))).cloned().collect();
    things.extend(unseen);
    if dry_run {
        things.truncate(seen);
        report.things = things;
        return Ok(());
    }
    for (index, thing) in things.into_iter().enumerate() {
        match cloud.delete(&run.run, &thing).await {
            // The ledger also names things that were deleted already, or never made; what is told is what was there.
            Ok(()) if index < seen => report.things.push(thing),
            Ok(()) => {}
            Err(e) => report.leaks.push(Leak { entry: thing, reason: e.to_string() }),
        }
    }
    if let Some(ledger) = ledger.filter(|_| report.leaks.is_empty()) {
        listed.iter().try_for_each(|entry| ledger.gone(entry.seq))?;
    }
    if report.leaks.is_empty() {
        run.forget();
    }
    Ok(())
}

/// A word for people: `process 123 (builder)`.
pub fn name(thing: &Entry) -> String {
    match (thing.kind, &thing.id) {
        (Kind::Process, Some(id)) => format!("process {} ({})", id.split(':').next().unwrap_or(id), thing.name),
        (kind, _) => format!("{} {}", kind.name(), thing.name),
    }
}

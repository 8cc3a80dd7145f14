//! Removes what dead runs left behind: their ledgers are reconciled with what is seen to carry their mark.
//! A run that is alive holds its lock and is not touched.
use crate::build;
use crate::cloud::ledger::{Entry, Kind, Leak, Ledger};
use crate::cloud::{Cloud, CloudError};
use crate::exec::process;
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
    let mut things: Vec<Entry> = Vec::new();
    // Processes first, by their mark: a build tool that lives on would make new things while we remove the old.
    things.extend(process::owned(&run.run));
    things.extend(ledger.iter().flat_map(Ledger::entries));
    for seen in cloud.owned(&run.run).await? {
        if !things.iter().any(|t| t.kind == seen.kind && (t.id == seen.id && t.id.is_some() || t.name == seen.name)) {
            things.push(seen);
        }
    }
    if dry_run {
        report.things = things;
        return Ok(());
    }
    for thing in things {
        match build::delete(cloud, &run.run, &thing).await {
            Ok(()) => {
                if let Some(ledger) = &ledger
                    && thing.seq != process::UNLISTED
                {
                    ledger.gone(thing.seq)?;
                }
                // The ledger names things that were deleted already, or never made; what is told is what was there.
                report.things.push(thing);
            }
            Err(e) => report.leaks.push(Leak { entry: thing, reason: e.to_string() }),
        }
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

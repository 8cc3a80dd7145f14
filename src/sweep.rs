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
    /// Where it built.
    pub cloud: String,
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
    /// It built on another cloud, which has to be named for its things to be found.
    Elsewhere,
    /// It owns things on this cloud, and this machine knows nothing of it: another machine's, alive or dead. Removed only when
    /// asked for by name.
    Stranger,
    Dead,
}

/// What a person types to be rid of one run, machines that were left up on purpose included. The cloud is named: what is set in
/// the environment may be another one by then. One of `OS_*` variables alone has a URL for a name, and no entry to name.
pub fn command(cloud: &str, run: &str) -> String {
    match of_environment(cloud) {
        true => format!("image-factory sweep --run {run}"),
        false => format!("image-factory sweep --cloud {cloud} --run {run}"),
    }
}

/// Whether `OS_*` variables alone say which cloud this is.
pub fn of_environment(cloud: &str) -> bool {
    cloud.contains("://")
}

/// Looks at every run of the index, or at `only` that one.
pub async fn sweep(cloud: &dyn Cloud, home: &Home, only: Option<&str>, dry_run: bool) -> Result<Vec<Swept>, CloudError> {
    let runs = run::indexed(home).map_err(CloudError::io(format!("read the index of runs in {}", home.data.display())))?;
    let mut swept = Vec::new();
    let asked_for = |run: &str| only.is_none_or(|o| o == run);
    let new = |run: &str, state| Swept { run: run.to_owned(), state, cloud: String::new(), things: Vec::new(), leaks: Vec::new() };
    for indexed in runs.iter().filter(|r| asked_for(&r.run)) {
        // Without a plan nothing was created.
        let its_cloud = run::read_plan(&indexed.dir).map_or_else(|| cloud.name().to_owned(), |p| p.cloud);
        let state = match (&indexed.lock, indexed.kept) {
            (None, _) => State::Alive,
            _ if its_cloud != cloud.name() => State::Elsewhere,
            (_, true) if only.is_none() => State::Kept,
            _ => State::Dead,
        };
        let mut report = Swept { cloud: its_cloud, ..new(&indexed.run, state) };
        if state == State::Dead {
            one(cloud, Some(indexed), dry_run, &mut report).await?;
        }
        swept.push(report);
    }
    for run in cloud.runs().await?.iter().filter(|r| asked_for(r) && !runs.iter().any(|i| i.run == **r)) {
        let mut report = Swept { cloud: cloud.name().into(), ..new(run, if only.is_some() { State::Dead } else { State::Stranger }) };
        if report.state == State::Dead {
            one(cloud, None, dry_run, &mut report).await?;
        }
        swept.push(report);
    }
    Ok(swept)
}

/// `index`: the run's entry, if this machine has one.
async fn one(cloud: &dyn Cloud, index: Option<&Indexed>, dry_run: bool, report: &mut Swept) -> Result<(), CloudError> {
    let run = report.run.clone();
    let ledger = match index.map(|i| i.dir.join("ledger.jsonl")).filter(|path| path.is_file()) {
        Some(path) => Some(Ledger::open(&path)?),
        None => None,
    };
    let listed = ledger.as_ref().map(Ledger::entries).unwrap_or_default();
    // What is seen goes first, processes before all: a build tool that lives on would make new things while the old are removed.
    let mut things = cloud.owned(&run).await?;
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
        match cloud.delete(&run, &thing).await {
            // The ledger also names things that were deleted already, or never made; what is told is what was there.
            Ok(()) if index < seen => report.things.push(thing),
            Ok(()) => {}
            Err(e) => report.leaks.push(Leak { entry: thing, reason: e.to_string() }),
        }
    }
    if let Some(ledger) = ledger.filter(|_| report.leaks.is_empty()) {
        listed.iter().try_for_each(|entry| ledger.gone(entry.seq))?;
    }
    if let Some(index) = index.filter(|_| report.leaks.is_empty()) {
        index.forget();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_a_cloud_that_has_a_name() {
        assert_eq!(command("local", "r"), "image-factory sweep --cloud local --run r");
        assert_eq!(command("https://keystone:5000/v3", "r"), "image-factory sweep --run r");
    }
}

//! Removes what dead runs left behind: their ledgers are reconciled with what is seen to carry
//! their mark. A run that is alive holds its lock and is not touched. One whose record is damaged
//! is in no other's way, and what bears its mark is found all the same.
use crate::cloud::ledger::{Entry, Kind, Leak, Ledger, Told};
use crate::cloud::{Cloud, CloudError};
use crate::run::{self, Home, IndexedRun, Life};
use crate::text::shell;

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
    /// What a person has to know of its record: that it is damaged, and where it was put.
    pub notes: Vec<String>,
    /// The sweep of this run came to nothing.
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Another process works on it: left alone.
    Alive,
    /// Its machine was left up on purpose: removed only when asked for by name.
    RetainedMachine,
    /// It built on another cloud, which has to be named for its things to be found.
    OtherCloud,
    /// It owns things on this cloud, and this home knows nothing of it: another machine's or
    /// another home's, dead for all that can be seen from here. Removed only when asked for by
    /// name.
    Foreign,
    /// Its record does not tell whether it is alive, or where it built (`notes` say why): removed
    /// only when asked for by name.
    Unclear,
    Dead,
}

/// What a person types to be rid of one run, machines that were left up on purpose included. The
/// cloud is named: what is set in the environment may be another one by then. One of `OS_*`
/// variables alone has a URL for a name, and no entry to name.
pub fn command(cloud: &str, run: &str) -> String {
    let run = shell::word(run);
    match of_environment(cloud) {
        true => format!("image-factory sweep --run {run}"),
        false => format!("image-factory sweep --cloud {} --run {run}", shell::word(cloud)),
    }
}

/// Whether `OS_*` variables alone say which cloud this is.
pub fn of_environment(cloud: &str) -> bool {
    cloud.contains("://")
}

/// Looks at every run of the index, or at `only` that one. An error is one that all runs would
/// meet.
pub async fn sweep(
    cloud: &dyn Cloud,
    home: &Home,
    only: Option<&str>,
    dry_run: bool,
) -> Result<Vec<Swept>, CloudError> {
    let what = format!("read the index of runs in {}", home.data.display());
    let runs = run::indexed(home).map_err(CloudError::io(what))?;
    if !dry_run {
        run::tidy(home);
    }
    let mut swept = Vec::new();
    let asked_for = |run: &str| only.is_none_or(|o| o == run);
    for indexed in runs.iter().filter(|r| asked_for(&r.run)) {
        let mut report = of_index(indexed, cloud.name(), only.is_some());
        if report.state == State::Dead {
            one(cloud, Some(indexed), dry_run, &mut report).await?;
        }
        swept.push(report);
    }
    for run in cloud
        .list_runs()
        .await?
        .iter()
        .filter(|r| asked_for(r) && !runs.iter().any(|i| i.run == **r))
    {
        // Its lock is held meanwhile.
        let life = run::life_elsewhere(home, run);
        let state = match &life {
            Some(Life::Alive) => State::Alive,
            _ if only.is_some() => State::Dead,
            _ => State::Foreign,
        };
        let mut report = report(run, state, cloud.name().into());
        if report.state == State::Dead {
            one(cloud, None, dry_run, &mut report).await?;
        }
        swept.push(report);
    }
    Ok(swept)
}

fn report(run: &str, state: State, cloud: String) -> Swept {
    let run = run.to_owned();
    Swept {
        run,
        state,
        cloud,
        things: Vec::new(),
        leaks: Vec::new(),
        notes: Vec::new(),
        error: None,
    }
}

/// What the index tells of a run. `named`: a person asked for it.
fn of_index(indexed: &IndexedRun, cloud: &str, named: bool) -> Swept {
    let mut notes = Vec::new();
    if let Life::Unknown(why) = &indexed.life {
        notes.push(why.clone());
    }
    if indexed.cloud.is_none() {
        let text = "neither plan.json nor ledger.jsonl tells where it built; each cloud finds what \
            bears its mark there";
        notes.push(text.into());
    }
    let state = match (&indexed.life, &indexed.cloud) {
        (Life::Alive, _) => State::Alive,
        (_, Some(its)) if its != cloud => State::OtherCloud,
        (Life::Unknown(_), _) | (_, None) if !named => State::Unclear,
        _ if indexed.kept && !named => State::RetainedMachine,
        _ => State::Dead,
    };
    Swept { notes, ..report(&indexed.run, state, indexed.cloud.clone().unwrap_or_default()) }
}

/// `index`: the run's entry, if this machine has one. A signal ends it; what else goes wrong is
/// this run's alone.
async fn one(
    cloud: &dyn Cloud,
    index: Option<&IndexedRun>,
    dry_run: bool,
    report: &mut Swept,
) -> Result<(), CloudError> {
    let listed = index.map(|index| listed(index, &mut report.notes)).unwrap_or_default();
    match remove(cloud, &listed, dry_run, report).await {
        Err(CloudError::Cancelled(c)) => return Err(CloudError::Cancelled(c)),
        Err(e) => report.error = Some(e.to_string()),
        Ok(()) => {}
    }
    if let Some(index) =
        index.filter(|_| !dry_run && report.leaks.is_empty() && report.error.is_none())
    {
        close(index, &listed, report);
    }
    Ok(())
}

/// What the run's ledger says that it owns, as far as it can be read.
fn listed(index: &IndexedRun, notes: &mut Vec<String>) -> Vec<Entry> {
    match Told::read(&index.ledger()) {
        Ok(told) => {
            let damage =
                told.damage.iter().map(|d| format!("ledger {}: {d}", index.ledger().display()));
            notes.extend(damage);
            told.entries()
        }
        Err(e) => {
            notes.push(e.to_string());
            Vec::new()
        }
    }
}

async fn remove(
    cloud: &dyn Cloud,
    listed: &[Entry],
    dry_run: bool,
    report: &mut Swept,
) -> Result<(), CloudError> {
    let run = report.run.clone();
    // What is seen goes first, processes before all: a build tool that lives on would make new
    // things while the old are removed.
    let mut things = cloud.list_resources(&run).await?;
    let seen = things.len();
    let same = |a: &Entry, b: &Entry| {
        a.kind == b.kind && (a.id.is_some() && a.id == b.id || a.name == b.name)
    };
    let unseen: Vec<Entry> =
        listed.iter().filter(|l| !things.iter().any(|t| same(l, t))).cloned().collect();
    if dry_run {
        let coming = unseen.iter().filter(|thing| thing.unanswered.is_some());
        report.notes.extend(coming.map(|thing| {
            format!("the answer to the create of {} was lost, and it may still come", name(thing))
        }));
        report.things = things;
        return Ok(());
    }
    things.extend(unseen);
    for (index, thing) in things.into_iter().enumerate() {
        match cloud.delete_resource(&run, &thing).await {
            // The ledger also names things that were deleted already, or never made; what is told
            // is what was there.
            Ok(()) if index < seen => report.things.push(thing),
            Ok(()) => {}
            Err(CloudError::Cancelled(c)) => return Err(CloudError::Cancelled(c)),
            Err(e) => report.leaks.push(Leak { entry: thing, reason: e.to_string() }),
        }
    }
    Ok(())
}

/// Everything that was found is removed. A record that could not be read whole is kept for a
/// person.
fn close(index: &IndexedRun, listed: &[Entry], report: &mut Swept) {
    // Whoever reads that ledger later is told that nothing is left. It may be too damaged to be
    // written to.
    if let Some(ledger) =
        Some(listed).filter(|l| !l.is_empty()).and_then(|_| Ledger::open(&index.ledger()).ok())
    {
        let _ = listed.iter().try_for_each(|entry| ledger.gone(entry.seq));
    }
    if report.notes.is_empty() {
        return index.forget();
    }
    report.notes.push(match index.set_aside() {
        Ok(place) => format!("its record is set aside, in {}", place.display()),
        Err(e) => format!("its record cannot be set aside: {e}"),
    });
}

/// A word for people: `process 123 (builder)`.
pub fn name(thing: &Entry) -> String {
    match (thing.kind, &thing.id) {
        (Kind::Process, Some(id)) => {
            format!("process {} ({})", id.split(':').next().unwrap_or(id), thing.name)
        }
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

//! Removes what dead runs left behind, by their ledgers and owner tags. A live run holds its lock
//! and is not touched. A damaged record affects no other run, and its resources are still found by
//! their tags.
use crate::engine::pool::{Records, Use, WarmBuilder};
use crate::engine::run_dir::{self, Home, IndexedRun, Life};
use crate::model::family;
use crate::model::image::Image;
use crate::model::image::State::Staged;
use crate::provider::ledger::{Entry, Kind, Leak, Ledger, Told};
use crate::provider::{Cleared, CloudError, Provider};
use crate::system::cancel::Cancel;
use crate::text::shell;

/// Result for one run.
#[derive(Debug, serde::Serialize)]
pub struct Swept {
    pub run: String,
    pub state: State,
    /// The cloud it was built on.
    pub cloud: String,
    /// Removed resources, or those to remove.
    pub things: Vec<Entry>,
    /// Images of its ledger that turned out to be published. They stay.
    pub published: Vec<Published>,
    pub leaks: Vec<Leak>,
    /// Notes on its record: that it is damaged, and where it was moved.
    pub notes: Vec<String>,
    /// The sweep of this run failed.
    pub error: Option<String>,
}

/// A published image of a run whose ledger does not know that.
#[derive(Debug, serde::Serialize)]
pub struct Published {
    pub id: String,
    pub name: String,
    pub family: String,
    /// Why the family's name does not mean it; `None`: it does.
    pub not_current: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// In use by another process: not touched.
    Alive,
    /// Its machine was kept on purpose: removed only if named.
    RetainedMachine,
    /// Its machine waits for a build to come: removed if named, or when it is too old.
    Warm,
    /// Built on another cloud, which must be selected to find its resources.
    OtherCloud,
    /// Owns resources on this cloud, but is not in this home's index: it belongs to another machine
    /// or home, and may be dead. Removed only if named.
    Foreign,
    /// Its record does not tell whether it is alive, or on which cloud (`notes` give the reason).
    /// Removed only if named.
    Unclear,
    Dead,
}

/// Command that removes one run, including machines kept on purpose. Names the cloud, because the
/// environment may have changed; a cloud of `OS_*` variables has only a URL, and cannot be named.
pub fn command(cloud: &str, run: &str) -> String {
    let run = shell::word(run);
    match of_environment(cloud) {
        true => format!("image-factory sweep --run {run}"),
        false => format!("image-factory sweep --cloud {} --run {run}", shell::word(cloud)),
    }
}

/// Whether the cloud is defined by `OS_*` variables alone.
pub fn of_environment(cloud: &str) -> bool {
    cloud.contains("://")
}

/// Sweeps every run of the index, or `only` one. `Err` is a failure that concerns all runs.
pub async fn sweep(
    cloud: &dyn Provider,
    home: &Home,
    only: Option<&str>,
    dry_run: bool,
) -> Result<Vec<Swept>, CloudError> {
    let what = format!("read the index of runs in {}", home.data.display());
    let runs = run_dir::indexed(home).map_err(CloudError::io(what))?;
    if !dry_run {
        run_dir::tidy(home);
        Records::of(home).tidy();
    }
    let warm = Records::of(home).all();
    let project = project(cloud, &warm).await?;
    let mut swept = Vec::new();
    let asked_for = |run: &str| only.is_none_or(|o| o == run);
    // A run that was left up on a warm builder goes with it.
    let has_taken = |run: &str| warm.iter().any(|w| w.run == run && w.taken_by.as_deref() == only);
    for indexed in runs.iter().filter(|r| asked_for(&r.run) || has_taken(&r.run)) {
        let mut report = of_index(indexed, cloud.name(), only.is_some());
        if let Some(warm) = warm.iter().find(|warm| warm.run == indexed.run) {
            if only.is_none() {
                report.state = of_pool(warm, report.state, &runs);
            }
            not_seen(warm, project.as_ref(), &mut report);
        }
        if report.state == State::Dead {
            one(cloud, Some(indexed), dry_run, &mut report).await?;
            if !dry_run && report.leaks.is_empty() && report.error.is_none() {
                Records::of(home).forget(&indexed.run);
            }
        }
        swept.push(report);
    }
    for run in cloud
        .resources()
        .list_runs()
        .await?
        .iter()
        .filter(|r| asked_for(r) && !runs.iter().any(|i| i.run == **r))
    {
        // Its lock is held meanwhile.
        let life = run_dir::life_elsewhere(home, run);
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
    if only.is_none() {
        swept.extend(debris(cloud, dry_run).await?);
    }
    Ok(swept)
}

/// In place of a run's ID, for what no run owns.
const NO_RUN: &str = "(no run)";

/// What no run owns and nobody can use.
async fn debris(cloud: &dyn Provider, dry_run: bool) -> Result<Option<Swept>, CloudError> {
    let Cleared { things, leaks } = cloud.resources().clear_debris(dry_run).await?;
    let found = !(things.is_empty() && leaks.is_empty());
    Ok(found.then(|| Swept { things, leaks, ..report(NO_RUN, State::Dead, cloud.name().into()) }))
}

fn report(run: &str, state: State, cloud: String) -> Swept {
    let run = run.to_owned();
    Swept {
        run,
        state,
        cloud,
        things: Vec::new(),
        published: Vec::new(),
        leaks: Vec::new(),
        notes: Vec::new(),
        error: None,
    }
}

/// A run as the index describes it. `named`: the user named it.
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

/// The state of the run of a warm builder whose record says `state`: it was left up for a build.
fn of_pool(warm: &WarmBuilder, state: State, runs: &[IndexedRun]) -> State {
    if !matches!(state, State::RetainedMachine | State::Dead) {
        return state;
    }
    match warm.state(|run| runs.iter().find(|one| one.run == run)) {
        Use::Free => State::Warm,
        Use::Retained => State::RetainedMachine,
        Use::Booting | Use::Taken => State::Alive,
        Use::Over => State::Dead,
    }
}

/// The project that warm builders are compared with.
async fn project(cloud: &dyn Provider, warm: &[WarmBuilder]) -> Result<Option<String>, CloudError> {
    if warm.is_empty() { Ok(None) } else { cloud.project(&Cancel::default()).await }
}

/// Machines of another project are not seen, as if they were gone: the run of one is left alone.
fn not_seen(warm: &WarmBuilder, project: Option<&String>, report: &mut Swept) {
    if report.state == State::Dead && warm.key.project.as_ref() != project {
        report.state = State::OtherCloud;
        let name = |project: Option<&String>| {
            project.map_or("no project".into(), |id| format!("project {id}"))
        };
        let (its, ours) = (name(warm.key.project.as_ref()), name(project));
        report.notes.push(format!("its warm builder is of {its}, and this is {ours}"));
    }
}

/// Sweeps one run; `index` is its entry, if this machine has one. Cancellation fails; other
/// failures concern only this run.
async fn one(
    cloud: &dyn Provider,
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

/// Resources in the run's ledger, as far as it is readable.
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
    cloud: &dyn Provider,
    listed: &[Entry],
    dry_run: bool,
    report: &mut Swept,
) -> Result<(), CloudError> {
    let run = report.run.clone();
    // Visible resources first, processes before all: a running build tool would create new ones
    // meanwhile.
    let mut things = cloud.resources().list(&run).await?;
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
        report.published = published(cloud, &unseen).await?;
        return Ok(());
    }
    things.extend(unseen.iter().cloned());
    for (index, thing) in things.into_iter().enumerate() {
        match cloud.resources().delete(&run, &thing).await {
            // Reports only resources that existed; the ledger also lists deleted ones, and some
            // that were never created.
            Ok(()) if index < seen => report.things.push(thing),
            Ok(()) => {}
            Err(CloudError::Cancelled(c)) => return Err(CloudError::Cancelled(c)),
            Err(e) => report.leaks.push(Leak { entry: thing, reason: e.to_string() }),
        }
    }
    report.published = published(cloud, &unseen).await?;
    Ok(())
}

/// The images that are published, of those that a ledger lists and nobody sees staged: the run did
/// not learn of it.
async fn published(cloud: &dyn Provider, unseen: &[Entry]) -> Result<Vec<Published>, CloudError> {
    let listed = |id: &String| {
        unseen.iter().any(|entry| entry.kind == Kind::Image && entry.id.as_ref() == Some(id))
    };
    if !unseen.iter().any(|entry| entry.kind == Kind::Image && entry.id.is_some()) {
        return Ok(Vec::new());
    }
    let images = cloud.artifacts().list().await?;
    let stay = images.iter().filter(|i| listed(&i.id) && i.state != Staged && i.is_ours());
    let of = |image: &Image| Published {
        id: image.id.clone(),
        name: image.name.clone(),
        family: image.family.clone(),
        not_current: family::not_current(&images, image),
    };
    Ok(stay.map(of).collect())
}

/// Closes the record after everything was removed. Keeps a damaged record for inspection.
fn close(index: &IndexedRun, listed: &[Entry], report: &mut Swept) {
    // Records that nothing is left, unless the ledger is too damaged to be written.
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

/// Name for people: `process 123 (builder)`.
pub fn name(thing: &Entry) -> String {
    match (thing.kind, &thing.id) {
        (Kind::Process, Some(id)) => {
            format!("process {} ({})", id.split(':').next().unwrap_or(id), thing.name)
        }
        (kind, _) => format!("{} {}", kind.name(), thing.name),
    }
}

/// Sentence for people: `image web-1 (ID) is published; family web means it`.
pub fn stays(image: &Published) -> String {
    let Published { id, name, family, not_current } = image;
    let meaning = match not_current {
        None => format!("family {family} means it"),
        Some(why) => why.clone(),
    };
    format!("image {name} ({id}) is published; {meaning}")
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

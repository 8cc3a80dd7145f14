//! `image-factory run`
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;

use super::{Context, Failure, out};
use crate::engine::SshAccess;
use crate::engine::run_dir::{self, EVENTS, IndexedRun, LOG, Life, Record};
use crate::log::sentences::{self, duration};
use crate::model::event::{Event, FinishedImage, Stage, Stamped};
use crate::plan::Plan;
use crate::provider::ledger::Leak;
use crate::text::{clean, shell};

mod compare;

#[derive(clap::Subcommand)]
pub enum Command {
    /// List the runs of this tree, oldest first
    ///
    /// OUTCOME is how a run ended. A run that has not ended is `running`, has `died` (it owns what
    /// it made until `sweep` removes it), was `swept` after it died, or is `unclear`: its record is
    /// damaged.
    List,
    /// Show the stages and the result of a run
    Show {
        /// ID of a run, or the end of one [default: the latest run]
        run: Option<String>,
    },
    /// Compare two runs, stage by stage
    ///
    /// Prints the times of stages, steps and checks side by side, and names what grew or shrank by
    /// more than 20 % and at least a second. Times of runs on different clouds are not compared,
    /// nor what came from a checkpoint in one of them.
    Compare {
        /// ID of the run before, or the end of one
        before: String,
        /// ID of the run after, or the end of one [default: the latest run of the same definition]
        after: Option<String>,
    },
    /// Print the log of a run
    Log {
        /// ID of a run, or the end of one [default: the latest run]
        run: Option<String>,
    },
}

pub fn run(context: &Context, command: &Command) -> Result<ExitCode, Failure> {
    let dirs = directories(context)?;
    match command {
        Command::List => list(context, &dirs),
        Command::Show { run } => show(context, find(&dirs, run.as_deref())?)?,
        Command::Compare { before, after } => {
            compare::compare(context, &dirs, before, after.as_deref())?
        }
        Command::Log { run } => {
            let dir = find(&dirs, run.as_deref())?;
            let text = run_dir::read_text(dir, LOG).map_err(|e| {
                match dir.starts_with(&context.home.data) {
                    true => Failure::host(format!(
                        "the log of run {} was removed with the workspace",
                        name(dir)
                    ))
                    .hint("if the run is alive, it writes the log again when it ends"),
                    false => Failure::host(format!("{}: {e}", dir.join(LOG).display())),
                }
            })?;
            out(&text);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs of this tree, oldest first: in the workspace, and in the home for runs whose workspace was
/// emptied.
fn directories(context: &Context) -> Result<Vec<PathBuf>, Failure> {
    let tree = context.tree()?;
    let mut dirs = run_dir::directories(&tree);
    let of_tree =
        |dir: &Path| run_dir::read_plan(dir).is_some_and(|plan| plan.bundle_dir.starts_with(&tree));
    let indexed = run_dir::indexed(&context.home).unwrap_or_default();
    let known: Vec<String> = dirs.iter().map(|dir| name(dir)).collect();
    dirs.extend(
        indexed
            .into_iter()
            .map(|run| run.dir)
            .filter(|dir| !known.contains(&name(dir)) && of_tree(dir)),
    );
    dirs.sort_by_key(|dir| name(dir));
    Ok(dirs)
}

/// Summary of a run, with or without a plan.
struct Told {
    run: String,
    bundle: String,
    cloud: String,
    image_name: String,
    at: Timestamp,
    plan: Option<Plan>,
    ended: Option<Ended>,
    /// What a run published that did not end.
    published: Option<String>,
}

impl Told {
    fn of(context: &Context, dir: &Path) -> Option<Self> {
        let plan = run_dir::read_plan(dir);
        let (run, bundle, cloud, image_name, at) = match &plan {
            Some(Plan { run, bundle, cloud, image_name, at, .. }) => {
                (run.clone(), bundle.clone(), cloud.clone(), image_name.clone(), *at)
            }
            None => match run_dir::read_start(dir)? {
                Stamped { at, event: Event::Started { run, bundle, image_name, cloud, .. } } => {
                    (run, bundle, cloud, image_name, at)
                }
                _ => return None,
            },
        };
        let (ended, published) = end(context, dir, &run);
        Some(Self { run, bundle, cloud, image_name, at, plan, ended, published })
    }

    /// `ended`, or how a run is that has no result.
    fn state(&self, context: &Context) -> &'static str {
        if self.ended.is_some() { "ended" } else { unfinished(context, &self.run) }
    }

    fn result(&self) -> Option<&serde_json::Value> {
        self.ended.as_ref().map(|ended| &ended.json)
    }

    /// The published image, in words.
    fn image(&self) -> Option<String> {
        let of_end = self.ended.as_ref().and_then(|ended| ended.image.as_ref());
        let of_end = of_end.map(|image| format!("{} {}", image.name, image.id));
        of_end.or_else(|| Some(format!("{} (published)", self.published.as_ref()?)))
    }
}

/// How a run ended.
struct Ended {
    outcome: String,
    seconds: f64,
    image: Option<FinishedImage>,
    error: Option<String>,
    kept: Option<SshAccess>,
    leaks: Vec<String>,
    /// The result, or the last event.
    json: serde_json::Value,
}

impl From<Record> for Ended {
    fn from(record: Record) -> Self {
        let json = serde_json::to_value(&record).expect("records are plain data");
        let leak = |leak: &Leak| {
            format!("{} {}: {}", leak.entry.kind.name(), leak.entry.name, leak.reason)
        };
        Self {
            outcome: record.outcome,
            seconds: record.seconds,
            image: record.image.map(|image| FinishedImage { id: image.id, name: image.name }),
            error: record.error,
            kept: record.kept,
            leaks: record.leaks.iter().map(leak).collect(),
            json,
        }
    }
}

/// The end of a run: by its result, in the workspace or in the home, or by its last event where
/// that is lost. Otherwise the name of what it published.
fn end(context: &Context, dir: &Path, run: &str) -> (Option<Ended>, Option<String>) {
    let record =
        run_dir::read_record(dir).or_else(|| run_dir::read_record(&indexed(context, run)?.dir));
    if let Some(record) = record {
        return (Some(record.into()), None);
    }
    let heard = run_dir::hear(dir);
    match heard.finished {
        Some(event) => (ended_by(event), None),
        None => {
            let name = |name: Option<String>| name.map_or("an image".into(), |name| clean(&name));
            (None, heard.published.map(name))
        }
    }
}

fn ended_by(event: Event) -> Option<Ended> {
    let json = serde_json::to_value(&event).expect("events are plain data");
    let Event::Finished { outcome, seconds, image, error, leaks } = event else { return None };
    // A tree may bring any, and it is shown in lines.
    let image = image.map(|i| FinishedImage { id: clean(&i.id), name: clean(&i.name) });
    Some(Ended { outcome: clean(&outcome), seconds, image, error, kept: None, leaks, json })
}

fn indexed(context: &Context, run: &str) -> Option<IndexedRun> {
    let all = run_dir::indexed(&context.home).unwrap_or_default();
    all.into_iter().find(|one| one.run == run)
}

fn name(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn find<'a>(dirs: &'a [PathBuf], wanted: Option<&str>) -> Result<&'a Path, Failure> {
    if wanted.is_some_and(str::is_empty) {
        return Err(Failure::usage("no run is named: the ID is empty"));
    }
    let mut fits = dirs.iter().rev().filter(|d| wanted.is_none_or(|w| name(d).ends_with(w)));
    let first = fits.next();
    if let (Some(wanted), Some(first), Some(other)) = (wanted, first, fits.next()) {
        let (first, other) = (name(first), name(other));
        let text = format!("`{wanted}` is the end of {first} and of {other}, at least");
        return Err(Failure::usage(text));
    }
    first.map(PathBuf::as_path).ok_or_else(|| match wanted {
        Some(w) => Failure::usage(format!("no run `{w}`"))
            .hint("`image-factory run list` shows what there is"),
        None => Failure::usage("no run yet"),
    })
}

fn list(context: &Context, dirs: &[PathBuf]) {
    let mut rows = Vec::new();
    for dir in dirs {
        rows.extend(Told::of(context, dir));
    }
    if context.common.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|r| {
                serde_json::json!({"run": r.run, "bundle": r.bundle,
                "image_name": r.image_name, "state": r.state(context), "result": r.result(),
                "published": r.published})
            })
            .collect();
        out(&serde_json::to_string_pretty(&rows).expect("records are plain data"));
        return;
    }
    out(&format!("{:<22}  {:<24}  {:<10}  {:>7}  IMAGE", "RUN", "BUNDLE", "OUTCOME", "SECONDS"));
    for row in rows {
        let (outcome, seconds) = match &row.ended {
            Some(r) => (r.outcome.as_str(), format!("{:.0}", r.seconds)),
            None => (row.state(context), String::new()),
        };
        let image = row.image().unwrap_or_else(|| "-".into());
        let Told { run, bundle, .. } = &row;
        out(&format!("{run:<22}  {bundle:<24}  {outcome:<10}  {seconds:>7}  {image}"));
    }
}

/// State of a run without a result.
fn unfinished(context: &Context, run: &str) -> &'static str {
    let life = indexed(context, run).map(|one| one.life);
    match life.or_else(|| run_dir::life_elsewhere(&context.home, run)) {
        Some(Life::Alive) => "running",
        Some(Life::Dead(_)) => "died",
        // A run leaves the index when it ends, with a result, or by a sweep.
        None => "swept",
        Some(Life::Unknown(_)) => "unclear",
    }
}

/// A stage of a run that came to its end.
struct StageEnd {
    stage: Stage,
    seconds: f64,
    well: bool,
}

/// As its events have them.
fn stages(dir: &Path) -> Vec<StageEnd> {
    let text = run_dir::read_text(dir, EVENTS).unwrap_or_default();
    let ended = |line: &str| match serde_json::from_str::<Stamped>(line).ok()?.event {
        Event::StageDone { stage, seconds } => Some(StageEnd { stage, seconds, well: true }),
        Event::StageFailed { stage, seconds, .. } => Some(StageEnd { stage, seconds, well: false }),
        _ => None,
    };
    text.lines().filter_map(ended).collect()
}

/// What a run had from checkpoints, in words.
fn restored(dir: &Path) -> Vec<String> {
    let told = |event: Event| match event {
        Event::MachineRestored { age_seconds } => {
            Some(format!("the machine: {}", sentences::restored(age_seconds)))
        }
        Event::StepRestored { index, of, name, age_seconds } => {
            let (step, name) = (index + 1, clean(&name));
            Some(format!("step {step} of {of}, {name}: {}", sentences::restored(age_seconds)))
        }
        _ => None,
    };
    let course = run_dir::read_course(dir).unwrap_or_default();
    course.into_iter().filter_map(|Stamped { event, .. }| told(event)).collect()
}

fn show(context: &Context, dir: &Path) -> Result<(), Failure> {
    let recorded = Told::of(context, dir);
    let recorded = recorded.ok_or_else(|| {
        Failure::host(format!("{}: neither plan.json nor events.jsonl is readable", dir.display()))
    })?;
    let (state, image) = (recorded.state(context), recorded.image());
    let stages = stages(dir);
    if context.common.json {
        let told = |one: &StageEnd| {
            let StageEnd { stage, seconds, well } = one;
            serde_json::json!({ "name": stage.name(), "seconds": seconds, "passed": well })
        };
        let told: Vec<_> = stages.iter().map(told).collect();
        let shown = serde_json::json!({ "plan": recorded.plan, "state": state, "stages": told,
            "result": recorded.result(), "published": recorded.published });
        out(&serde_json::to_string_pretty(&shown).expect("records are plain data"));
        return Ok(());
    }
    let Told { run, bundle, cloud, at, ended, .. } = recorded;
    out(&format!(
        "run       {run}\nbundle    {bundle}\ncloud     {cloud}\nstarted   {at:.0}\ndirectory {}",
        dir.display()
    ));
    for StageEnd { stage, seconds, well } in &stages {
        let word = if *well { "done" } else { "failed" };
        out(&format!("stage     {} {word}, {}", stage.name(), duration(*seconds)));
    }
    restored(dir).iter().for_each(|line| out(&format!("restored  {line}")));
    match &ended {
        None => out(&format!("outcome   {state}")),
        Some(r) => out(&format!("outcome   {} after {:.1} s", r.outcome, r.seconds)),
    }
    if let Some(error) = ended.as_ref().and_then(|r| r.error.as_ref()) {
        out(&format!("error     {error}"));
    }
    if let Some(image) = image {
        out(&format!("image     {image}"));
    }
    let Some(ended) = ended else { return Ok(()) };
    if let Some(kept) = ended.kept {
        match indexed(context, &run) {
            Some(_) => out(&format!("left up   {}: {}", kept.machine, shell::line(&kept.ssh))),
            None => out(&format!("left up   {}, and removed since", kept.machine)),
        }
    }
    ended.leaks.iter().for_each(|leak| out(&format!("leaked    {leak}")));
    Ok(())
}

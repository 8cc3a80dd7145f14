//! `image-factory run`
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;

use super::{Context, Failure, out};
use crate::engine::run_dir::{self, LOG, Life, Record};
use crate::model::event::{Event, Stamped};
use crate::plan::Plan;
use crate::text::shell;

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
    record: Option<Record>,
}

impl Told {
    fn of(dir: &Path) -> Option<Self> {
        let record = run_dir::read_record(dir);
        if let Some(plan) = run_dir::read_plan(dir) {
            let (run, bundle, cloud) = (plan.run.clone(), plan.bundle.clone(), plan.cloud.clone());
            return Some(Self {
                run,
                bundle,
                cloud,
                image_name: plan.image_name.clone(),
                at: plan.at,
                plan: Some(plan),
                record,
            });
        }
        let Stamped { at, event: Event::Started { run, bundle, image_name, cloud, .. } } =
            run_dir::read_start(dir)?
        else {
            return None;
        };
        Some(Self { run, bundle, cloud, image_name, at, plan: None, record })
    }
}

impl Told {
    /// `ended`, or how a run is that has no result.
    fn state(&self, context: &Context) -> &'static str {
        if self.record.is_some() { "ended" } else { unfinished(context, &self.run) }
    }
}

fn name(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn find<'a>(dirs: &'a [PathBuf], wanted: Option<&str>) -> Result<&'a Path, Failure> {
    let mut fits = dirs.iter().rev().filter(|d| wanted.is_none_or(|w| name(d).ends_with(w)));
    fits.next().map(PathBuf::as_path).ok_or_else(|| match wanted {
        Some(w) => Failure::usage(format!("no run `{w}`"))
            .hint("`image-factory run list` shows what there is"),
        None => Failure::usage("no run yet"),
    })
}

fn list(context: &Context, dirs: &[PathBuf]) {
    let mut rows = Vec::new();
    for dir in dirs {
        rows.extend(Told::of(dir));
    }
    if context.common.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|r| {
                serde_json::json!({"run": r.run, "bundle": r.bundle,
                "image_name": r.image_name, "state": r.state(context), "result": r.record})
            })
            .collect();
        out(&serde_json::to_string_pretty(&rows).expect("records are plain data"));
        return;
    }
    out(&format!("{:<22}  {:<24}  {:<10}  {:>7}  IMAGE", "RUN", "BUNDLE", "OUTCOME", "SECONDS"));
    for row in rows {
        let state = row.state(context);
        let Told { run, bundle, record, .. } = row;
        let (outcome, seconds) = match &record {
            Some(r) => (r.outcome.as_str(), format!("{:.0}", r.seconds)),
            None => (state, String::new()),
        };
        let image = record
            .as_ref()
            .and_then(|r| r.image.as_ref())
            .map_or("-".into(), |i| format!("{} {}", i.name, i.id));
        out(&format!("{run:<22}  {bundle:<24}  {outcome:<10}  {seconds:>7}  {image}"));
    }
}

/// State of a run without a result.
fn unfinished(context: &Context, run: &str) -> &'static str {
    let indexed =
        run_dir::indexed(&context.home).unwrap_or_default().into_iter().find(|one| one.run == run);
    match indexed.map(|one| one.life).or_else(|| run_dir::life_elsewhere(&context.home, run)) {
        Some(Life::Alive) => "running",
        Some(Life::Dead(_)) => "died",
        // A run leaves the index when it ends, with a result, or by a sweep.
        None => "swept",
        Some(Life::Unknown(_)) => "unclear",
    }
}

fn show(context: &Context, dir: &Path) -> Result<(), Failure> {
    let recorded = Told::of(dir);
    let recorded = recorded.ok_or_else(|| {
        Failure::host(format!("{}: neither plan.json nor events.jsonl is readable", dir.display()))
    })?;
    let state = recorded.state(context);
    let Told { run, bundle, cloud, at, plan, record, .. } = recorded;
    if context.common.json {
        let shown = serde_json::json!({ "plan": plan, "state": state, "result": record });
        out(&serde_json::to_string_pretty(&shown).expect("records are plain data"));
        return Ok(());
    }
    out(&format!(
        "run       {run}\nbundle    {bundle}\ncloud     {cloud}\nstarted   {at:.0}\ndirectory {}",
        dir.display()
    ));
    match record {
        None => out(&format!("outcome   {state}")),
        Some(r) => {
            out(&format!("outcome   {} after {:.1} s", r.outcome, r.seconds));
            if let Some(e) = r.error {
                out(&format!("error     {e}"));
            }
            if let Some(i) = r.image {
                out(&format!("image     {} {}", i.name, i.id));
            }
            if let Some(kept) = r.kept {
                out(&format!("left up   {}: {}", kept.machine, shell::line(&kept.ssh)));
            }
            for leak in r.leaks {
                out(&format!(
                    "leaked    {} {}: {}",
                    leak.entry.kind.name(),
                    leak.entry.name,
                    leak.reason
                ));
            }
        }
    }
    Ok(())
}

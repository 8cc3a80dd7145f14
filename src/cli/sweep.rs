//! `image-factory sweep`
use std::process::ExitCode;

use super::{Context, Failure, err, out};
use crate::engine::run_dir;
use crate::sweep::{self, State, Swept};
use crate::text::shell;

#[derive(clap::Args)]
pub struct Args {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Sweep only this run, even if its machine was kept on purpose; the end of its ID suffices
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

/// The ID of the run that owns something and whose ID ends so, as `run show` takes it; `end` if
/// there is none.
fn whole(context: &Context, end: &str) -> Result<String, Failure> {
    let indexed = run_dir::indexed(&context.home)
        .map_err(|e| Failure::host(format!("the index of runs cannot be read: {e}")))?;
    let mut fits = indexed.into_iter().map(|one| one.run).filter(|run| run.ends_with(end));
    match (fits.next(), fits.next()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(other)) => {
            Err(Failure::usage(format!("`{end}` is the end of {one} and of {other}, at least")))
        }
        (None, _) => Ok(end.to_owned()),
    }
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (cloud, _) = context.cloud()?;
    super::image::tell_unreadable(&*cloud).await?;
    if args.run.as_ref().is_some_and(String::is_empty) {
        return Err(Failure::usage("--run names no run: it is empty"));
    }
    let run = args.run.as_ref().map(|end| whole(context, end)).transpose()?;
    let swept = sweep::sweep(&*cloud, &context.home, run.as_deref(), args.dry_run).await?;
    if let (Some(run), true) = (&run, swept.is_empty()) {
        return Err(Failure::usage(format!("no run {run} owns anything")));
    }
    if context.common.json {
        out(&serde_json::to_string_pretty(&swept).expect("reports are plain data"));
    } else {
        let verb = if args.dry_run { "would remove" } else { "removed" };
        swept.iter().for_each(|report| tell(report, verb));
        if swept.iter().all(|r| r.state != State::Dead) {
            out("nothing to sweep");
        }
    }
    let clean = swept.iter().all(|r| r.leaks.is_empty() && r.error.is_none());
    Ok(ExitCode::from(if clean { 0 } else { 60 }))
}

fn tell(report: &Swept, verb: &str) {
    let run = &report.run;
    // An unclear one's cloud is not known: the one that was asked is as good as any.
    let command = match report.cloud.is_empty() {
        true => format!("image-factory sweep --cloud NAME --run {}", shell::word(run)),
        false => sweep::command(&report.cloud, run),
    };
    report.notes.iter().for_each(|note| err(&format!("warning: {run}: {note}")));
    match report.state {
        State::Alive => out(&format!("{run}: alive, left alone")),
        State::RetainedMachine => {
            out(&format!("{run}: left up on purpose; `{command}` removes it"))
        }
        State::Warm => {
            out(&format!("{run}: a warm builder, for a build to come; `{command}` removes it"))
        }
        State::OtherCloud => {
            let with = if sweep::of_environment(&report.cloud) {
                " with its OS_* variables set"
            } else {
                ""
            };
            let text = format!(
                "{run}: built on {}; `{command}`{with} removes what it left there",
                report.cloud
            );
            out(&text);
        }
        State::Foreign => {
            out(&format!(
                "{run}: has things here, and is not in this home's index; if it is dead, \
                    `{command}` removes them"
            ));
        }
        State::Unclear => {
            out(&format!(
                "{run}: its record is damaged, left alone; if it is dead, `{command}` removes what \
                    it left there"
            ));
        }
        State::Dead => {
            for thing in &report.things {
                out(&format!("{run}: {verb} {}", sweep::name(thing)));
            }
            for image in &report.published {
                out(&format!("{run}: {}", sweep::stays(image)));
            }
            for leak in &report.leaks {
                err(&format!("{run}: cannot remove {}: {}", sweep::name(&leak.entry), leak.reason));
            }
            if let Some(error) = &report.error {
                err(&format!("error: {run}: {error}"));
            }
        }
    }
}

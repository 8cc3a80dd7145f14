//! `image-factory sweep`
use std::process::ExitCode;

use super::{Context, Failure, err, out};
use crate::sweep::{self, State};

#[derive(clap::Args)]
pub struct Args {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Only this run, even if its machine was left up on purpose
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (cloud, _) = context.cloud()?;
    let swept = sweep::sweep(&*cloud, &context.home, args.run.as_deref(), args.dry_run).await?;
    if let (Some(run), true) = (&args.run, swept.is_empty()) {
        return Err(Failure::usage(format!("run {run} owns nothing")));
    }
    if context.common.json {
        out(&serde_json::to_string_pretty(&swept).expect("reports are plain data"));
    } else {
        let verb = if args.dry_run { "would remove" } else { "removed" };
        for report in &swept {
            match report.state {
                State::Alive => out(&format!("{}: alive, left alone", report.run)),
                State::Kept => {
                    out(&format!("{}: left up on purpose; `{}` removes it", report.run, sweep::command(&report.cloud, &report.run)));
                }
                State::Elsewhere => {
                    let command = sweep::command(&report.cloud, &report.run);
                    let with = if sweep::of_environment(&report.cloud) { " with its OS_* variables set" } else { "" };
                    out(&format!("{}: built on {}; `{command}`{with} removes what it left there", report.run, report.cloud));
                }
                State::Stranger => {
                    out(&format!(
                        "{}: has things here, and was not begun on this machine; `{}` removes them",
                        report.run,
                        sweep::command(&report.cloud, &report.run)
                    ));
                }
                State::Dead => {
                    for thing in &report.things {
                        out(&format!("{}: {verb} {}", report.run, sweep::name(thing)));
                    }
                    for leak in &report.leaks {
                        err(&format!("{}: cannot remove {}: {}", report.run, sweep::name(&leak.entry), leak.reason));
                    }
                }
            }
        }
        if swept.iter().all(|r| r.state != State::Dead) {
            out("nothing to sweep");
        }
    }
    let clean = swept.iter().all(|r| r.leaks.is_empty());
    Ok(ExitCode::from(if clean { 0 } else { 60 }))
}

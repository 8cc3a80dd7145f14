//! `image-factory warm`: the pool of warm builders.
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{Context, Failure, err, out};
use crate::engine::pool::{Records, Use, WarmBuilder};
use crate::jobs::{AfterBuilds, Factory, Filled, NotKept, RunOptions, exit_code};
use crate::log::sentences::duration;
use crate::model::definition::Definition;
use crate::model::event::{Sink, Stamped};
use crate::provider::ledger::Leak;
use crate::text::clean;

#[derive(clap::Args)]
pub struct Args {
    /// Bundles whose `warm` is to be met: `images/X`, `os/Y`, a bare name, or a path
    #[arg(required_unless_present = "list", value_name = "BUNDLE")]
    bundles: Vec<String>,
    /// List the warm builders of all clouds, oldest first, and boot none
    #[arg(long, conflicts_with = "bundles")]
    list: bool,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    if args.list {
        return list(context);
    }
    let bundles = context.load(&args.bundles).await?;
    let (cloud, line) = context.cloud()?;
    if !context.common.quiet {
        err(&line);
    }
    let factory = context.factory(cloud)?;
    let (mut codes, mut rows) = (Vec::new(), Vec::new());
    for bundle in &bundles {
        let filled = factory.fill(&context.options(), bundle).await?;
        codes.extend(filled.runs.iter().map(|ended| ended.exit_code()));
        codes.extend((!filled.leaks.is_empty()).then_some(exit_code::FAILED_WITH_LEAKS));
        rows.push(json!({ "bundle": bundle.label, "warm": filled.there, "wanted": bundle.warm,
            "removed": filled.removed }));
        let there = format!("{}: {} of {} warm", bundle.label, filled.there, bundle.warm);
        told_removed(&filled.removed);
        told_leaks(&filled.leaks);
        filled.runs.into_iter().for_each(|ended| super::build::tell(bundle, ended));
        if !context.common.json {
            out(&there);
        }
    }
    if context.common.json {
        super::document(&context.common, ("warm", "bundles"), &rows.into());
    }
    Ok(ExitCode::from(exit_code::worst(codes)))
}

/// Removes warm builders that are nobody's any more, and fills the pools of `built`, which were
/// published: a failure is a warning.
pub async fn after_builds(context: &Context, factory: &Arc<Factory>, built: &[Definition]) {
    let silent: RunOptions =
        RunOptions { show: Arc::new(|_: &str| Box::new(Silent)), ..context.options() };
    let AfterBuilds { cleared, filled } = factory.after_builds(&silent, built).await;
    match cleared {
        Ok((removed, leaks)) => {
            if !context.common.quiet {
                told_removed(&removed);
            }
            told_leaks(&leaks);
        }
        // Whoever stopped the builds wants no more of them.
        Err(_) if context.cancel.check().is_err() => {}
        Err(e) => err(&format!("warning: warm builders are not looked through: {e}")),
    }
    for (label, filled) in filled {
        match filled {
            Ok(Filled { runs, there, removed, leaks }) => {
                let failed = runs.iter().filter_map(|ended| ended.result.as_ref().err());
                failed.for_each(|e| err(&format!("warning: {label}: {e}")));
                told_leaks(&leaks);
                if !context.common.quiet {
                    told_removed(&removed);
                    let wanted = built.iter().find(|bundle| bundle.label == label);
                    let wanted = wanted.map_or(0, |bundle| bundle.warm);
                    err(&format!("{label}: {there} of {wanted} warm"));
                }
            }
            // The plan has said so.
            Err(NotKept::Here | NotKept::NoBase(..)) => {}
            Err(e) => err(&format!("warning: no warm builder for {label}: {e}")),
        }
    }
}

fn told_removed(runs: &[String]) {
    runs.iter().for_each(|run| err(&format!("{run}: removed, too old or gone")));
}

fn told_leaks(leaks: &[Leak]) {
    leaks
        .iter()
        .for_each(|leak| err(&format!("left behind: {}: {}", leak.entry.name, leak.reason)));
}

struct Silent;

impl Sink for Silent {
    fn take(&mut self, _: &Stamped) {}
}

fn list(context: &Context) -> Result<ExitCode, Failure> {
    let all = Records::of(&context.home)
        .states()
        .map_err(|e| Failure::host(format!("the index of runs cannot be read: {e}")))?;
    if context.common.json {
        let row = |(warm, state): &(WarmBuilder, Use)| {
            json!({ "run": warm.run, "bundle": warm.bundle, "cloud": warm.key.cloud,
                "base": warm.key.base.0, "at": warm.at, "state": state,
                "taken_by": warm.taken_by })
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        super::document(&context.common, ("warm", "builders"), &rows.into());
        return Ok(ExitCode::SUCCESS);
    }
    out(&format!("{:<22}  {:<24}  {:>8}  {:<8}  CLOUD", "RUN", "BUNDLE", "AGE", "STATE"));
    for (warm, state) in &all {
        let WarmBuilder { run, key, .. } = warm;
        let (bundle, cloud) = (clean(&warm.bundle), clean(&key.cloud));
        let state = match state {
            Use::Booting => "booting",
            Use::Free => "free",
            Use::Taken => "taken",
            Use::Retained => "left up",
            Use::Over => "over",
        };
        let age = duration(warm.age().as_secs_f64());
        out(&format!("{run:<22}  {bundle:<24}  {age:>8}  {state:<8}  {cloud}"));
    }
    Ok(ExitCode::SUCCESS)
}

impl From<NotKept> for Failure {
    fn from(e: NotKept) -> Self {
        match e {
            NotKept::Run(e) => e.into(),
            NotKept::NotWanted(_) => Failure::usage(e.to_string())
                .hint("`warm: 1` in its build-vars.yml keeps one builder"),
            NotKept::Here | NotKept::NoBase(..) => Failure::usage(e.to_string()),
        }
    }
}

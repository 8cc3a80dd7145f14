//! `image-factory build`
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Context, Failure, document, err, exit, out, show, warm};
use crate::engine::checkpoints::Range;
use crate::frontend;
use crate::jobs::{
    self, End, Factory, Job, Need, NotBuilt, Results, RetainedMachine, RunOptions, RunOutcome,
    RunRequest, exit_code,
};
use crate::log::sentences;
use crate::model::definition::Definition;
use crate::model::event::seconds;
use crate::model::image::Image;
use crate::model::outcome::Outcome;
use crate::sweep;
use crate::text::shell;

pub const EXAMPLES: &str = "\
Examples:
  image-factory build images/bundle-nginx
  image-factory build os/debian-12 bundle-a bundle-b --jobs 2
  image-factory build --stale --dry-run     show which images are stale, and why
  image-factory build --stale --jobs 2      rebuild stale images, bases first";

#[derive(clap::Args)]
pub struct Args {
    /// Bundles: `images/X`, `os/Y`, a bare name, or a path
    #[arg(required_unless_present = "stale", value_name = "BUNDLE")]
    bundles: Vec<String>,
    /// Build only stale bundles: the definition changed, the base has a different current image, or
    /// the base is rebuilt too
    ///
    /// Outputs of a current image that are not shown on this machine are rendered without a build.
    /// Without BUNDLE, checks every definition that has an active image. A definition that was
    /// never built is built only if it is named. A rolled-back image is not rebuilt until its
    /// inputs change.
    #[arg(long)]
    stale: bool,
    /// With --stale: show what is stale and why, and build nothing
    #[arg(long, requires = "stale")]
    dry_run: bool,
    /// Build up to N bundles in parallel
    ///
    /// Each build checks quotas and the RAM of this machine by itself, without counting the others.
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=64)
    )]
    jobs: u32,
    /// Keep the machine of a failed build, and print the command that logs in to it
    ///
    /// Its other machines are removed. What else the machine needs stays with it, and is named.
    #[arg(long)]
    keep_on_failure: bool,
    /// Publish the captured image without booting or testing it
    #[arg(long)]
    no_smoke: bool,
    /// Build even if the family's image was made from the same files, values and base, and run
    /// every step
    ///
    /// Without it, such an image is the result, if it passed the checks that are asked for: nothing
    /// is built, and its outputs are rendered anew. A build on this machine begins from the longest
    /// prefix of its steps that an earlier build kept. Packages and other things that steps fetch
    /// may be newer by now; the factory does not look.
    #[arg(long, visible_alias = "fresh", conflicts_with = "stale")]
    force: bool,
    /// Do not validate rendered templates with the cloud's Heat
    #[arg(long)]
    no_heat_validate: bool,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    // With `--stale`, what is up to date keeps its results: of those that are due they go once they
    // are known. None are known to have been asked for without names.
    let mut results = context.results_of(&args.bundles);
    let withdrawn = if args.stale { &[] } else { &results[..] };
    let ran = match withdrawn.iter().try_for_each(Results::withdraw) {
        Ok(()) => build(context, args, &mut results).await,
        Err(e) => Err(e.into()),
    };
    match ran {
        Err(failure) if !args.dry_run => Ok(none_built(context, args, &results, failure)),
        ran => ran,
    }
}

/// Ends a build that failed before any of its bundles had a run.
fn none_built(context: &Context, args: &Args, results: &[Results], failure: Failure) -> ExitCode {
    let (why, code) = (failure.to_string(), failure.code());
    let not = NotBuilt { cloud: "", why: &why, exit_code: code, definition: None };
    // Lines for people are the failure's own.
    let streams = context.common.progress == show::Progress::Json;
    jobs::none_built(results, &not, streams.then(|| context.show()).as_ref());
    if context.common.json {
        let row = |bundle: Option<&str>| Row::not_begun(failed(code), code, &why).json(bundle);
        let rows: Vec<Value> = match &args.bundles[..] {
            [] => vec![row(None)],
            named if results.len() != named.len() => {
                named.iter().map(|one| row(Some(one))).collect()
            }
            _ => results.iter().map(|one| row(Some(one.label()))).collect(),
        };
        document(&context.common, SUMMARY, &rows.into());
    }
    failure.report()
}

/// `results`: of the bundles that are built.
async fn build(
    context: &Context,
    args: &Args,
    results: &mut Vec<Results>,
) -> Result<ExitCode, Failure> {
    let (bundles, invalid) = match args.bundles.is_empty() {
        false => (context.load(&args.bundles).await?, 0),
        true => sound(context).await?,
    };
    let (cloud, line) = context.cloud()?;
    if !context.common.quiet {
        err(&line);
    }
    let factory = context.factory(cloud)?;
    let (code, built) = ended(context, &factory, (args, bundles, invalid), results).await?;
    // What they came to, and which they are, matters little to builders that nobody takes.
    if !args.dry_run {
        warm::after_builds(context, &factory, &built).await;
    }
    Ok(ExitCode::from(code))
}

/// The exit code, and the definitions of which an image was published.
async fn ended(
    context: &Context,
    factory: &Arc<Factory>,
    (args, mut bundles, invalid): (&Args, Vec<Definition>, u8),
    results: &mut Vec<Results>,
) -> Result<(u8, Vec<Definition>), Failure> {
    let mut due = Due::default();
    if args.stale {
        due = stale(context, factory, bundles, args).await?;
        bundles = std::mem::take(&mut due.builds);
        if args.dry_run || (bundles.is_empty() && due.outputs.is_empty()) {
            return Ok((invalid, Vec::new()));
        }
        *results = bundles.iter().map(Results::of).collect();
        results.iter().try_for_each(Results::withdraw)?;
    }
    let at_once = args.jobs as usize;
    let mut options = RunOptions {
        keep_on_failure: args.keep_on_failure,
        smoke: !args.no_smoke,
        // With `--stale` it is settled what is built.
        range: Range { fresh: args.force, ..Range::default() },
        force: args.force || args.stale,
        check_templates: !args.no_heat_validate,
        ..context.options()
    };
    let rendered = outputs(factory, &options, due.outputs).await;
    if bundles.is_empty() {
        return Ok((summary(context, rendered, invalid), Vec::new()));
    }
    if let ([bundle], false) = (&bundles[..], args.stale) {
        return Ok(alone(context, factory, bundle, options).await);
    }
    if at_once > 1 {
        options.show =
            show::side_by_side(context.common.progress, context.verbosity(), &context.terminal);
    }
    let jobs = factory.jobs(&options, bundles).await?;
    if !context.common.quiet {
        jobs.iter().filter_map(|job| job.added.as_ref()).for_each(|note| err(note));
    }
    let (rows, untold) = rows_of(factory, &options, &jobs, at_once).await;
    untold.into_iter().for_each(|(index, ended)| tell(&jobs[index].bundle, ended));
    let built = built_of(&jobs, &rows);
    Ok((summary(context, rendered.into_iter().chain(rows).collect(), invalid), built))
}

/// Definitions of which an image was published.
fn built_of(jobs: &[Job], rows: &[(String, Row)]) -> Vec<Definition> {
    let is_built =
        |label: &str| rows.iter().any(|(of, row)| of == label && row.word == Outcome::Built.name());
    jobs.iter().map(|job| &job.bundle).filter(|bundle| is_built(&bundle.label)).cloned().collect()
}

/// The only build of a command: its exit code, and the definition if its image was published.
async fn alone(
    context: &Context,
    factory: &Arc<Factory>,
    bundle: &Definition,
    options: RunOptions,
) -> (u8, Vec<Definition>) {
    let begin = Instant::now();
    let ended = factory.build(RunRequest { definition: bundle.clone(), options }).await;
    let built = (ended.outcome == Outcome::Built).then_some(bundle);
    (told_alone(context, bundle, ended, begin), built.into_iter().cloned().collect())
}

/// What `--stale` found.
#[derive(Default)]
struct Due {
    builds: Vec<Definition>,
    /// Definitions whose image is current, and its outputs are not there.
    outputs: Vec<(Definition, Image)>,
}

/// Makes outputs without a build. A row for each definition, with its label.
async fn outputs(
    factory: &Factory,
    options: &RunOptions,
    due: Vec<(Definition, Image)>,
) -> Vec<(String, Row)> {
    let mut rows = Vec::new();
    for (bundle, image) in due {
        let begin = Instant::now();
        let ended = factory.make_outputs(options, &bundle, image).await;
        rows.push((bundle.label.clone(), Row::of(&ended, seconds(begin.elapsed()))));
        tell(&bundle, ended);
    }
    rows
}

/// All definitions of the tree that are sound. The others are told, and left out; with the exit
/// code that means.
async fn sound(context: &Context) -> Result<(Vec<Definition>, u8), Failure> {
    let all = all(context)?;
    let failure = match context.load(&all).await {
        Ok(bundles) => return Ok((bundles, 0)),
        Err(failure) if failure.code() == exit_code::BUNDLE => failure,
        Err(failure) => return Err(failure),
    };
    let (mut bundles, mut code) = (Vec::new(), failure.code());
    for label in &all {
        match context.load(std::slice::from_ref(label)).await {
            Ok(sound) => bundles.extend(sound),
            Err(failure) => {
                code = exit_code::worst([code, failure.code()]);
                failure.report();
                err(&format!("    {label} is left out"));
            }
        }
    }
    // Each by itself is sound; together they may not be.
    let names: Vec<String> = bundles.iter().map(|bundle| bundle.label.clone()).collect();
    Ok((context.load(&names).await?, code))
}

/// Labels of all definitions.
fn all(context: &Context) -> Result<Vec<String>, Failure> {
    let tree = context.tree()?;
    let labels: Vec<String> = frontend::all(&tree)
        .iter()
        .filter_map(|d| d.strip_prefix(&tree).ok())
        .map(|d| d.display().to_string())
        .collect();
    if labels.is_empty() {
        Err(Failure::usage(format!("{} holds no definition", tree.display())))
    } else {
        Ok(labels)
    }
}

/// What is due of `bundles`. Reports the state of each.
async fn stale(
    context: &Context,
    factory: &Factory,
    bundles: Vec<Definition>,
    args: &Args,
) -> Result<Due, Failure> {
    let needs = factory.needs(&bundles, !args.bundles.is_empty(), &context.cancel).await?;
    let mut due = Due::default();
    let mut rows = Vec::new();
    for (bundle, need) in bundles.into_iter().zip(needs) {
        let (word, why) = match &need {
            Need::Stale(why) => ("stale", why.join("; ")),
            Need::Fresh(None) => ("up to date", String::new()),
            Need::Fresh(Some(unknown)) => ("up to date", format!("as far as is known: {unknown}")),
            Need::Outputs { image, missing } => {
                let first = missing.first().map_or_else(String::new, |p| p.display().to_string());
                let more = missing.len().saturating_sub(1);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let why = format!("{first}{more} of image {}; made without a build", image.name);
                ("outputs missing", why)
            }
            Need::NeverBuilt => ("never built", "name it to have it built".into()),
            Need::NoneActive(why) => ("not in use", format!("{why}; name it to have it built")),
            Need::RolledBack(image) => {
                ("rolled back", format!("{image} was made of the very same, and is deprecated"))
            }
        };
        rows.push((bundle.label.clone(), word, why));
        match need {
            Need::Stale(_) => due.builds.push(bundle),
            Need::Outputs { image, .. } => due.outputs.push((bundle, *image)),
            _ => {}
        }
    }
    // Standard output holds one document: what was done, or this if there is nothing to do.
    let idle = due.builds.is_empty() && due.outputs.is_empty();
    if context.common.json && (args.dry_run || idle) {
        let row = |row: &(String, &str, String)| {
            let (label, word, why) = row;
            json!({ "bundle": label, "state": word, "why": why })
        };
        document(&context.common, ("stale", "bundles"), &rows.iter().map(row).collect());
    } else {
        let say = if context.common.json { err } else { out };
        for (label, word, why) in &rows {
            say(&format!("{label}: {word}{}{why}", if why.is_empty() { "" } else { ": " }));
        }
        if idle {
            say("nothing is stale");
        }
    }
    Ok(due)
}

/// The event and the key of the summary of builds.
const SUMMARY: (&str, &str) = ("summary", "builds");

/// A row of the summary.
struct Row {
    /// For people; for programs the run's own word.
    outcome: String,
    word: &'static str,
    seconds: Option<f64>,
    /// Name and ID.
    image: Option<(String, String)>,
    code: u8,
    error: Option<String>,
}

impl Row {
    fn not_begun(outcome: String, code: u8, error: &str) -> Self {
        let word = if code == exit::STOPPED { Outcome::Stopped } else { Outcome::Failed }.name();
        Self { outcome, word, seconds: None, image: None, code, error: Some(error.into()) }
    }

    fn of(ended: &RunOutcome, seconds: f64) -> Self {
        let code = ended.exit_code();
        let outcome = match (&ended.result, code) {
            (Ok(None), 0) => "passed".to_owned(),
            (Ok(_), 0) if ended.dir.is_none() => "made by another build".to_owned(),
            (Ok(_), 0) if ended.outcome == Outcome::Unchanged => "unchanged".to_owned(),
            (Ok(_), 0) => "built".to_owned(),
            (Ok(_), exit_code::INCOMPLETE) => format!("built, base incomplete ({code})"),
            (Ok(_), _) => "built, leaks".to_owned(),
            (Err(e), _) if e.published().is_some() => format!("incomplete ({code})"),
            (Err(_), exit::STOPPED) => "stopped".to_owned(),
            (Err(_), code) => failed(code),
        };
        let image = ended.published().map(|i| (i.name.clone(), i.id.clone()));
        let of_bases = || (ended.of_bases != 0).then(|| "a base of it is incomplete".to_owned());
        let error = ended.result.as_ref().err().map(ToString::to_string).or_else(of_bases);
        let word = ended.outcome.name();
        Self { outcome, word, seconds: Some(seconds), image, code, error }
    }

    fn json(&self, bundle: Option<&str>) -> Value {
        let image = self.image.as_ref().map(|(name, id)| json!({ "id": id, "name": name }));
        json!({ "bundle": bundle, "outcome": self.word, "seconds": self.seconds,
            "image": image, "code": self.code, "error": self.error })
    }
}

fn failed(code: u8) -> String {
    format!("failed ({code})")
}

/// Tells of the only run of a command; its exit code.
pub fn told_alone(context: &Context, bundle: &Definition, ended: RunOutcome, begin: Instant) -> u8 {
    let code = ended.exit_code();
    if context.common.json {
        let row = Row::of(&ended, seconds(begin.elapsed())).json(Some(&bundle.label));
        document(&context.common, SUMMARY, &vec![row].into());
    }
    tell(bundle, ended);
    code
}

/// Runs the jobs. A row for each, and the outcomes that are not reported yet.
async fn rows_of(
    factory: &Arc<Factory>,
    options: &RunOptions,
    jobs: &[Job],
    at_once: usize,
) -> (Vec<(String, Row)>, Vec<(usize, RunOutcome)>) {
    let (mut rows, mut untold) = (BTreeMap::new(), Vec::new());
    let on_end = |index: usize, end: End| {
        rows.insert(index, (jobs[index].bundle.label.clone(), row(&end)));
        if let End::RunOutcome(ended, _) = end {
            match at_once {
                1 => tell(&jobs[index].bundle, *ended),
                // Live lines of others are being drawn.
                _ => untold.push((index, *ended)),
            }
        }
    };
    factory.build_all(options, jobs, at_once, on_end).await;
    (rows.into_values().collect(), untold)
}

/// Prints the rows, each with the label of its definition. The exit code of all, and of what was
/// left out.
fn summary(context: &Context, rows: Vec<(String, Row)>, left_out: u8) -> u8 {
    if context.common.json {
        let rows = rows.iter().map(|(label, row)| row.json(Some(label))).collect();
        document(&context.common, SUMMARY, &rows);
    } else {
        err(&format!("\n{}", table(&rows)));
    }
    let stopped = context.cancel.check().is_err().then_some(exit::STOPPED);
    exit_code::worst(rows.iter().map(|(_, r)| r.code).chain(stopped).chain([left_out]))
}

fn row(end: &End) -> Row {
    match end {
        End::RunOutcome(ended, seconds) => Row::of(ended, *seconds),
        End::BaseFailed { base, code } => {
            let why = format!("base {base} was not built");
            Row::not_begun(format!("skipped: base {base} failed"), *code, &why)
        }
        End::NotBegun => Row::not_begun("not begun".into(), exit::STOPPED, jobs::NOT_BEGUN),
    }
}

fn table(rows: &[(String, Row)]) -> String {
    let widest = |of: &dyn Fn(&(String, Row)) -> usize, head: &str| {
        rows.iter().map(of).max().unwrap_or(0).max(head.len())
    };
    let bundle = widest(&|(label, _)| label.len(), "BUNDLE");
    let outcome = widest(&|(_, r)| r.outcome.len(), "OUTCOME");
    let mut lines =
        vec![format!("{:<bundle$}  {:<outcome$}  {:>8}  IMAGE", "BUNDLE", "OUTCOME", "TIME")];
    for (label, r) in rows {
        let time = r.seconds.map(sentences::duration).unwrap_or_else(|| "-".into());
        let image = r.image.as_ref().map_or("-".to_owned(), |(name, id)| format!("{name} {id}"));
        lines.push(format!("{label:<bundle$}  {:<outcome$}  {time:>8}  {image}", r.outcome));
    }
    lines.join("\n")
}

/// Reports what the run's last line does not say.
pub fn tell(bundle: &Definition, ended: RunOutcome) {
    // Whose machine was kept needs no advice to keep it.
    if let (Err(e), Some(_), None) = (&ended.result, &ended.dir, &ended.kept)
        && let Some(hint) = exit::run_hint(e)
    {
        err(&format!("    hint: {hint}"));
    }
    tell_of(bundle, ended);
}

/// [`tell`] without hints for a failure.
pub fn tell_of(bundle: &Definition, ended: RunOutcome) {
    let RunOutcome { result, leaks, kept, dir, outputs, .. } = ended;
    if let (Err(e), None) = (result, &dir) {
        let _ = Failure::from(e).report();
    }
    for leak in &leaks {
        err(&format!(
            "left behind: {} {}: {}",
            leak.entry.kind.name(),
            leak.entry.name,
            leak.reason
        ));
    }
    if !leaks.is_empty() {
        err("    hint: `image-factory sweep` tries again");
    }
    if let Some(RetainedMachine { opened, run, cloud }) = &kept {
        err(&format!("{} is still up. Open it:    {}", opened.machine, shell::line(&opened.ssh)));
        err(&format!("Remove it when done:        {}", sweep::command(cloud, run)));
    }
    let shown = |path: &Path| path.strip_prefix(&bundle.tree).unwrap_or(path).display().to_string();
    for path in &outputs {
        let what = if path.ends_with("report.html") { "report" } else { "rendered" };
        err(&format!("{what}: {}", shown(path)));
    }
    if let Some(dir) = &dir {
        err(&format!("log: {}", shown(&dir.join("build.log"))));
    }
}

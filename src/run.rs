//! One run of one bundle: facts, plan, run directory, build, outputs. What is here when it ends is
//! the record of the run.
//!
//! What a run owns is written down under the factory's home; its log and copies of the rest lie in
//! the workspace (`dir`).
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use crate::bundle::{self, Base, Bundle, Source};
use crate::cancel::{Cancel, Cancelled};
use crate::cloud::ledger::{self, Entry, Kind, Leak, Ledger, Made};
use crate::cloud::{Cloud, CloudError, Cx};
use crate::diagnostic::Diagnostic;
use crate::durable::{self, Others};
use crate::engine::{self, BuildContext, BuildError, Built, Goal, Interactive, Outcome, SshAccess};
use crate::event::{Event, Events, FinishedImage, Sink, Stage, seconds};
use crate::exec::probe;
use crate::family::{Policy, PruneAction};
use crate::git;
use crate::guest::Connect;
use crate::http::{Proxies, ProxyError};
use crate::image::{Image, Visibility};
use crate::lock::Held;
use crate::log::{self, sentences::TESTED, sentences::UNTESTED, sentences::VISITED};
use crate::plan::{
    self, BaseLookup, ControllerFacts, Facts, FactsQuery, Plan, Publishing, Purpose,
};
use crate::prune;
use crate::ready;
use crate::report;
use crate::wall::Wall;

mod dir;
mod index;
mod results;
#[cfg(test)]
mod tests;

use dir::{Beginning, RunDir};
pub use dir::{Record, directories, read_plan, read_record, read_start, read_text};
pub use index::{
    IndexedRun, Life, bases_of_live_runs, indexed, life_elsewhere, names_of_live_runs, tidy,
};
pub use results::Results;

/// Below the home: what checks found sound, and need not look at again.
pub const CHECKED: &str = "checked";

/// Where the factory keeps what outlives a run, on this machine.
#[derive(Debug, Clone)]
pub struct Home {
    /// Image store, index of runs, work files.
    pub data: PathBuf,
    /// Short directory for sockets and keys; only this user may look in.
    pub runtime: PathBuf,
}

impl Home {
    fn index(&self) -> PathBuf {
        self.data.join(ledger::RUNS)
    }

    /// Looks at what is there, and makes nothing: both directories are of this user alone, so that
    /// nobody else has a hand in what is written below them. What is ours and open to others all
    /// the same is told, for [`Home::secure`] closes it.
    pub fn check(&self) -> Result<Vec<String>, CloudError> {
        let mut open = Vec::new();
        self.look(|dir, others| {
            if !durable::check_private(dir, others)? {
                open.push(format!("{} is open to other users; a build closes it", dir.display()));
            }
            Ok(())
        })?;
        Ok(open)
    }

    /// The same, and makes what is not there.
    pub fn secure(&self) -> Result<(), CloudError> {
        self.look(durable::private_dir)
    }

    fn look(
        &self,
        mut how: impl FnMut(&Path, Others) -> std::io::Result<()>,
    ) -> Result<(), CloudError> {
        // A store on a larger disk may be linked to; where the link leads is what is looked at.
        let real = |dir: PathBuf| dir.canonicalize().unwrap_or(dir);
        let data = real(self.data.clone());
        let store = ["", "images", "cache", "cache/downloads", CHECKED]
            .map(|dir| (real(self.data.join(dir)), Others::Look, "IMAGE_FACTORY_HOME"));
        let runtime = (self.runtime.clone(), Others::Nothing, "XDG_RUNTIME_DIR");
        for (dir, others, variable) in store.into_iter().chain([runtime]) {
            let looked = match how(&dir, others) {
                // What lies in the home is made in it.
                Err(e)
                    if e.kind() == std::io::ErrorKind::NotFound
                        && dir.starts_with(&data)
                        && dir != data =>
                {
                    Ok(())
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => durable::may_be_made(&dir),
                looked => looked,
            };
            looked.map_err(|e| {
                CloudError::refused(format!("use directory {}", dir.display()), e.to_string())
                    .hint(format!("set {variable} to a directory that you alone can change"))
            })?;
        }
        Ok(())
    }
}

pub type Show<'a> = dyn Fn(&str) -> Box<dyn Sink> + Send + Sync + 'a;

/// What a run needs from its caller.
pub struct RunOptions<'a> {
    pub cloud: &'a dyn Cloud,
    pub connect: &'a dyn Connect,
    pub wall: &'a Wall,
    /// By which downloads come.
    pub proxies: &'a Proxies,
    pub home: &'a Home,
    pub cancel: &'a Cancel,
    /// Makes the sink that shows a run to the person who started it, from the bundle's label.
    pub show: &'a Show<'a>,
    pub keep_on_failure: bool,
    /// Test captured images before they are published.
    pub smoke: bool,
    /// Have rendered Heat templates checked by the cloud's Heat.
    pub check_templates: bool,
    pub templates: &'a report::Renderer,
    /// Nothing is built: the base is what is tested.
    pub test_only: bool,
    /// Set for `shell`.
    pub person: Option<&'a dyn Interactive>,
}

impl RunOptions<'_> {
    fn purpose(&self) -> Purpose {
        match self.person {
            _ if self.test_only => Purpose::Test { smoke: self.smoke },
            // What is looked at is the builder: nothing is captured that could be tested.
            Some(_) => Purpose::Visit,
            None => Purpose::Build { smoke: self.smoke },
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What is wrong with the bundle; nothing was created.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Bad(Vec<Diagnostic>),
    /// What the bundle asks for and the cloud or this machine does not have; nothing was created.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Diagnostic>),
    /// What is to be downloaded cannot be; nothing was created.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("cannot write {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the image is published, but its outputs could not be written: {0}")]
    Output(String),
    /// The base that had to be built first was not.
    #[error("base {base}: {source}")]
    Base { base: String, source: Box<RunError> },
}

/// How a run ended.
pub struct RunOutcome {
    pub result: Result<Option<Image>, RunError>,
    pub leaks: Vec<Leak>,
    pub kept: Option<RetainedMachine>,
    /// `None`: it was not begun.
    pub dir: Option<PathBuf>,
    /// Rendered templates that were written, then the report.
    pub outputs: Vec<PathBuf>,
}

/// A machine that was left up on purpose, and what `sweep` needs to know to remove it.
pub struct RetainedMachine {
    pub opened: SshAccess,
    pub run: String,
    pub cloud: String,
}

impl RunOutcome {
    fn not_begun(error: impl Into<RunError>) -> Self {
        Self {
            result: Err(error.into()),
            leaks: Vec::new(),
            kept: None,
            dir: None,
            outputs: Vec::new(),
        }
    }
}

/// Where the outputs of a bundle go: `images/target/<bundle>`, `os/target/<os>`.
pub fn target_dir(bundle: &Bundle) -> PathBuf {
    Results::of(bundle).dir()
}

fn target_in_tree(bundle: &Bundle) -> Result<(), RunError> {
    Results::of(bundle).in_tree()
}

/// The plans of what a build of `bundle` would build: a base that is missing, with its own, and
/// then the bundle.
pub async fn make_plans(
    setup: &RunOptions<'_>,
    bundle: &Bundle,
    now: Timestamp,
    cx: &Cx,
) -> Result<Vec<Plan>, RunError> {
    let run = plan::run_id(now, 0);
    let mut plans = match missing_base(setup, bundle).await? {
        Some((base, _)) => Box::pin(make_plans(setup, &base, now, cx)).await?,
        None => Vec::new(),
    };
    let base = plans.last().map(Plan::expected);
    let live = names_of_live_runs(setup.home, setup.cloud.name()).unwrap_or_default();
    let taken_by = live.get(&plan::image_name(bundle, now)).map(String::as_str);
    plans.push(make_plan(setup, bundle, &Moment { run: &run, now, base, taken_by }, cx).await?);
    Ok(plans)
}

/// When a plan is made, and upon what.
struct Moment<'m> {
    run: &'m str,
    now: Timestamp,
    /// The base that is going to be there, in place of what the cloud has.
    base: Option<Image>,
    /// The live run that is going to publish an image of the name that is wanted.
    taken_by: Option<&'m str>,
}

/// Facts and plan: reads only. `Err` holds everything that is wrong, at once.
async fn make_plan(
    setup: &RunOptions<'_>,
    bundle: &Bundle,
    at: &Moment<'_>,
    cx: &Cx,
) -> Result<Plan, RunError> {
    let (now, purpose) = (at.now, setup.purpose());
    if let (Some(Source::Url { wish, .. }), false) = (&bundle.source, setup.test_only) {
        wish.urls().iter().try_for_each(|url| setup.proxies.check(url))?;
    }
    let wanted = FactsQuery {
        base: base_name(bundle)?,
        image_name: plan::image_name(bundle, now),
        base_is_family: matches!(bundle.base, Some(Base::Os(_))),
        base_only: false,
        volumes: bundle.volume.is_some(),
        second_disk: purpose.smokes() && bundle.tests.chosen(bundle.kind).contains(&"volume"),
        volume_type: bundle.volume.as_ref().and_then(|v| v.kind.clone()),
        zones: bundle.availability_zone.is_some()
            || bundle.volume.as_ref().is_some_and(|v| v.zone.is_some()),
        publishing: publishing(bundle).filter(|_| matches!(purpose, Purpose::Build { .. })),
        consoles: purpose.smokes(),
    };
    let (cloud, host) =
        tokio::join!(setup.cloud.facts(&wanted, cx), host_facts(bundle, &cx.cancel));
    let mut cloud = cloud?;
    if let Some(base) = &at.base {
        cloud.base = BaseLookup::Found(Box::new(base.clone()));
    }
    cloud.name_taken_by.extend(at.taken_by.map(|run| format!("run {run}, which is at work")));
    let facts = Facts {
        cloud_name: setup.cloud.name().into(),
        cloud,
        host: host.map_err(CloudError::from)?,
    };
    let plan =
        plan::plan(bundle, &facts, at.run, now, purpose).map_err(|unfit| match unfit.refuses {
            true => RunError::Refused(unfit.wrong),
            false => RunError::Bad(unfit.wrong),
        })?;
    let plan = if setup.test_only { plan.testing() } else { plan };
    let mut unfit = setup.wall.unfit(&plan, &cx.cancel).await.map_err(CloudError::from)?;
    let lacks =
        ready::lacks(&plan, &setup.home.data, &cx.cancel).await.map_err(CloudError::from)?;
    unfit.refuses |= !lacks.is_empty();
    unfit
        .wrong
        .extend(lacks.into_iter().map(|(what, hint)| Diagnostic::error(None, what).hint(hint)));
    match (unfit.wrong.is_empty(), unfit.refuses) {
        (true, _) => Ok(plan),
        (false, true) => Err(RunError::Refused(unfit.wrong)),
        (false, false) => Err(RunError::Bad(unfit.wrong)),
    }
}

/// What not everybody may publish: everybody's images.
fn publishing(bundle: &Bundle) -> Option<Publishing> {
    let visibility = bundle.published_as();
    let asks = matches!(visibility, Visibility::Public | Visibility::Community);
    asks.then(|| Publishing { visibility, properties: bundle.own_properties() })
}

/// The base as the cloud knows it: an `os/<name>` of the tree is known by its family. What takes
/// more than its bounds was refused when the bundle was loaded.
pub fn base_name(bundle: &Bundle) -> Result<Option<String>, RunError> {
    match &bundle.base {
        None => Ok(None),
        Some(Base::Image(name)) => Ok(Some(name.clone())),
        Some(Base::Os(_)) if bundle.base_family.is_some() => Ok(bundle.base_family.clone()),
        Some(Base::Os(name)) => {
            let loaded = bundle::load(&bundle.tree, &bundle.tree.join("os").join(name))
                .map_err(RunError::Bad)?;
            Ok(Some(loaded.bundle.name))
        }
    }
}

async fn host_facts(bundle: &Bundle, cancel: &Cancel) -> Result<ControllerFacts, Cancelled> {
    let ansible = probe::version("ansible-playbook", "--version", "ansible-core", cancel);
    let settings = bundle.tree.join(&bundle.label);
    let linked = bundle::linked(bundle);
    let dirs: Vec<&Path> = [bundle.dir.as_path(), &settings]
        .into_iter()
        .chain(linked.iter().map(PathBuf::as_path))
        .collect();
    let commit = git::commit(&bundle.tree, &dirs, cancel);
    // Files may be large; a signal does not wait for them. One that cannot be read is told of where
    // it is used.
    let definition = bundle.clone();
    let inputs = cancel.or(tokio::task::spawn_blocking(move || bundle::inputs(&definition).ok()));
    let (ansible, commit, inputs) = tokio::join!(ansible, commit, inputs);
    let inputs = inputs.ok().and_then(Result::ok).flatten();
    Ok(ControllerFacts { ansible: ansible?, commit, inputs })
}

/// Builds a bundle. A base `os/<name>` that is missing is built first.
pub async fn run(setup: &RunOptions<'_>, bundle: &Bundle) -> RunOutcome {
    // Whatever comes, a kill too: the last build's results are not taken for those of this one.
    if setup.person.is_none()
        && let Err(e) = Results::of(bundle).withdraw()
    {
        return RunOutcome::not_begun(e);
    }
    match base_first(setup, bundle).await {
        Ok(None) => one(setup, bundle).await,
        Ok(Some(ended)) => {
            let why = match &ended.result {
                Err(e) => e.to_string(),
                Ok(_) => "its base left something behind when it was built".into(),
            };
            not_built(setup, bundle, &why);
            ended
        }
        Err(e) => {
            not_built(setup, bundle, &e.to_string());
            RunOutcome::not_begun(e)
        }
    }
}

/// Builds the base that is wanted first; `Some` is how that ended, if not well.
async fn base_first(
    setup: &RunOptions<'_>,
    bundle: &Bundle,
) -> Result<Option<RunOutcome>, RunError> {
    let Some((base, why)) = missing_base(setup, bundle).await? else { return Ok(None) };
    let label = base.label.clone();
    let mut show = (setup.show)(&label);
    let text = first(&label, bundle, why);
    show.take(&crate::event::Stamped { at: Timestamp::now(), event: Event::Note { text } });
    drop(show);
    let base_setup = RunOptions { person: None, ..*setup };
    let ended = Box::pin(run(&base_setup, &base)).await;
    match ended.result {
        Ok(_) if ended.leaks.is_empty() => Ok(None),
        Ok(image) => Ok(Some(RunOutcome { result: Ok(image), ..ended })),
        Err(e) => Ok(Some(RunOutcome {
            result: Err(RunError::Base { base: label, source: Box::new(e) }),
            ..ended
        })),
    }
}

/// In words: that `base` is built before `bundle`.
pub fn first(base: &str, bundle: &Bundle, why: &str) -> String {
    format!(
        "base {base} of {} {why}: building it first, with the checks of a bundle; `build {base}` \
            makes all",
        bundle.label
    )
}

/// The definition of the base `os/<name>`, if the cloud has no image of it that is this factory's,
/// and how that is said.
pub async fn missing_base(
    setup: &RunOptions<'_>,
    bundle: &Bundle,
) -> Result<Option<(Bundle, &'static str)>, RunError> {
    let Some(Base::Os(name)) = &bundle.base else { return Ok(None) };
    let loaded =
        bundle::load(&bundle.tree, &bundle.tree.join("os").join(name)).map_err(RunError::Bad)?;
    // The bundle is what was asked for, and is waited for: its base gets the checks of a bundle.
    // Who names the base has all.
    let base = Bundle { kind: bundle::Kind::Image, ..loaded.bundle };
    let wanted = FactsQuery {
        base: Some(base.name.clone()),
        base_is_family: true,
        base_only: true,
        ..FactsQuery::default()
    };
    let facts = setup.cloud.facts(&wanted, &reading(setup)).await?;
    // What a cloud lacks at all, each run tells by itself.
    let why = lacking(&facts.base).filter(|_| facts.missing_prerequisites.is_empty());
    Ok(why.map(|why| (base, why)))
}

fn lacking(base: &BaseLookup) -> Option<&'static str> {
    match base {
        BaseLookup::Missing { .. } => Some("is missing"),
        BaseLookup::Doubtful(_) => Some("is there, but nothing proves that it is this factory's"),
        BaseLookup::None | BaseLookup::Found(_) | BaseLookup::Ambiguous(_) => None,
    }
}

/// A context for calls that only read.
fn reading(setup: &RunOptions<'_>) -> Cx {
    Cx { ledger: Ledger::none(), events: Events::default(), cancel: setup.cancel.clone() }
}

/// A run that has begun: somebody may have seen its ID.
struct Begun {
    run: String,
    /// How it is timed, and when it began.
    begin: Instant,
    now: Timestamp,
    dir: RunDir,
    recorder: log::Recorder,
    cx: Cx,
}

async fn one(setup: &RunOptions<'_>, bundle: &Bundle) -> RunOutcome {
    let mut begun = match begin(setup, bundle).await {
        Ok(begun) => begun,
        Err(e) => {
            not_built(setup, bundle, &e.to_string());
            return RunOutcome::not_begun(e);
        }
    };
    let planned = match planned(setup, bundle, &begun).await {
        Ok(plan) => begun.dir.planned(&plan).map(|ledger| (plan, ledger)),
        Err(e) => Err(e),
    };
    let (plan, ledger) = match planned {
        Ok(planned) => planned,
        Err(e) => return not_planned(setup, bundle, begun, e),
    };
    let Begun { begin, dir, recorder, cx, .. } = begun;
    cx.events.emit(Event::StageDone { stage: Stage::Plan, seconds: seconds(begin.elapsed()) });
    let cx = Cx { ledger, cancel: setup.cancel.child(), ..cx };
    let outcome = stoppable(setup, &cx, build_in(setup, &plan, &cx)).await;
    finish(setup, bundle, &plan, &dir, &cx, &recorder, outcome, begin).await
}

/// Its directories are there before its ID is shown, so that each run that was seen can be looked
/// up.
async fn begin(setup: &RunOptions<'_>, bundle: &Bundle) -> Result<Begun, RunError> {
    let (begin, now) = (Instant::now(), Timestamp::now());
    let run = plan::run_id(now, uuid::Uuid::new_v4().as_u128() as u32);
    target_in_tree(bundle)?;
    setup.home.secure()?;
    let publishes = matches!(setup.purpose(), Purpose::Build { .. });
    let beginning = Beginning {
        run: &run,
        cloud: setup.cloud.name(),
        name: plan::image_name(bundle, now),
        publishes,
    };
    let mut dir = RunDir::create(setup.home, &target_dir(bundle), beginning).await?;
    let (events, recorder) = (Events::default(), log::Recorder::default());
    events.add(Box::new(recorder.clone()));
    if let Err(e) = dir.begin(&events) {
        dir.forget();
        return Err(e);
    }
    events.add((setup.show)(&bundle.label));
    events.emit(Event::Started {
        run: run.clone(),
        bundle: bundle.label.clone(),
        purpose: match setup.person {
            _ if setup.test_only => "testing",
            Some(_) => "opening the builder of",
            None => "building",
        }
        .into(),
        image_name: match &bundle.base {
            Some(Base::Image(tested)) if setup.test_only => tested.clone(),
            _ => dir.name.clone(),
        },
        cloud: setup.cloud.name().into(),
    });
    let cx = Cx { events, ..reading(setup) };
    Ok(Begun { run, begin, now, dir, recorder, cx })
}

/// The stage `plan`: reads only. What comes to light is told.
async fn planned(setup: &RunOptions<'_>, bundle: &Bundle, begun: &Begun) -> Result<Plan, RunError> {
    let cx = &begun.cx;
    cx.events.emit(Event::StageStarted { stage: Stage::Plan });
    let moment = Moment {
        run: &begun.run,
        now: begun.now,
        base: None,
        taken_by: begun.dir.taken_by.as_deref(),
    };
    let plan = make_plan(setup, bundle, &moment, cx).await?;
    cx.events.note(&plan.how);
    plan.warnings().into_iter().for_each(|w| cx.events.warn(w));
    plan.notes.iter().for_each(|note| cx.events.note(note));
    let lines = setup.wall.lines(&plan, &cx.cancel).await.map_err(CloudError::from)?;
    lines.into_iter().for_each(
        |(warning, text)| if warning { cx.events.warn(text) } else { cx.events.note(text) },
    );
    Ok(plan)
}

/// The end of a run that has no plan: nothing was created in the cloud. Its results say why, in
/// place of those of the last build.
fn not_planned(
    setup: &RunOptions<'_>,
    bundle: &Bundle,
    begun: Begun,
    error: RunError,
) -> RunOutcome {
    let Begun { run, begin, now, mut dir, recorder, cx } = begun;
    let stopped = matches!(&error, RunError::Cloud(CloudError::Cancelled(_)));
    let word = match stopped {
        true => "stopped",
        false if setup.test_only => UNTESTED,
        false => "failed",
    };
    let (text, total) = (error.to_string(), seconds(begin.elapsed()));
    cx.events.emit(Event::StageFailed { stage: Stage::Plan, seconds: total, error: text.clone() });
    cx.events.emit(Event::Finished {
        outcome: word.into(),
        seconds: total,
        image: None,
        error: Some(text.clone()),
        leaks: Vec::new(),
    });
    let record = Record {
        run,
        bundle: bundle.label.clone(),
        cloud: setup.cloud.name().into(),
        started: now,
        seconds: total,
        outcome: word.into(),
        image: None,
        error: Some(text),
        leaks: Vec::new(),
        kept: None,
    };
    let written = dir.not_planned().and_then(|()| dir.record(&record));
    let mut outputs = Vec::new();
    let target = target_dir(bundle);
    if setup.person.is_none() {
        let (events, log) = (recorder.events(), dir.log());
        let failed = report::Failed {
            run: &record.run,
            bundle: &bundle.label,
            family: &bundle.name,
            cloud: &record.cloud,
            events: &events,
            definition: Some(bundle),
            log: written.is_ok().then_some(log.as_path()),
        };
        outputs = report::failed(&target, &bundle.tree, &failed).unwrap_or_else(|errors| {
            errors.iter().for_each(|e| cx.events.warn(e.to_string()));
            Vec::new()
        });
    }
    if let Err(e) = written {
        cx.events.warn(e.to_string());
    }
    dir.forget();
    outputs.retain(|file| is_for_people(&target, file));
    RunOutcome {
        result: Err(error),
        leaks: Vec::new(),
        kept: None,
        dir: Some(dir.path.clone()),
        outputs,
    }
}

/// A build of `bundle` that no run was begun for, for this reason: where the last one left results,
/// these take their place.
pub fn not_built(setup: &RunOptions<'_>, bundle: &Bundle, why: &str) {
    // A visit leaves what the last build left as it is.
    if setup.person.is_none() {
        Results::of(bundle).failed(setup.cloud.name(), why);
    }
}

/// A signal is told of when it comes: what is at work ends first where it may be left, and the way
/// home takes its time.
async fn stoppable(
    setup: &RunOptions<'_>,
    cx: &Cx,
    build: impl Future<Output = Outcome>,
) -> Outcome {
    tokio::pin!(build);
    tokio::select! {
        biased; // told before the build hears of it
        () = setup.cancel.stopped() => {}
        outcome = &mut build => return outcome,
    }
    cx.events.warn(interrupted(&cx.ledger.entries()));
    build.await
}

/// In words: what a run that is told to end removes; directories are not named. A machine of the
/// local cloud is a process.
fn interrupted(owned: &[Entry]) -> String {
    let named = owned.iter().filter(|e| e.kind != Kind::Directory);
    let mut all: Vec<String> = named.map(|e| format!("{} {}", e.kind.name(), e.name)).collect();
    all.push("its work files".into());
    let all = all.join(", ");
    format!(
        "interrupted by a signal: the run ends, and what it made is removed ({all}); a second \
            signal leaves the rest to `sweep`"
    )
}

async fn build_in(setup: &RunOptions<'_>, plan: &Plan, cx: &Cx) -> Outcome {
    let scratch = setup.home.runtime.join(&plan.run);
    let work = setup.home.data.join("building").join(&plan.run);
    let site = BuildContext {
        cloud: setup.cloud,
        connect: setup.connect,
        cx,
        plan,
        wall: setup.wall,
        scratch: scratch.clone(),
        work: work.clone(),
        until: match setup.person {
            _ if setup.test_only => Goal::Tested,
            Some(person) => Goal::Provisioned(person),
            None => Goal::Published,
        },
        downloads: setup.home.data.join("cache/downloads"),
        proxies: setup.proxies.clone(),
        keep_on_failure: setup.keep_on_failure,
    };
    for dir in [&work, &scratch] {
        if let Err(e) = own_directory(&cx.ledger, dir).await {
            return Outcome { result: Err(e), leaks: engine::unwind(&site).await, kept: None };
        }
    }
    // Held while it lives, for factories with another home, which do not see the lock in ours.
    let held = match hold(&scratch) {
        Ok(held) => held,
        Err(e) => {
            return Outcome { result: Err(e), leaks: engine::unwind(&site).await, kept: None };
        }
    };
    let outcome = engine::build(&site).await;
    drop(held);
    outcome
}

fn hold(dir: &Path) -> Result<Held, BuildError> {
    let path = dir.join(dir::LOCK);
    let held =
        durable::open_to_append(&path).and_then(|lock| Held::take(lock).map_err(|(_, e)| e.into()));
    held.map_err(|source| BuildError::Io { path, source })
}

async fn own_directory(ledger: &Ledger, dir: &Path) -> Result<(), BuildError> {
    use std::os::unix::fs::DirBuilderExt;
    let name = dir.to_string_lossy().into_owned();
    ledger
        .own(Kind::Directory, &name, || async {
            let parents = dir
                .parent()
                .map_or(Ok(()), |p| fs::DirBuilder::new().recursive(true).mode(0o700).create(p));
            parents
                .and_then(|()| fs::DirBuilder::new().mode(0o700).create(dir))
                .map_err(|source| BuildError::Io { path: dir.into(), source })?;
            Ok(Made { id: name.clone(), value: () })
        })
        .await
}

#[allow(clippy::too_many_arguments)]
async fn finish(
    setup: &RunOptions<'_>,
    bundle: &Bundle,
    plan: &Plan,
    dir: &RunDir,
    cx: &Cx,
    recorder: &log::Recorder,
    outcome: Outcome,
    begin: Instant,
) -> RunOutcome {
    let Outcome { result, leaks, kept } = outcome;
    let (mut result, image) = match result {
        Ok(Built::Image(image)) => (Ok(()), Some(*image)),
        Ok(Built::ShellEnded | Built::Tested) => (Ok(()), None),
        Err(e) => (Err(RunError::Build(e)), None),
    };
    let target = target_dir(bundle);
    let rendered = match &image {
        // The image is published: only a second signal leaves its templates out.
        Some(image) => setup
            .templates
            .render(bundle, plan, image, &cx.cancel.for_unwind())
            .await
            .unwrap_or_else(|stopped| {
                Err(vec![Diagnostic::error(None, format!("templates are not rendered: {stopped}"))])
            }),
        None => Ok(Vec::new()),
    };
    let write = |log: Option<&Path>| {
        // A visit makes nothing: what the last build left stays as it is.
        if setup.person.is_some() {
            return Ok(Vec::new());
        }
        let built = report::Built {
            bundle,
            plan,
            events: &recorder.events(),
            image: image.as_ref(),
            templates: &rendered,
            log,
        };
        let lines = |errors: Vec<report::OutputError>| {
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        report::write(&target, &bundle.tree, &built).map_err(lines)
    };
    if image.is_some() {
        let began = Instant::now();
        cx.events.emit(Event::StageStarted { stage: Stage::Output });
        let written = match write(None) {
            Ok(_) => heat_accepts(setup, cx, rendered.as_deref().unwrap_or_default()).await,
            Err(failed) => Err(failed),
        };
        let seconds = seconds(began.elapsed());
        cx.events.emit(match &written {
            Ok(()) => Event::StageDone { stage: Stage::Output, seconds },
            Err(e) => Event::StageFailed { stage: Stage::Output, seconds, error: e.clone() },
        });
        if let Err(e) = written {
            result = Err(RunError::Output(e));
        }
    }
    if let (Ok(()), Some(_), Some(keep)) = (&result, &image, plan.keep) {
        prune_family(setup, plan, keep, cx).await;
    }
    let stopped = matches!(&result, Err(RunError::Build(e)) if e.is_cancelled());
    let word = match (&result, stopped) {
        (Ok(()), _) if setup.person.is_some() => VISITED,
        (Ok(()), _) if setup.test_only => TESTED,
        (Ok(()), _) => "built",
        (Err(_), true) => "stopped",
        // The builder was opened as the step left it, and was looked at: that is what the command
        // is for.
        (Err(RunError::Build(BuildError::Step { .. } | BuildError::StepRemote { .. })), _)
            if setup.person.is_some() =>
        {
            VISITED
        }
        (Err(RunError::Build(BuildError::Smoke { .. })), _) if setup.test_only => "rejected",
        (Err(_), false) if setup.test_only => UNTESTED,
        (Err(_), false) => "failed",
    };
    let total = seconds(begin.elapsed());
    let error = result.as_ref().err().map(ToString::to_string);
    cx.events.emit(Event::Finished {
        outcome: word.into(),
        seconds: total,
        image: image.as_ref().map(|i| FinishedImage { id: i.id.clone(), name: i.name.clone() }),
        error: error.clone(),
        leaks: leaks
            .iter()
            .map(|l| format!("{} {}: {}", l.entry.kind.name(), l.entry.name, l.reason))
            .collect(),
    });
    let record = Record {
        run: plan.run.clone(),
        bundle: plan.bundle.clone(),
        cloud: plan.cloud.clone(),
        started: plan.at,
        seconds: total,
        outcome: word.into(),
        image: image.clone(),
        error,
        leaks: leaks.clone(),
        kept: kept.clone(),
    };
    // Again, now that the end is known: reports tell of it, and the log is whole.
    let written =
        dir.record(&record).and_then(|()| write(Some(&dir.log())).map_err(RunError::Output));
    let outputs = match written {
        Ok(files) => files.into_iter().filter(|file| is_for_people(&target, file)).collect(),
        Err(e) => {
            if result.is_ok() {
                result = Err(e);
            }
            Vec::new()
        }
    };
    if leaks.is_empty() && kept.is_none() {
        dir.forget();
    }
    let kept = kept.map(|opened| RetainedMachine { opened, run: record.run, cloud: record.cloud });
    RunOutcome { result: result.map(|()| image), leaks, kept, dir: Some(dir.path.clone()), outputs }
}

/// What a person looks for when a run has ended, among the outputs below `target`.
fn is_for_people(target: &Path, file: &Path) -> bool {
    file.starts_with(target.join("output")) || file == target.join("report.html")
}

/// Keeps the family at the size its bundle says. The image is published whatever becomes of older
/// ones, so that nothing in here fails a build.
async fn prune_family(setup: &RunOptions<'_>, plan: &Plan, keep: u32, cx: &Cx) {
    let families = [(plan.family.clone(), Policy { keep, at_once: false })];
    let building = match bases_of_live_runs(setup.home) {
        Ok(building) => building,
        Err(e) => {
            return cx.events.warn(format!(
                "family {} is not pruned: the index of runs cannot be read: {e}",
                plan.family
            ));
        }
    };
    match prune::prune(setup.cloud, cx, &families, &building, false).await {
        Err(e) => cx.events.warn(format!("family {} is not pruned: {e}", plan.family)),
        Ok(done) => {
            for pruned in done.iter().filter(|p| p.fate != PruneAction::Keep) {
                let text = format!("keep {keep}: {}", pruned.text(false));
                if pruned.error.is_some() { cx.events.warn(text) } else { cx.events.note(text) }
            }
        }
    }
}

/// Has every rendered Heat template checked, where the cloud has a Heat.
async fn heat_accepts(
    setup: &RunOptions<'_>,
    cx: &Cx,
    rendered: &[report::Rendered],
) -> Result<(), String> {
    let rendered = if setup.check_templates { rendered } else { &[] };
    let mut wrong = Vec::new();
    for template in rendered.iter().filter(|t| t.text.contains("heat_template_version")) {
        let shown = template.path.display();
        match setup.cloud.check_template(&template.text, cx).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(()))) => cx.events.note(format!("{shown}: Heat finds it valid")),
            Ok(Some(Err(reason))) => wrong.push(format!("{shown}: Heat refuses it: {reason}")),
            // The template may be well; that nobody looked is worth a line, not a failed build.
            Err(e) => cx.events.warn(format!("{shown}: not checked by Heat: {e}")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

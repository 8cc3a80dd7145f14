//! The scheduler of runs: bases first, independent ones in parallel, each base once. It serves a
//! single build, whose missing base comes first, several builds, and `--stale`.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;

use super::base::{first, missing_base};
use super::exit_code::STOPPED;
use super::factory::{Factory, Setup};
use super::latest::LatestLogs;
use super::outcome::{RunError, RunOutcome};
use super::request::{RunOptions, RunRequest};
use super::results::Results;
use super::schedule::Schedule;
use crate::engine::Goal;
use crate::engine::checkpoints::Range;
use crate::frontend::build_vars;
use crate::model::category::OS;
use crate::model::definition::{Base, Definition};
use crate::model::event::{Event, Events, Stamped};

/// A bundle of a batch.
#[derive(Debug)]
pub struct Job {
    pub bundle: Definition,
    /// Index of the job that builds its base.
    pub base: Option<usize>,
    /// Why it was added, if nobody named it: its image is a missing base.
    pub added: Option<String>,
    /// Why it cannot be built, whatever its missing base comes to.
    unfit: Option<RunError>,
}

/// Result of a job.
pub enum End {
    RunOutcome(Box<RunOutcome>, f64),
    /// Its base was not built: the label of the base, and the exit code of what failed.
    BaseFailed {
        base: String,
        code: u8,
    },
    /// Cancelled before it began.
    NotBegun,
}

/// How the runs of a command are made, and where it shows their logs.
type Told<'b> = (&'b RunOptions, &'b LatestLogs);

pub const NOT_BEGUN: &str = "stopped by a signal before its turn came";

impl Factory {
    /// The jobs for these bundles, each once. A missing base `os/<name>` becomes a job of its own,
    /// so that it is built only once; but not for bundles that cannot be built on it.
    pub async fn jobs(
        &self,
        options: &RunOptions,
        named: Vec<Definition>,
    ) -> Result<Vec<Job>, RunError> {
        let mut jobs: Vec<Job> = Vec::new();
        for bundle in named {
            if jobs.iter().all(|job| job.bundle.label != bundle.label) {
                jobs.push(Job { bundle, base: None, added: None, unfit: None });
            }
        }
        let (mut looked, mut there) = (0, BTreeSet::new());
        while looked < jobs.len() {
            let bundle = &jobs[looked].bundle;
            looked += 1;
            let Some(Base::Os(name)) = &bundle.base else { continue };
            let label = OS.label(name);
            if jobs.iter().any(|job| job.bundle.label == label) || !there.insert(label.clone()) {
                continue;
            }
            let setup = Setup { factory: self, options };
            if let Some((base, why)) = missing_base(setup, bundle).await? {
                let added = Some(why.to_owned());
                jobs.push(Job { bundle: base, base: None, added, unfit: None });
            }
        }
        let all: Vec<&Definition> = jobs.iter().map(|job| &job.bundle).collect();
        let bases: Vec<_> = all.iter().map(|one| build_vars::base_among(&all, one)).collect();
        jobs.iter_mut().zip(bases).for_each(|(job, base)| job.base = base);
        self.foresee(options, &mut jobs).await?;
        leave_out_unneeded(&mut jobs);
        say_why_added(&mut jobs);
        Ok(jobs)
    }

    /// Plans each job on a missing base as if the base were there: nobody waits for a base to hear
    /// what was wrong before it was built.
    async fn foresee(&self, options: &RunOptions, jobs: &mut [Job]) -> Result<(), RunError> {
        for job in jobs.iter_mut().filter(|job| job.base.is_some()) {
            let RunRequest { definition, options } = job.request(options);
            let setup = Setup { factory: self, options: &options };
            if missing_base(setup, &definition).await?.is_none() {
                continue;
            }
            match self.plans(&options, &definition, Timestamp::now()).await {
                Err(e @ (RunError::Bad(_) | RunError::Refused(_))) => job.unfit = Some(e),
                // What is wrong with a base, its own run tells.
                Ok(_) | Err(RunError::Base { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Runs one definition, after its missing bases. The outcome is that of the definition, or of
    /// the first base that was not built well.
    pub async fn build(self: &Arc<Self>, request: RunRequest) -> RunOutcome {
        let RunRequest { definition, options } = request;
        let setup = Setup { factory: self, options: &options };
        let latest = LatestLogs::of(&options, &definition.tree);
        // A base that fails, and a kill while it is built, must not leave the last build's results.
        let jobs = match setup.withdraw(&definition).and_then(|()| latest.withdraw()) {
            Ok(()) => self.jobs(&options, vec![definition.clone()]).await,
            Err(e) => Err(e),
        };
        let jobs = match jobs {
            Ok(jobs) => jobs,
            Err(e) => {
                let ended = setup.not_begun(&definition, e, &Events::default());
                return latest.ended(&definition.label, ended);
            }
        };
        if let Err(e) = self.withdraw_bases((&options, &latest), &jobs) {
            return RunOutcome::not_begun(e);
        }
        announce_added(&options, &jobs);
        let (mut last, mut bases) = (None::<RunOutcome>, Vec::new());
        self.schedule((&options, &latest), &jobs, 1, |index, end| match end {
            End::RunOutcome(ended, _) => {
                let built = ended.is_built();
                match index == 0 || !built {
                    true => last = Some(*ended),
                    false => bases.push(*ended),
                }
                built
            }
            End::BaseFailed { .. } | End::NotBegun => {
                if let (Some(ended), Some(base)) = (last.take(), jobs[index].base) {
                    let (ended, why) = without_base(ended, &jobs[base].bundle.label);
                    self.not_built((&options, &latest), &jobs[index], (&why, ended.exit_code()));
                    last = Some(ended);
                }
                false
            }
        })
        .await;
        let ended = match (last, options.cancel.check()) {
            (Some(ended), _) => ended,
            // A signal came before the first base.
            (None, Err(stopped)) if jobs.len() > 1 && bases.is_empty() => {
                let error = RunError::Cloud(stopped.into());
                let last = jobs.len() - 1;
                RunOutcome::not_begun(self.failed_base((&options, &latest), &jobs, last, error))
            }
            // A signal came before its turn: its run ends by itself, and records that.
            (None, _) => {
                let label = definition.label.clone();
                latest.ended(&label, self.run(RunRequest { definition, options }).outcome().await)
            }
        };
        ended.on(bases)
    }

    /// Bases fail while others are built: the results of all go first.
    fn withdraw_bases(&self, told: Told<'_>, jobs: &[Job]) -> Result<(), RunError> {
        for (index, job) in jobs.iter().enumerate().skip(1) {
            let withdrawn = Results::of(&job.bundle).withdraw();
            withdrawn.map_err(|e| self.failed_base(told, jobs, index, e))?;
        }
        Ok(())
    }

    /// The error of the first job, the definition, whose base, or a base of that, is the job
    /// `index` and failed. Each job between them records that it was not built.
    fn failed_base(
        &self,
        told: Told<'_>,
        jobs: &[Job],
        mut index: usize,
        mut error: RunError,
    ) -> RunError {
        while index != 0
            && let Some(on_it) = jobs.iter().position(|job| job.base == Some(index))
        {
            let base = jobs[index].bundle.label.clone();
            error = RunError::Base { base, source: Box::new(error) };
            self.not_built(told, &jobs[on_it], (&error.to_string(), error.exit_code()));
            index = on_it;
        }
        error
    }

    /// Records that `job` was not built, for this reason and with this exit code.
    fn not_built(&self, told: Told<'_>, job: &Job, (why, exit_code): (&str, u8)) {
        let (options, latest) = told;
        let request = job.request(options);
        let setup = Setup { factory: self, options: &request.options };
        let dir = setup.not_built(&job.bundle, why, exit_code, &Events::default());
        dir.iter().for_each(|dir| latest.not_built(&job.bundle.label, dir, exit_code));
    }

    /// Runs the jobs, at most `at_once` in parallel, and reports each result immediately.
    pub async fn build_all(
        self: &Arc<Self>,
        options: &RunOptions,
        jobs: &[Job],
        at_once: usize,
        mut on_end: impl FnMut(usize, End) + Send,
    ) {
        let Some(first) = jobs.first() else { return };
        let latest = LatestLogs::of(options, &first.bundle.tree);
        // One that cannot be removed cannot be replaced, and that is told.
        let _ = latest.withdraw();
        let told = (options, &latest);
        self.schedule(told, jobs, at_once, |index, end| {
            let job = &jobs[index];
            let built = match &end {
                End::RunOutcome(ended, _) => ended.is_built(),
                End::BaseFailed { base, code } => {
                    self.not_built(told, job, (&format!("base {base} was not built"), *code));
                    false
                }
                End::NotBegun => {
                    self.not_built(told, job, (NOT_BEGUN, STOPPED));
                    false
                }
            };
            on_end(index, end);
            built
        })
        .await;
    }

    /// Runs the jobs, at most `at_once` in parallel. `on_end` returns whether a job was built, so
    /// that those on it may begin. Begins no job after a signal; running jobs end by themselves.
    async fn schedule(
        self: &Arc<Self>,
        (options, latest): Told<'_>,
        jobs: &[Job],
        at_once: usize,
        mut on_end: impl FnMut(usize, End) -> bool + Send,
    ) {
        let mut schedule = Schedule::new(jobs.iter().map(|j| j.base).collect(), at_once);
        let mut running = FuturesUnordered::new();
        for (index, job) in jobs.iter().enumerate() {
            let Some(error) = job.unfit.as_ref().and_then(RunError::of_definition) else {
                continue;
            };
            let request = job.request(options);
            let setup = Setup { factory: self, options: &request.options };
            let ended = setup.not_begun(&job.bundle, error, &Events::default());
            let ended = latest.ended(&job.bundle.label, ended);
            let code = ended.exit_code();
            on_end(index, End::RunOutcome(Box::new(ended), 0.0));
            for other in schedule.ended(index, false) {
                on_end(other, base_failed(jobs, other, code));
            }
        }
        loop {
            while options.cancel.check().is_ok()
                && let Some(index) = schedule.next()
            {
                running.push(async move {
                    let begin = Instant::now();
                    let ended = self.in_turn(options, &jobs[index]).await;
                    (index, ended, begin.elapsed().as_secs_f64())
                });
            }
            let Some((index, ended, seconds)) = running.next().await else { break };
            let stopped = options.cancel.check().is_err();
            let ended = latest.ended(&jobs[index].bundle.label, ended);
            let code = ended.exit_code();
            let built = on_end(index, End::RunOutcome(Box::new(ended), seconds));
            for other in schedule.ended(index, built) {
                let lost = base_failed(jobs, other, code);
                on_end(other, if stopped { End::NotBegun } else { lost });
            }
        }
        for index in schedule.waiting() {
            on_end(index, End::NotBegun);
        }
    }
}

impl Job {
    pub(super) fn request(&self, options: &RunOptions) -> RunRequest {
        let mut options = options.clone();
        // What was asked for is done to what was named; its bases are built for it.
        if self.added.is_some() {
            options.goal = Goal::Published;
            options.range = Range { fresh: options.range.fresh, ..Range::default() };
        }
        RunRequest { definition: self.bundle.clone(), options }
    }
}

/// The end of the job `index` if one that it stands on ended with `code`.
fn base_failed(jobs: &[Job], index: usize, code: u8) -> End {
    let base = jobs[index].base.expect("only a base takes others with it");
    End::BaseFailed { base: jobs[base].bundle.label.clone(), code }
}

/// Says of each base that is built as well why it is.
fn announce_added(options: &RunOptions, jobs: &[Job]) {
    for (job, text) in jobs.iter().filter_map(|job| Some((job, job.added.clone()?))) {
        let mut show = (options.show)(&job.bundle.label);
        show.take(&Stamped { at: Timestamp::now(), event: Event::Note { text } });
    }
}

/// Removes added bases that only unfit jobs stand on.
fn leave_out_unneeded(jobs: &mut Vec<Job>) {
    let needed = |jobs: &[Job], base: usize| {
        jobs.iter().any(|job| job.base == Some(base) && job.unfit.is_none())
    };
    while let Some(at) = (0..jobs.len()).find(|at| jobs[*at].added.is_some() && !needed(jobs, *at))
    {
        jobs.remove(at);
        for job in jobs.iter_mut() {
            job.base = job.base.filter(|base| *base != at).map(|b| if b > at { b - 1 } else { b });
        }
    }
}

/// Puts in words why bases were added, each with a job that it is built for.
fn say_why_added(jobs: &mut [Job]) {
    for at in 0..jobs.len() {
        let is_on_it = |job: &&Job| job.base == Some(at) && job.unfit.is_none();
        let (job, on_it) = (&jobs[at], jobs.iter().find(is_on_it));
        let words = job.added.as_ref().zip(on_it);
        let words = words.map(|(why, on_it)| first(&job.bundle.label, &on_it.bundle, why));
        jobs[at].added = words;
    }
}

/// The outcome of a definition whose base failed with `ended`, and why it was not built.
fn without_base(ended: RunOutcome, base: &str) -> (RunOutcome, String) {
    let source = Box::new(ended.result.expect_err("a base that was built has no such end"));
    let error = RunError::Base { base: base.to_owned(), source };
    let why = error.to_string();
    (RunOutcome { result: Err(error), ..ended }, why)
}

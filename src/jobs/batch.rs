//! The scheduler of runs: bases first, independent ones in parallel, each base once. It serves a
//! single build, whose missing base comes first, several builds, and `--stale`.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;

use super::base::{first, missing_base};
use super::factory::{Factory, Setup};
use super::outcome::{RunError, RunOutcome};
use super::request::{RunOptions, RunRequest};
use super::results::Results;
use super::schedule::Schedule;
use crate::engine::Goal;
use crate::frontend::build_vars;
use crate::model::category::OS;
use crate::model::definition::{Base, Definition};
use crate::model::event::{Event, Stamped};

/// A bundle of a batch.
#[derive(Debug)]
pub struct Job {
    pub bundle: Definition,
    /// Index of the job that builds its base.
    pub base: Option<usize>,
    /// Why it was added, if nobody named it: its image is a missing base.
    pub added: Option<String>,
}

/// Result of a job.
pub enum End {
    RunOutcome(Box<RunOutcome>, f64),
    /// Its base, with this label, was not built.
    BaseFailed(String),
    /// Cancelled before it began.
    NotBegun,
}

const NOT_BEGUN: &str = "stopped by a signal before its turn came";

impl Factory {
    /// The jobs for these bundles, each once. A missing base `os/<name>` becomes a job of its own,
    /// so that it is built only once.
    pub async fn jobs(
        &self,
        options: &RunOptions,
        named: Vec<Definition>,
    ) -> Result<Vec<Job>, RunError> {
        let mut jobs: Vec<Job> = Vec::new();
        for bundle in named {
            if jobs.iter().all(|job| job.bundle.label != bundle.label) {
                jobs.push(Job { bundle, base: None, added: None });
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
                let added = Some(first(&label, bundle, why));
                jobs.push(Job { bundle: base, base: None, added });
            }
        }
        let all: Vec<&Definition> = jobs.iter().map(|job| &job.bundle).collect();
        let bases: Vec<_> = all.iter().map(|one| build_vars::base_among(&all, one)).collect();
        jobs.iter_mut().zip(bases).for_each(|(job, base)| job.base = base);
        Ok(jobs)
    }

    /// Runs one definition, after its missing bases. The outcome is that of the definition, or of
    /// the first base that was not built well.
    pub async fn build(self: &Arc<Self>, request: RunRequest) -> RunOutcome {
        let RunRequest { definition, options } = request;
        let setup = Setup { factory: self, options: &options };
        // A base that fails, and a kill while it is built, must not leave the last build's results.
        if let Err(e) = setup.withdraw(&Results::of(&definition)) {
            return RunOutcome::not_begun(e);
        }
        let jobs = match self.jobs(&options, vec![definition.clone()]).await {
            Ok(jobs) => jobs,
            Err(e) => {
                setup.not_built(&definition, &e.to_string());
                return RunOutcome::not_begun(e);
            }
        };
        // Theirs, too: one of them may fail while another is built.
        for (index, job) in jobs.iter().enumerate().skip(1) {
            if let Err(e) = Results::of(&job.bundle).withdraw() {
                return RunOutcome::not_begun(self.failed_base(&options, &jobs, index, e));
            }
        }
        for (job, text) in jobs.iter().filter_map(|job| Some((job, job.added.clone()?))) {
            let mut show = (options.show)(&job.bundle.label);
            show.take(&Stamped { at: Timestamp::now(), event: Event::Note { text } });
        }
        let mut last: Option<RunOutcome> = None;
        self.schedule(&options, &jobs, 1, |index, end| match end {
            End::RunOutcome(ended, _) => {
                let well = ended.is_built() && ended.leaks.is_empty();
                if index == 0 || !well {
                    last = Some(*ended);
                }
                well
            }
            End::BaseFailed(_) | End::NotBegun => {
                if let (Some(ended), Some(base)) = (last.take(), jobs[index].base) {
                    let (ended, why) = without_base(ended, &jobs[base].bundle.label);
                    self.not_built(&options, &jobs[index], &why);
                    last = Some(ended);
                }
                false
            }
        })
        .await;
        match (last, options.cancel.check()) {
            (Some(ended), _) => ended,
            // A signal came before the first base.
            (None, Err(stopped)) if jobs.len() > 1 => {
                let error = RunError::Cloud(stopped.into());
                RunOutcome::not_begun(self.failed_base(&options, &jobs, jobs.len() - 1, error))
            }
            // A signal came before its turn: its run ends by itself, and records that.
            (None, _) => self.run(RunRequest { definition, options }).outcome().await,
        }
    }

    /// The error of the first job, the definition, whose base, or a base of that, is the job
    /// `index` and failed. Each job between them records that it was not built.
    fn failed_base(
        &self,
        options: &RunOptions,
        jobs: &[Job],
        mut index: usize,
        mut error: RunError,
    ) -> RunError {
        while index != 0
            && let Some(on_it) = jobs.iter().position(|job| job.base == Some(index))
        {
            let base = jobs[index].bundle.label.clone();
            error = RunError::Base { base, source: Box::new(error) };
            self.not_built(options, &jobs[on_it], &error.to_string());
            index = on_it;
        }
        error
    }

    fn not_built(&self, options: &RunOptions, job: &Job, why: &str) {
        let request = job.request(options);
        Setup { factory: self, options: &request.options }.not_built(&job.bundle, why);
    }

    /// Runs the jobs, at most `at_once` in parallel, and reports each result immediately.
    pub async fn build_all(
        self: &Arc<Self>,
        options: &RunOptions,
        jobs: &[Job],
        at_once: usize,
        mut on_end: impl FnMut(usize, End) + Send,
    ) {
        self.schedule(options, jobs, at_once, |index, end| {
            let built = match &end {
                End::RunOutcome(ended, _) => ended.is_built(),
                End::BaseFailed(base) => {
                    self.not_built(options, &jobs[index], &format!("base {base} was not built"));
                    false
                }
                End::NotBegun => {
                    self.not_built(options, &jobs[index], NOT_BEGUN);
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
        options: &RunOptions,
        jobs: &[Job],
        at_once: usize,
        mut on_end: impl FnMut(usize, End) -> bool + Send,
    ) {
        let mut schedule = Schedule::new(jobs.iter().map(|j| j.base).collect(), at_once);
        let mut running = FuturesUnordered::new();
        loop {
            while options.cancel.check().is_ok()
                && let Some(index) = schedule.next()
            {
                let run = self.run(jobs[index].request(options));
                running.push(async move {
                    let begin = Instant::now();
                    let ended = run.outcome().await;
                    (index, ended, begin.elapsed().as_secs_f64())
                });
            }
            let Some((index, ended, seconds)) = running.next().await else { break };
            let stopped = options.cancel.check().is_err();
            let built = on_end(index, End::RunOutcome(Box::new(ended), seconds));
            for other in schedule.ended(index, built) {
                let base = jobs[other].base.map(|b| jobs[b].bundle.label.clone());
                let lost = End::BaseFailed(base.unwrap_or_default());
                on_end(other, if stopped { End::NotBegun } else { lost });
            }
        }
        for index in schedule.waiting() {
            on_end(index, End::NotBegun);
        }
    }
}

impl Job {
    fn request(&self, options: &RunOptions) -> RunRequest {
        let mut options = options.clone();
        // What was asked for is done to what was named; its bases are built for it.
        if self.added.is_some() {
            options.goal = Goal::Published;
        }
        RunRequest { definition: self.bundle.clone(), options }
    }
}

/// The outcome of a definition whose base came to `ended`, and why it was not built.
fn without_base(ended: RunOutcome, base: &str) -> (RunOutcome, String) {
    match ended.result {
        Ok(_) => (ended, "its base left something behind when it was built".into()),
        Err(e) => {
            let e = RunError::Base { base: base.to_owned(), source: Box::new(e) };
            let why = e.to_string();
            (RunOutcome { result: Err(e), ..ended }, why)
        }
    }
}

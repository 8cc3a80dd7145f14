//! Record of a build: its events grouped into stages, steps and checks. Source of report, JUnit and
//! manifest.
use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

use super::critical_path::{self, Link};
use super::write::Unplanned;
use crate::log::sentences::TESTED;
use crate::model::event::{BUILDING, Check, Event, Stage, Stamped};
use crate::model::image::Image;
use crate::model::outcome::Outcome;
use crate::plan::{Origin, Plan};

/// Output lines on the page.
pub const TAIL_LINES: usize = 200;
/// Output bytes kept per step.
pub const OUTPUT_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    pub run: String,
    /// `images/bundle-nginx`
    pub bundle: String,
    pub family: String,
    pub image_name: String,
    pub cloud: String,
    /// What the run does, as its first event has it: `building`, `testing`.
    pub purpose: String,
    pub how: String,
    pub commit: Option<String>,
    pub started: Timestamp,
    /// Duration from the first to the last event.
    pub seconds: f64,
    /// Seconds of the factory's own work, excluding machines, steps and source scripts.
    pub own_seconds: f64,
    pub own_percent: f64,
    pub has_ended: bool,
    /// The run's word for it; `built`, `incomplete` or `failed` before the run has ended.
    pub outcome: String,
    /// Of the run's command, if it is known and made no other; `None` while the run goes on.
    pub exit_code: Option<u8>,
    pub error: Option<String>,
    pub leaks: Vec<String>,
    /// The published image, if any.
    pub image: Option<Image>,
    /// `None`: made by a source script, or downloaded.
    pub base: Option<BaseRecord>,
    pub stages: Vec<StageRecord>,
    pub steps: Vec<StepRecord>,
    /// What the run waited for.
    pub critical_path: Vec<Link>,
    pub checks: Vec<Check>,
    pub remarks: Vec<Remark>,
    /// The last output lines, oldest first.
    pub log_tail: Vec<LogLine>,
    /// Number of earlier output lines.
    pub log_before: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BaseRecord {
    pub id: String,
    pub name: String,
    /// `sha512:…`; `None` if the cloud stores no digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Passed,
    Failed,
    /// Not done anew: the machine was restored from a checkpoint.
    Restored,
    /// Planned but not begun.
    Skipped,
    /// Not finished when the record was made.
    Running,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageRecord {
    pub name: &'static str,
    /// Seconds since the start of the run.
    pub offset: f64,
    pub seconds: f64,
    pub state: State,
    pub error: Option<String>,
    /// Age of the checkpoint from which the stage's machine was restored, if it was.
    pub restored: Option<u64>,
    /// Time of machines, steps and source scripts, not of the factory.
    pub outside: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRecord {
    pub name: String,
    /// As in the plan.
    pub key: Option<String>,
    /// Total of all attempts.
    pub seconds: f64,
    pub state: State,
    /// Age of the checkpoint that has the step's work, if it was not run.
    pub restored: Option<u64>,
    pub attempts: usize,
    pub error: Option<String>,
    /// The end of its output.
    pub output: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Remark {
    pub at: f64,
    pub warning: bool,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogLine {
    pub at: f64,
    pub source: String,
    pub line: String,
}

/// Identity of the build.
#[derive(Clone, Copy)]
struct Named<'a> {
    run: &'a str,
    bundle: &'a str,
    family: &'a str,
    cloud: &'a str,
}

impl Record {
    /// Record of a run that ended before it had a plan.
    pub fn unplanned(ended: &Unplanned<'_>) -> Self {
        let started = ended.events.first().map_or_else(Timestamp::now, |e| e.at);
        let Unplanned { run, bundle, family, cloud, .. } = *ended;
        let begun = Self::begun(Named { run, bundle, family, cloud }, started);
        Self { image: ended.image.cloned(), ..begun }.completed(ended.events)
    }

    /// `events` may be incomplete, because outputs are written during the run.
    pub fn new(plan: &Plan, events: &[Stamped], image: Option<&Image>) -> Self {
        let started = events.first().map_or(plan.at, |e| e.at);
        let base = match &plan.origin {
            Origin::Base(b) => {
                let digest = (!b.checksum.is_empty()).then(|| format!("sha512:{}", b.checksum));
                Some(BaseRecord { id: b.id.clone(), name: b.name.clone(), digest })
            }
            Origin::Script(_) | Origin::Url { .. } => None,
        };
        let record = Self {
            image_name: plan.image_name.clone(),
            how: plan.how.clone(),
            commit: plan.commit.clone(),
            image: image.cloned(),
            base,
            steps: plan.steps.iter().map(|s| StepRecord::planned(&s.name, s.key.clone())).collect(),
            ..Self::begun(
                Named {
                    run: &plan.run,
                    bundle: &plan.bundle,
                    family: &plan.family,
                    cloud: &plan.cloud,
                },
                started,
            )
        };
        record.completed(events)
    }

    fn begun(named: Named<'_>, started: Timestamp) -> Self {
        Self {
            run: named.run.into(),
            bundle: named.bundle.into(),
            family: named.family.into(),
            image_name: String::new(),
            cloud: named.cloud.into(),
            purpose: String::new(),
            how: String::new(),
            commit: None,
            started,
            seconds: 0.0,
            own_seconds: 0.0,
            own_percent: 0.0,
            has_ended: false,
            outcome: String::new(),
            exit_code: None,
            error: None,
            leaks: Vec::new(),
            image: None,
            base: None,
            stages: Vec::new(),
            steps: Vec::new(),
            critical_path: Vec::new(),
            checks: Vec::new(),
            remarks: Vec::new(),
            log_tail: Vec::new(),
            log_before: 0,
        }
    }

    fn completed(mut self, events: &[Stamped]) -> Self {
        self.seconds = events.last().map_or(0.0, |e| since(self.started, e.at));
        self.fold(events);
        self.conclude();
        self.critical_path = critical_path::of(&self, events);
        self
    }

    /// A run that made an image, or was to: no test, and not of an image that was there.
    pub fn is_build(&self) -> bool {
        self.purpose == BUILDING && self.outcome != Outcome::Unchanged.name()
    }

    /// Something of it came from a checkpoint.
    pub fn is_restored(&self) -> bool {
        self.stages.iter().any(|s| s.restored.is_some())
            || self.steps.iter().any(|s| s.restored.is_some())
    }

    /// Nothing failed, and the run published an image, or an existing image passed its checks.
    pub fn is_success(&self) -> bool {
        (self.image.is_some() || self.outcome == TESTED) && self.error.is_none()
    }

    /// `success`, or in which way the run is none. A failed one has no image.
    pub fn by_success(&self, success: &'static str) -> &'static str {
        match (self.is_success(), &self.image) {
            (true, _) => success,
            (false, Some(_)) => Outcome::Incomplete.name(),
            (false, None) => Outcome::Failed.name(),
        }
    }

    fn fold(&mut self, events: &[Stamped]) {
        let mut tail = VecDeque::new();
        let mut step: Option<usize> = None;
        for Stamped { at, event } in events {
            let at = since(self.started, *at);
            match event {
                Event::StageStarted { stage } => self.stages.push(StageRecord::begun(*stage, at)),
                Event::StageDone { stage, seconds } => self.end(*stage, at, *seconds, None),
                Event::StageFailed { stage, seconds, error } => {
                    self.end(*stage, at, *seconds, Some(error))
                }
                Event::StepStarted { index, name, .. } => {
                    let s = self.step(*index, name);
                    (s.state, s.attempts) = (State::Running, s.attempts + 1);
                    step = Some(*index);
                }
                Event::StepDone { index, seconds } => {
                    step = None;
                    self.end_step(*index, *seconds, State::Passed, None);
                }
                Event::StepFailed { index, seconds, error } => {
                    step = None;
                    self.end_step(*index, *seconds, State::Failed, Some(error.clone()));
                }
                Event::StepRestored { index, name, age_seconds, .. } => {
                    let s = self.step(*index, name);
                    (s.state, s.restored) = (State::Restored, Some(*age_seconds));
                }
                Event::MachineRestored { age_seconds } => self.machine_restored(*age_seconds),
                Event::Output { source, line } => {
                    if let Some(s) = step.and_then(|i| self.steps.get_mut(i)) {
                        s.append(line);
                    }
                    tail.push_back(LogLine { at, source: source.clone(), line: line.clone() });
                    if tail.len() > TAIL_LINES {
                        tail.pop_front();
                        self.log_before += 1;
                    }
                }
                Event::Note { text } => self.remark(at, false, text),
                Event::Warning { text } => self.remark(at, true, text),
                Event::Check(check) => self.checks.push(check.clone()),
                Event::Finished { outcome, seconds, error, leaks, .. } => {
                    self.has_ended = true;
                    (self.outcome, self.seconds) = (outcome.clone(), *seconds);
                    (self.error, self.leaks) = (error.clone(), leaks.clone());
                }
                Event::Started { image_name, purpose, .. } => {
                    self.purpose = purpose.clone();
                    self.call(image_name);
                }
                Event::Planned { image_name } => self.call(image_name),
                Event::Doing { .. } | Event::Progress { .. } => {}
            }
        }
        self.log_tail = tail.into();
        for step in &mut self.steps {
            step.output = tail_of(&step.output, OUTPUT_BYTES).to_string();
        }
    }

    fn remark(&mut self, at: f64, warning: bool, text: &str) {
        self.remarks.push(Remark { at, warning, text: text.to_owned() });
    }

    /// The machine is that of the stage that runs.
    fn machine_restored(&mut self, age_seconds: u64) {
        if let Some(stage) = self.stages.last_mut() {
            stage.restored = Some(age_seconds);
        }
    }

    /// Gives the image its name, if the plan has not.
    fn call(&mut self, image_name: &str) {
        if self.image_name.is_empty() {
            self.image_name = image_name.to_owned();
        }
    }

    fn end(&mut self, stage: Stage, at: f64, seconds: f64, error: Option<&String>) {
        let open =
            self.stages.iter().rposition(|s| s.name == stage.name() && s.state == State::Running);
        let index = open.unwrap_or_else(|| {
            self.stages.push(StageRecord::begun(stage, (at - seconds).max(0.0)));
            self.stages.len() - 1
        });
        let s = &mut self.stages[index];
        s.seconds = seconds;
        s.state = if error.is_some() { State::Failed } else { State::Passed };
        s.error = error.cloned();
    }

    /// The step at `index`. A plan made by an older version may know fewer than the events do.
    fn step(&mut self, index: usize, name: &str) -> &mut StepRecord {
        while self.steps.len() <= index {
            self.steps.push(StepRecord::planned(name, None));
        }
        &mut self.steps[index]
    }

    fn end_step(&mut self, index: usize, seconds: f64, state: State, error: Option<String>) {
        let Some(s) = self.steps.get_mut(index) else { return };
        s.seconds += seconds;
        (s.state, s.error) = (state, error);
    }

    /// Derives the remaining fields: open ends, outcome, own share.
    fn conclude(&mut self) {
        for stage in self.stages.iter_mut().filter(|s| s.state == State::Running) {
            stage.seconds = (self.seconds - stage.offset).max(0.0);
        }
        if self.outcome.is_empty() {
            self.error = self.stages.iter().find_map(|s| s.error.clone());
            self.outcome = self.by_success(Outcome::Built.name()).into();
        }
        let outside: f64 = self.stages.iter().filter(|s| s.outside).map(|s| s.seconds).sum();
        self.own_seconds = (self.seconds - outside).max(0.0);
        self.own_percent =
            if self.seconds > 0.0 { 100.0 * self.own_seconds / self.seconds } else { 0.0 };
    }
}

impl StageRecord {
    fn begun(stage: Stage, offset: f64) -> Self {
        let outside = matches!(
            stage,
            Stage::Source | Stage::Boot | Stage::Provision | Stage::Capture | Stage::Smoke
        );
        Self {
            name: stage.name(),
            offset,
            seconds: 0.0,
            state: State::Running,
            error: None,
            restored: None,
            outside,
        }
    }
}

impl StepRecord {
    fn planned(name: &str, key: Option<String>) -> Self {
        Self {
            name: name.into(),
            key,
            seconds: 0.0,
            state: State::Skipped,
            restored: None,
            attempts: 0,
            error: None,
            output: String::new(),
        }
    }

    /// Adds a line of output. Trims at twice the size, so that the cost stays linear.
    fn append(&mut self, line: &str) {
        self.output.push_str(line);
        self.output.push('\n');
        if self.output.len() > 2 * OUTPUT_BYTES {
            self.output = tail_of(&self.output, OUTPUT_BYTES).to_string();
        }
    }
}

/// Seconds from `start`; 0 if the clock went back.
pub(super) fn since(start: Timestamp, at: Timestamp) -> f64 {
    (at.duration_since(start).as_secs_f64() * 1000.0).round().max(0.0) / 1000.0
}

/// The last `bytes` of `text`, from the beginning of a line if possible.
pub fn tail_of(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut from = text.len() - bytes;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let tail = &text[from..];
    tail.split_once('\n').map_or(tail, |(_, lines)| if lines.is_empty() { tail } else { lines })
}

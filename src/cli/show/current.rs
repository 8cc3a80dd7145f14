//! Current activity of a run, derived from its events. Used for the live line, the heartbeat, and
//! the output tail of a failed step.
use std::collections::VecDeque;

use jiff::Timestamp;

use super::TAIL;
use crate::engine::ansible;
use crate::log::sentences;
use crate::model::event::{Event, Stage, Stamped};

#[derive(Default)]
pub struct Current {
    pub stage: Option<(Stage, Timestamp)>,
    pub step: Option<Step>,
    /// Reported activity of the stage or step.
    pub doing: String,
    /// `done`, `of`, `unit`.
    pub progress: Option<(u64, u64, String)>,
    /// The last non-blank output line.
    pub last: String,
    /// Recent output of this stage or step.
    tail: VecDeque<String>,
    /// Errors already shown.
    shown: Vec<String>,
}

pub struct Step {
    pub index: usize,
    pub of: usize,
    pub name: String,
    pub since: Timestamp,
}

impl Current {
    pub fn take(&mut self, Stamped { at, event }: &Stamped) {
        match event {
            Event::StageStarted { stage } => {
                self.turn();
                self.stage = Some((*stage, *at));
                self.step = None;
            }
            Event::StepStarted { index, of, name } => {
                self.turn();
                self.step =
                    Some(Step { index: *index, of: *of, name: sentences::shown(name), since: *at });
            }
            Event::Doing { what } => {
                self.doing = sentences::shown(what);
                self.progress = None;
                self.last.clear(); // of what was done before
            }
            Event::Progress { done, of, unit } => self.progress = Some((*done, *of, unit.clone())),
            Event::Output { line, .. } => {
                // Blank lines carry no information.
                let line = ansible::brief(line);
                if line.trim().is_empty() {
                    return;
                }
                self.last = line.trim().to_owned();
                if self.tail.len() == TAIL {
                    self.tail.pop_front();
                }
                self.tail.push_back(line);
            }
            Event::StepDone { .. } | Event::StepFailed { .. } => {
                self.turn();
                self.step = None;
            }
            Event::StageDone { .. } | Event::StageFailed { .. } | Event::Finished { .. } => {
                self.turn();
                self.stage = None;
                self.step = None;
            }
            _ => {}
        }
    }

    /// Resets for the next stage or step.
    fn turn(&mut self) {
        self.doing.clear();
        self.progress = None;
        self.last.clear();
        self.tail.clear();
    }

    /// Output lines to show for a failure. Call before processing the failure event.
    pub fn tail(&self) -> impl Iterator<Item = &String> {
        self.tail.iter()
    }

    /// Lines of `error`, or nothing if already shown: a step's error is repeated by its stage, and
    /// at the end.
    pub fn unshown(&mut self, error: &str) -> Vec<String> {
        let repeats = |shown: &String| {
            shown.contains(error) || (error.lines().count() == 1 && error.contains(shown.as_str()))
        };
        if self.shown.iter().any(repeats) {
            return Vec::new();
        }
        self.shown.push(error.to_owned());
        error.lines().map(sentences::shown).collect()
    }

    /// Name of the step, otherwise the stage's activity; empty if unknown.
    pub fn what(&self) -> &str {
        self.step.as_ref().map_or(&self.doing, |step| &step.name)
    }

    /// Start of the step, otherwise of the stage.
    pub fn since(&self) -> Option<Timestamp> {
        self.step.as_ref().map(|step| step.since).or(self.stage.map(|(_, since)| since))
    }
}

/// Seconds from `from` to `to`; 0 if the clock went back.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

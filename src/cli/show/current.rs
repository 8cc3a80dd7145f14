//! What a run does just now, gathered from its events: the live line, the heartbeat and the end of
//! a failed step's output are told from it.
use std::collections::VecDeque;

use jiff::Timestamp;

use super::TAIL;
use crate::ansible;
use crate::event::{Event, Stage, Stamped};
use crate::log::sentences;

#[derive(Default)]
pub struct Current {
    pub stage: Option<(Stage, Timestamp)>,
    pub step: Option<Step>,
    /// What the stage or step says it does.
    pub doing: String,
    /// `done`, `of`, `unit`.
    pub progress: Option<(u64, u64, String)>,
    /// The last line of output that says something.
    pub last: String,
    /// The last output of this stage or step.
    tail: VecDeque<String>,
    /// Errors that the reader has seen.
    told: Vec<String>,
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
                // What looks empty says nothing, neither live nor after a failure.
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

    /// Another stage or step: what was said of the one before is over.
    fn turn(&mut self) {
        self.doing.clear();
        self.progress = None;
        self.last.clear();
        self.tail.clear();
    }

    /// The lines to show of what failed; to be asked before the failure is taken.
    pub fn tail(&self) -> impl Iterator<Item = &String> {
        self.tail.iter()
    }

    /// `error` line by line, or nothing if the reader has seen it: a step's error comes again with
    /// its stage, and again at the end.
    pub fn untold(&mut self, error: &str) -> Vec<String> {
        let said = |told: &String| {
            told.contains(error) || (error.lines().count() == 1 && error.contains(told.as_str()))
        };
        if self.told.iter().any(said) {
            return Vec::new();
        }
        self.told.push(error.to_owned());
        error.lines().map(sentences::shown).collect()
    }

    /// Name of the step, else what the stage does; empty if neither is known.
    pub fn what(&self) -> &str {
        self.step.as_ref().map_or(&self.doing, |step| &step.name)
    }

    /// When the step began, else the stage.
    pub fn since(&self) -> Option<Timestamp> {
        self.step.as_ref().map(|step| step.since).or(self.stage.map(|(_, since)| since))
    }
}

/// Seconds from `from` to `to`; clocks that step back count as no time.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

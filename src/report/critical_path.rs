//! The critical path of a run: what it waited for, in order. What ran beside that is not on it.
//!
//! Stages follow one another. Within a stage the path goes backwards from the end: from the step or
//! check that ended last to the one that ended last before that began. What the stage did meanwhile
//! (`waiting for SSH`) fills the gaps.
use jiff::Timestamp;
use serde::Serialize;

use super::record::{Record, since};
use crate::model::event::{Event, Stamped};

/// Times that differ by less, in seconds, are the same: an event is stamped after its work.
const SAME: f64 = 0.05;
/// Links shorter than this part of the run are left out.
const LEAST: f64 = 0.01;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Stage,
    Step,
    Check,
    /// What a stage did while no step or check was waited for.
    Activity,
}

/// A part of the path. Links of a stage follow it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Link {
    pub kind: Kind,
    pub name: String,
    /// Seconds since the start of the run.
    pub offset: f64,
    pub seconds: f64,
}

impl Link {
    fn new(kind: Kind, name: &str, from: f64, to: f64) -> Self {
        Self { kind, name: name.into(), offset: from, seconds: to - from }
    }

    fn end(&self) -> f64 {
        self.offset + self.seconds
    }

    /// The part of it between two times.
    fn within(&self, from: f64, to: f64) -> Self {
        Self::new(self.kind, &self.name, self.offset.max(from), self.end().min(to))
    }
}

/// The path of the run with these events.
pub(super) fn of(record: &Record, events: &[Stamped]) -> Vec<Link> {
    let parts = parts(record, events);
    let activities = activities(record, events);
    let stage = |s: &super::record::StageRecord| {
        Link::new(Kind::Stage, s.name, s.offset, s.offset + s.seconds)
    };
    let mut path = Vec::new();
    for stage in record.stages.iter().map(stage) {
        let (from, to) = (stage.offset, stage.end());
        path.push(stage);
        path.extend(filled(chain(&parts, from, to), &activities, (from, to)));
    }
    let least = (LEAST * record.seconds).max(SAME);
    path.retain(|link| link.seconds >= least);
    path
}

/// Steps and checks, those that ended last first.
fn parts(record: &Record, events: &[Stamped]) -> Vec<Link> {
    let ended = |at: &Timestamp, kind, name: &str, seconds: f64| {
        let at = since(record.started, *at);
        Link::new(kind, name, at - seconds, at)
    };
    let step = |at: &Timestamp, index: usize, seconds: f64| {
        let step = record.steps.get(index)?;
        Some(ended(at, Kind::Step, &step.name, seconds))
    };
    let part = |Stamped { at, event }: &Stamped| match event {
        Event::StepDone { index, seconds } | Event::StepFailed { index, seconds, .. } => {
            step(at, *index, *seconds)
        }
        Event::Check(check) => Some(ended(at, Kind::Check, &check.id, check.seconds)),
        _ => None,
    };
    let mut parts: Vec<Link> =
        events.iter().filter_map(part).filter(|part| part.seconds > SAME).collect();
    parts.sort_by(|a, b| a.end().total_cmp(&b.end()));
    parts.reverse();
    parts
}

/// What the run said that it did, each until the next. Machines are called by their roles.
fn activities(record: &Record, events: &[Stamped]) -> Vec<Link> {
    let prefix = format!("factory-{}-", record.run);
    let (mut all, mut open) = (Vec::new(), None::<(f64, String)>);
    for Stamped { at, event } in events {
        let at = since(record.started, *at);
        let next = match event {
            Event::Doing { what } => Some((at, what.replace(&prefix, ""))),
            Event::Output { .. }
            | Event::Progress { .. }
            | Event::Note { .. }
            | Event::Warning { .. }
            | Event::MachineRestored { .. }
            | Event::Check(_) => continue,
            _ => None,
        };
        if let Some((from, what)) = std::mem::replace(&mut open, next) {
            all.push(Link::new(Kind::Activity, &what, from, at));
        }
    }
    all
}

/// The parts that determined when the stage ended, in order. `parts`: those that ended last first.
fn chain(parts: &[Link], from: f64, to: f64) -> Vec<Link> {
    let (mut path, mut until, mut rest) = (Vec::new(), to, parts);
    loop {
        let later = rest.iter().take_while(|part| part.end() > until + SAME).count();
        rest = &rest[later..];
        let Some(last) = rest.first().filter(|part| part.end() > from + SAME) else { break };
        // Of those that ended together the longest, and of those that began together the first.
        let together = rest.iter().take_while(|part| part.end() > last.end() - SAME);
        let begin = together.clone().map(|part| part.offset).fold(f64::INFINITY, f64::min);
        let waited = together.filter(|part| part.offset < begin + SAME).last().unwrap_or(last);
        path.push(waited.within(from, until));
        until = waited.offset;
    }
    path.reverse();
    path
}

/// The chain with the activities of its gaps.
fn filled(chain: Vec<Link>, activities: &[Link], (from, to): (f64, f64)) -> Vec<Link> {
    let (mut path, mut at) = (Vec::new(), from);
    let end = Link::new(Kind::Activity, "", to, to);
    for next in chain.into_iter().chain([end]) {
        let inner = activities.iter().map(|one| one.within(at, next.offset));
        path.extend(inner.filter(|one| one.seconds > SAME));
        at = next.end();
        path.push(next);
    }
    path.pop();
    path
}

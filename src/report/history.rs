//! The last builds of a family on one cloud, for the chart of the report page: from the directories
//! of their runs.
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::record::{Record, State};
use crate::engine::run_dir;
use crate::model::event::BUILDING;
use crate::model::outcome::Outcome;

/// Builds in the chart.
const SHOWN: usize = 10;
/// Earlier runs that are read for it at most. Most runs of a definition may have found its image
/// unchanged.
const READ: usize = 200;
/// Bound of the seconds in a record, which may be anybody's: of what cannot be drawn.
const LONGEST: f64 = 1e7;

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct History {
    /// Oldest first.
    pub builds: Vec<Build>,
    /// Number of builds on other clouds that are as new as those.
    pub elsewhere: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Build {
    pub run: String,
    pub started: Timestamp,
    pub seconds: f64,
    pub outcome: String,
    /// It published an image, and all that belongs to it.
    pub ok: bool,
    /// Something of it came from a checkpoint.
    pub restored: bool,
    /// The build that the page is of.
    pub this: bool,
    pub stages: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    pub name: &'static str,
    pub seconds: f64,
    pub failed: bool,
}

impl History {
    /// Of the run with this directory in the workspace. Empty for a run that is no build of the
    /// family, such as a test.
    pub fn of(dir: &Path, record: &Record) -> Self {
        let mut all = Self::default();
        if record.purpose != BUILDING {
            return all;
        }
        all.builds.extend(record.is_build().then(|| Build::of(record, true)));
        for dir in run_dir::siblings(dir).into_iter().take(READ) {
            if all.builds.len() == SHOWN {
                break;
            }
            match ended_build(&dir, &record.family) {
                Some(build) if build.cloud == record.cloud => {
                    all.builds.push(Build::of(&build, false))
                }
                Some(_) => all.elsewhere += 1,
                None => {}
            }
        }
        all.builds.sort_by(|a, b| a.run.cmp(&b.run));
        all
    }
}

/// The record of a run that was a build of the family, and has ended.
fn ended_build(dir: &Path, family: &str) -> Option<Record> {
    let record = Record::read(dir).filter(|record| record.is_build() && record.has_ended)?;
    // A definition may have been given another name. A run that ended before its plan has none.
    (record.family.is_empty() || record.family == family).then_some(record)
}

impl Build {
    fn of(record: &Record, this: bool) -> Self {
        let part = |s: &super::record::StageRecord| Part {
            name: s.name,
            seconds: s.seconds.clamp(0.0, LONGEST),
            failed: s.state == State::Failed,
        };
        Self {
            run: record.run.clone(),
            started: record.started,
            seconds: record.seconds.clamp(0.0, LONGEST),
            outcome: record.outcome.clone(),
            ok: record.outcome == Outcome::Built.name(),
            restored: record.is_restored(),
            this,
            stages: record.stages.iter().map(part).collect(),
        }
    }
}

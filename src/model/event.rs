//! Events of a run, as data. The engine emits them; sinks show or store them (terminal, log file,
//! `events.jsonl`, report). Only `cli` prints.
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod abreast;

pub use abreast::Abreast;

/// Stages of a build, in order. A stage that the plan does not need is not entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reads the cloud and makes the plan. Creates nothing.
    Plan,
    /// Fetches a source image (`source.url`) or runs its script (`source.script`), and imports it.
    Source,
    /// Boots the builder; waits for SSH and cloud-init.
    Boot,
    /// Runs the steps of the bundle.
    Provision,
    /// Removes what an image must not contain.
    Tidy,
    /// Shuts the builder down and turns its disk into a staged image.
    Capture,
    /// Boots the captured image and tests it.
    Smoke,
    /// Publishes the staged image.
    Publish,
    /// Writes templates and reports.
    Output,
    /// Deletes what the run created for itself.
    Unwind,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Plan => "plan",
            Stage::Source => "source",
            Stage::Boot => "boot",
            Stage::Provision => "provision",
            Stage::Tidy => "tidy",
            Stage::Capture => "capture",
            Stage::Smoke => "smoke",
            Stage::Publish => "publish",
            Stage::Output => "output",
            Stage::Unwind => "unwind",
        }
    }
}

/// Purpose of a run that is to publish an image, in [`Event::Started`].
pub const BUILDING: &str = "building";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First event of a run.
    Started {
        run: String,
        bundle: String,
        /// What the run does: `building`, `testing`, `opening the builder`.
        #[serde(default)]
        purpose: String,
        /// The image to be tested; empty for other runs: see [`Event::Planned`].
        image_name: String,
        cloud: String,
    },
    /// The plan of a build is made: the image is going to have this name.
    Planned {
        image_name: String,
    },
    StageStarted {
        stage: Stage,
    },
    StageDone {
        stage: Stage,
        seconds: f64,
    },
    StageFailed {
        stage: Stage,
        seconds: f64,
        error: String,
    },
    /// A step of the bundle begins; `index` counts from 0.
    StepStarted {
        index: usize,
        of: usize,
        name: String,
    },
    StepDone {
        index: usize,
        seconds: f64,
    },
    StepFailed {
        index: usize,
        seconds: f64,
        error: String,
    },
    /// A step that was not run, because the machine was restored from a checkpoint that has its
    /// work, made so long ago.
    StepRestored {
        index: usize,
        of: usize,
        name: String,
        age_seconds: u64,
    },
    /// The machine of this stage (boot) was not booted but restored from a checkpoint, made so long
    /// ago.
    MachineRestored {
        age_seconds: u64,
    },
    /// What the stage does or waits for now, in a few words ("waiting for SSH").
    Doing {
        what: String,
    },
    /// `done` of `of`, in `unit` ("bytes", "percent").
    Progress {
        done: u64,
        of: u64,
        unit: String,
    },
    /// One line of output of a program or machine; `source` names it ("ansible", "shell",
    /// "console", "tidy").
    Output {
        source: String,
        line: String,
    },
    /// A message for the reader ("base os/debian-12 is missing: building it first").
    Note {
        text: String,
    },
    Warning {
        text: String,
    },
    /// A smoke check of the captured image.
    Check(Check),
    /// Last event of a run. `image` is set if one was published.
    Finished {
        outcome: String,
        seconds: f64,
        image: Option<FinishedImage>,
        error: Option<String>,
        leaks: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinishedImage {
    pub id: String,
    pub name: String,
}

/// Result of one smoke check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Stable ID, such as `host-keys-unique`; `tests/page` for a check of the bundle.
    pub id: String,
    pub verdict: Verdict,
    pub seconds: f64,
    /// One line: the reason of a failure or skip, or the observation.
    pub reason: String,
    /// Output of the check, at most 64 KiB.
    #[serde(default)]
    pub output: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// Number of checks per result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Tally {
    pub fn all(&self) -> usize {
        self.passed + self.failed + self.skipped
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut tally = Self::default();
        let untested = tally.to_string();
        for part in text.split(", ").filter(|part| *part != untested) {
            let (count, word) = part.split_once(' ')?;
            *match word {
                "passed" => &mut tally.passed,
                "failed" => &mut tally.failed,
                "skipped" => &mut tally.skipped,
                _ => return None,
            } = count.parse().ok()?;
        }
        Some(tally)
    }
}

impl<'a> FromIterator<&'a Check> for Tally {
    fn from_iter<T: IntoIterator<Item = &'a Check>>(checks: T) -> Self {
        let mut tally = Self::default();
        for check in checks {
            *match check.verdict {
                Verdict::Passed => &mut tally.passed,
                Verdict::Failed => &mut tally.failed,
                Verdict::Skipped => &mut tally.skipped,
            } += 1;
        }
        tally
    }
}

/// `27 passed, 1 skipped`; `untested` without any check.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.passed, "passed"), (self.failed, "failed"), (self.skipped, "skipped")];
        let told: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        f.write_str(if told.is_empty() { "untested".into() } else { told.join(", ") }.as_str())
    }
}

/// An event with its time: one line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    pub at: jiff::Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

/// Receives events. Must never block on a reader (a terminal, a pipe): the build and its signal
/// handling would wait too.
pub trait Sink: Send {
    fn take(&mut self, event: &Stamped);
}

/// Sends events to all sinks. Cheap to clone.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<Box<dyn Sink>>>>);

impl Events {
    pub fn add(&self, sink: Box<dyn Sink>) {
        self.0.lock().expect("a sink panicked").push(sink);
    }

    pub fn emit(&self, event: Event) {
        let stamped = Stamped { at: jiff::Timestamp::now(), event };
        for sink in self.0.lock().expect("a sink panicked").iter_mut() {
            sink.take(&stamped);
        }
    }

    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note { text: text.into() });
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.emit(Event::Warning { text: text.into() });
    }

    pub fn doing(&self, what: impl Into<String>) {
        self.emit(Event::Doing { what: what.into() });
    }

    pub fn output(&self, source: &str, line: impl Into<String>) {
        self.emit(Event::Output { source: source.into(), line: line.into() });
    }
}

/// Seconds with millisecond precision, as used in events.
pub fn seconds(d: Duration) -> f64 {
    (d.as_secs_f64() * 1000.0).round() / 1000.0
}

//! What happens in a run, as data. The build emits, sinks show: terminal, log file, `events.jsonl`,
//! report. Nothing but `cli` (and later `service`) prints.
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod abreast;

pub use abreast::Abreast;

/// The stages of a build, in the order in which they run. A stage that a plan does not need is not
/// entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Read the cloud, make the plan. Nothing is created.
    Plan,
    /// Get a source image (`source.url`), or have it made (`source.script`), and take it in.
    Source,
    /// Builder up, SSH answers, cloud-init done.
    Boot,
    /// The steps of the bundle.
    Provision,
    /// What must not be in an image is removed.
    Tidy,
    /// Orderly stop, then the disk becomes a staged image.
    Capture,
    /// The captured image boots and is tested.
    Smoke,
    /// The staged image becomes the published one.
    Publish,
    /// Templates and reports.
    Output,
    /// What the run made for itself is deleted.
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First event of a run.
    Started {
        run: String,
        bundle: String,
        /// What is done with the image: `building`, `testing`; `opening the builder of`.
        #[serde(default)]
        purpose: String,
        image_name: String,
        cloud: String,
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
    /// A step of the bundle (`index` counts from 0).
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
    /// What the stage waits for or does just now, in a few words ("waiting for SSH").
    Doing {
        what: String,
    },
    /// `done` of `of` in `unit` ("bytes", "percent").
    Progress {
        done: u64,
        of: u64,
        unit: String,
    },
    /// One line of output of something we run; `source` names it ("ansible", "shell", "console",
    /// "tidy").
    Output {
        source: String,
        line: String,
    },
    /// A line for the reader ("base os/debian-12 is missing: building it first").
    Note {
        text: String,
    },
    Warning {
        text: String,
    },
    /// A smoke check of the captured image.
    Check(Check),
    /// Last event of a run. `image` is there when one was published.
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
    /// Stable ID, such as `host-keys-unique`, or `tests/page` for a test of the bundle.
    pub id: String,
    pub verdict: Verdict,
    pub seconds: f64,
    /// One line: why it failed or was skipped, or what was seen.
    pub reason: String,
    /// What the check printed, at most 64 KiB.
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

/// How many checks came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
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

/// `27 passed, 1 skipped`; of no check at all, `untested`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.passed, "passed"), (self.failed, "failed"), (self.skipped, "skipped")];
        let told: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        f.write_str(if told.is_empty() { "untested".into() } else { told.join(", ") }.as_str())
    }
}

/// An event with its time: what `events.jsonl` holds, one per line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    pub at: jiff::Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

/// Takes events as they come. Must never wait for a reader (a terminal, a pipe): the build and the
/// signals wait for it.
pub trait Sink: Send {
    fn take(&mut self, event: &Stamped);
}

/// The way into all sinks. Cheap to clone.
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

/// Seconds with millisecond precision, as events carry them.
pub fn seconds(d: Duration) -> f64 {
    (d.as_secs_f64() * 1000.0).round() / 1000.0
}

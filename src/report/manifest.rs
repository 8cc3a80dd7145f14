//! `manifest.json`: machine-readable record of a build, its inputs and its results.
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hex;
use super::record::{BaseRecord, Record, StageRecord, State, StepRecord};
use super::templates::Rendered;
use super::write::{MANIFEST, OUTPUT, PROPERTIES};
use crate::model::event::Verdict;
use crate::model::image::Image;
use crate::model::inputs::Inputs;
use crate::system::reading;

/// Incremented when a key changes its meaning or is removed.
pub const SCHEMA: u32 = 2;

#[derive(Debug, Serialize)]
pub struct Manifest<'a> {
    schema: u32,
    factory: Factory,
    run: &'a str,
    bundle: &'a str,
    family: &'a str,
    outcome: &'a str,
    error: Option<&'a str>,
    leaks: &'a [String],
    cloud: &'a str,
    how: &'a str,
    commit: Option<&'a str>,
    started: jiff::Timestamp,
    seconds: f64,
    own_seconds: f64,
    image: Option<&'a Image>,
    base: Option<&'a BaseRecord>,
    inputs: &'a Inputs,
    stages: Vec<Timing<'a>>,
    steps: Vec<Step<'a>>,
    tests: Vec<Test<'a>>,
    outputs: Vec<File>,
}

#[derive(Debug, Serialize)]
struct Factory {
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Timing<'a> {
    name: &'a str,
    seconds: f64,
    state: State,
    /// Age of the checkpoint that it came from, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Step<'a> {
    #[serde(flatten)]
    timing: Timing<'a>,
    /// Its content key.
    key: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Test<'a> {
    id: &'a str,
    verdict: Verdict,
    seconds: f64,
    reason: &'a str,
}

/// A file and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: PathBuf,
    /// Hex.
    pub sha256: String,
}

/// Maximum bytes read of what is shown. No output is as large.
const MOST: u64 = 64 << 20;

/// What is shown, as its manifest has it.
#[derive(Debug, Deserialize)]
pub struct Shown {
    image: Option<ShownImage>,
    outputs: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct ShownImage {
    id: String,
}

/// What the last build shows in `dir` (`images/target/<bundle>`). `None`: nothing whole.
pub fn shown(dir: &Path) -> Option<Shown> {
    let text = |name: &str| reading::text(&dir.join(name), MOST).ok();
    text(PROPERTIES)?;
    serde_json::from_str(&text(MANIFEST)?).ok()
}

impl Shown {
    pub fn is_of(&self, image: &Image) -> bool {
        self.image.as_ref().is_some_and(|shown| shown.id == image.id)
    }

    /// Whether the file at `path` below `dir` is the output that was made.
    pub fn has(&self, dir: &Path, path: &Path) -> bool {
        let made = self.outputs.iter().find(|file| file.path == path);
        made.is_some_and(|made| {
            let now = reading::text(&dir.join(path), MOST);
            now.is_ok_and(|now| hex(&Sha256::digest(now)) == made.sha256)
        })
    }
}

impl<'a> Timing<'a> {
    fn of_stage(stage: &'a StageRecord) -> Self {
        let StageRecord { name, seconds, state, restored, .. } = stage;
        Self { name, seconds: *seconds, state: *state, restored: *restored }
    }
}

impl<'a> Step<'a> {
    fn of(step: &'a StepRecord) -> Self {
        let StepRecord { name, seconds, state, restored, .. } = step;
        let timing = Timing { name, seconds: *seconds, state: *state, restored: *restored };
        Self { timing, key: step.key.as_deref() }
    }
}

impl<'a> Manifest<'a> {
    pub fn new(record: &'a Record, inputs: &'a Inputs, rendered: &[Rendered]) -> Self {
        Self {
            schema: SCHEMA,
            factory: Factory { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
            run: &record.run,
            bundle: &record.bundle,
            family: &record.family,
            outcome: &record.outcome,
            error: record.error.as_deref(),
            leaks: &record.leaks,
            cloud: &record.cloud,
            how: &record.how,
            commit: record.commit.as_deref(),
            started: record.started,
            seconds: record.seconds,
            own_seconds: record.own_seconds,
            image: record.image.as_ref(),
            base: record.base.as_ref(),
            inputs,
            stages: record.stages.iter().map(Timing::of_stage).collect(),
            steps: record.steps.iter().map(Step::of).collect(),
            tests: record
                .checks
                .iter()
                .map(|c| Test {
                    id: &c.id,
                    verdict: c.verdict,
                    seconds: c.seconds,
                    reason: &c.reason,
                })
                .collect(),
            outputs: rendered
                .iter()
                .map(|r| File {
                    path: Path::new(OUTPUT).join(&r.path),
                    sha256: hex(&Sha256::digest(&r.text)),
                })
                .collect(),
        }
    }

    pub fn json(&self) -> String {
        let text =
            serde_json::to_string_pretty(self).expect("a manifest holds nothing that JSON lacks");
        crate::text::json(&text).into_owned() + "\n"
    }
}

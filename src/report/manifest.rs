//! `manifest.json`: machine-readable record of a build, its inputs and its results.
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::hex;
use super::record::{BaseRecord, Record, State};
use super::templates::Rendered;
use crate::model::event::Verdict;
use crate::model::image::Image;
use crate::model::inputs::Inputs;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    pub path: PathBuf,
    /// Hex.
    pub sha256: String,
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
            stages: record
                .stages
                .iter()
                .map(|s| Timing { name: s.name, seconds: s.seconds, state: s.state })
                .collect(),
            steps: record
                .steps
                .iter()
                .map(|s| Step {
                    timing: Timing { name: &s.name, seconds: s.seconds, state: s.state },
                    key: s.key.as_deref(),
                })
                .collect(),
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
                    path: Path::new("output").join(&r.path),
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

//! `manifest.json`: what was built, from what, by what, and how it went; for machines.
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::hex;
use super::record::{BaseRecord, Record, State};
use super::templates::Rendered;
use crate::bundle::Bundle;
use crate::event::Verdict;
use crate::image::Image;

/// Raised when a key changes its meaning or goes.
pub const SCHEMA: u32 = 1;

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
    steps: Vec<Timing<'a>>,
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

/// The files of a definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Inputs {
    /// SHA-256 of the lines `<sha256>  <path>` of all files, ordered by path: `find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`.
    pub sha256: String,
    pub files: Vec<File>,
}

impl Inputs {
    /// The definition: its directory, and its build-vars.yml where `bundle.path` leads to another directory.
    pub fn of(bundle: &Bundle) -> Result<Self, (PathBuf, io::Error)> {
        let mut inputs = Self::read(&bundle.dir)?;
        let settings = Path::new(&bundle.label).join("build-vars.yml");
        let full = bundle.tree.join(&settings);
        // Paths of the directory's own files have no label before them, so these two never meet.
        if full.parent() != Some(&bundle.dir) && full.is_file() {
            let sha256 = digest(&full).map_err(|e| (full, e))?;
            inputs.files.push(File { path: settings, sha256 });
            inputs = Self::new(inputs.files);
        }
        Ok(inputs)
    }

    /// Hashes every file under `dir`. Of a symbolic link the target's name is hashed, so that nothing outside is read.
    pub fn read(dir: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let mut files = Vec::new();
        let walk = walkdir::WalkDir::new(dir).into_iter().filter_entry(|e| e.depth() == 0 || e.file_name() != ".git");
        for entry in walk {
            let entry = entry.map_err(|e| {
                let path = e.path().unwrap_or(dir).to_path_buf();
                (path, e.into_io_error().unwrap_or_else(|| io::Error::other("a loop of links")))
            })?;
            let failed = |e| (entry.path().to_path_buf(), e);
            let sha256 = if entry.file_type().is_file() {
                digest(entry.path()).map_err(failed)?
            } else if entry.file_type().is_symlink() {
                let target = std::fs::read_link(entry.path()).map_err(failed)?;
                hex(&Sha256::digest(target.as_os_str().as_encoded_bytes()))
            } else {
                continue;
            };
            let path = entry.path().strip_prefix(dir).unwrap_or(entry.path()).to_path_buf();
            files.push(File { path, sha256 });
        }
        Ok(Self::new(files))
    }

    fn new(mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        let mut all = Sha256::new();
        for file in &files {
            all.update(format!("{}  ./{}\n", file.sha256, file.path.display()));
        }
        Self { sha256: hex(&all.finalize()), files }
    }
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
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
            stages: record.stages.iter().map(|s| Timing { name: s.name, seconds: s.seconds, state: s.state }).collect(),
            steps: record.steps.iter().map(|s| Timing { name: &s.name, seconds: s.seconds, state: s.state }).collect(),
            tests: record.checks.iter().map(|c| Test { id: &c.id, verdict: c.verdict, seconds: c.seconds, reason: &c.reason }).collect(),
            outputs: rendered
                .iter()
                .map(|r| File { path: Path::new("output").join(&r.path), sha256: hex(&Sha256::digest(&r.text)) })
                .collect(),
        }
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a manifest holds nothing that JSON lacks") + "\n"
    }
}

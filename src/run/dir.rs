//! Run directories, and the index by which `sweep` finds those that may own something.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Home, RunError};
use crate::build::Opened;
use crate::cloud::ledger::{Leak, Ledger};
use crate::event::{Events, Sink};
use crate::image::Image;
use crate::log;
use crate::plan::{Origin, Plan};

/// `result.json`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub run: String,
    pub bundle: String,
    pub cloud: String,
    pub started: Timestamp,
    pub seconds: f64,
    /// `built`, `failed`, `stopped`, `ended` (a shell that was left), `tested` and `rejected` (an image that was there)
    pub outcome: String,
    pub image: Option<Image>,
    pub error: Option<String>,
    pub leaks: Vec<Leak>,
    pub kept: Option<Opened>,
}

/// A run directory with its lock held, and its entry in the index by which `sweep` finds it.
pub(super) struct RunDir {
    pub path: PathBuf,
    index: PathBuf,
    /// `build.<image name>.log` beside the other outputs: the same file as the run's `build.log`.
    shown: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Made in this order: lock, index entry. A run that died in between owns nothing yet.
    pub fn create(home: &Home, target: &Path, plan: &Plan) -> Result<Self, RunError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| RunError::Io { path, source }
        };
        let path = target.join("runs").join(&plan.run);
        fs::create_dir_all(&path).map_err(io(&path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.try_lock().map_err(|e| RunError::Io { path: lock_path, source: e.into() })?;
        let index = home.index().join(&plan.run);
        fs::create_dir_all(home.index()).map_err(io(&home.index()))?;
        std::os::unix::fs::symlink(&path, &index).map_err(io(&index))?;
        File::open(home.index()).and_then(|d| d.sync_all()).map_err(io(&index))?;
        let text = serde_json::to_string_pretty(plan).expect("a plan is plain data");
        fs::write(path.join("plan.json"), text).map_err(io(&path))?;
        let shown = target.join(format!("build.{}.log", plan.image_name));
        Ok(Self { path, index, shown, _lock: lock })
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("build.log")
    }

    /// Opens the ledger; from here on every event, the earlier ones included, goes to the log and to `events.jsonl`.
    pub fn begin(&self, events: &Events, recorder: &log::Recorder) -> Result<Ledger, RunError> {
        let io = |source| RunError::Io { path: self.path.clone(), source };
        let mut sinks: Vec<Box<dyn Sink>> = vec![
            Box::new(log::LogFile::create(&self.log()).map_err(io)?),
            Box::new(log::EventFile::open(&self.path.join("events.jsonl")).map_err(io)?),
        ];
        // A build of that name a moment ago, whose log stays in its own run directory.
        let _ = fs::remove_file(&self.shown);
        fs::hard_link(self.log(), &self.shown).map_err(|source| RunError::Io { path: self.shown.clone(), source })?;
        for sink in &mut sinks {
            recorder.events().iter().for_each(|e| sink.take(e));
        }
        sinks.into_iter().for_each(|s| events.add(s));
        Ledger::open(&self.path.join("ledger.jsonl")).map_err(|e| RunError::Cloud(e.into()))
    }

    pub fn record(&self, record: &Record) -> Result<(), RunError> {
        let path = self.path.join("result.json");
        let text = serde_json::to_string_pretty(record).expect("a record is plain data");
        fs::write(&path, text).map_err(|source| RunError::Io { path, source })
    }

    /// Nothing is owned any more: `sweep` need not know of this run.
    pub fn forget(&self) {
        // An entry that stays costs `sweep` one look.
        let _ = fs::remove_file(&self.index);
    }
}

/// A run in the index.
pub struct Indexed {
    pub run: String,
    /// Where the run directory is, or was.
    pub dir: PathBuf,
    index: PathBuf,
    /// Held: the run is dead and nobody else sweeps it. `None`: it is alive.
    pub lock: Option<File>,
    /// Its machine was left up on purpose.
    pub kept: bool,
}

impl Indexed {
    pub fn forget(&self) {
        let _ = fs::remove_file(&self.index);
    }
}

/// Runs that may own something, oldest first.
pub fn indexed(home: &Home) -> std::io::Result<Vec<Indexed>> {
    let mut runs = Vec::new();
    let entries = match fs::read_dir(home.index()) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(runs),
        entries => entries?,
    };
    for entry in entries {
        let index = entry?.path();
        let Ok(dir) = fs::read_link(&index) else { continue };
        let lock = match File::options().write(true).open(dir.join("lock")) {
            // The directory was removed by hand: nobody can hold its lock.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Some(File::open(home.index())?),
            Err(e) => return Err(e),
            Ok(file) => file.try_lock().is_ok().then_some(file),
        };
        let kept = read_record(&dir).is_some_and(|r| r.kept.is_some());
        let run = index.file_name().unwrap_or_default().to_string_lossy().into_owned();
        runs.push(Indexed { run, dir, index, lock, kept });
    }
    runs.sort_by(|a, b| a.run.cmp(&b.run));
    Ok(runs)
}

/// What the runs of this machine that are alive build on, whatever the cloud: IDs, each with a sentence that says so.
pub fn bases_of_live_runs(home: &Home) -> std::io::Result<BTreeMap<String, String>> {
    let alive = indexed(home)?.into_iter().filter(|r| r.lock.is_none());
    let base = |r: Indexed| match read_plan(&r.dir)?.origin {
        Origin::Base(image) => Some((image.id, format!("run {} builds on it", r.run))),
        _ => None,
    };
    Ok(alive.filter_map(base).collect())
}

/// `result.json` of a run directory; `None` while it runs or if it died.
pub fn read_record(dir: &Path) -> Option<Record> {
    serde_json::from_str(&fs::read_to_string(dir.join("result.json")).ok()?).ok()
}

/// `plan.json` of a run directory.
pub fn read_plan(dir: &Path) -> Option<Plan> {
    serde_json::from_str(&fs::read_to_string(dir.join("plan.json")).ok()?).ok()
}

/// Run directories below a factory tree, oldest first.
pub fn directories(tree: &Path) -> Vec<PathBuf> {
    let list = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut dirs: Vec<PathBuf> = ["images", "os"]
        .iter()
        .flat_map(|kind| list(tree.join(kind).join("target")))
        .flat_map(|bundle| list(bundle.join("runs")))
        .filter(|d| d.join("plan.json").is_file())
        .collect();
    dirs.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    dirs
}

//! The index of runs that may own resources: `<home>/runs/`, one directory per run. A damaged entry
//! affects no other.
//!
//! Also reads links to workspace directories, written by earlier versions.
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Home;
use super::dir::{COMING, GOING, LEDGER, LOCK, NAME, remove};
use super::record::{directories, read_plan, read_record};
use crate::plan::{Origin, is_run_id};
use crate::provider::ledger::Told;
use crate::provider::local_resources::component;
use crate::system::durable;
use crate::system::lock::Held;

/// Directory for unusable records, kept for inspection.
const ASIDE: &str = ".aside";

/// Size limit of an image's name, in bytes.
const LONGEST_NAME: u64 = 4096;

/// Upper bound on the time to create a record.
const MOMENT: Duration = Duration::from_secs(60);

/// Whether a run is being worked on.
#[derive(Debug)]
pub enum Life {
    /// The run, or another sweep, holds its lock.
    Alive,
    /// We hold its lock: the run is dead, and no other sweep works on it.
    Dead(#[expect(dead_code, reason = "held until it is dropped")] Held),
    /// Unknown, for this reason.
    Unknown(String),
}

/// A run in the index.
#[derive(Debug)]
pub struct IndexedRun {
    pub run: String,
    /// Directory of plan and ledger.
    pub dir: PathBuf,
    index: PathBuf,
    pub life: Life,
    /// Its cloud, if plan or ledger name it.
    pub cloud: Option<String>,
    /// Its machine was kept on purpose.
    pub kept: bool,
}

impl IndexedRun {
    pub fn ledger(&self) -> PathBuf {
        self.dir.join(LEDGER)
    }

    pub fn is_dead(&self) -> bool {
        matches!(self.life, Life::Dead(_))
    }

    /// Removes the entry: the run owns nothing. A leftover only costs the next sweep time.
    pub fn forget(&self) {
        let _ = match fs::symlink_metadata(&self.index) {
            Ok(meta) if meta.is_dir() => remove(&self.index),
            _ => fs::remove_file(&self.index),
        };
    }

    /// Moves the record out of the index for inspection. Returns its new path.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.index.with_file_name(ASIDE);
        durable::private_dir(&aside, durable::Others::Nothing)?;
        let second = jiff::Timestamp::now().as_second();
        let place = aside.join(format!("{}-{second}", self.run));
        fs::rename(&self.index, &place)?;
        durable::sync_dir(&aside)?;
        durable::sync_dir(aside.parent().unwrap_or(&aside))?;
        Ok(place)
    }

    fn of(run: String, index: PathBuf) -> Option<Self> {
        let unknown = |why: String| Self {
            run: run.clone(),
            dir: index.clone(),
            index: index.clone(),
            life: Life::Unknown(why),
            cloud: None,
            kept: false,
        };
        let (dir, old) = match place(&index) {
            Ok(found) => found?,
            Err(why) => return Some(unknown(why)),
        };
        let life = match lock(&dir) {
            Ok(life) => life?,
            Err(_) if !dir.exists() && old => {
                // Removed by hand, with the run alive or not; whatever it owns bears its mark.
                Life::Unknown(format!("{} is gone, and what it wrote down with it", dir.display()))
            }
            // Another sweep removed it a moment ago.
            Err(_) if !dir.exists() => return None,
            Err(why) => Life::Unknown(why),
        };
        let cloud =
            read_plan(&dir).map(|p| p.cloud).or_else(|| Told::read(&dir.join(LEDGER)).ok()?.cloud);
        let kept = read_record(&dir).is_some_and(|r| r.kept.is_some());
        Some(Self { run, dir, index, life, cloud, kept })
    }
}

/// Directory of an entry's record, and whether an older version wrote it. `None` if it was removed
/// meanwhile.
fn place(index: &Path) -> Result<Option<(PathBuf, bool)>, String> {
    let meta = match fs::symlink_metadata(index) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        meta => meta.map_err(|e| e.to_string())?,
    };
    if meta.is_symlink() {
        return fs::read_link(index).map(|dir| Some((dir, true))).map_err(|e| e.to_string());
    }
    if !meta.is_dir() {
        return Err("it is no directory".into());
    }
    // SAFETY: plain system call without arguments.
    let me = unsafe { libc::geteuid() };
    if meta.uid() != me {
        return Err(format!("it belongs to user {}", meta.uid()));
    }
    Ok(Some((index.to_owned(), false)))
}

/// `None` if another sweep has just removed the run.
fn lock(dir: &Path) -> Result<Option<Life>, String> {
    let mut options = File::options();
    options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
    let file =
        options.open(dir.join(LOCK)).map_err(|e| format!("its lock cannot be opened: {e}"))?;
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Err("its lock is no file".into());
    }
    match Held::take(file) {
        Ok(held) if held.file().metadata().is_ok_and(|m| m.nlink() == 0) => Ok(None),
        Ok(held) => Ok(Some(Life::Dead(held))),
        Err((_, TryLockError::WouldBlock)) => Ok(Some(Life::Alive)),
        Err((_, TryLockError::Error(e))) => Err(format!("its lock cannot be taken: {e}")),
    }
}

/// State of a run that is not in this home's index, from the lock in its runtime directory, which
/// other homes of this user share. `None` if unknown.
pub fn life_elsewhere(home: &Home, run: &str) -> Option<Life> {
    let dir = home.runtime.join(component(run).ok()?);
    lock(&dir).ok().flatten()
}

/// The run with this ID, with its lock held by us. `None`: it is not dead, or not there.
pub fn claim(home: &Home, run: &str) -> Option<IndexedRun> {
    let index = home.index().join(component(run).ok()?);
    IndexedRun::of(run.to_owned(), index).filter(IndexedRun::is_dead)
}

/// Runs that may own resources, oldest first.
pub fn indexed(home: &Home) -> io::Result<Vec<IndexedRun>> {
    let mut runs = Vec::new();
    let entries = match fs::read_dir(home.index()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(runs),
        entries => entries?,
    };
    for entry in entries {
        let index = entry?.path();
        let run = index.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !run.starts_with('.') {
            runs.extend(IndexedRun::of(run, index));
        }
    }
    runs.sort_by(|a, b| a.run.cmp(&b.run));
    Ok(runs)
}

/// ID of the latest run of a factory tree, and of all runs in `home`: the next one's is later.
pub fn latest(home: Option<&Home>, tree: &Path) -> Option<String> {
    let of_home = home.map(|home| fs::read_dir(home.index()));
    let of_home = of_home.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
    let names = directories(tree).into_iter().chain(of_home);
    let names = names.filter_map(|dir| dir.file_name()?.to_str().map(str::to_owned));
    names.filter(|name| is_run_id(name)).max()
}

/// Removes incomplete records left by killed runs and sweeps.
pub fn tidy(home: &Home) {
    for entry in fs::read_dir(home.index()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let half_made = name.starts_with(COMING)
            && is_old(&entry.path())
            && matches!(lock(&entry.path()), Ok(Some(Life::Dead(_))));
        if half_made || name.starts_with(GOING) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Spares recent records, whose creator is about to take the lock.
fn is_old(dir: &Path) -> bool {
    let age = fs::symlink_metadata(dir)
        .and_then(|meta| meta.modified())
        .map(|at| at.elapsed().unwrap_or_default());
    age.is_ok_and(|age| age > MOMENT)
}

/// Base images of this machine's live (or possibly live) runs, on any cloud: maps IDs to sentences
/// that say so.
pub fn bases_of_live_runs(home: &Home) -> io::Result<BTreeMap<String, String>> {
    let alive = indexed(home)?.into_iter().filter(|r| !r.is_dead());
    let base = |r: IndexedRun| match read_plan(&r.dir)?.origin {
        Origin::Base(image) => Some((image.id, format!("run {} builds on it", r.run))),
        _ => None,
    };
    Ok(alive.filter_map(base).collect())
}

/// Image names that this machine's live runs will publish on `cloud`, each with its run.
pub fn names_of_live_runs(home: &Home, cloud: &str) -> io::Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    let mine = |r: &IndexedRun| !r.is_dead() && r.cloud.as_deref() == Some(cloud);
    for run in indexed(home)?.into_iter().filter(mine) {
        let reserved = durable::read(&run.dir.join(NAME), LONGEST_NAME)
            .ok()
            .and_then(|name| String::from_utf8(name).ok());
        // Its plan may have found that name taken.
        let planned =
            read_plan(&run.dir).map(|plan| plan.image_name).filter(|_| reserved.is_some());
        names.extend(reserved.into_iter().chain(planned).map(|name| (name, run.run.clone())));
    }
    Ok(names)
}

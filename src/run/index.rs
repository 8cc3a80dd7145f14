//! The index by which `sweep` finds runs that may own something: `<home>/runs/`, a directory for
//! each. One entry that cannot be made sense of says so, and is in nobody's way.
//!
//! Versions before had links there, to run directories in workspaces; those are read, too.
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Home;
use super::dir::{COMING, GOING, LEDGER, LOCK, NAME, read_plan, read_record, remove};
use crate::cloud::ledger::Told;
use crate::cloud::local_resources::component;
use crate::durable;
use crate::lock::Held;
use crate::plan::Origin;

/// Where records are put that are no use any more, and that a person may want to look at.
const ASIDE: &str = ".aside";

/// Of an image's name, in bytes.
const LONGEST_NAME: u64 = 4096;

/// A record is made in less.
const MOMENT: Duration = Duration::from_secs(60);

/// Whether somebody works on a run.
#[derive(Debug)]
pub enum Life {
    /// Its lock is held by the run, or by another sweep.
    Alive,
    /// The lock is ours: it is dead, and nobody else sweeps it.
    Dead(#[expect(dead_code, reason = "held until it is dropped")] Held),
    /// Nobody can tell, for this reason.
    Unknown(String),
}

/// A run in the index.
#[derive(Debug)]
pub struct IndexedRun {
    pub run: String,
    /// Where plan and ledger are.
    pub dir: PathBuf,
    index: PathBuf,
    pub life: Life,
    /// Where it built, if plan or ledger tell.
    pub cloud: Option<String>,
    /// Its machine was left up on purpose.
    pub kept: bool,
}

impl IndexedRun {
    pub fn ledger(&self) -> PathBuf {
        self.dir.join(LEDGER)
    }

    pub fn is_dead(&self) -> bool {
        matches!(self.life, Life::Dead(_))
    }

    /// Nothing is owned any more. What stays of it costs the next sweep a look.
    pub fn forget(&self) {
        let _ = match fs::symlink_metadata(&self.index) {
            Ok(meta) if meta.is_dir() => remove(&self.index),
            _ => fs::remove_file(&self.index),
        };
    }

    /// Takes it out of the index and keeps it for a person to look at; says where.
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

/// Where the record of an index entry is, and whether it is one of an older version. `None`: it
/// went meanwhile.
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

/// `None`: another sweep removed the run a moment ago.
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

/// Of a run that this home knows nothing of: whether another home's factory, of this user, works on
/// it. Each run holds a lock in its runtime directory, too. `None`: nothing tells.
pub fn life_elsewhere(home: &Home, run: &str) -> Option<Life> {
    let dir = home.runtime.join(component(run).ok()?);
    lock(&dir).ok().flatten()
}

/// Runs that may own something, oldest first.
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

/// Removes what runs and sweeps that were killed left of records that say nothing: half made, or
/// half removed.
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

/// Whoever makes a record takes its lock a moment later, and must find it free.
fn is_old(dir: &Path) -> bool {
    let age = fs::symlink_metadata(dir)
        .and_then(|meta| meta.modified())
        .map(|at| at.elapsed().unwrap_or_default());
    age.is_ok_and(|age| age > MOMENT)
}

/// What the runs of this machine that are alive, or may be, build on, whatever the cloud: IDs, each
/// with a sentence that says so.
pub fn bases_of_live_runs(home: &Home) -> io::Result<BTreeMap<String, String>> {
    let alive = indexed(home)?.into_iter().filter(|r| !r.is_dead());
    let base = |r: IndexedRun| match read_plan(&r.dir)?.origin {
        Origin::Base(image) => Some((image.id, format!("run {} builds on it", r.run))),
        _ => None,
    };
    Ok(alive.filter_map(base).collect())
}

/// What images are called that the live runs of `cloud` on this machine are going to publish, each
/// with the run.
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

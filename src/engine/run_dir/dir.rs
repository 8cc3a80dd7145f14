//! The two directories of a run. `<home>/runs/<run>/` records what the run owns, where nobody
//! cleans up: `lock` (held while it lives), `plan.json`, `ledger.jsonl`, and `result.json` if
//! something is left. `images/target/<bundle>/runs/<run>/`, in the workspace, is for people:
//! events, log, and copies of the rest.
//!
//! Both exist before the run's ID is shown; `plan.json` is added with the plan.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::index::names_of_live_runs;
use super::{Home, Record, RunDirError};
use crate::log;
use crate::model::event::{Events, Sink};
use crate::model::publication::suffixed;
use crate::plan::Plan;
use crate::provider::ledger::{self, Ledger};
use crate::system::durable::{self, Others};
use crate::system::lock::Held;
use crate::system::reading;

pub(super) const LOCK: &str = "lock";
pub(super) const PLAN: &str = "plan.json";
/// File with the name of the image to be published.
pub(super) const NAME: &str = "image-name";
pub const EVENTS: &str = "events.jsonl";
pub const LOG: &str = "build.log";
/// Time limit for choosing a name, which takes milliseconds.
const NAMING: Duration = Duration::from_secs(60);
pub(super) const RESULT: &str = "result.json";
pub(super) const LEDGER: &str = ledger::FILE;
/// Prefix of directories being created or removed; they own nothing.
pub(super) const COMING: &str = ".coming-";
pub(super) const GOING: &str = ".going-";

/// Facts at the beginning of a run.
pub struct Beginning<'a> {
    pub run: &'a str,
    pub cloud: &'a str,
    /// The wanted image name.
    pub name: String,
    /// The run will publish an image of that name.
    pub publishes: bool,
    /// Its log is shown beside the other outputs.
    pub shows_log: bool,
}

/// Both directories of a run, with its lock held.
pub struct RunDir {
    /// The image's name: as wanted, unless a live run has that name.
    pub name: String,
    /// The live run that has the wanted name.
    pub taken_by: Option<String>,
    /// In the workspace.
    pub path: PathBuf,
    /// In the factory's home.
    owned: PathBuf,
    /// Directory of the other outputs.
    target: PathBuf,
    /// `build.<image name>.log` in that directory, once the name is known: the same file as the
    /// run's `build.log`.
    shown: Option<PathBuf>,
    shows_log: bool,
    plan: Option<Vec<u8>>,
    ledger: Ledger,
    /// Log and events, kept open so that they survive if the workspace is emptied.
    written: Vec<(PathBuf, File)>,
    _lock: Held,
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> RunDirError {
    let path = path.to_owned();
    move |source| RunDirError::Io { path, source }
}

impl RunDir {
    /// Creates both directories. The record in the home is built under a temporary name, synced and
    /// renamed, so that a crash leaves all of it or nothing. The workspace follows.
    pub async fn create(
        home: &Home,
        target: &Path,
        beginning: Beginning<'_>,
    ) -> Result<Self, RunDirError> {
        let (index, run) = (home.index(), beginning.run);
        durable::private_dir(&index, Others::Nothing).map_err(io(&index))?;
        let naming = naming(home).await?;
        let taken_by =
            names_of_live_runs(home, beginning.cloud).map_err(io(&index))?.remove(&beginning.name);
        let name = if taken_by.is_some() {
            suffixed(&beginning.name, run)
        } else {
            beginning.name.clone()
        };
        let (coming, owned) = (index.join(format!("{COMING}{run}")), index.join(run));
        let lock =
            Self::begin_record(&coming, &beginning, &name, &home.runtime).map_err(io(&coming))?;
        fs::rename(&coming, &owned).and_then(|()| durable::sync_dir(&index)).map_err(io(&owned))?;
        drop(naming);
        let (path, target) = (target.join("runs").join(run), target.to_owned());
        let ledger = Ledger::open(&owned.join(LEDGER)).map_err(RunDirError::Ledger)?;
        let this = Self {
            name,
            taken_by,
            path,
            owned,
            target,
            shown: None,
            shows_log: beginning.shows_log,
            plan: None,
            ledger,
            written: Vec::new(),
            _lock: lock,
        };
        match fs::create_dir_all(&this.path) {
            Ok(()) => Ok(this),
            Err(e) => {
                this.forget();
                Err(io(&this.path)(e))
            }
        }
    }

    fn begin_record(
        dir: &Path,
        beginning: &Beginning<'_>,
        name: &str,
        runtime: &Path,
    ) -> io::Result<Held> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().mode(0o700).create(dir)?;
        let lock = durable::open_to_append(&dir.join(LOCK))?;
        let lock = Held::take(lock).map_err(|(_, e)| e)?;
        if beginning.publishes {
            durable::replace(&dir.join(NAME), name.as_bytes())?;
        }
        let ledger = Ledger::open(&dir.join(LEDGER)).map_err(|e| e.source)?;
        ledger.begin(beginning.run, beginning.cloud, runtime).map_err(|e| e.source)?;
        // Lock and ledger were made in it.
        durable::sync_dir(dir)?;
        Ok(lock)
    }

    /// Writes and syncs the plan before anything is created. Shows the log under the image's name.
    pub fn planned(&mut self, plan: &Plan) -> Result<Ledger, RunDirError> {
        let text = serde_json::to_vec_pretty(plan).expect("a plan is plain data");
        let owned = self.owned.join(PLAN);
        durable::replace(&owned, &text).map_err(io(&owned))?;
        self.plan = Some(text);
        self.copy_plan()?;
        self.show_log(&plan.image_name)?;
        Ok(self.ledger.clone())
    }

    /// Ends the planning without a plan. Shows the log under a name that replaces no other.
    pub fn not_planned(&mut self) -> Result<(), RunDirError> {
        let name = self.name.clone();
        let run = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let there = self.target.join(shown_name(&name)).symlink_metadata().is_ok();
        self.show_log(&if there { suffixed(&name, &run) } else { name })
    }

    fn copy_plan(&self) -> Result<(), RunDirError> {
        fs::create_dir_all(&self.path).map_err(io(&self.path))?;
        match &self.plan {
            Some(plan) => fs::write(self.path.join(PLAN), plan).map_err(io(&self.path)),
            None => Ok(()),
        }
    }

    fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Sends events to the log and to `events.jsonl` from now on.
    pub fn begin(&mut self, events: &Events) -> Result<(), RunDirError> {
        let (log, lines) = (self.log(), self.path.join(EVENTS));
        let sinks: [Box<dyn Sink>; 2] = [
            Box::new(log::LogFile::create(&log).map_err(io(&log))?),
            Box::new(log::EventFile::open(&lines).map_err(io(&lines))?),
        ];
        for path in [log, lines] {
            let file = reading::open_itself(&path).map_err(io(&path))?;
            self.written.push((path, file));
        }
        sinks.into_iter().for_each(|s| events.add(s));
        Ok(())
    }

    fn show_log(&mut self, name: &str) -> Result<(), RunDirError> {
        if !self.shows_log {
            return Ok(());
        }
        let shown = self.target.join(shown_name(name));
        // A build of that name before, whose log stays in its own run directory.
        let _ = fs::remove_file(&shown);
        shown_as(&self.log(), &shown).map_err(io(&shown))?;
        self.shown = Some(shown);
        Ok(())
    }

    /// Writes the result, first for `sweep`, then for people.
    pub fn record(&self, record: &Record) -> Result<(), RunDirError> {
        let text = serde_json::to_vec_pretty(record).expect("a record is plain data");
        let owned = self.owned.join(RESULT);
        durable::replace(&owned, &text).map_err(io(&owned))?;
        self.restore()?;
        tell_ended(&self.path, record).map_err(io(&self.path.join(RESULT)))?;
        let ledger = self.path.join(LEDGER);
        fs::copy(self.owned.join(LEDGER), &ledger).map(drop).map_err(io(&ledger))
    }

    /// Restores the workspace, which may have been emptied during the build (`make clean`).
    fn restore(&self) -> Result<(), RunDirError> {
        use std::io::Seek;
        if self.plan.is_none() || !self.path.join(PLAN).exists() {
            self.copy_plan()?;
        }
        for (path, file) in self.written.iter().filter(|(path, _)| !path.exists()) {
            let mut from = file;
            let copied =
                from.rewind().and_then(|()| io::copy(&mut from, &mut File::create_new(path)?));
            copied.map_err(io(path))?;
        }
        let Some(shown) = self.shown.as_ref().filter(|shown| !is_same(&self.log(), shown)) else {
            return Ok(());
        };
        let _ = fs::remove_file(shown);
        shown_as(&self.log(), shown).map_err(io(shown))
    }

    /// Removes the run from the index: it owns nothing.
    pub fn forget(&self) {
        // A record that stays costs `sweep` one look.
        let _ = remove(&self.owned);
    }
}

/// Writes the result for people alone: of a run that owned nothing.
pub fn tell_ended(dir: &Path, record: &Record) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(record).expect("a record is plain data");
    fs::write(dir.join(RESULT), text)
}

fn shown_name(image: &str) -> String {
    format!("build.{image}.log")
}

/// Lock held while a run chooses its name, so that simultaneous runs see each other.
async fn naming(home: &Home) -> Result<Held, RunDirError> {
    let path = home.data.join("naming.lock");
    let begin = Instant::now();
    loop {
        let lock = durable::open_to_append(&path).map_err(io(&path))?;
        match Held::take(lock) {
            Ok(held) => return Ok(held),
            Err((_, TryLockError::WouldBlock)) if begin.elapsed() < NAMING => {
                tokio::time::sleep(NAMING / 1000).await
            }
            Err((_, e)) => return Err(io(&path)(e.into())),
        }
    }
}

/// Shows file `at` also as `shown`: a hard link, otherwise (shared folders, USB sticks, several
/// disks) a symbolic link or a copy, which is renewed at the end.
fn shown_as(at: &Path, shown: &Path) -> io::Result<()> {
    let by_name = || match at.strip_prefix(shown.parent().unwrap_or(Path::new("."))) {
        Ok(within) => std::os::unix::fs::symlink(within, shown),
        Err(_) => std::os::unix::fs::symlink(std::path::absolute(at)?, shown),
    };
    fs::hard_link(at, shown).or_else(|_| by_name()).or_else(|_| fs::copy(at, shown).map(drop))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    file(one).is_some_and(|one| file(other) == Some(one))
}

/// Removes a run's record atomically.
pub(super) fn remove(record: &Path) -> io::Result<()> {
    let (Some(index), Some(run)) = (record.parent(), record.file_name()) else { return Ok(()) };
    let going = index.join(format!("{GOING}{}", run.to_string_lossy()));
    fs::rename(record, &going)?;
    durable::sync_dir(index)?;
    fs::remove_dir_all(&going)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run's directory that lies on another disk: the file system refuses the link, and every
    /// build was refused for it.
    #[test]
    fn a_log_is_shown_where_no_hard_link_can_be() {
        let (disk, memory) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let device = |dir: &tempfile::TempDir| fs::metadata(dir.path()).unwrap().dev();
        assert_ne!(device(&disk), device(&memory), "/tmp is /dev/shm");
        let (log, shown) = (memory.path().join("build.log"), disk.path().join("build.x.log"));
        fs::write(&log, "begun").unwrap();
        shown_as(&log, &shown).unwrap();
        fs::write(&log, "done").unwrap();
        assert_eq!(fs::read_to_string(&shown).unwrap(), "done");
        assert!(is_same(&log, &shown) && !is_same(&log, disk.path()));
        fs::remove_file(&log).unwrap();
        assert!(!is_same(&log, &shown), "somebody emptied the workspace");
    }
}

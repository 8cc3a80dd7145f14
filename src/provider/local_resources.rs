//! Resources of a run on the factory's machine, for every cloud: processes and directories. Found
//! without the ledger by their owner tag: a process by the mark in its environment, a directory by
//! the run ID in its path.
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::ledger::{self, Entry, Kind, Made, Told};
use super::{CloudError, RunCx, removal};
use crate::system::cancel::Cancel;
use crate::system::durable::{self, Others};
use crate::system::exec::process::{self, Proc, State};
use crate::system::exec::{self, Cmd, PROCESS_MARK, RUN_MARK};
use crate::system::paths::real_so_far;

/// Delay between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// Time limit for removing a root file system from a slow disk.
const SUBORDINATE: Duration = Duration::from_secs(100);
/// Wait for a killed process to end after releasing its memory.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// Directory of the home with those of runs.
pub const BUILDING: &str = "building";

/// Directories of runs: `home/building/<run>/…` for disks and logs, `runtime/<run>/…` for sockets
/// and keys.
#[derive(Debug, Clone)]
pub struct LocalResources {
    work: PathBuf,
    /// Directory of run records.
    records: PathBuf,
    pub runtime: PathBuf,
}

/// A resource that was found; its position in the deletion order is not yet known.
pub type Found = (Kind, String, Option<String>);

/// Converts found resources to entries, newest first.
pub fn entries(found: Vec<Found>) -> Vec<Entry> {
    let count = found.len() as u64;
    let entry = |(index, (kind, name, id))| Entry {
        seq: count - 1 - index as u64,
        kind,
        name,
        id,
        unanswered: None,
    };
    found.into_iter().enumerate().map(entry).collect()
}

/// Builder of private directories.
pub fn builder(recursive: bool) -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive).mode(0o700);
    builder
}

impl LocalResources {
    pub fn new(home: &Path, runtime: &Path) -> Self {
        Self {
            work: home.join(BUILDING),
            records: home.join(ledger::RUNS),
            runtime: runtime.into(),
        }
    }

    /// `home/building/<run>`.
    pub fn work(&self, run: &str) -> Result<PathBuf, CloudError> {
        Ok(self.work.join(component(run)?))
    }

    /// Creates a private directory owned by the run.
    pub async fn make(&self, cx: &RunCx, dir: &Path) -> Result<(), CloudError> {
        let made = || async {
            let parent = dir.parent().unwrap_or(dir);
            builder(true)
                .create(parent)
                .and_then(|()| builder(false).create(dir))
                .map_err(CloudError::io(format!("make {}", dir.display())))?;
            let name = dir.display().to_string();
            Ok::<_, CloudError>(Made { id: name, value: () })
        };
        cx.ledger.own(Kind::Directory, &dir.display().to_string(), made).await
    }

    /// The directories of a run.
    pub fn of_run(&self, run: &str) -> Result<[PathBuf; 2], CloudError> {
        Ok([self.work(run)?, self.runtime.join(component(run)?)])
    }

    /// Runs with a process or a directory here.
    pub fn runs(&self) -> BTreeSet<String> {
        let dirs = [&self.work, &self.runtime]
            .into_iter()
            .filter_map(|d| fs::read_dir(d).ok())
            .flatten()
            .flatten();
        let named =
            dirs.filter(|e| e.path().is_dir()).filter_map(|e| e.file_name().into_string().ok());
        named.chain(process::ours().into_iter().filter_map(|p| p.env(RUN_MARK))).collect()
    }

    /// Resources of `run`, in deletion order: processes before the directories that they use.
    pub fn owned(&self, run: &str) -> Result<Vec<Found>, CloudError> {
        let mut found = Vec::new();
        for proc in process::ours().into_iter().filter(|p| p.is_of(run)) {
            let name = proc.env(PROCESS_MARK).unwrap_or_else(|| proc.title());
            found.push((Kind::Process, name, Some(proc.to_string())));
        }
        for dir in self.of_run(run)?.into_iter().chain(self.then(run)?).filter(|d| d.is_dir()) {
            let name = dir.display().to_string();
            found.push((Kind::Directory, name.clone(), Some(name)));
        }
        Ok(found)
    }

    /// Deletes a process or directory of `run`. Success if absent. Ignores other kinds.
    pub async fn delete(&self, run: &str, thing: &Entry) -> Result<(), CloudError> {
        match thing.kind {
            Kind::Process => end(run, thing).await,
            Kind::Directory => self.remove(run, Path::new(&thing.name)).await,
            _ => Ok(()),
        }
    }

    /// The run's recorded runtime directory, if it differs from the current one.
    fn then(&self, run: &str) -> Result<Option<PathBuf>, CloudError> {
        let record = self.records.join(component(run)?).join(ledger::FILE);
        let told = Told::read(&record)
            .ok()
            .and_then(|told| told.runtime)
            .filter(|then| *then != self.runtime);
        // Ensures that no other user replaced the directory.
        let ours = told.filter(|then| durable::check_private(then, Others::Nothing).is_ok());
        Ok(ours.map(|then| then.join(run)))
    }

    async fn remove(&self, run: &str, dir: &Path) -> Result<(), CloudError> {
        let absent = fs::symlink_metadata(dir).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        let plain =
            dir.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        // The home may have been reached by a link then, and by another way now.
        let (dir, roots) = (itself(dir), self.of_run(run)?.into_iter().chain(self.then(run)?));
        let root = roots.map(|root| itself(&root)).find(|root| plain && dir.starts_with(root));
        let Some(root) = root else {
            return if absent { Ok(()) } else { Err(foreign(dir.display(), run)) };
        };
        let dir = &dir;
        unmount_below(dir)
            .map_err(CloudError::io(format!("unmount what is mounted below {}", dir.display())))?;
        match removal::remove(dir) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                remove_in_namespace(dir, e).await?
            }
            removed => removed.map_err(CloudError::io(format!("remove {}", dir.display())))?,
        }
        // The last one takes the run's own directory along; as long as it holds something, this
        // fails and is meant to.
        let _ = fs::remove_dir(root);
        Ok(())
    }
}

/// `path` with the links above it resolved; what it names itself may be a link.
fn itself(path: &Path) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) => real_so_far(above).join(name),
        _ => path.to_owned(),
    }
}

/// Removes files of this user's subordinate IDs: a root file system left by a killed run.
async fn remove_in_namespace(dir: &Path, denied: io::Error) -> Result<(), CloudError> {
    let cmd = Cmd::new("unshare", SUBORDINATE)
        .args(["--map-root-user", "--map-auto", "--", "rm", "-rf", "--one-file-system", "--"])
        .arg(dir);
    exec::output(&cmd, &Cancel::default()).await.map(drop).map_err(|e| {
        let denied = format!("{denied}; with this user's subordinate IDs: {e}");
        CloudError::io(format!("remove {}", dir.display()))(io::Error::new(
            io::ErrorKind::PermissionDenied,
            denied,
        ))
    })
}

/// Error for a resource of another run, or of none.
pub fn foreign(thing: impl std::fmt::Display, run: &str) -> CloudError {
    CloudError::refused(format!("delete {thing}"), format!("it is not of run {run}"))
}

/// Validates the name of a run or machine as one non-hidden path component.
pub fn component(name: &str) -> Result<&str, CloudError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(good) {
        return Err(CloudError::refused(
            format!("name `{name}`"),
            "must be letters, digits, `-`, `_` and `.`, and not begin with `.`",
        ));
    }
    Ok(name)
}

async fn end(run: &str, thing: &Entry) -> Result<(), CloudError> {
    let procs =
        match &thing.id {
            Some(id) => vec![id.parse::<Proc>().map_err(|why| {
                CloudError::refused(format!("delete process {}", thing.name), why)
            })?],
            None => {
                let called =
                    |p: &Proc| p.is_of(run) && p.env(PROCESS_MARK).as_deref() == Some(&thing.name);
                process::ours().into_iter().filter(called).collect()
            }
        };
    for proc in procs {
        if proc.state() == State::Gone {
            continue;
        }
        // A process on its way out has lost its environment already, and the mark with it: it is
        // given the time to be gone.
        if !proc.is_of(run) && !proc.gone_within(LAST_BREATH).await {
            return Err(foreign(format!("process {} ({})", thing.name, proc.pid), run));
        }
        proc.end(GRACE)
            .await
            .map_err(CloudError::io(format!("end process {} ({})", thing.name, proc.pid)))?;
    }
    Ok(())
}

/// Unmounts what a killed source script left mounted below its directory (such as /dev), so that
/// removal does not descend into it.
fn unmount_below(dir: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let Ok(dir) = dir.canonicalize() else { return Ok(()) };
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    // The fifth field is the mount point, with blanks as `\040`; later mounts lie on or below
    // earlier ones.
    let points = table.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    for point in points.filter(|p| p.starts_with(&dir)) {
        let path =
            std::ffi::CString::new(point.as_os_str().as_bytes()).map_err(io::Error::other)?;
        // SAFETY: plain system call on a string that outlives it.
        if unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Decodes octal escapes of mountinfo. Source: proc(5).
fn unescape(field: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), field.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let octal =
            after.get(..3).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        match (first, octal) {
            (b'\\', Some(byte)) => (bytes.push(byte), rest = &after[3..]),
            _ => (bytes.push(*first), rest = after),
        };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, name: &str, id: Option<&str>) -> Entry {
        Entry { seq: 0, kind, name: name.into(), id: id.map(str::to_owned), unanswered: None }
    }

    #[tokio::test]
    async fn only_directories_of_the_run_go() {
        let home = tempfile::tempdir().unwrap();
        let host = LocalResources::new(home.path(), &home.path().join("run"));
        let dir = |path: &str| {
            let dir = home.path().join(path);
            fs::create_dir_all(&dir).unwrap();
            dir
        };
        let mine = dir("building/r1/m");
        let outside = dir("elsewhere");
        std::os::unix::fs::symlink(&outside, mine.join("link")).unwrap();
        for other in [
            dir("building/r2/m"),
            dir("building"),
            outside.clone(),
            dir("building/r1").join("../r2/m"),
            dir("images/x"),
        ] {
            let thing = entry(Kind::Directory, &other.display().to_string(), None);
            assert!(host.delete("r1", &thing).await.is_err(), "{}", other.display());
            assert!(other.exists());
        }
        assert_eq!(host.runs().iter().filter(|r| r.starts_with('r')).count(), 2);
        let thing = entry(Kind::Directory, &mine.display().to_string(), None);
        for _ in 0..2 {
            host.delete("r1", &thing).await.unwrap();
            assert!(!home.path().join("building/r1").exists() && outside.exists());
        }
    }

    #[tokio::test]
    async fn the_runtime_directory_may_have_been_another() {
        let dir = tempfile::tempdir().unwrap();
        let (home, then) = (dir.path().join("home"), dir.path().join("then"));
        for made in
            [home.join("runs/r1"), then.join("r1"), then.join("r2"), dir.path().join("open/r1")]
        {
            builder(true).create(made).unwrap();
        }
        let record = |runtime: &Path| {
            let path = home.join("runs/r1").join(ledger::FILE);
            let _ = fs::remove_file(&path);
            ledger::Ledger::open(&path).unwrap().begin("r1", "local", runtime).unwrap();
        };
        record(&then);
        let host = LocalResources::new(&home, &dir.path().join("now"));
        assert!(
            host.owned("r1").unwrap().iter().any(|(_, name, _)| Path::new(name) == then.join("r1"))
        );
        let thing = |path: PathBuf| entry(Kind::Directory, &path.display().to_string(), None);
        host.delete("r1", &thing(then.join("r1"))).await.unwrap();
        assert!(!then.join("r1").exists());
        // What is not there is nobody's.
        host.delete("r1", &thing(dir.path().join("logged-out/r1"))).await.unwrap();
        for (run, other) in [("r1", then.join("r2")), ("r2", then.join("r2")), ("r1", then.clone())]
        {
            assert!(
                host.delete(run, &thing(other.clone())).await.is_err() && other.exists(),
                "{}",
                other.display()
            );
        }
        // Others may have put it there since.
        std::os::unix::fs::symlink(dir.path().join("open"), dir.path().join("link")).unwrap();
        record(&dir.path().join("link"));
        assert!(host.delete("r1", &thing(dir.path().join("link/r1"))).await.is_err());
        assert!(dir.path().join("open/r1").exists());
    }

    /// Every sweep failed from then on, with "it is not of run".
    #[tokio::test]
    async fn a_home_that_was_reached_by_a_link_is_the_same_home() {
        let dir = tempfile::tempdir().unwrap();
        let (home, link) = (dir.path().join("home"), dir.path().join("link"));
        fs::create_dir_all(home.join("building/r1/m")).unwrap();
        fs::create_dir_all(home.join("building/r2/m")).unwrap();
        std::os::unix::fs::symlink(&home, &link).unwrap();
        let thing = |path: PathBuf| entry(Kind::Directory, &path.display().to_string(), None);
        let host = LocalResources::new(&home, &dir.path().join("run"));
        assert!(host.delete("r1", &thing(link.join("building/r2/m"))).await.is_err());
        host.delete("r1", &thing(link.join("building/r1/m"))).await.unwrap();
        assert!(!home.join("building/r1").exists() && home.join("building/r2/m").exists());
    }

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        assert_eq!(unescape("/a\\040b\\134c"), Path::new("/a b\\c"));
        assert_eq!(unescape("/plain\\x"), Path::new("/plain\\x"));
    }

    /// Only root may mount; for others there is nothing to be checked.
    #[tokio::test]
    async fn nothing_behind_a_mount_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let host = LocalResources::new(home.path(), &home.path().join("run"));
        let (mine, behind) = (home.path().join("building/r1/m"), home.path().join("behind"));
        fs::create_dir_all(mine.join("a b")).unwrap();
        fs::create_dir_all(&behind).unwrap();
        fs::write(behind.join("file"), "").unwrap();
        let mounted = std::process::Command::new("mount")
            .arg("--bind")
            .arg(&behind)
            .arg(mine.join("a b"))
            .output();
        let mounted = mounted.is_ok_and(|o| o.status.success());
        host.delete("r1", &entry(Kind::Directory, &mine.display().to_string(), None))
            .await
            .unwrap();
        assert!(!mine.exists() && behind.join("file").exists(), "mounted: {mounted}");
    }

    #[tokio::test]
    async fn a_process_without_the_mark_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let host = LocalResources::new(home.path(), &home.path().join("run"));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let proc = Proc::of(child.id() as i32).unwrap();
        let thing = entry(Kind::Process, "x", Some(&proc.to_string()));
        assert!(host.delete("r1", &thing).await.is_err());
        assert_eq!(proc.state(), State::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
        host.delete("r1", &thing).await.unwrap();
    }
}

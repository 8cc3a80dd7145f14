//! What a run left on this host, found without its ledger, and deleting it. The owner tag is: for a process the mark in its
//! environment, for a directory the run's name in its path, for a staged image its `factory_run`.
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::machine::Layout;
use super::store::{self, Store};
use crate::cloud::CloudError;
use crate::cloud::ledger::{Entry, Kind};
use crate::exec::process::{self, Proc, State};
use crate::exec::{PROCESS_MARK, RUN_MARK};
use crate::image;

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// Between the loss of a killed process's memory and its end.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// Deletes a thing of `run`. Absent is success, and so is an image that was published meanwhile: it is no run's any more.
pub async fn delete(layout: &Layout, store: &Store, run: &str, thing: &Entry) -> Result<(), CloudError> {
    match thing.kind {
        Kind::Process => end(run, thing).await,
        Kind::Directory => remove(layout, run, Path::new(&thing.name)),
        Kind::Image => discard(store, run, thing),
        // Here a machine is a process and directories; none is owned under this kind.
        Kind::Machine => Ok(()),
    }
}

fn foreign(thing: impl std::fmt::Display, run: &str) -> CloudError {
    CloudError::refused(format!("delete {thing}"), format!("it is not of run {run}"))
}

async fn end(run: &str, thing: &Entry) -> Result<(), CloudError> {
    let procs = match &thing.id {
        Some(id) => vec![id.parse::<Proc>().map_err(|why| CloudError::refused(format!("delete process {}", thing.name), why))?],
        None => {
            let called = |p: &Proc| p.is_of(run) && p.env(PROCESS_MARK).as_deref() == Some(&thing.name);
            process::ours().into_iter().filter(called).collect()
        }
    };
    for proc in procs {
        if proc.state() == State::Gone {
            continue;
        }
        // A process on its way out has lost its environment already, and the mark with it: it is given the time to be gone.
        if !proc.is_of(run) && !proc.gone_within(LAST_BREATH).await {
            return Err(foreign(format!("process {} ({})", thing.name, proc.pid), run));
        }
        proc.end(GRACE).await.map_err(CloudError::io(format!("end process {} ({})", thing.name, proc.pid)))?;
    }
    Ok(())
}

fn remove(layout: &Layout, run: &str, dir: &Path) -> Result<(), CloudError> {
    let roots = layout.of_run(run)?;
    let plain = dir.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    let Some(root) = roots.iter().find(|root| plain && dir.starts_with(root)) else {
        return Err(foreign(dir.display(), run));
    };
    unmount_below(dir).map_err(CloudError::io(format!("unmount what is mounted below {}", dir.display())))?;
    match fs::remove_dir_all(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(CloudError::io(format!("remove {}", dir.display()))(e)),
    }
    // The last one takes the run's own directory along; as long as it holds something, this fails and is meant to.
    let _ = fs::remove_dir(root);
    Ok(())
}

/// A source script that was killed may have left mounts (/dev, say) below its directory: removing must not go through them.
fn unmount_below(dir: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let Ok(dir) = dir.canonicalize() else { return Ok(()) };
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    // The fifth field is the mount point, with blanks as `\040`; later mounts lie on or below earlier ones.
    let points = table.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    for point in points.filter(|p| p.starts_with(&dir)) {
        let path = std::ffi::CString::new(point.as_os_str().as_bytes()).map_err(io::Error::other)?;
        // SAFETY: plain system call on a string that outlives it.
        if unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Undoes the octal escapes of mountinfo. Source: proc(5).
fn unescape(field: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), field.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        match (first, octal) {
            (b'\\', Some(byte)) => (bytes.push(byte), rest = &after[3..]),
            _ => (bytes.push(*first), rest = after),
        };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn discard(store: &Store, run: &str, thing: &Entry) -> Result<(), CloudError> {
    let of_run = |i: &image::Image| store::run_of(i) == Some(run);
    let ids = match &thing.id {
        // What a crash in the middle of a removal left; the ledger knows its ID, so it was this run's.
        Some(id) if store.is_debris(id) => vec![id.clone()],
        Some(id) => match store.get(id)? {
            Some(image) if !of_run(&image) => return Err(foreign(format!("image {id}"), run)),
            Some(image) if image.state == image::State::Building => vec![image.id],
            _ => Vec::new(),
        },
        None => {
            let lost = |i: &image::Image| i.state == image::State::Building && of_run(i) && i.name == thing.name;
            store.list()?.into_iter().filter(lost).map(|i| i.id).collect()
        }
    };
    ids.iter().try_for_each(|id| store.remove(id))
}

/// What `run` has here, in an order in which it can be deleted: processes use directories and images.
pub fn owned(layout: &Layout, store: &Store, run: &str) -> Result<Vec<Entry>, CloudError> {
    let mut found = Vec::new();
    for proc in process::ours().into_iter().filter(|p| p.is_of(run)) {
        let name = proc.env(PROCESS_MARK).unwrap_or_else(|| proc.title());
        found.push((Kind::Process, name, Some(proc.to_string())));
    }
    for image in store.list()? {
        if image.state == image::State::Building && store::run_of(&image) == Some(run) {
            found.push((Kind::Image, image.name, Some(image.id)));
        }
    }
    for dir in layout.of_run(run)?.iter().filter(|d| d.is_dir()) {
        let name = dir.display().to_string();
        found.push((Kind::Directory, name.clone(), Some(name)));
    }
    let count = found.len() as u64;
    let entry = |(index, (kind, name, id))| Entry { seq: count - 1 - index as u64, kind, name, id };
    Ok(found.into_iter().enumerate().map(entry).collect())
}

/// Runs that have anything here.
pub fn runs(layout: &Layout, store: &Store) -> Result<Vec<String>, CloudError> {
    let mut runs: BTreeSet<String> = layout.runs().into_iter().collect();
    runs.extend(process::ours().into_iter().filter_map(|p| p.env(RUN_MARK)));
    let staged = store.list()?.into_iter().filter(|i| i.state == image::State::Building);
    runs.extend(staged.filter_map(|i| store::run_of(&i).map(str::to_owned)));
    Ok(runs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, name: &str, id: Option<&str>) -> Entry {
        Entry { seq: 0, kind, name: name.into(), id: id.map(str::to_owned) }
    }

    #[tokio::test]
    async fn only_directories_of_the_run_go() {
        let home = tempfile::tempdir().unwrap();
        let (layout, store) = (Layout::new(home.path(), &home.path().join("run")), Store::new(home.path()));
        let dir = |path: &str| {
            let dir = home.path().join(path);
            fs::create_dir_all(&dir).unwrap();
            dir
        };
        let mine = dir("building/r1/m");
        let outside = dir("elsewhere");
        std::os::unix::fs::symlink(&outside, mine.join("link")).unwrap();
        for other in [dir("building/r2/m"), dir("building"), outside.clone(), dir("building/r1").join("../r2/m"), dir("images/x")] {
            let thing = entry(Kind::Directory, &other.display().to_string(), None);
            assert!(delete(&layout, &store, "r1", &thing).await.is_err(), "{}", other.display());
            assert!(other.exists());
        }
        assert_eq!(runs(&layout, &store).unwrap().iter().filter(|r| r.starts_with('r')).count(), 2);
        let thing = entry(Kind::Directory, &mine.display().to_string(), None);
        for _ in 0..2 {
            delete(&layout, &store, "r1", &thing).await.unwrap();
            assert!(!home.path().join("building/r1").exists() && outside.exists());
        }
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
        let (layout, store) = (Layout::new(home.path(), &home.path().join("run")), Store::new(home.path()));
        let (mine, behind) = (home.path().join("building/r1/m"), home.path().join("behind"));
        fs::create_dir_all(mine.join("a b")).unwrap();
        fs::create_dir_all(&behind).unwrap();
        fs::write(behind.join("file"), "").unwrap();
        let mounted = std::process::Command::new("mount").arg("--bind").arg(&behind).arg(mine.join("a b")).output();
        let mounted = mounted.is_ok_and(|o| o.status.success());
        delete(&layout, &store, "r1", &entry(Kind::Directory, &mine.display().to_string(), None)).await.unwrap();
        assert!(!mine.exists() && behind.join("file").exists(), "mounted: {mounted}");
    }

    #[tokio::test]
    async fn a_process_without_the_mark_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let (layout, store) = (Layout::new(home.path(), &home.path().join("run")), Store::new(home.path()));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let proc = Proc::of(child.id() as i32).unwrap();
        let thing = entry(Kind::Process, "x", Some(&proc.to_string()));
        assert!(delete(&layout, &store, "r1", &thing).await.is_err());
        assert_eq!(proc.state(), State::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
        delete(&layout, &store, "r1", &thing).await.unwrap();
    }
}

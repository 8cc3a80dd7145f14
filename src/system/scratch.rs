//! Temporary directories that live as long as their process. A killed process removes nothing, so
//! the next process that makes one removes directories whose lock is free.
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::system::lock::Held;

const PREFIX: &str = "image-factory-scratch-";
const LOCK: &str = "lock";
/// Minimum age before a directory without a lock is removed: its file system has no locks, or its
/// process was killed right at the start.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// A private directory, removed on drop.
#[derive(Debug)]
pub struct Scratch {
    inner: PathBuf,
    // Removed first, and only then let go.
    _dir: tempfile::TempDir,
    _held: Option<Held>,
}

impl Scratch {
    /// Creates the directory below TMPDIR.
    pub fn new() -> io::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn below(root: &Path) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root)?;
        let inner = dir.path().join("in");
        fs::create_dir(&inner)?;
        // It gets its name when it is held: another process finds it locked or not at all.
        let new = dir.path().join("lock.new");
        let held = Held::take(File::create_new(&new)?).ok();
        if held.is_some() {
            fs::rename(&new, dir.path().join(LOCK))?;
        }
        sweep(root, dir.path().metadata()?.uid());
        Ok(Self { inner, _dir: dir, _held: held })
    }

    /// Initially empty.
    pub fn path(&self) -> &Path {
        &self.inner
    }
}

/// Removes directories of this user's dead processes. Leaves those that cannot be removed.
fn sweep(root: &Path, user: u32) {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        // Not behind links: anybody may put one here.
        let Ok(meta) = entry.metadata() else { continue };
        if !meta.is_dir() || meta.uid() != user {
            continue;
        }
        let path = entry.path();
        match File::open(path.join(LOCK)) {
            Ok(file) => {
                if let Ok(_held) = Held::take(file) {
                    let _ = fs::remove_dir_all(&path);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let age = meta.modified().ok().and_then(|at| at.elapsed().ok());
                if age.is_some_and(|age| age > OLD) {
                    let _ = fs::remove_dir_all(&path);
                }
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_the_dead_left_is_removed_and_what_lives_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let Scratch { inner, _dir: dead, _held: held } = Scratch::below(root).unwrap();
        fs::write(inner.join("file"), "x").unwrap();
        let dead = dead.keep();
        // As long as its process lives it is locked.
        let live = Scratch::below(root).unwrap();
        assert!(dead.join("in/file").exists());
        drop(held);
        // Not ours to remove: another name, a link, and one that has just begun.
        fs::create_dir(root.join("other")).unwrap();
        std::os::unix::fs::symlink("other", root.join(format!("{PREFIX}link"))).unwrap();
        fs::create_dir(root.join(format!("{PREFIX}new"))).unwrap();
        let next = Scratch::below(root).unwrap();
        assert!(!dead.exists() && live.path().exists() && next.path().exists());
        drop((live, next));
        assert_eq!(names(root), [format!("{PREFIX}link"), format!("{PREFIX}new"), "other".into()]);
    }

    #[test]
    fn one_without_a_lock_goes_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join(format!("{PREFIX}old"));
        fs::create_dir(&old).unwrap();
        let at = std::time::SystemTime::now() - 2 * OLD;
        File::open(&old).unwrap().set_modified(at).unwrap();
        drop(Scratch::below(dir.path()).unwrap());
        assert_eq!(names(dir.path()), [""; 0]);
    }
}

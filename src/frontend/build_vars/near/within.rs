//! Reads directories of a tree, never through a link out of it: names and contents there belong to
//! the host.
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::system::paths::real;
use crate::system::reading;

/// Limit of names per directory.
const MANY: usize = 10_000;

#[derive(Debug)]
pub(super) struct Within {
    root: PathBuf,
    /// Directories that were resolved: to resolve one costs a system call per component, and most
    /// questions are about the same few.
    dirs: RefCell<HashMap<PathBuf, Option<PathBuf>>>,
    names: RefCell<HashMap<PathBuf, Vec<String>>>,
}

impl Within {
    /// The tree, or `dir` itself if it is in none.
    pub fn new(tree: &Path, dir: &Path) -> Self {
        let (tree, dir) = (real(tree), real(dir));
        let root = if dir.starts_with(&tree) { tree } else { dir };
        Self { root, dirs: RefCell::default(), names: RefCell::default() }
    }

    /// Resolves a path of the tree.
    pub fn leads(&self, path: &Path) -> Option<PathBuf> {
        self.resolved(path).map(|(real, _)| real)
    }

    pub fn is_file(&self, path: &Path) -> bool {
        self.resolved(path).is_some_and(|(_, about)| about.is_file())
    }

    pub fn is_dir(&self, path: &Path) -> bool {
        self.resolved(path).is_some_and(|(_, about)| about.is_dir())
    }

    /// The resolved path below the root, and what is there.
    fn resolved(&self, path: &Path) -> Option<(PathBuf, Metadata)> {
        let mut real = match (path.file_name(), path.parent()) {
            (Some(name), Some(dir)) => self.dir(dir)?.join(name),
            _ => path.canonicalize().ok()?,
        };
        let mut about = fs::symlink_metadata(&real).ok()?;
        if about.is_symlink() {
            real = real.canonicalize().ok()?;
            about = fs::symlink_metadata(&real).ok()?;
        }
        real.starts_with(&self.root).then_some((real, about))
    }

    fn dir(&self, dir: &Path) -> Option<PathBuf> {
        if let Some(known) = self.dirs.borrow().get(dir) {
            return known.clone();
        }
        let real = dir.canonicalize().ok();
        self.dirs.borrow_mut().insert(dir.to_owned(), real.clone());
        real
    }

    /// Sorted names of a directory; empty if unreadable.
    pub fn names(&self, dir: &Path) -> Vec<String> {
        if let Some(known) = self.names.borrow().get(dir) {
            return known.clone();
        }
        let entries =
            self.leads(dir).and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.take(MANY).map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        self.names.borrow_mut().insert(dir.to_owned(), names.clone());
        names
    }

    pub fn text(&self, path: &Path, most: u64) -> Option<String> {
        self.leads(path).and_then(|path| reading::text(&path, most).ok())
    }

    /// Whether a file begins with `#!`.
    pub fn is_script(&self, path: &Path) -> bool {
        let mut start = [0; 2];
        let file = self.leads(path).and_then(|path| reading::open(&path).ok());
        file.is_some_and(|mut file| file.read_exact(&mut start).is_ok()) && start == *b"#!"
    }
}

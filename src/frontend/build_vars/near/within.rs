//! Reads directories of a tree, never through a link out of it: names and contents there belong to
//! the host.
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::system::paths::real;
use crate::system::reading;

/// Limit of names per directory.
const MANY: usize = 10_000;

#[derive(Debug)]
pub(super) struct Within {
    root: PathBuf,
}

impl Within {
    /// The tree, or `dir` itself if it is in none.
    pub fn new(tree: &Path, dir: &Path) -> Self {
        let (tree, dir) = (real(tree), real(dir));
        Self { root: if dir.starts_with(&tree) { tree } else { dir } }
    }

    /// Resolves a path of the tree.
    pub fn leads(&self, path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok().filter(|real| real.starts_with(&self.root))
    }

    pub fn is_file(&self, path: &Path) -> bool {
        self.leads(path).is_some_and(|path| path.is_file())
    }

    pub fn is_dir(&self, path: &Path) -> bool {
        self.leads(path).is_some_and(|path| path.is_dir())
    }

    /// Sorted names of a directory; empty if unreadable.
    pub fn names(&self, dir: &Path) -> Vec<String> {
        let entries =
            self.leads(dir).and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.take(MANY).map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
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

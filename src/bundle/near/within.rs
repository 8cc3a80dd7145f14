//! Looks into directories of a tree, and behind no link that leads out of it: names of files there,
//! and what they hold, are the host's.
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::paths::real;
use crate::reading;

/// Names of one directory. More lie in none that a person looks after.
const MANY: usize = 10_000;

#[derive(Debug)]
pub(super) struct Within {
    root: PathBuf,
}

impl Within {
    /// The tree, or `dir` itself where it lies in none.
    pub fn new(tree: &Path, dir: &Path) -> Self {
        let (tree, dir) = (real(tree), real(dir));
        Self { root: if dir.starts_with(&tree) { tree } else { dir } }
    }

    /// Where a path of the tree leads.
    pub fn leads(&self, path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok().filter(|real| real.starts_with(&self.root))
    }

    pub fn is_file(&self, path: &Path) -> bool {
        self.leads(path).is_some_and(|path| path.is_file())
    }

    pub fn is_dir(&self, path: &Path) -> bool {
        self.leads(path).is_some_and(|path| path.is_dir())
    }

    /// Of a directory, sorted; none if it cannot be read.
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

//! Caches the file types in a definition, because many tasks name the same files.
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

/// Keys are absolute paths; links are followed.
#[derive(Debug, Default)]
pub(super) struct Looked(RefCell<HashMap<PathBuf, Option<FileType>>>);

impl Looked {
    pub fn is_file(&self, path: &Path) -> bool {
        self.kind(path).is_some_and(|kind| kind.is_file())
    }

    pub fn is_dir(&self, path: &Path) -> bool {
        self.kind(path).is_some_and(|kind| kind.is_dir())
    }

    pub fn exists(&self, path: &Path) -> bool {
        self.kind(path).is_some()
    }

    fn kind(&self, path: &Path) -> Option<FileType> {
        if let Some(known) = self.0.borrow().get(path) {
            return *known;
        }
        let kind = fs::metadata(path).ok().map(|meta| meta.file_type());
        self.0.borrow_mut().insert(path.to_owned(), kind);
        kind
    }
}

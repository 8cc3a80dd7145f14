//! The directories of runs: what a run owns and how it ended (`dir`), the index of all runs
//! (`index`), and the factory's home, which holds both (`home`).
use std::io;
use std::path::PathBuf;

use crate::provider::ledger::LedgerError;

mod dir;
mod home;
mod index;
mod record;
#[cfg(test)]
mod tests;
mod work;

pub use dir::{Beginning, EVENTS, LOG, RunDir, tell_ended};
pub use home::{CHECKED, Home};
pub use index::{
    IndexedRun, Life, bases_of_live_runs, claim, indexed, latest, life_elsewhere,
    names_of_live_runs, tidy,
};
pub use record::{
    ELSEWHERE, Record, TESTS, directories, hear, read_course, read_plan, read_record, read_start,
    read_text, siblings,
};
pub use work::{hold, own_directory};

/// A run's directory cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    #[error("cannot write {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

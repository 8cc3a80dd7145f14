//! The last log in the tree's root, under the names that existing jobs archive. It is of one
//! command: the logs of its runs that did not end with 0, or, if all did, that of the last to end.
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::exit_code::STOPPED;
use super::outcome::{RunError, RunOutcome};
use super::request::{RunOptions, Show};
use crate::engine::Goal;
use crate::engine::run_dir::LOG;
use crate::model::event::{Event, Stamped};
use crate::report::{self, OutputError};

/// The logs that one command shows.
pub(super) struct LatestLogs {
    /// `None`: its runs publish nothing, and what the last build left stays.
    tree: Option<PathBuf>,
    /// Logs of runs that did not end with 0.
    failed: Mutex<Vec<PathBuf>>,
    warn: Option<Show>,
}

impl LatestLogs {
    pub(super) fn of(options: &RunOptions, tree: &Path) -> Self {
        let builds = matches!(options.goal, Goal::Published);
        let (tree, warn) = (builds.then(|| tree.to_owned()), Some(options.show.clone()));
        Self { tree, failed: Mutex::default(), warn }
    }

    pub(super) fn of_tree(tree: &Path) -> Self {
        Self { tree: Some(tree.to_owned()), failed: Mutex::default(), warn: None }
    }

    /// Removes the last command's, so that it is not taken for this one's after a kill.
    pub(super) fn withdraw(&self) -> Result<(), RunError> {
        self.show(&[]).map_err(|e| match e {
            OutputError::Io { path, source, .. } => RunError::Io { path, source },
            e => {
                let path = self.tree.clone().unwrap_or_default();
                RunError::Io { path, source: std::io::Error::other(e.to_string()) }
            }
        })
    }

    /// Shows the log of a run that ended. Its end is told already: that its log cannot be shown
    /// here is worth a warning.
    pub(super) fn ended(&self, label: &str, ended: RunOutcome) -> RunOutcome {
        let code = ended.exit_code();
        match &ended.dir {
            Some(dir) if code == 0 && self.logs().is_empty() => {
                self.shown(label, self.show(&[dir.join(LOG)]));
            }
            Some(dir) if code != 0 => self.not_built(label, dir, code),
            _ => {}
        }
        ended
    }

    /// Shows the log of one more run that did not end with 0.
    pub(super) fn not_built(&self, label: &str, dir: &Path, exit_code: u8) {
        let mut logs = self.logs();
        // What was stopped says less than what failed.
        if exit_code != STOPPED || logs.is_empty() {
            logs.push(dir.join(LOG));
            self.shown(label, self.show(&logs));
        }
    }

    fn shown(&self, label: &str, shown: Result<(), OutputError>) {
        if let (Err(e), Some(show)) = (shown, &self.warn) {
            let event = Event::Warning { text: format!("the last log cannot be shown: {e}") };
            show(label).take(&Stamped { at: Timestamp::now(), event });
        }
    }

    fn logs(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, logs: &[PathBuf]) -> Result<(), OutputError> {
        self.tree.as_deref().map_or(Ok(()), |tree| report::show_logs(tree, logs))
    }
}

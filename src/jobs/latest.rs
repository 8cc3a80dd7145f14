//! The last log in the tree's root, under the names that existing jobs archive. It is of one
//! command: the logs of its runs that failed, or, if none did, that of the run that ended last.
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::exit_code::STOPPED;
use super::outcome::{RunError, RunOutcome};
use super::request::RunOptions;
use crate::engine::Goal;
use crate::engine::run_dir::LOG;
use crate::report::{self, OutputError};

/// The logs that one command shows.
pub(super) struct LatestLogs {
    /// `None`: its runs publish nothing, and what the last build left stays.
    tree: Option<PathBuf>,
    /// Logs of runs that failed.
    failed: Mutex<Vec<PathBuf>>,
}

impl LatestLogs {
    pub(super) fn of(options: &RunOptions, tree: &Path) -> Self {
        let builds = matches!(options.goal, Goal::Published);
        Self { tree: builds.then(|| tree.to_owned()), failed: Mutex::default() }
    }

    pub(super) fn of_tree(tree: &Path) -> Self {
        Self { tree: Some(tree.to_owned()), failed: Mutex::default() }
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

    /// Shows the log of a run that ended. Returns its outcome: an error if that cannot be shown.
    pub(super) fn ended(&self, mut ended: RunOutcome) -> RunOutcome {
        let Some(dir) = ended.dir.clone() else { return ended };
        let shown = match ended.exit_code() {
            0 if self.logs().is_empty() => self.show(&[dir.join(LOG)]),
            0 => Ok(()),
            code => self.not_built(dir.clone(), code),
        };
        if let (Err(e), Ok(image)) = (shown, &ended.result) {
            ended.result = Err(RunError::unwritten(image.as_ref(), &dir, e.to_string()));
        }
        ended
    }

    /// Shows the log of one more run that was not built, or not built well.
    pub(super) fn not_built(&self, dir: PathBuf, exit_code: u8) -> Result<(), OutputError> {
        let mut logs = self.logs();
        // What was stopped says less than what failed.
        if exit_code == STOPPED && !logs.is_empty() {
            return Ok(());
        }
        logs.push(dir.join(LOG));
        self.show(&logs)
    }

    fn logs(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, logs: &[PathBuf]) -> Result<(), OutputError> {
        self.tree.as_deref().map_or(Ok(()), |tree| report::show_logs(tree, logs))
    }
}

//! Why a build failed.
use std::path::PathBuf;

use super::{Unsettled, space};
use crate::fetch::FetchError;
use crate::guest::RemoteError;
use crate::model::event::Check;
use crate::model::image::Image;
use crate::provider::CloudError;
use crate::provider::ledger::LedgerError;
use crate::system::cancel::Cancelled;
use crate::system::exec::ExecError;
use crate::wall::WallError;

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The machine came up but not far enough to be used; `console` is its last lines.
    #[error("{machine}: {reason}")]
    NotReady { machine: String, reason: String, console: Vec<String> },
    /// The cloud deleted the machine or does not run it, which says nothing of its image.
    #[error("{machine}: {reason}")]
    MachineLost { machine: String, reason: String, console: Vec<String> },
    #[error("source {script}: {reason}")]
    Source { script: String, reason: String },
    #[error("source: {0}")]
    Fetch(FetchError),
    #[error("step {}, {name}: {reason}", index + 1)]
    Step { index: usize, name: String, reason: String },
    #[error("step {}, {name}: {source}", index + 1)]
    StepRemote { index: usize, name: String, source: RemoteError },
    /// The builder died, froze or left the network during a stage.
    #[error("the builder was lost: {reason}")]
    BuilderLost { reason: String, console: Vec<String> },
    /// What the definition brings could not be started behind the wall.
    #[error("wall: {0}")]
    Wall(String),
    #[error("tidy: {0}")]
    Tidy(String),
    #[error("{} of {} smoke checks failed: \
        {}", failed.len(), of, reasons(failed))]
    Smoke { failed: Vec<Check>, of: usize },
    /// The image may be published. The run's ledger has it, for `sweep` to settle.
    #[error("image {} may be published as {}: {}", .0.image.id, .0.publication.name, .0.source)]
    Unsettled(Box<Unsettled>),
    /// The image is published, and not as it was asked for.
    #[error("image {} is not as it was asked for: {reason}", image.id)]
    Amiss { image: Box<Image>, reason: String },
    #[error("cannot write {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// A file of the definition, which the plan had found.
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Space(space::Short),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn reasons(failed: &[Check]) -> String {
    failed.iter().map(|c| format!("{} ({})", c.id, c.reason)).collect::<Vec<_>>().join(", ")
}

impl From<LedgerError> for BuildError {
    fn from(e: LedgerError) -> Self {
        Self::Cloud(e.into())
    }
}

impl From<FetchError> for BuildError {
    fn from(e: FetchError) -> Self {
        match e {
            FetchError::Cancelled(c) => Self::Cancelled(c),
            e => Self::Fetch(e),
        }
    }
}

impl From<WallError> for BuildError {
    fn from(e: WallError) -> Self {
        match e {
            WallError::Cancelled(c) => Self::Cancelled(c),
            e => Self::Wall(e.to_string()),
        }
    }
}

impl BuildError {
    /// An orderly stop on a signal, and not a failure, however deep it was noticed.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_) | Self::Cloud(CloudError::Cancelled(_)))
    }
}

/// What went wrong with a program, as a sentence for a step or source.
pub(super) fn exec_reason(e: ExecError) -> Result<String, BuildError> {
    match e {
        ExecError::Cancelled(c) => Err(c.into()),
        other => Ok(other.to_string()),
    }
}

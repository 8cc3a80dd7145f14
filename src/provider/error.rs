//! Errors of a provider.
use std::time::Duration;

use super::ledger::LedgerError;
use crate::model::error_kind::ErrorKind;
use crate::model::image::Image;
use crate::system::cancel::Cancelled;
use crate::system::wait::WaitError;

#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The cloud refused; nothing was changed.
    #[error("{what}: {reason}")]
    Refused { what: String, reason: String, hint: Option<String>, kind: ErrorKind },
    /// The cloud does not support the operation; nothing was tried.
    #[error("{what}: {reason}")]
    Unable { what: String, reason: String },
    /// Nobody knows whether it was done: its answer was lost, and no look told until the deadline.
    #[error("{what}: {reason}; whether it was done is not known")]
    Unknown { what: String, reason: String },
    /// The image is published, and not as it was asked for.
    #[error("{what}: {reason}")]
    Amiss { what: String, reason: String, image: Box<Image> },
    /// A wait exceeded its deadline.
    #[error("{what}: not done after {after:?}")]
    Deadline { what: String, after: Duration },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl CloudError {
    pub fn refused(what: impl Into<String>, reason: impl Into<String>) -> Self {
        let (what, reason) = (what.into(), reason.into());
        Self::Refused { what, reason, hint: None, kind: ErrorKind::Conflict }
    }

    /// What was named does not exist.
    pub fn missing(what: impl Into<String>) -> Self {
        let reason = "does not exist".to_owned();
        Self::Refused { what: what.into(), reason, hint: None, kind: ErrorKind::NotFound }
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { kind, .. } => *kind,
            Self::Unable { .. } => ErrorKind::Unsupported,
            Self::Unknown { .. } => ErrorKind::Unavailable,
            Self::Amiss { .. } => ErrorKind::Conflict,
            Self::Deadline { .. } => ErrorKind::Deadline,
            Self::Cancelled(_) => ErrorKind::Cancelled,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                ErrorKind::Quota
            }
            Self::Io { .. } | Self::Ledger(_) => ErrorKind::Internal,
        }
    }

    pub fn unable(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unable { what: what.into(), reason: reason.into() }
    }

    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Refused { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// Converts an I/O error in `map_err`; `what` names the operation ("write /x/y").
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl From<WaitError> for CloudError {
    fn from(e: WaitError) -> Self {
        match e {
            WaitError::Deadline { what, after } => Self::Deadline { what, after },
            WaitError::Cancelled(c) => c.into(),
        }
    }
}

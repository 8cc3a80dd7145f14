//! How a run ended.

/// The outcome of a run, as `result.json` and the event `finished` have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An image was published.
    Built,
    /// The image was there: a build would have made it again.
    Unchanged,
    Failed,
    /// An image was published, and not all that belongs to it is as it was asked for.
    Incomplete,
    /// Nobody knows whether the image was published.
    Unknown,
    /// Ended in order by a signal.
    Stopped,
    /// The builder was opened to a user; no image was made.
    Visited,
    /// A builder was booted for a build to come, and left up.
    Warm,
    /// A test that the image passed.
    Tested,
    /// A test that the image did not pass.
    Rejected,
    /// A test that could not be made.
    Untested,
}

impl Outcome {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Incomplete => "incomplete",
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
            Self::Visited => "visited",
            Self::Warm => "warm",
            Self::Tested => "tested",
            Self::Rejected => "rejected",
            Self::Untested => "untested",
        }
    }
}

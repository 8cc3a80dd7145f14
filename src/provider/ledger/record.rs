//! Records: the lines of a ledger.
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::entry::Kind;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub(super) enum Record {
    /// The first one: whose ledger it is, at which cloud its things are, and in which directory its
    /// sockets and keys.
    Run {
        run: String,
        cloud: String,
        #[serde(default)]
        runtime: Option<PathBuf>,
    },
    Intent {
        seq: u64,
        kind: Kind,
        name: String,
        at: String,
    },
    Made {
        seq: u64,
        id: String,
    },
    /// The answer to the create was lost, and the thing is not to be seen so far.
    Unanswered {
        seq: u64,
        at: jiff::Timestamp,
    },
    Gone {
        seq: u64,
    },
    Kept {
        seq: u64,
    },
}

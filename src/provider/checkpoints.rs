//! Checkpoints: states of machines, kept so that other machines begin from them.
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{BootSpec, CloudError, Machine, RunCx};

/// Age after which no state is used, whatever it is the state of, and none is kept.
pub const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// A kept state of a machine: its memory and its disk. Has no `Debug`: its note holds keys.
#[derive(Clone)]
pub struct Checkpoint {
    pub id: String,
    pub made: Timestamp,
    /// As it was given to [`Checkpoints::save`].
    pub note: serde_json::Value,
}

/// What is kept of a machine.
pub struct NewCheckpoint<'a> {
    /// What the state is found by.
    pub key: &'a str,
    /// What it is, for people: `images/x: web server`.
    pub about: &'a str,
    /// Whatever the caller needs to use the machine again.
    pub note: serde_json::Value,
}

/// Whether a state was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    Kept,
    /// There is no room for it, in words.
    NoRoom(String),
}

/// Keeps states of running machines. A state is kept by its key and the machine's shape: CPUs, RAM,
/// disk, and the hypervisor that reads it.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// States with this key of a machine like `spec`, newest first.
    async fn find(
        &self,
        cx: &RunCx,
        spec: &BootSpec,
        key: &str,
    ) -> Result<Vec<Checkpoint>, CloudError>;

    /// A machine named as `spec` says, in this state. Its SSH server answers as it did then: with
    /// the keys of that time, and with that time on its clock.
    ///
    /// A state that is damaged, or lacks a file, is refused, and not found any more.
    async fn restore(
        &self,
        cx: &RunCx,
        spec: &BootSpec,
        checkpoint: &Checkpoint,
    ) -> Result<Machine, CloudError>;

    /// Keeps the state of a running machine, which pauses meanwhile and then goes on, kept or not.
    ///
    /// # Errors `Unknown`: what became of the machine is not known, and what is captured of it may
    /// be an earlier disk. After all others it is as it was.
    async fn save(
        &self,
        cx: &RunCx,
        machine: &Machine,
        new: &NewCheckpoint<'_>,
    ) -> Result<Saved, CloudError>;
}

//! Checkpoints: states of machines, kept so that other machines begin from them.
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{BootSpec, CloudError, Machine, RunCx};

/// Age after which no state is used, whatever it is the state of, and none is kept.
pub const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a state is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Memory and disk. A restored machine goes on, with the keys of its time.
    Memory,
    /// The disk alone. A restored machine boots, and cloud-init takes the keys of its user data.
    /// Steps that took less than `worth` together are run again sooner than their state is kept.
    Disk { worth: Duration },
}

/// A kept state of a machine. Has no `Debug`: its note may hold keys.
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

/// A state that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    pub id: String,
    /// As it was given to [`Checkpoints::save`]; its name in the store where that is not known.
    pub about: String,
    pub why: String,
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
    fn keeps(&self) -> Keeps;

    /// States with this key of a machine like `spec`, newest first.
    async fn find(
        &self,
        cx: &RunCx,
        spec: &BootSpec,
        key: &str,
    ) -> Result<Vec<Checkpoint>, CloudError>;

    /// A machine named as `spec` says, in this state. If its memory was kept, its SSH server
    /// answers as it did then: with the keys of that time, and with that time on its clock.
    ///
    /// A state that is damaged, or lacks a file, is refused, and not found any more.
    async fn restore(
        &self,
        cx: &RunCx,
        spec: &BootSpec,
        checkpoint: &Checkpoint,
    ) -> Result<Machine, CloudError>;

    /// Keeps the state of a running machine, which may pause meanwhile and then goes on, kept or
    /// not. It may still be written when this returns: see [`Self::settle`].
    ///
    /// # Errors `Unknown`: what became of the machine is not known, and what is captured of it may
    /// be an earlier disk. After all others it is as it was.
    async fn save(
        &self,
        cx: &RunCx,
        machine: &Machine,
        new: &NewCheckpoint<'_>,
    ) -> Result<Saved, CloudError>;

    /// Waits until the states that the run has saved are whole. One that does not become whole is
    /// deleted, or stays the run's. Called before a machine whose state was saved is turned off.
    async fn settle(&self, _cx: &RunCx) -> Result<(), CloudError> {
        Ok(())
    }

    /// Removes states older than [`OLDEST`], and those of a step of which there is a newer one,
    /// unless a machine uses them. With `dry_run` it removes nothing. A cloud that bounds their
    /// size by itself has nothing to do.
    async fn expire(&self, _cx: &RunCx, _dry_run: bool) -> Result<Vec<Expired>, CloudError> {
        Ok(Vec::new())
    }
}

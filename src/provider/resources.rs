//! What runs own, found and deleted without their ledgers.
use async_trait::async_trait;

use super::CloudError;
use super::ledger::{Entry, Leak};

/// What was removed, or would be, and what could not be.
#[derive(Debug, Default)]
pub struct Cleared {
    pub things: Vec<Entry>,
    pub leaks: Vec<Leak>,
}

/// Finds and deletes the resources of runs. Every cloud has it.
#[async_trait]
pub trait Resources: Send + Sync {
    /// Unpublished resources of `run`, newest first. Found by owner tags, without the ledger.
    async fn list(&self, run: &str) -> Result<Vec<Entry>, CloudError>;

    /// Runs that own resources here.
    async fn list_runs(&self) -> Result<Vec<String>, CloudError>;

    /// Deletes what no run owns and nobody can use, such as the rest of a removal that was cut
    /// short, past failures. With `dry_run` it deletes nothing.
    async fn clear_debris(&self, _dry_run: bool) -> Result<Cleared, CloudError> {
        Ok(Cleared::default())
    }

    /// Deletes a resource of a run. Success if absent. Never touches a resource of another owner.
    async fn delete(&self, run: &str, resource: &Entry) -> Result<(), CloudError>;
}

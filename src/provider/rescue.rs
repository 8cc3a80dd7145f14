//! Rescue mode: a machine that boots from another disk.
use async_trait::async_trait;

use super::{CloudError, Machine, RunCx};

/// Boots machines in rescue mode.
#[async_trait]
pub trait Rescue: Send + Sync {
    /// Boots a machine from a new disk of its image, with its own disk as the second.
    async fn rescue(&self, cx: &RunCx, machine: &Machine) -> Result<(), CloudError>;

    /// Reverts `rescue`: boots the machine from its own disk.
    async fn unrescue(&self, cx: &RunCx, machine: &Machine) -> Result<(), CloudError>;
}

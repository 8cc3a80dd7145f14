//! Disks that are attached to running machines.
use async_trait::async_trait;

use super::{CloudError, Machine, RunCx};
use crate::model::placement::VolumePlan;

/// A disk that was attached to a running machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedVolume {
    /// ID in the cloud.
    pub id: String,
    /// Beginning of the serial number in the guest.
    pub serial: String,
}

/// Attaches disks to running machines.
#[async_trait]
pub trait Volumes: Send + Sync {
    /// Attaches an empty disk to a running machine. Type and zone apply where the cloud has a
    /// choice.
    async fn attach(
        &self,
        cx: &RunCx,
        machine: &Machine,
        wanted: &VolumePlan,
    ) -> Result<AttachedVolume, CloudError>;

    /// Detaches a disk from its machine and deletes it.
    async fn detach(
        &self,
        cx: &RunCx,
        machine: &Machine,
        disk: &AttachedVolume,
    ) -> Result<(), CloudError>;
}

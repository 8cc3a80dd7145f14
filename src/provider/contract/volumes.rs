//! The contract of [`Volumes`]. The volume that is left attached goes with its machine.
use super::{DEADLINE, Run};
use crate::model::placement::VolumePlan;
use crate::provider::{CloudError, Machine, Volumes};

/// Attaches a volume, where the cloud turns out to have them.
pub(super) async fn attaches(volumes: &dyn Volumes, run: &Run, machine: &Machine) {
    let wanted = VolumePlan { size_gib: 1, kind: None, zone: None };
    match volumes.attach(&run.cx.within(DEADLINE), machine, &wanted).await {
        Ok(disk) => assert!(!disk.id.is_empty() && disk.serial.len() <= 20, "{disk:?}"),
        Err(CloudError::Unable { .. }) => {}
        Err(e) => panic!("attach: {e}"),
    }
}

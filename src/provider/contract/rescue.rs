//! The contract of [`Rescue`].
use super::{DEADLINE, Run};
use crate::provider::{CloudError, Compute, Machine, Power, Rescue};

/// Into rescue mode and back, where the cloud turns out to have it.
pub(super) async fn comes_back(
    compute: &dyn Compute,
    rescue: &dyn Rescue,
    run: &Run,
    machine: &Machine,
) {
    match rescue.rescue(&run.cx.within(DEADLINE), machine).await {
        Ok(()) => {}
        Err(CloudError::Unable { .. }) => return,
        Err(e) => panic!("rescue: {e}"),
    }
    rescue.unrescue(&run.cx.within(DEADLINE), machine).await.expect("unrescue");
    assert_eq!(compute.power(machine).await.expect("power"), Power::On);
}

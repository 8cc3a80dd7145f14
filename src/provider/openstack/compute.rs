//! Machines and rescue mode: [`Compute`] and [`Rescue`] of a project.
use std::time::Duration;

use async_trait::async_trait;

use super::{OpenStack, boot, capture, nova, power};
use crate::model::image::Image;
use crate::provider::{BootSpec, CloudError, Compute, Machine, Power, Reboot, Rescue, RunCx};
use crate::system::cancel::Cancel;

#[async_trait]
impl Compute for OpenStack {
    async fn boot(&self, cx: &RunCx, spec: &BootSpec) -> Result<Machine, CloudError> {
        boot::boot(self, cx, spec).await
    }

    async fn power(&self, machine: &Machine) -> Result<Power, CloudError> {
        power::power(self, &machine.id).await
    }

    /// Each poll is a request.
    fn poll_interval(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// A machine that answers is on; Nova knows nothing more.
    fn health_poll_interval(&self) -> Option<Duration> {
        None
    }

    async fn console_log(&self, machine: &Machine) -> Result<String, CloudError> {
        let what = format!("read the console of {}", machine.name);
        match nova::console(&self.api, &machine.id, &Cancel::default()).await {
            Err(e) if nova::has_no_console(&e) => Err(CloudError::unable(what, e.reason())),
            shown => Ok(shown?),
        }
    }

    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError> {
        power::screen(self, machine).await
    }

    async fn reboot(&self, cx: &RunCx, machine: &Machine, how: Reboot) -> Result<(), CloudError> {
        power::reboot(self, cx, machine, how).await
    }

    async fn shutdown(&self, cx: &RunCx, machine: &Machine) -> Result<(), CloudError> {
        power::shutdown(self, cx, machine).await
    }

    async fn capture(
        &self,
        cx: &RunCx,
        machine: &Machine,
        name: &str,
    ) -> Result<Image, CloudError> {
        capture::machine(self, cx, machine, name).await
    }
}

#[async_trait]
impl Rescue for OpenStack {
    async fn rescue(&self, cx: &RunCx, machine: &Machine) -> Result<(), CloudError> {
        power::rescue(self, cx, machine).await
    }

    async fn unrescue(&self, cx: &RunCx, machine: &Machine) -> Result<(), CloudError> {
        power::unrescue(self, cx, machine).await
    }
}

//! Machines: [`Compute`] of this machine.
use std::time::Duration;

use async_trait::async_trait;

use super::{Local, boot, capture, growth, machine, power};
use crate::model::image::Image;
use crate::provider::{BootSpec, CloudError, Compute, Machine, Power, Reboot, RunCx};

#[async_trait]
impl Compute for Local {
    async fn boot(&self, cx: &RunCx, spec: &BootSpec) -> Result<Machine, CloudError> {
        let host = self.means(&cx.cancel).await?;
        boot::boot(cx, &host, spec).await
    }

    async fn power(&self, machine: &Machine) -> Result<Power, CloudError> {
        power::power(&self.turns, &self.layout.place_of(machine)?).await
    }

    fn poll_interval(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// QEMU reports a stopped or dead machine before SSH fails.
    fn health_poll_interval(&self) -> Option<Duration> {
        Some(Duration::from_secs(5))
    }

    async fn console_log(&self, machine: &Machine) -> Result<String, CloudError> {
        let path = self.layout.place_of(machine)?.file(machine::CONSOLE);
        growth::end_of(&path).map_err(CloudError::io(format!("read {}", path.display())))
    }

    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError> {
        Err(CloudError::unable(
            format!("screen of {}", machine.name),
            "machines of this host have a serial console and no screen",
        ))
    }

    /// Reboots as Nova does: power off, requested or forced, and on again.
    async fn reboot(&self, cx: &RunCx, machine: &Machine, how: Reboot) -> Result<(), CloudError> {
        let (place, host) = (self.layout.place_of(machine)?, self.means(&cx.cancel).await?);
        if how == Reboot::Orderly {
            power::powered_off(cx, &self.turns, &place).await?;
        }
        power::cut(cx, &self.turns, &place).await?;
        // The boot has the whole time again.
        boot::again(&cx.anew(), &host, &place).await
    }

    async fn shutdown(&self, cx: &RunCx, machine: &Machine) -> Result<(), CloudError> {
        power::shutdown(cx, &self.turns, &self.layout.place_of(machine)?).await
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

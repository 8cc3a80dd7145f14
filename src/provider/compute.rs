//! Machines: boot, power, console, and an image of a disk.
use std::time::Duration;

use async_trait::async_trait;

use super::{CloudError, RunCx};
use crate::model::facts::Named;
use crate::model::image::Image;
use crate::model::placement::Placement;

/// A machine to boot.
#[derive(Debug, Clone)]
pub struct BootSpec {
    /// Name and hostname. Contains the run ID; at most 63 characters.
    pub name: String,
    /// ID of the image to boot from, published or staged.
    pub image: String,
    pub cpus: u32,
    pub ram_mib: u64,
    /// Size of its disk, at least the image's virtual size.
    pub disk_gib: u64,
    /// cloud-init user-data.
    pub user_data: String,
    /// Placement, on a cloud with a choice. CPUs, RAM and disk are then the flavor's.
    pub place: Option<MachinePlacement>,
}

/// Placement of a machine, on a cloud with a choice.
#[derive(Debug, Clone)]
pub struct MachinePlacement {
    pub flavor: Named,
    pub site: Placement,
}

/// A booted machine. Its power is on; SSH may not answer yet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    pub name: String,
    /// ID in the cloud.
    pub id: String,
    /// Address of its SSH server.
    pub host: String,
    pub port: u16,
}

/// Power state of a machine, as seen by the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    On,
    /// Powered off, by itself or on request.
    Off,
    /// Exists but does not run: paused, internal error. The text describes the state.
    Stuck(String),
    /// No longer exists. The text describes the observation.
    Gone(String),
}

/// How to reboot a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    /// The guest shuts down by itself.
    Orderly,
    /// The power is cut.
    Hard,
}

/// Boots machines and looks after them. Every cloud has it.
#[async_trait]
pub trait Compute: Send + Sync {
    async fn boot(&self, cx: &RunCx, spec: &BootSpec) -> Result<Machine, CloudError>;

    async fn power(&self, machine: &Machine) -> Result<Power, CloudError>;

    /// Minimum interval between polls of a machine's power state or console.
    fn poll_interval(&self) -> Duration;

    /// Interval between polls of a machine that answers over SSH; `None` if polling reveals nothing
    /// more.
    fn health_poll_interval(&self) -> Option<Duration>;

    /// Text of the serial console, or its end if the cloud keeps only that.
    async fn console_log(&self, machine: &Machine) -> Result<String, CloudError>;

    /// URL of the machine's graphical console. It grants access to whoever has it, so it must not
    /// be shown.
    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError>;

    /// Reboots a machine; returns when the cloud has done its part.
    async fn reboot(&self, cx: &RunCx, machine: &Machine, how: Reboot) -> Result<(), CloudError>;

    /// Requests an orderly shutdown and waits until the machine is off.
    async fn shutdown(&self, cx: &RunCx, machine: &Machine) -> Result<(), CloudError>;

    /// Makes a staged image called `name` from the disk of a machine that is off.
    async fn capture(&self, cx: &RunCx, machine: &Machine, name: &str)
    -> Result<Image, CloudError>;
}

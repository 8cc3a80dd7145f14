//! Timeouts of a plan and their defaults, in seconds.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::definition::Definition;

/// Seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeoutPlan {
    /// From the request to power-on.
    pub boot: u64,
    /// From power-on to SSH and to the end of cloud-init.
    pub ssh: u64,
    pub capture: u64,
    pub upload: u64,
    /// Orderly stop.
    pub shutdown: u64,
    /// A source script; or a download and its unpacking.
    pub source: u64,
}

const BOOT: u64 = 300;

pub(super) const SSH: u64 = 900;

pub(super) const STEP: u64 = 3600;

const CAPTURE: u64 = 1800;

pub(super) const UPLOAD: u64 = 3600;

const SHUTDOWN: u64 = 180;

const SOURCE: u64 = 3600;

pub(super) fn secs(given: Option<Duration>, default: u64) -> u64 {
    given.map_or(default, |d| d.as_secs().max(1))
}

impl TimeoutPlan {
    /// Of a definition, with defaults.
    pub(super) fn of(bundle: &Definition) -> Self {
        Self {
            boot: secs(bundle.timeouts.boot, BOOT),
            ssh: secs(bundle.timeouts.ssh, SSH),
            capture: secs(bundle.timeouts.capture, CAPTURE),
            upload: secs(bundle.timeouts.upload, UPLOAD),
            shutdown: SHUTDOWN,
            source: secs(bundle.timeouts.source, SOURCE),
        }
    }
}

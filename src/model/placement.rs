//! Where the machines of a run go, on a cloud that offers a choice.
use serde::{Deserialize, Serialize};

use super::facts::Named;

/// Where the machines of a run go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub networks: Vec<Named>,
    /// Machines get a floating IP of this network.
    pub floating_network: Option<Named>,
    pub security: Security,
    /// Where servers go. Volumes have zones of their own.
    pub zone: Option<String>,
    pub volume: Option<VolumePlan>,
    /// The network whose addresses are reached from here, where there is no floating IP; `None`:
    /// the first.
    #[serde(default)]
    pub reached_on: Option<Named>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    Groups(Vec<Named>),
    /// One of the run's own that admits SSH from these CIDRs and nothing else. Without any: from
    /// the address that this machine has towards the one that was booted.
    Temporary {
        ssh_from: Vec<String>,
    },
    /// Nova is asked for none: the networks have no port security, or the bundle says so.
    None,
}

/// A volume, and where it is made: machines boot from it, or it is attached to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlan {
    #[serde(rename = "size_gb")]
    pub size_gib: u64,
    /// Volume type; `None`: the cloud's default.
    pub kind: Option<String>,
    /// Cinder's zone; `None`: its default.
    #[serde(default)]
    pub zone: Option<String>,
}

//! The smoke test of a plan: its machines and its checks.
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::MachinePlan;
use crate::model::placement::VolumePlan;

/// Two machines boot from the captured image: the first is tested, the second proves that
/// identities differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmokePlan {
    pub first: MachinePlan,
    pub second: MachinePlan,
    /// How much larger than the image their disks are, so that growing can be seen.
    #[serde(rename = "grow_gb")]
    pub grow_gib: u64,
    /// Of another size than the two, for an image of the second; `None`: there is none.
    pub other: Option<MachinePlan>,
    /// The image's default user: where a bundle gives it another than its base has, that is in its
    /// properties.
    pub user: String,
    /// Built-in checks that run.
    pub checks: Vec<String>,
    /// The bundle's own that run, relative to it.
    pub tests: Vec<PathBuf>,
    /// Left out because the bundle says so.
    pub skip: Vec<String>,
    /// Seconds for one check; `None`: each has its own.
    pub check_timeout: Option<u64>,
    /// What has to resolve; `None`: the host where the machine gets its packages.
    pub dns_name: Option<String>,
    /// Package that cloud-init must be able to install.
    pub package: String,
    /// Size of the volume that is attached.
    #[serde(rename = "volume_gb")]
    pub volume_gib: u64,
    /// Its type, and Cinder's zone that it is made in; `None`: the cloud's default.
    #[serde(default)]
    pub volume_type: Option<String>,
    #[serde(default)]
    pub volume_zone: Option<String>,
}

/// Small, and called so wherever there are packages.
pub(super) const PACKAGE: &str = "tree";

impl SmokePlan {
    /// With the checks of a bundle.
    #[cfg(test)]
    pub fn of_test(first: MachinePlan, second: MachinePlan) -> Self {
        let checks = crate::model::check::Tests::default()
            .chosen(crate::model::kind::Kind::Image)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let (tests, skip) = (Vec::new(), Vec::new());
        let (package, user) = (PACKAGE.into(), "debian".into());
        Self {
            first,
            second,
            grow_gib: 1,
            other: None,
            user,
            checks,
            tests,
            skip,
            check_timeout: Some(60),
            dns_name: None,
            package,
            volume_gib: 1,
            volume_type: None,
            volume_zone: None,
        }
    }

    /// The volume that is attached.
    pub fn second_disk(&self) -> VolumePlan {
        VolumePlan {
            size_gib: self.volume_gib,
            kind: self.volume_type.clone(),
            zone: self.volume_zone.clone(),
        }
    }

    pub fn has(&self, id: &str) -> bool {
        self.checks.iter().any(|c| c == id)
    }
}

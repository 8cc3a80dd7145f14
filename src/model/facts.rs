//! Inputs of a plan: queries, and facts about the cloud and about the machine that runs the steps.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::image::{Image, Visibility};
use crate::model::inputs::Inputs;

/// A missing or broken prerequisite, and the fix.
pub type Lack = (String, String);

/// What a plan needs to know of a cloud.
#[derive(Debug, Clone, Default)]
pub struct FactsQuery {
    /// The base as written: ID, exact name or family.
    pub base: Option<String>,
    /// The base is a definition of the tree, known only by its family.
    pub base_is_family: bool,
    /// Name the new image will have.
    pub image_name: String,
    /// Look up the base only; skip quotas, flavors and networks.
    pub base_only: bool,
    /// Machines boot from volumes.
    pub volumes: bool,
    /// A machine gets a volume as its second disk.
    pub second_disk: bool,
    /// Type of that volume; `None`: the cloud's default.
    pub volume_type: Option<String>,
    /// The bundle names an availability zone.
    pub zones: bool,
    /// Publication to ask permission for, if not everybody may do it.
    pub publishing: Option<Publishing>,
    /// Machine consoles will be read.
    pub consoles: bool,
}

/// The parts of a publication that a cloud may refuse.
#[derive(Debug, Clone)]
pub struct Publishing {
    pub visibility: Visibility,
    pub properties: BTreeMap<String, String>,
}

/// Facts about a cloud.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudFacts {
    pub base: BaseLookup,
    /// IDs of published images that already have the wanted name.
    pub name_taken_by: Vec<String>,
    /// How machines run, for the first lines of a build ("QEMU 7.2, software emulation: /dev/kvm is
    /// missing").
    pub how: String,
    /// Most CPUs and MiB of RAM of one machine; `None`: unknown.
    pub max_cpus: Option<u32>,
    pub max_ram_mib: Option<u64>,
    /// Bytes that runs may still write to the disk of machines, excluding the reserve for the
    /// factory's records.
    pub free_bytes: Option<u64>,
    /// Missing prerequisites of the cloud itself ("qemu-system-x86_64 is not installed"), each with
    /// a hint.
    pub missing_prerequisites: Vec<Lack>,
    /// Available resources; `None` on a cloud whose machines are what the bundle says, such as this
    /// machine.
    pub site: Option<ProjectFacts>,
    /// Facts that could not be read, with the reason, for people. What depends on them may fail
    /// later.
    pub notes: Vec<String>,
}

/// Permission for an operation, as reported by the cloud without doing it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Leave {
    /// Irrelevant here.
    #[default]
    Unasked,
    Given,
    /// Refused, in the cloud's words.
    Refused(String),
    /// Known only by trying, for this reason.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum BaseLookup {
    /// Not queried.
    None,
    Found(Box<Image>),
    /// Similar names.
    Missing {
        near: Vec<String>,
    },
    /// Several images have that exact name.
    Ambiguous(Vec<Image>),
    /// No trusted image; these foreign ones have the name, or the properties of such a family.
    Doubtful(Vec<Image>),
}

/// Facts about an OpenStack project.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProjectFacts {
    pub flavors: Vec<Flavor>,
    pub networks: Vec<Network>,
    pub security_groups: Vec<Named>,
    /// Nova's availability zones. Empty if not queried or not disclosed.
    pub zones: Vec<String>,
    /// Cinder's availability zones, like `zones`.
    pub volume_zones: Vec<String>,
    /// `None`: no block storage, or not queried. Empty: not disclosed.
    pub volume_types: Option<Vec<String>>,
    /// Whether this run's volume type encrypts; `None`: not queried or not disclosed.
    pub encrypts: Option<bool>,
    pub room: QuotaHeadroom,
    /// Permission for the requested visibility and properties.
    pub publishing: Leave,
    /// Permission to read machine consoles.
    pub consoles: Leave,
    /// Defaults from the factory's environment (`FACTORY_NETWORK_ID` and others).
    pub defaults: PlacementDefaults,
    /// Source addresses of this machine's SSH connections, as CIDRs, from `FACTORY_SSH_FROM`.
    pub ssh_from: Vec<String>,
}

/// IDs or names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlacementDefaults {
    pub networks: Vec<String>,
    pub security_groups: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flavor {
    pub id: String,
    pub name: String,
    pub cpus: u32,
    #[serde(rename = "ram_mb")]
    pub ram_mib: u64,
    /// 0 means the size of the image.
    #[serde(rename = "disk_gb")]
    pub disk_gib: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub id: String,
    pub name: String,
    /// Provides floating IPs.
    pub external: bool,
    pub shared: bool,
    /// Belongs to the project.
    pub own: bool,
    /// This machine has an address in it, so its machines are reachable directly.
    pub near: bool,
    /// Security groups apply to its ports.
    pub port_security: bool,
    /// All visible subnets are IPv6.
    pub v6_only: bool,
}

impl Network {
    /// Whether its machines are probably reachable without a floating IP.
    pub fn is_direct(&self) -> bool {
        self.external || self.shared || self.near
    }

    pub fn named(&self) -> Named {
        Named { id: self.id.clone(), name: self.name.clone() }
    }
}

/// Remaining quota of a project; `None`: unlimited or unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuotaHeadroom {
    pub servers: Option<u64>,
    pub cores: Option<u64>,
    pub ram_mib: Option<u64>,
    pub floating_ips: Option<u64>,
    pub security_groups: Option<u64>,
    pub volumes: Option<u64>,
    pub volume_gib: Option<u64>,
    pub images: Option<u64>,
    /// MiB of all images together.
    pub image_mib: Option<u64>,
}

/// Facts about this machine, which runs the steps.
#[derive(Debug, Clone, PartialEq)]
pub struct ControllerFacts {
    /// Version line of `ansible-playbook`, or why it does not work, with a hint.
    pub ansible: Result<String, Lack>,
    /// Commit of the tree, with `-dirty` if changed; `None`: not a git tree.
    pub commit: Option<String>,
    /// The definition's files; `None`: they cannot be read.
    pub inputs: Option<Inputs>,
    /// Digest of its values, those of `--set` among them.
    pub values: Option<String>,
    /// A definition of the tree that the base probably means, as `os/<name>` without `os/`.
    pub near_definition: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Facts {
    pub cloud_name: String,
    pub cloud: CloudFacts,
    pub host: ControllerFacts,
}

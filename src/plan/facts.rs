//! What a plan wants to know, and what it was told: of the cloud, and of the machine that runs the
//! steps.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bundle::Inputs;
use crate::exec::probe::Lack;
use crate::image::{Image, Visibility};

/// What a plan wants to know of a cloud.
#[derive(Debug, Clone, Default)]
pub struct FactsQuery {
    /// The base as written: ID, exact name or family.
    pub base: Option<String>,
    /// The base is a definition of the tree, known by its family alone.
    pub base_is_family: bool,
    /// Name the new image will have.
    pub image_name: String,
    /// The base alone is asked for: quotas, flavors and networks are left out.
    pub base_only: bool,
    /// Machines boot from volumes.
    pub volumes: bool,
    /// A machine gets a volume as its second disk.
    pub second_disk: bool,
    /// Of that type; `None`: the cloud's default.
    pub volume_type: Option<String>,
    /// An availability zone is named.
    pub zones: bool,
    /// How the image is to be published, where not everybody may do that.
    pub publishing: Option<Publishing>,
    /// Consoles of machines are read.
    pub consoles: bool,
}

/// What a cloud may refuse of an image that is to be published.
#[derive(Debug, Clone)]
pub struct Publishing {
    pub visibility: Visibility,
    pub properties: BTreeMap<String, String>,
}

/// What a cloud said.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudFacts {
    pub base: BaseLookup,
    /// IDs of published images that have the wanted name already.
    pub name_taken_by: Vec<String>,
    /// How machines run here, for the first lines of a build ("QEMU 7.2, software emulation:
    /// /dev/kvm is missing").
    pub how: String,
    /// Most CPUs and MiB of RAM one machine can have; `None`: not known.
    pub max_cpus: Option<u32>,
    pub max_ram_mib: Option<u64>,
    /// Bytes that runs may still write where disks are kept, without what is kept for the factory's
    /// own records.
    pub free_bytes: Option<u64>,
    /// What the cloud lacks to do its work at all ("qemu-system-x86_64 is not installed"), each
    /// with a hint.
    pub missing_prerequisites: Vec<Lack>,
    /// What there is to choose from; `None` on a cloud where machines are what the bundle says, as
    /// on this machine.
    pub site: Option<ProjectFacts>,
    /// What could not be had, with the reason, for people: what depends on it shows when it is
    /// done.
    pub notes: Vec<String>,
}

/// Whether the cloud lets us do a thing. It was asked without doing it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Leave {
    /// Of no matter here.
    #[default]
    Unasked,
    Given,
    /// In the cloud's words.
    Refused(String),
    /// Only doing it tells, for this reason.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum BaseLookup {
    /// Not asked for.
    None,
    Found(Box<Image>),
    /// Names that are near.
    Missing {
        near: Vec<String>,
    },
    /// Several images have that exact name.
    Ambiguous(Vec<Image>),
    /// None that the name may mean; these have it, or properties of such a family, and are not this
    /// factory's.
    Doubtful(Vec<Image>),
}

/// An OpenStack project, as far as machines are concerned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProjectFacts {
    pub flavors: Vec<Flavor>,
    pub networks: Vec<Network>,
    pub security_groups: Vec<Named>,
    /// Where servers can be. Empty if not asked for, or not told.
    pub zones: Vec<String>,
    /// Where volumes can be, as `zones`.
    pub volume_zones: Vec<String>,
    /// `None`: no block storage, or not asked for. Empty: not told.
    pub volume_types: Option<Vec<String>>,
    /// The type of this run's volumes encrypts them; `None`: not asked for, or not told.
    pub encrypts: Option<bool>,
    pub room: QuotaHeadroom,
    /// To give images the visibility and the properties that are wanted.
    pub publishing: Leave,
    /// To read consoles of machines.
    pub consoles: Leave,
    /// What the environment of the factory says, where a bundle is silent (`FACTORY_NETWORK_ID` and
    /// its like).
    pub defaults: PlacementDefaults,
    /// From where this machine's SSH comes, as CIDRs, where the environment says so
    /// (`FACTORY_SSH_FROM`).
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flavor {
    pub id: String,
    pub name: String,
    pub cpus: u32,
    pub ram_mib: u64,
    /// 0: as large as the image.
    pub disk_gib: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub id: String,
    pub name: String,
    /// Floating IPs come from it.
    pub external: bool,
    pub shared: bool,
    /// Of the project itself.
    pub own: bool,
    /// This machine has an address in it, so that what is in it is reached directly.
    pub near: bool,
    /// Neutron guards its ports by security groups.
    pub port_security: bool,
    /// All of its subnets are IPv6's, as far as they are seen.
    pub v6_only: bool,
}

impl Network {
    /// Its addresses are reached from here without a floating IP, as far as can be told.
    pub fn is_direct(&self) -> bool {
        self.external || self.shared || self.near
    }

    pub fn named(&self) -> Named {
        Named { id: self.id.clone(), name: self.name.clone() }
    }
}

/// What the project may still have of a thing; `None`: without limit, or not known.
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

/// What this machine, which runs the steps, said.
#[derive(Debug, Clone, PartialEq)]
pub struct ControllerFacts {
    /// Version line of `ansible-playbook`, or why it does not run and a hint.
    pub ansible: Result<String, Lack>,
    /// Commit of the tree, with `-dirty` if it has changes; `None`: not a git tree.
    pub commit: Option<String>,
    /// The definition's files; `None`: they cannot be read.
    pub inputs: Option<Inputs>,
}

#[derive(Debug, Clone)]
pub struct Facts {
    pub cloud_name: String,
    pub cloud: CloudFacts,
    pub host: ControllerFacts,
}

//! A definition: what a front-end has read, checked, and not yet filled with defaults.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::check::Tests;
use super::diagnostic::Location;
use super::field::Locations;
use super::format::Format;
use super::image::Visibility;
use super::kind::Kind;
use super::source::Download;
use super::step::Step;

/// A valid definition, as written. Paths of steps, scripts and tests are relative to `dir`, exist,
/// and stay inside it. A front-end sets what its language says; the default says nothing.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Definition {
    /// The factory tree: contains `images/` and `os/`. Absolute.
    pub tree: PathBuf,
    /// The bundle's directory (`bundle.path` if given). Absolute.
    pub dir: PathBuf,
    /// `images/bundle-nginx`, `os/debian-12`, or the absolute path of a bundle outside the tree.
    pub label: String,
    pub kind: Kind,
    /// `bundle.name`: image name prefix and family.
    pub name: String,
    pub base: Option<Base>,
    /// Family of a base `os/NAME`, if that definition is valid and was loaded.
    pub base_family: Option<String>,
    /// The definition that makes a base other than `os/NAME`, if the whole tree was loaded.
    pub base_maker: Option<Maker>,
    pub source: Option<Source>,
    pub properties: BTreeMap<String, String>,
    /// `bundle_target_name`
    pub target_name: Option<String>,
    /// `vm_flavor`
    pub flavor: Option<String>,
    pub test_flavor: Option<String>,
    /// `final_glance_options`, parsed.
    pub glance: GlanceOptions,
    /// As written; empty if the key is absent (`plan` then uses `ansible/bootstrap.yml`, if
    /// present).
    pub steps: Vec<Step>,
    /// `ansible/bootstrap.yml` exists.
    pub has_bootstrap: bool,
    pub ssh_user: Option<String>,
    pub tests: Tests,
    pub network: Vec<String>,
    pub security_groups: Vec<String>,
    pub floating_network: Option<String>,
    pub availability_zone: Option<String>,
    pub volume: Option<Volume>,
    pub machine: MachineRequest,
    pub timeouts: Timeouts,
    pub tags: Vec<String>,
    pub visibility: Option<Visibility>,
    pub members: Vec<String>,
    pub keep: Option<u32>,
    /// Number of warm builders that are kept for the builds of this definition.
    pub warm: u32,
    /// Keep states of builders on a cloud where each is an image.
    pub checkpoints: bool,
    /// Disabled parts of tidy (see [`TIDY_PARTS`]).
    pub tidy_off: Vec<String>,
    /// Enabled optional parts of tidy (see [`TIDY_ASKED`]).
    pub tidy_on: Vec<String>,
    /// Requests to the factory itself.
    pub asks: Asks,
    /// `vars`: free values for templates.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// `output/*.j2`, relative to `dir`, sorted.
    pub templates: Vec<PathBuf>,
    /// All values of build-vars.yml, for templates; text stays text.
    pub as_written: serde_json::Value,
    /// Locations of the fields, for findings.
    pub locations: Locations,
    /// External roles and collections that playbooks use and no `requirements.yml` lists.
    pub needs: Vec<Need>,
}

impl Definition {
    /// The same definition without anything to build: tests image `id` as an image of this
    /// definition.
    #[must_use]
    pub fn testing(self, id: &str) -> Self {
        let base = Some(Base::Image(id.to_owned()));
        Self {
            base,
            source: None,
            steps: Vec::new(),
            has_bootstrap: false,
            templates: Vec::new(),
            target_name: None,
            ..self
        }
    }

    /// Visibility of the image: as set; otherwise `shared` if it has members, else private.
    pub fn published_as(&self) -> Visibility {
        let silent = if self.members.is_empty() { Visibility::Private } else { Visibility::Shared };
        self.visibility.or(self.glance.visibility).unwrap_or(silent)
    }

    /// All properties that the definition sets on the image.
    pub fn own_properties(&self) -> BTreeMap<String, String> {
        self.properties
            .iter()
            .chain(&self.glance.properties)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// Requests of a definition to the factory itself. The owner decides whether to grant them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Asks {
    /// As [`Definition::tree`].
    pub tree: PathBuf,
    /// The directory of build-vars.yml, which may differ from [`Definition::dir`]. Absolute.
    pub definition: PathBuf,
    /// `pass_env`: names of the factory's environment variables.
    pub env: Vec<String>,
    /// `source.wall: none`
    pub unwalled: bool,
}

/// `bundle.img_base`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Base {
    /// `os/<name>` of this tree.
    Os(String),
    /// ID, exact image name or family. Only a cloud can tell which.
    Image(String),
}

/// `source` of an `os/` definition.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Source {
    /// An executable of the bundle. Writes a disk image to `$OUT`.
    Script(PathBuf),
    /// An existing disk image; local paths are absolute. Downloads have a checksum.
    Url { wish: Download, format: Option<Format> },
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Volume {
    #[serde(rename = "size_gb")]
    pub size_gib: Option<u64>,
    pub kind: Option<String>,
    /// `volume.availability_zone`: zones of Cinder and Nova differ.
    pub zone: Option<String>,
}

/// `machine`, for the local cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MachineRequest {
    pub cpus: Option<u32>,
    #[serde(rename = "ram_mb")]
    pub ram_mib: Option<u64>,
    #[serde(rename = "disk_gb")]
    pub disk_gib: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Timeouts {
    pub source: Option<Duration>,
    pub boot: Option<Duration>,
    pub ssh: Option<Duration>,
    pub step: Option<Duration>,
    pub capture: Option<Duration>,
    pub upload: Option<Duration>,
}

/// Options of `final_glance_options`, in the old CLIs' words.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GlanceOptions {
    #[serde(rename = "min_disk_gb")]
    pub min_disk_gib: Option<u64>,
    #[serde(rename = "min_ram_mb")]
    pub min_ram_mib: Option<u64>,
    pub properties: BTreeMap<String, String>,
    pub tags: Vec<String>,
    pub visibility: Option<Visibility>,
    pub protected: Option<bool>,
    pub hidden: Option<bool>,
}

/// Default parts of tidy; `tidy: {logs: false}` disables one.
pub const TIDY_PARTS: &[&str] = &[
    "build-key",
    "host-keys",
    "machine-id",
    "cloud-init",
    "logs",
    "histories",
    "packages",
    "leases",
    "hardware",
    "subscription",
    "agents",
    "temp",
    "random-seed",
    "trim",
];

/// Optional parts of tidy, enabled by `tidy: {schedules: true}`. A bundle may have created on
/// purpose what they remove.
pub const TIDY_ASKED: &[&str] = &["schedules", "user-ssh"];

/// The definition that makes another definition's base.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Maker {
    /// Such as `images/readme`.
    pub label: String,
    /// Its `bundle.name`, by which bases are named.
    pub family: String,
}

/// What a playbook takes from outside of its definition.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum NeedKind {
    /// `community.docker`
    Collection,
    Role,
}

/// Neither the definition has it nor a `requirements.yml` of it names it: the machine that builds
/// has to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Need {
    pub kind: NeedKind,
    pub name: String,
    pub place: Location,
    /// No run comes past it. What may not run, or may be installed as a dependency of another, is
    /// not certain to be missed.
    pub sure: bool,
}

//! Bundles: the checked content of `build-vars.yml`. Defaults are applied in `plan`, not here.
//!
//! Source text -> [`yaml`] tree with locations -> [`decode`] typed values and findings ->
//! [`load()`] a [`Definition`].
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::fetch::Download;
use crate::model::diagnostic::Location;
use crate::system::disk::Format;

mod agree;
mod ansible_cfg;
mod bases;
mod bounds;
mod checks;
pub(crate) mod decode;
mod doubts;
mod families;
mod files;
mod glance_options;
mod image;
mod inputs;
mod keys;
mod links;
mod lint;
mod load;
mod loader;
mod looked;
mod near;
mod overrides;
mod password;
mod playbooks;
mod quantity;
mod scalar;
mod scripts;
mod source;
mod steps;
pub(crate) mod syntax;
#[cfg(test)]
mod tests;
mod tree;
mod trees;
pub(crate) mod yaml;

pub use agree::RESULTS;
pub use ansible_cfg::place_of_value;
pub use bases::{Maker, OnBundle, base_among, check_bases, maker, os_near};
pub use checks::CHECKS;
pub use doubts::Doubts;
pub use families::check_families;
pub use files::included;
pub use inputs::{InputFile, Inputs, inputs, linked, stamp, stamp_of};
pub use lint::on_factory;
pub use load::{Loaded, Unsound, check_work, load, load_whole, load_with};
pub use loader::{LoadRequest, Loader, serve};
pub use near::{Stray, strays};
pub use overrides::Override;
pub use password::{Password, password};
pub use playbooks::{Need, NeedKind, plain, requirements, search_paths};
pub use tree::{all, base_of, find, find_tree, is_beside, where_it_was};

/// `images/*` or `os/*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Image,
    Os,
}

/// A valid definition, as written. Paths of steps, scripts and tests are relative to `dir`, exist,
/// and stay inside it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Definition {
    /// The factory tree: contains `images/` and `os/`. Absolute.
    pub tree: PathBuf,
    /// The bundle's directory (`bundle.path` if given). Absolute.
    pub dir: PathBuf,
    /// `images/bundle-nginx`, `os/debian-12`, or the path as given for a bundle outside the tree.
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
    /// Locations of keys (`"bundle.img_base"`, `"steps[1].timeout"`; steps count from 1), for
    /// findings that need a cloud.
    pub places: BTreeMap<String, Location>,
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
            label: format!("{}-test", self.label),
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

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    pub name: Option<String>,
    pub action: Action,
    pub timeout: Option<Duration>,
    /// Further attempts after the first; 0 by default.
    pub retries: u32,
    pub env: BTreeMap<String, String>,
    /// `sudo: true`; off by default.
    pub sudo: bool,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Action {
    Ansible {
        playbook: PathBuf,
        extra_vars: serde_json::Map<String, serde_json::Value>,
        tags: Vec<String>,
        /// Requests that plays run on the factory too. The owner decides.
        local: bool,
    },
    /// A script text; a list of lines is joined, and runs under `sh -e`.
    Shell {
        text: String,
    },
    Script {
        path: PathBuf,
    },
    Upload {
        src: PathBuf,
        dest: String,
    },
    Reboot,
}

/// `tests`: the checks to run. Files in `tests/` are checks of the bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tests {
    /// Executables under `tests/`, relative to the bundle, sorted.
    pub files: Vec<PathBuf>,
    /// IDs of skipped checks.
    pub skip: Vec<String>,
    /// The complete list of checks to run, if given.
    pub only: Option<Vec<String>>,
    /// Checks to run besides the defaults.
    pub add: Vec<String>,
    /// Per check.
    pub timeout: Option<Duration>,
    /// Name to resolve; defaults to the host of the machine's package mirror.
    pub dns_name: Option<String>,
    /// Package that cloud-init must be able to install.
    pub package: Option<String>,
    /// `tests.volume_size`
    #[serde(rename = "volume_gb")]
    pub volume_gib: Option<u64>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    Private,
    Shared,
    Community,
    Public,
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

/// The key that was probably meant.
pub(crate) fn nearest_key<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    keys::nearest(key, known.iter().copied())
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

//! A bundle: what a user wrote in `build-vars.yml`, checked. No defaults are applied here; that is
//! `plan`'s work.
//!
//! Source text -> [`yaml`] tree with places -> [`decode`] typed values, findings collected ->
//! [`load()`] a [`Bundle`].
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::Location;
use crate::disk::Format;
use crate::fetch::Download;

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

/// A definition as written and found sound. Paths of steps, scripts and tests are relative to
/// `dir`; they exist and stay in it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Bundle {
    /// The factory tree: the directory that holds `images/` and `os/`. Absolute.
    pub tree: PathBuf,
    /// The bundle's directory (`bundle.path` if given). Absolute.
    pub dir: PathBuf,
    /// `images/bundle-nginx`, `os/debian-12`, or the path as given for a bundle outside the tree.
    pub label: String,
    pub kind: Kind,
    /// `bundle.name`: image name prefix and family.
    pub name: String,
    pub base: Option<Base>,
    /// The family of a base `os/NAME`, if its definition is sound and was loaded too.
    pub base_family: Option<String>,
    /// The definition of the tree that makes a base which is no `os/NAME`, if all of the tree were
    /// loaded too.
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
    /// As written; empty when the key is absent (plan then takes `ansible/bootstrap.yml` if there
    /// is one).
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
    /// Parts of tidy that the bundle switches off (see [`TIDY_PARTS`]).
    pub tidy_off: Vec<String>,
    /// Parts of tidy that the bundle asks for (see [`TIDY_ASKED`]).
    pub tidy_on: Vec<String>,
    /// What it needs of the factory itself.
    pub asks: Asks,
    /// `vars`: free values for templates.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// `output/*.j2`, relative to `dir`, sorted.
    pub templates: Vec<PathBuf>,
    /// Everything in build-vars.yml, for templates; text stays text.
    pub as_written: serde_json::Value,
    /// Where keys stand (`"bundle.img_base"`, `"steps[1].timeout"`; steps count from 1), for
    /// findings that only a cloud can make.
    pub places: BTreeMap<String, Location>,
    /// Roles and collections that playbooks take from elsewhere, and no `requirements.yml` names.
    pub needs: Vec<Need>,
}

impl Bundle {
    /// The same definition with nothing to make: the image `id` is tested as it is, as this one's
    /// would be.
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

    /// Who may see the image: what is said, else `shared` where members are named, else private.
    pub fn published_as(&self) -> Visibility {
        let silent = if self.members.is_empty() { Visibility::Private } else { Visibility::Shared };
        self.visibility.or(self.glance.visibility).unwrap_or(silent)
    }

    /// Every property that it gives the image.
    pub fn own_properties(&self) -> BTreeMap<String, String> {
        self.properties
            .iter()
            .chain(&self.glance.properties)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// What a definition needs of the factory itself, and where it lies. Whether it gets it is the
/// owner's to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Asks {
    /// As [`Bundle::tree`].
    pub tree: PathBuf,
    /// The directory of build-vars.yml, which is not always [`Bundle::dir`]. Absolute.
    pub definition: PathBuf,
    /// `pass_env`: names of variables of the factory's environment.
    pub env: Vec<String>,
    /// `source.wall: none`
    pub unwalled: bool,
}

/// `bundle.img_base`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Base {
    /// `os/<name>` of this tree.
    Os(String),
    /// ID, exact image name or family; which one, only a cloud can tell.
    Image(String),
}

/// `source` of an `os/` definition.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Source {
    /// An executable of the bundle that writes a disk image to `$OUT`.
    Script(PathBuf),
    /// A disk image from elsewhere; paths in it are absolute. What comes over the network has a
    /// checksum.
    Url { wish: Download, format: Option<Format> },
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    pub name: Option<String>,
    pub action: Action,
    pub timeout: Option<Duration>,
    /// Further attempts after the first; 0 when not written.
    pub retries: u32,
    pub env: BTreeMap<String, String>,
    /// `sudo: true`; false when not written.
    pub sudo: bool,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Action {
    Ansible {
        playbook: PathBuf,
        extra_vars: serde_json::Map<String, serde_json::Value>,
        tags: Vec<String>,
        /// It asks to run plays on the factory too; whether it may is the owner's to say.
        local: bool,
    },
    /// One script text; a list of lines is joined, and runs under `sh -e`.
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

/// `tests`: which checks run. Files in `tests/` are checks of the bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tests {
    /// Executables under `tests/`, relative to the bundle, sorted.
    pub files: Vec<PathBuf>,
    /// IDs of checks that are left out.
    pub skip: Vec<String>,
    /// All that run, if it is said.
    pub only: Option<Vec<String>>,
    /// What runs besides those that are on by default.
    pub add: Vec<String>,
    /// Of each check.
    pub timeout: Option<Duration>,
    /// What has to resolve; else the host where the machine gets its packages.
    pub dns_name: Option<String>,
    /// What cloud-init is to install.
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
    /// `volume.availability_zone`: Cinder's zones are not Nova's.
    pub zone: Option<String>,
}

/// `machine` (local machine).
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

/// The old CLI words of `final_glance_options`.
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

/// What tidy does, part by part; `tidy: {logs: false}` switches one off.
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

/// What tidy does where a bundle asks for it: `tidy: {schedules: true}`. A bundle may have put
/// there on purpose what these remove.
pub const TIDY_ASKED: &[&str] = &["schedules", "user-ssh"];

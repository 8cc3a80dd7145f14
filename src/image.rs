//! An image as the factory speaks of it, whatever cloud keeps it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::bundle::Visibility;

/// Life of an image: `building` (staged, nobody may use it), `active`, `deprecated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Building,
    Active,
    Deprecated,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Building => "building",
            State::Active => "active",
            State::Deprecated => "deprecated",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub id: String,
    pub name: String,
    /// `bundle.name` of the definition it was built from; `factory_family`.
    pub family: String,
    pub state: State,
    pub created: jiff::Timestamp,
    /// Bytes of the stored file.
    pub size: u64,
    /// Bytes of the disk a machine sees.
    pub virtual_size: u64,
    /// `sha512` of the stored file, in hex: what Glance calls `os_hash_value`.
    pub checksum: String,
    pub properties: BTreeMap<String, String>,
    pub tags: Vec<String>,
    pub min_disk_gb: u64,
    pub min_ram_mb: u64,
    pub visibility: Visibility,
    pub protected: bool,
    pub hidden: bool,
}

/// Property of an image that names its default user, as OpenStack's metadata definitions call it.
pub const ADMIN_USER: &str = "os_admin_user";
pub const FAMILY: &str = "factory_family";
pub const RUN: &str = "factory_run";
pub const STATE: &str = "factory_state";
pub const BASE: &str = "factory_base";
pub const COMMIT: &str = "factory_commit";

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

/// Where a published image stands: what `deprecate`, `rollback` and `prune` change, in one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Never `building`.
    pub state: State,
    /// Left out of lists and of families; found by ID.
    pub hidden: bool,
    /// When a prune hid it; `None` where none did.
    pub hidden_at: Option<jiff::Timestamp>,
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

impl Image {
    /// An active image with nothing special about it.
    #[cfg(test)]
    pub fn of_test(id: &str, name: &str, family: &str) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            family: family.into(),
            state: State::Active,
            created: jiff::Timestamp::UNIX_EPOCH,
            size: 1,
            virtual_size: 1 << 30,
            checksum: String::new(),
            properties: BTreeMap::new(),
            tags: Vec::new(),
            min_disk_gb: 1,
            min_ram_mb: 0,
            visibility: Visibility::Private,
            protected: false,
            hidden: false,
        }
    }

    pub fn standing(&self) -> Standing {
        Standing { state: self.state, hidden: self.hidden, hidden_at: self.hidden_at() }
    }

    /// Takes another standing; where images are kept by ourselves, this is the write.
    pub fn stand(&mut self, to: &Standing) {
        (self.state, self.hidden) = (to.state, to.hidden);
        self.properties.insert(STATE.into(), to.state.name().into());
        match to.hidden_at {
            Some(at) => self.properties.insert(HIDDEN_AT.into(), at.to_string()),
            None => self.properties.remove(HIDDEN_AT),
        };
    }

    /// When a prune hid it.
    pub fn hidden_at(&self) -> Option<jiff::Timestamp> {
        self.properties.get(HIDDEN_AT)?.parse().ok()
    }

    /// A run of the factory made it. What others made is never changed or deleted.
    pub fn is_ours(&self) -> bool {
        self.properties.get(RUN).is_some_and(|run| !run.is_empty())
    }

    /// ID and sha512 of the image it was built from; `None`: from a source.
    pub fn base(&self) -> Option<(&str, &str)> {
        self.properties.get(BASE)?.split_once("@sha512:")
    }

    /// Orders images by age.
    pub fn age_key(&self) -> (jiff::Timestamp, &str) {
        (self.created, &self.id)
    }
}

/// Property of an image that names its default user, as OpenStack's metadata definitions call it.
pub const ADMIN_USER: &str = "os_admin_user";
pub const FAMILY: &str = "factory_family";
pub const RUN: &str = "factory_run";
pub const STATE: &str = "factory_state";
pub const BASE: &str = "factory_base";
pub const COMMIT: &str = "factory_commit";
/// Digest of the definition's files, in hex.
pub const INPUTS: &str = "factory_inputs";
/// Label of the definition, `images/bundle-nginx`.
pub const DEFINITION: &str = "factory_definition";
/// What the smoke checks came to, in words.
pub const TESTS: &str = "factory_tests";
/// When a prune hid the image; RFC 3339.
pub const HIDDEN_AT: &str = "factory_hidden_at";

//! An image as the factory speaks of it, whatever cloud keeps it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::bundle::Visibility;

mod provenance;

pub use provenance::{Provenance, SNAPSHOT, STAGED, STAGED_SOURCE, is_staged_name, tell_copies};

/// Life of an image: `building` (staged, nobody may use it), `active`, `deprecated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    #[serde(rename = "building")]
    Staged,
    Active,
    Deprecated,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Staged => "building",
            State::Active => "active",
            State::Deprecated => "deprecated",
        }
    }
}

/// Where a published image stands: what `deprecate`, `rollback` and `prune` change, in one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// Never `building`.
    pub state: State,
    /// Left out of lists and of families; found by ID.
    pub hidden: bool,
    /// When a prune hid it; `None` where none did.
    pub hidden_at: Option<jiff::Timestamp>,
}

impl Lifecycle {
    /// Other clients find it by its tag.
    pub fn is_listed(&self) -> bool {
        self.state == State::Active && !self.hidden
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
    #[serde(rename = "min_disk_gb")]
    pub min_disk_gib: u64,
    #[serde(rename = "min_ram_mb")]
    pub min_ram_mib: u64,
    pub visibility: Visibility,
    pub protected: bool,
    pub hidden: bool,
    /// Why it is not ours whatever its properties say: what the store knows of it. Another project
    /// owns it, or its directory was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stranger: Option<String>,
    /// Why no machine boots from it, as the store shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<Unusable>,
}

/// Why no machine boots from an image, and what a person can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    pub why: String,
    pub way_out: String,
}

/// ID of an image that a plan builds upon and that a build would make first.
pub const NOT_BUILT: &str = "(not built yet)";

impl Image {
    /// It is there, and does not stand for one that a build would make first.
    pub fn is_built(&self) -> bool {
        self.id != NOT_BUILT
    }

    /// An active image of the factory's with nothing special about it.
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
            properties: [
                (IMAGE_ID.to_owned(), id.to_owned()),
                (RUN.to_owned(), format!("run-of-{id}")),
                (STATE.to_owned(), "active".to_owned()),
                (FAMILY.to_owned(), family.to_owned()),
            ]
            .into(),
            tags: Vec::new(),
            min_disk_gib: 1,
            min_ram_mib: 0,
            visibility: Visibility::Private,
            protected: false,
            hidden: false,
            stranger: None,
            unusable: None,
        }
    }

    pub fn standing(&self) -> Lifecycle {
        Lifecycle { state: self.state, hidden: self.hidden, hidden_at: self.hidden_at() }
    }

    /// Takes another standing; where images are kept by ourselves, this is the write.
    pub fn stand(&mut self, to: &Lifecycle) {
        (self.state, self.hidden) = (to.state, to.hidden);
        self.properties.insert(STATE.into(), to.state.name().into());
        match to.hidden_at {
            Some(at) => self.properties.insert(HIDDEN_AT.into(), at.to_string()),
            None => self.properties.remove(HIDDEN_AT),
        };
        self.tags = with_mark(std::mem::take(&mut self.tags), to.is_listed());
    }

    /// Takes on what proves that it is ours, as one that was published at `at`.
    pub fn prove(&mut self, at: jiff::Timestamp) {
        self.properties.insert(IMAGE_ID.into(), self.id.clone());
        self.properties.insert(PUBLISHED_AT.into(), at.to_string());
        self.tags = with_mark(std::mem::take(&mut self.tags), self.standing().is_listed());
    }

    /// When a prune hid it.
    pub fn hidden_at(&self) -> Option<jiff::Timestamp> {
        self.properties.get(HIDDEN_AT)?.parse().ok()
    }

    /// ID and sha512 of the image it was built from, which is empty where its cloud kept none;
    /// `None`: from a source.
    pub fn base(&self) -> Option<(&str, &str)> {
        let base = self.properties.get(BASE).filter(|base| !base.is_empty())?;
        Some(base.split_once("@sha512:").unwrap_or((base, "")))
    }

    /// When it was published; `None`: it does not say, or what no later image could follow.
    pub fn published_at(&self) -> Option<jiff::Timestamp> {
        let at = self.properties.get(PUBLISHED_AT)?.parse::<jiff::Timestamp>().ok()?;
        (at.as_second() < LAST_SECOND).then_some(at)
    }

    /// Orders the images of a family. Each one is published after all that were there, whatever
    /// clocks say; one without a proof comes before all with one.
    pub fn age_key(&self) -> (bool, jiff::Timestamp, &str) {
        let proven = self.is_ours();
        let at = self.published_at().filter(|_| proven).unwrap_or(self.created);
        (proven, at, &self.id)
    }
}

/// 2900-01-01. A date from then on was not written by a publication.
const LAST_SECOND: i64 = 29_348_006_400;

/// The tags of an image, with the factory's own only where others may take it for what its family
/// means.
pub fn with_mark(mut tags: Vec<String>, listed: bool) -> Vec<String> {
    tags.retain(|tag| tag != TAG);
    if listed {
        tags.push(TAG.into());
    }
    tags
}

/// Tag of published images that are active and not hidden. Nova and Cinder copy properties and no
/// tags, so that other clients can tell: `openstack image list --tag factory-published --property
/// factory_family=web`.
pub const TAG: &str = "factory-published";
/// The image's own ID, written when it is published: properties count only where it agrees.
pub const IMAGE_ID: &str = "factory_image_id";
/// When it was published: RFC 3339, and later than that of each image of its family that was there.
pub const PUBLISHED_AT: &str = "factory_published_at";
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

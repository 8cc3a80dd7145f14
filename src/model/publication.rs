//! What publication sets on an image; the state last, in one write.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::image::{self, Image, State, Visibility};
use super::units::GIB;

/// Everything that publication sets on an image; the state last, in one write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    pub name: String,
    /// The definition chose the name: it is never changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chosen: bool,
    pub family: String,
    pub properties: BTreeMap<String, String>,
    /// Origin of each of `properties`; empty in plans of older versions.
    #[serde(default)]
    pub set_by: BTreeMap<String, SetBy>,
    pub tags: Vec<String>,
    /// `None`: as the disk requires; never less ([`Publication::min_disk`]).
    #[serde(rename = "min_disk_gb")]
    pub min_disk_gib: Option<u64>,
    #[serde(rename = "min_ram_mb")]
    pub min_ram_mib: u64,
    pub visibility: Visibility,
    pub members: Vec<String>,
    pub protected: bool,
    pub hidden: bool,
}

/// Origin of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetBy {
    /// Inherited: this image needs it to boot, like its base.
    Base,
    /// `bundle.properties` of the definition.
    BundleProperties,
    /// `final_glance_options` of the definition.
    FinalGlanceOptions,
    /// The factory, whatever the definition says.
    Factory,
}

/// Properties that are known only once the image exists.
pub const SET_AT_THE_END: [&str; 3] = [image::IMAGE_ID, image::PUBLISHED_AT, image::TESTS];

/// A name with the last part of a run's ID, for an image whose name another has.
pub fn suffixed(name: &str, run: &str) -> String {
    format!("{name}-{}", run.rsplit('-').next().unwrap_or(run))
}

impl Publication {
    /// ID of the run that publishes.
    pub fn run(&self) -> &str {
        self.properties.get(image::RUN).map(String::as_str).unwrap_or_default()
    }

    /// Smallest disk for the image in GiB; never less than its own.
    pub fn min_disk(&self, virtual_size: u64) -> u64 {
        self.min_disk_gib.unwrap_or(0).max(virtual_size.div_ceil(GIB))
    }

    /// The same for an image as it is: protection that somebody gave a published one stays.
    #[must_use]
    pub fn of(&self, image: &Image) -> Self {
        let given = image.state != State::Staged && image.protected;
        Self { protected: self.protected || given, ..self.clone() }
    }

    /// Adds what only the store knows, for the same write: the image's own ID as proof of origin,
    /// the time of publication, and the tag for other clients.
    #[must_use]
    pub fn proven(&self, id: &str, at: jiff::Timestamp) -> Self {
        let deprecated =
            self.properties.get(image::STATE).is_some_and(|s| s == image::State::Deprecated.name());
        let mut properties = self.properties.clone();
        properties.insert(image::IMAGE_ID.into(), id.into());
        properties.insert(image::PUBLISHED_AT.into(), at.to_string());
        let tags = image::with_mark(self.tags.clone(), !self.hidden && !deprecated);
        Self { properties, tags, ..self.clone() }
    }
}

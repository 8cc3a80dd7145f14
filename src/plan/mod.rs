//! `plan(Definition, Facts, Request) -> Plan`: pure. Defaults are applied here and nowhere else.
//! `build` makes no choice that is not in the plan.
use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::definition::Asks;
use crate::model::facts::{Facts, Flavor};
use crate::model::image::{self, Image, Provenance};
use crate::model::placement::Placement;
use crate::model::publication::Publication;
use crate::model::units::GIB;
use crate::text::shell;

mod fitting;
mod keys;
mod machines;
mod make;
mod names;
mod origin;
mod peak;
mod publication;
mod placement;
mod smoke;
mod steps;
mod timeouts;
#[cfg(test)]
mod defaults_tests;
#[cfg(test)]
mod peak_tests;
#[cfg(test)]
mod placement_tests;
#[cfg(test)]
mod tests;

pub use keys::digest;
pub use machines::MachinePlan;
use make::Findings;
pub use make::{Purpose, Request, checks_of_build, plan};
pub use names::{began, image_name, is_run_id, run_id, run_id_after};
pub use origin::Origin;
pub use smoke::SmokePlan;
pub use steps::StepPlan;
pub use timeouts::TimeoutPlan;

/// What will be done, with every default applied. Times are seconds, sizes say their unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub run: String,
    pub at: Timestamp,
    /// `images/bundle-nginx`
    pub bundle: String,
    pub bundle_dir: PathBuf,
    pub family: String,
    pub image_name: String,
    pub cloud: String,
    /// What the cloud says of how machines run there.
    pub how: String,
    /// Where machines go; `None` on a cloud that offers no choice.
    pub site: Option<Placement>,
    /// Flavors that a machine, by its name, gets where the source needs a larger disk than was
    /// planned, smallest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub larger: BTreeMap<String, Vec<Flavor>>,
    pub origin: Origin,
    /// `None`: nothing to provision, the source is the image.
    pub builder: Option<MachinePlan>,
    pub ssh_user: String,
    /// Content key of the state before the first step; see `keys`.
    #[serde(default)]
    pub base_key: Option<String>,
    pub steps: Vec<StepPlan>,
    /// Parts of tidy, in order.
    pub tidy: Vec<String>,
    /// `None`: the image is published untested, as was asked for.
    pub smoke: Option<SmokePlan>,
    pub publish: Publication,
    /// Relative to the bundle.
    pub templates: Vec<PathBuf>,
    pub timeouts: TimeoutPlan,
    pub commit: Option<String>,
    /// What the definition needs of the factory itself.
    #[serde(default)]
    pub asks: Asks,
    /// How many images of the family stay after this one is published; `None`: all.
    #[serde(default)]
    pub keep: Option<u32>,
    /// First line of `ansible-playbook --version` on this machine.
    #[serde(default)]
    pub ansible: Option<String>,
    /// What was decided although the definition says or implies something else, and what nobody can
    /// know before it is done.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Plan {
    /// What the reader should know although it keeps nothing from being built.
    pub fn warnings(&self) -> Vec<String> {
        let Origin::Base(base) = &self.origin else { return Vec::new() };
        // Of one that is only going to be there nothing is known that could be wrong.
        if !base.is_built() {
            return Vec::new();
        }
        let mut told = Vec::new();
        let image = format!("base image {} ({})", base.name, base.id);
        if base.state == image::State::Deprecated {
            told.push(format!(
                "{image} is deprecated; a family's name means its newest active image"
            ));
        }
        match base.provenance() {
            Provenance::Legacy => told.push(format!(
                "{image} was published before images proved whose they are; `image-factory image \
                    adopt {}` mends it",
                shell::word(&base.id)
            )),
            Provenance::Foreign(why) if base.properties.contains_key(image::FAMILY) => {
                told.push(format!(
                    "{image} has properties of this factory, and is not its image: \
                    {why}"
                ));
            }
            Provenance::Foreign(_) | Provenance::Ours => {}
        }
        told
    }

    /// The image that this plan would publish, as far as it is known before: for the plan of what
    /// is built on it.
    pub fn expected(&self) -> Image {
        let publish = &self.publish;
        Image {
            id: image::NOT_BUILT.into(),
            name: publish.name.clone(),
            family: publish.family.clone(),
            state: image::State::Active,
            created: self.at,
            size: 0,
            virtual_size: 0,
            checksum: String::new(),
            properties: publish.properties.clone(),
            tags: publish.tags.clone(),
            min_disk_gib: publish.min_disk_gib.unwrap_or(0),
            min_ram_mib: publish.min_ram_mib,
            visibility: publish.visibility,
            protected: publish.protected,
            hidden: publish.hidden,
            stranger: None,
            unusable: None,
        }
    }

    /// The smallest disk that the image will claim, as far as it is known before the image is
    /// there.
    pub fn min_disk(&self) -> MinDisk {
        match (self.builder.as_ref().and_then(|b| b.disk_gib), self.publish.min_disk_gib) {
            (Some(disk), asked) => MinDisk::Exactly(disk.max(asked.unwrap_or(0))),
            (None, Some(asked)) => MinDisk::AtLeast(asked),
            (None, None) => MinDisk::AsItsDisk,
        }
    }

    /// The same without anything that makes an image: the one that is there is tested as it is.
    #[must_use]
    pub fn testing(self) -> Self {
        Self { builder: None, steps: Vec::new(), templates: Vec::new(), ..self }
    }
}

/// See [`Plan::min_disk`]; in GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinDisk {
    Exactly(u64),
    /// So much was asked for, and only the source tells whether its disk needs more.
    AtLeast(u64),
    /// Only the source tells.
    AsItsDisk,
}

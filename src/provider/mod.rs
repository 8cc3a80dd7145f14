//! The interface of a cloud, in the factory's terms, by capability. [`qemu`] is QEMU on this
//! machine; [`openstack`] is a project of an OpenStack cloud.
use async_trait::async_trait;

use crate::model::facts::{BaseLookup, CloudFacts, FactsQuery};
use crate::model::family::{self, Meaning};
use crate::model::image::Image;
pub use crate::model::publication::Publication;
use crate::system::cancel::Cancel;

mod artifacts;
pub mod checkpoints;
mod compute;
#[doc(hidden)]
pub mod contract;
mod error;
#[doc(hidden)]
pub mod fake;
pub mod ledger;
pub mod local_resources;
pub mod openstack;
pub mod qemu;
mod removal;
mod rescue;
mod resources;
mod run_cx;
mod templates;
mod volumes;

pub use artifacts::{Artifacts, why_immutable};
pub use checkpoints::Checkpoints;
pub use compute::{BootSpec, Compute, Machine, MachinePlacement, Power, Reboot};
pub use error::CloudError;
pub use rescue::Rescue;
pub use resources::{Cleared, Resources};
pub use run_cx::RunCx;
pub use templates::TemplateValidator;
pub use volumes::{AttachedVolume, Volumes};

/// A place that boots machines and stores images, as a set of capabilities.
///
/// Calls create resources only through [`ledger::Ledger::own`]. Every wait has a deadline, that of
/// `cx` or its own, and ends on `cx.cancel`.
#[async_trait]
pub trait Provider: Send + Sync {
    /// `local`, or the OpenStack cloud's name in clouds.yaml; its URL if only the environment
    /// selects it.
    fn name(&self) -> &str;

    /// ID of the project that its calls are for: clouds of one name may be several projects.
    /// `None`: it has no projects.
    async fn project(&self, _: &Cancel) -> Result<Option<String>, CloudError> {
        Ok(None)
    }

    /// Whether its machines and images use this machine's disk.
    fn is_here(&self) -> bool {
        false
    }

    /// Reads facts; changes nothing. Missing resources are facts, not errors.
    async fn facts(&self, wanted: &FactsQuery, cx: &RunCx) -> Result<CloudFacts, CloudError>;

    fn compute(&self) -> &dyn Compute;

    fn artifacts(&self) -> &dyn Artifacts;

    fn resources(&self) -> &dyn Resources;

    fn volumes(&self) -> Option<&dyn Volumes> {
        None
    }

    fn rescue(&self) -> Option<&dyn Rescue> {
        None
    }

    fn checkpoints(&self) -> Option<&dyn Checkpoints> {
        None
    }

    fn templates(&self) -> Option<&dyn TemplateValidator> {
        None
    }
}

/// Resolves the name of a base among `images`.
fn base_among(
    images: &[Image],
    wanted: &str,
    family_only: bool,
    near: impl FnOnce() -> Vec<String>,
) -> BaseLookup {
    let owned = |images: Vec<&Image>| images.into_iter().cloned().collect();
    match family::meaning(images, wanted, family_only) {
        Meaning::One(image) => BaseLookup::Found(Box::new(image.clone())),
        Meaning::Several(images) => BaseLookup::Ambiguous(owned(images)),
        Meaning::Doubtful(images) => BaseLookup::Doubtful(owned(images)),
        Meaning::Nothing => BaseLookup::Missing { near: near() },
    }
}

//! The local cloud: QEMU and a directory of images.
//!
//! [`compute`], [`artifacts`], [`resources`] and [`volume`] implement the capabilities.
//! [`boot`] starts machines, [`power`] polls and stops them, [`capture`] turns them into images in
//! [`staging`], [`store`] keeps images, [`lifecycle`] changes and deletes published ones,
//! [`resources`] finds and deletes leftovers of runs, [`checkpoints`] keeps states of machines.
//! [`machine`] defines the directories.
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::local_resources::LocalResources;
use super::{Artifacts, Checkpoints, CloudError, Compute, Provider, Resources, RunCx, Volumes};
use crate::model::facts::Lack;
use crate::model::facts::{BaseLookup, CloudFacts, FactsQuery};
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::disk;

mod accel;
mod artifacts;
mod backing;
mod boot;
mod capture;
mod checkpoints;
mod compute;
mod facts;
mod growth;
mod machine;
mod network;
mod resources;
mod power;
mod qmp;
mod volume;
mod seed;
mod staging;
#[cfg(test)]
pub mod still;
mod lifecycle;
mod store;
mod wire;

pub use accel::Accel;
pub use checkpoints::KeptState;
use checkpoints::Shelf;
pub use store::Store;
pub use wire::{carry, introduce, mac_bytes};

#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Images, and disks of running machines (`~/.local/share/image-factory`). Absolute.
    pub home: PathBuf,
    /// Sockets: a short, private path (`/run/user/1000/image-factory`). Absolute; created on
    /// demand.
    pub runtime: PathBuf,
    pub accel: Accel,
    /// Path of image-factory itself, whose `guest-wire` keeps guests from this host's services.
    /// `None`: guests are not kept from them.
    pub program: Option<PathBuf>,
    /// How much checkpoints may take of the disk, in bytes; 0: none are made.
    pub checkpoints: u64,
}

pub struct Local {
    config: LocalConfig,
    layout: machine::RunDirs,
    store: Store,
    turns: power::Turns,
    shelf: Shelf,
    finishing: checkpoints::Finishing,
    /// Determined once.
    version: tokio::sync::OnceCell<Result<String, Lack>>,
    accel: tokio::sync::OnceCell<accel::Choice>,
    reach: tokio::sync::OnceCell<network::Reach>,
}

impl Local {
    /// Touches nothing; creates directories on demand.
    pub fn new(config: LocalConfig) -> Self {
        Self {
            layout: machine::RunDirs(LocalResources::new(&config.home, &config.runtime)),
            store: Store::new(&config.home),
            turns: Default::default(),
            shelf: Shelf::new(&config.home),
            finishing: Default::default(),
            version: Default::default(),
            accel: Default::default(),
            reach: Default::default(),
            config,
        }
    }

    /// Version of QEMU, or why it does not run.
    async fn version(&self, cancel: &Cancel) -> Result<Result<&str, &Lack>, Cancelled> {
        Ok(self.version.get_or_try_init(|| facts::qemu_version(cancel)).await?.as_deref())
    }

    /// Acceleration of machines. The first call on a host may take seconds, because it tries KVM.
    async fn accel(&self, cancel: &Cancel) -> Result<&accel::Choice, Cancelled> {
        let version = self.version(cancel).await?.unwrap_or_default();
        let cache = self.config.home.join("cache");
        self.accel
            .get_or_try_init(|| accel::choose(self.config.accel, version, &cache, cancel))
            .await
    }

    /// What guests can reach of this host.
    async fn reach(&self, cancel: &Cancel) -> Result<&network::Reach, Cancelled> {
        self.reach.get_or_try_init(|| network::reach(self.config.program.as_deref(), cancel)).await
    }

    /// Images that cannot be read, for people.
    fn left_out(&self) -> Result<Vec<String>, CloudError> {
        Ok(self.store.unreadable()?.iter().map(|why| format!("left out: {why}")).collect())
    }

    async fn means(&self, cancel: &Cancel) -> Result<boot::Means<'_>, Cancelled> {
        Ok(boot::Means {
            accel: self.accel(cancel).await?,
            reach: self.reach(cancel).await?,
            layout: &self.layout,
            store: &self.store,
        })
    }
}

#[async_trait]
impl Provider for Local {
    fn name(&self) -> &str {
        "local"
    }

    fn is_here(&self) -> bool {
        true
    }

    async fn facts(&self, wanted: &FactsQuery, cx: &RunCx) -> Result<CloudFacts, CloudError> {
        let base =
            wanted.base.as_deref().map_or(Ok(BaseLookup::None), |base| self.store.find(base))?;
        let version = self.version(&cx.cancel).await?;
        // A base that cannot be used is reported without first trying KVM.
        let how = match base {
            _ if wanted.base_only => facts::how(version.ok(), None),
            BaseLookup::Missing { .. } | BaseLookup::Ambiguous(_) | BaseLookup::Doubtful(_) => {
                facts::how(version.ok(), None)
            }
            _ => {
                let how = facts::how(version.ok(), Some(self.accel(&cx.cancel).await?));
                format!("{how}; {}", self.reach(&cx.cancel).await?.text())
            }
        };
        let mut missing_prerequisites = facts::missing_prerequisites(version, &cx.cancel).await?;
        missing_prerequisites.extend(accel::lack(self.config.accel, Path::new(accel::DEVICE)));
        Ok(CloudFacts {
            base,
            name_taken_by: self
                .store
                .named(&wanted.image_name)?
                .into_iter()
                .map(|i| i.id)
                .collect(),
            how,
            max_cpus: facts::cpus(),
            max_ram_mib: facts::ram_mib(),
            free_bytes: disk::room(&self.config.home),
            missing_prerequisites,
            notes: self.left_out()?,
            site: None,
        })
    }

    fn compute(&self) -> &dyn Compute {
        self
    }

    fn artifacts(&self) -> &dyn Artifacts {
        self
    }

    fn resources(&self) -> &dyn Resources {
        self
    }

    fn volumes(&self) -> Option<&dyn Volumes> {
        Some(self)
    }

    fn checkpoints(&self) -> Option<&dyn Checkpoints> {
        (self.config.checkpoints > 0).then_some(self)
    }
}

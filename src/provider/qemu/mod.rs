//! The local cloud: QEMU and a directory of images.
//!
//! [`boot`] starts machines, [`power`] polls and stops them, [`capture`] turns them into images in
//! [`staging`], [`store`] keeps images, [`lifecycle`] changes and deletes published ones,
//! [`resources`] finds and deletes leftovers of runs. [`machine`] defines the directories.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::ledger::{Entry, Kind};
use super::local_resources::{self, LocalResources};
use super::{AttachedVolume, BootSpec, Cloud, CloudError, Cx, Machine, Power, Publication, Reboot};
use crate::model::facts::Lack;
use crate::model::facts::{BaseLookup, CloudFacts, FactsQuery};
use crate::model::family;
use crate::model::image::{self, Image, Lifecycle, State};
use crate::model::placement::VolumePlan;
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::disk;

mod accel;
mod backing;
mod boot;
mod capture;
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
mod lifecycle;
mod store;
mod wire;

pub use accel::Accel;
pub use store::Store;
pub use wire::carry;

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
}

pub struct Local {
    config: LocalConfig,
    layout: machine::RunDirs,
    store: Store,
    turns: power::Turns,
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
impl Cloud for Local {
    fn name(&self) -> &str {
        "local"
    }

    fn is_here(&self) -> bool {
        true
    }

    async fn facts(&self, wanted: &FactsQuery, cx: &Cx) -> Result<CloudFacts, CloudError> {
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
            notes: Vec::new(),
            site: None,
        })
    }

    async fn import(
        &self,
        cx: &Cx,
        run: &str,
        name: &str,
        file: &Path,
        deadline: Duration,
    ) -> Result<Image, CloudError> {
        capture::file(cx, &self.layout, &self.store, file, &capture::Order { run, name, deadline })
            .await
    }

    async fn boot(
        &self,
        cx: &Cx,
        spec: &BootSpec,
        deadline: Duration,
    ) -> Result<Machine, CloudError> {
        let host = self.means(&cx.cancel).await?;
        boot::boot(cx, &host, spec, deadline).await
    }

    async fn power(&self, machine: &Machine) -> Result<Power, CloudError> {
        power::power(&self.turns, &self.layout.place_of(machine)?).await
    }

    fn poll_interval(&self) -> Duration {
        Duration::from_millis(500)
    }

    /// QEMU reports a stopped or dead machine before SSH fails.
    fn health_poll_interval(&self) -> Option<Duration> {
        Some(Duration::from_secs(5))
    }

    async fn console_log(&self, machine: &Machine) -> Result<String, CloudError> {
        let path = self.layout.place_of(machine)?.file(machine::CONSOLE);
        growth::end_of(&path).map_err(CloudError::io(format!("read {}", path.display())))
    }

    async fn shutdown(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        power::shutdown(cx, &self.turns, &self.layout.place_of(machine)?, deadline).await
    }

    async fn capture(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        name: &str,
        deadline: Duration,
    ) -> Result<Image, CloudError> {
        capture::machine(
            cx,
            &self.layout,
            &self.store,
            &self.turns,
            machine,
            &capture::Order { run, name, deadline },
        )
        .await
    }

    /// Ignores `members`: the store has no projects.
    async fn publish(
        &self,
        _: &Cx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError> {
        let now = self.store.need(&staged.id)?;
        if let Some(why) = super::unpublishable(&now, publication) {
            return Err(CloudError::refused(format!("publish {}", publication.name), why));
        }
        let at = family::published_at(
            &self.store.list()?,
            &publication.family,
            &now.id,
            jiff::Timestamp::now(),
        );
        let publication = publication.proven(&now.id, at);
        let state = match publication.properties.get(image::STATE).map(String::as_str) {
            Some("deprecated") => State::Deprecated,
            _ => State::Active,
        };
        let min_disk_gib = publication.min_disk(now.virtual_size);
        self.store.update(&Image {
            name: publication.name,
            family: publication.family,
            state,
            properties: publication.properties,
            tags: publication.tags,
            min_disk_gib,
            min_ram_mib: publication.min_ram_mib,
            visibility: publication.visibility,
            protected: publication.protected,
            hidden: publication.hidden,
            ..now
        })
    }

    async fn delete_resource(&self, run: &str, thing: &Entry) -> Result<(), CloudError> {
        match thing.kind {
            Kind::Image => resources::discard(&self.store, run, thing),
            _ => self.layout.0.delete(run, thing).await,
        }
    }

    async fn list_resources(&self, run: &str) -> Result<Vec<Entry>, CloudError> {
        // Processes first, and directories last: they hold what the others use.
        let (mut found, dirs): (Vec<_>, Vec<_>) =
            self.layout.0.owned(run)?.into_iter().partition(|(kind, ..)| *kind == Kind::Process);
        found.extend(resources::staged(&self.store, run)?);
        found.extend(dirs);
        Ok(local_resources::entries(found))
    }

    async fn list_runs(&self) -> Result<Vec<String>, CloudError> {
        let mut runs = self.layout.0.runs();
        runs.extend(resources::runs(&self.store)?);
        Ok(runs.into_iter().collect())
    }

    async fn images(&self) -> Result<Vec<Image>, CloudError> {
        self.store.list()
    }

    /// Reboots as Nova does: power off, requested or forced, and on again.
    async fn reboot(
        &self,
        cx: &Cx,
        machine: &Machine,
        how: Reboot,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        let (place, host) = (self.layout.place_of(machine)?, self.means(&cx.cancel).await?);
        if how == Reboot::Orderly {
            power::powered_off(cx, &self.turns, &place, deadline).await?;
        }
        power::cut(cx, &self.turns, &place).await?;
        boot::again(cx, &host, &place, deadline).await
    }

    async fn attach_volume(
        &self,
        cx: &Cx,
        _: &str,
        machine: &Machine,
        wanted: &VolumePlan,
        _: Duration,
    ) -> Result<AttachedVolume, CloudError> {
        volume::attach(cx, &self.turns, &self.layout.place_of(machine)?, wanted.size_gib).await
    }

    async fn detach_volume(
        &self,
        cx: &Cx,
        _: &str,
        machine: &Machine,
        disk: &AttachedVolume,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        volume::detach(cx, &self.turns, &self.layout.place_of(machine)?, machine, disk, deadline)
            .await
    }

    async fn rescue(&self, _: &Cx, machine: &Machine, _: Duration) -> Result<(), CloudError> {
        Err(CloudError::unable(
            format!("rescue {}", machine.name),
            "QEMU on this machine has no rescue mode",
        ))
    }

    async fn unrescue(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        self.rescue(cx, machine, deadline).await
    }

    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError> {
        Err(CloudError::unable(
            format!("screen of {}", machine.name),
            "machines of this host have a serial console and no screen",
        ))
    }

    async fn check_template(
        &self,
        _: &str,
        _: &Cx,
    ) -> Result<Option<Result<(), String>>, CloudError> {
        Ok(None)
    }

    async fn set_lifecycle(
        &self,
        _: &Cx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError> {
        lifecycle::set(&self.store, &image.id, to)
    }

    async fn adopt(&self, _: &Cx, image: &Image) -> Result<Image, CloudError> {
        lifecycle::adopt(&self.store, &image.id)
    }

    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError> {
        lifecycle::uses(&self.layout, images)
    }

    async fn delete_image(&self, _: &Cx, image: &Image) -> Result<(), CloudError> {
        lifecycle::discard(&self.store, &self.layout, &image.id)
    }
}

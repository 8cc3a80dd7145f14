//! The cloud of an OpenStack project, with the same file names as the local cloud where they fit.
//!
//! [`login`] reads the configuration (files: `clouds_yaml`, meaning: `resolve`), [`keystone`] gets
//! tokens, [`session`] attaches them, [`api`] sends requests. [`nova`], [`glance`], [`neutron`],
//! [`cinder`] and [`heat`] are the service calls, [`pages`] reads lists, [`create`] owns what is
//! created. [`facts`], [`base`], [`boot`], [`power`], [`capture`], [`publish`], [`lifecycle`] and
//! [`resources`] implement the interface on top.
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::ledger::Entry;
use super::local_resources::LocalResources;
use super::{AttachedVolume, BootSpec, Cloud, CloudError, Cx, Machine, Power, Publication, Reboot};
use crate::model::facts::{CloudFacts, FactsQuery, PlacementDefaults};
use crate::model::image::{self, Image, Lifecycle};
use crate::model::placement::VolumePlan;
use crate::system::cancel::Cancel;

mod access;
pub mod api;
mod body;
mod base;
mod boot;
mod capture;
mod cinder;
mod clouds_yaml;
mod create;
mod credentials;
mod endpoint;
mod error;
mod facts;
mod floating;
mod glance;
mod heat;
mod keystone;
pub mod login;
mod neutron;
mod nova;
mod resources;
mod pages;
mod power;
mod publish;
mod redirect;
mod resolve;
mod scrub;
mod volume;
mod recent_reads;
mod session;
mod settings;
mod source;
mod lifecycle;
mod upload;
mod vendors;
#[cfg(test)]
mod tests;

use api::{Api, ApiError, Service};
use recent_reads::RecentReads;

/// Metadata key on servers and volumes: the machine that runs the factory.
const OWNER: &str = "factory_owner";

pub struct Config {
    pub login: login::Login,
    /// The factory's home on this machine.
    pub home: PathBuf,
    pub runtime: PathBuf,
    /// Defaults from the environment.
    pub defaults: PlacementDefaults,
    /// Name of this machine, for people who read the cloud's lists.
    pub owner: String,
    /// Source CIDRs of this machine's SSH; empty: detect.
    pub ssh_from: Vec<String>,
}

pub struct OpenStack {
    api: Api,
    host: LocalResources,
    defaults: PlacementDefaults,
    owner: String,
    ssh_from: Vec<String>,
    seen: RecentReads,
    /// Security group per run, by run ID; created with the first machine.
    group: tokio::sync::Mutex<BTreeMap<String, Group>>,
    /// How long to search for a resource whose create was not answered.
    patience: Duration,
    /// [`source::ssh_from`], except in tests.
    source: fn(&str, u16) -> String,
}

/// The security group of a run.
#[derive(Clone)]
struct Group {
    id: String,
    /// CIDRs admitted for SSH.
    admitted: BTreeSet<String>,
}

const PATIENCE: Duration = Duration::from_secs(90);

impl OpenStack {
    /// Sends nothing; the first call logs in.
    pub fn new(config: Config) -> Result<Self, CloudError> {
        let Config { login, home, runtime, defaults, owner, ssh_from } = config;
        Ok(Self {
            api: Api::new(login)?,
            host: LocalResources::new(&home, &runtime),
            defaults,
            owner,
            ssh_from,
            seen: RecentReads::default(),
            group: Default::default(),
            patience: PATIENCE,
            source: source::ssh_from,
        })
    }

    /// Owner tags of a server or volume.
    fn marks(&self, run: &str) -> BTreeMap<String, String> {
        [(image::RUN.into(), run.into()), (OWNER.into(), self.owner.clone())].into()
    }

    /// Owner tags of a staged image. They override properties inherited from the base, whose family
    /// and proof do not apply to it.
    fn staged_marks(&self, run: &str) -> BTreeMap<String, String> {
        let mut marks = self.marks(run);
        marks.insert(image::STATE.into(), image::State::Staged.name().into());
        for key in [image::FAMILY, image::IMAGE_ID] {
            marks.insert(key.into(), String::new());
        }
        marks
    }
}

/// Owner tag of resources with a description but no metadata.
fn description(run: &str) -> String {
    format!("image-factory run {run}")
}

/// Owner tag of resources without a name: adds the machine that each belongs to.
fn description_for(run: &str, machine: &str) -> String {
    format!("{}, machine {machine}", description(run))
}

/// The run in a description. Older versions name no machine.
fn run_of_description(text: Option<&str>) -> Option<&str> {
    let told = text?.strip_prefix("image-factory run ")?;
    Some(told.split_once(", machine ").map_or(told, |(run, _)| run))
}

impl From<ApiError> for CloudError {
    fn from(e: ApiError) -> Self {
        match e {
            ApiError::Cancelled(c) => c.into(),
            e => {
                let hint = e.hint();
                Self::Refused { what: e.what().to_owned(), reason: e.reason(), hint }
            }
        }
    }
}

/// Polls until `look` returns `Some`: first after `first`, then every [`LOOK`], and less often the
/// longer it takes, because each poll is a request.
async fn poll<T, F>(
    cancel: &Cancel,
    what: &str,
    deadline: Duration,
    first: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, CloudError>
where
    F: Future<Output = Result<Option<T>, CloudError>>,
{
    let until = std::time::Instant::now() + deadline;
    cancel.pause(first.min(deadline) / HASTE).await?;
    let mut pause = LOOK / HASTE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if std::time::Instant::now() >= until {
            return Err(CloudError::Deadline { what: what.to_owned(), after: deadline });
        }
        cancel.pause(pause).await?;
        pause = (pause * 6 / 5).min(LOOK * 3 / HASTE);
    }
}

/// Speeds up polling in unit tests.
const HASTE: u32 = if cfg!(test) { 50 } else { 1 };

/// Interval between two polls.
const LOOK: Duration = Duration::from_millis(2500);

#[async_trait]
impl Cloud for OpenStack {
    fn name(&self) -> &str {
        self.api.name()
    }

    async fn facts(&self, wanted: &FactsQuery, cx: &Cx) -> Result<CloudFacts, CloudError> {
        facts::facts(self, wanted, cx).await
    }

    async fn import(
        &self,
        cx: &Cx,
        run: &str,
        name: &str,
        file: &Path,
        deadline: Duration,
    ) -> Result<Image, CloudError> {
        capture::file(self, cx, run, name, file, deadline).await
    }

    async fn boot(
        &self,
        cx: &Cx,
        spec: &BootSpec,
        deadline: Duration,
    ) -> Result<Machine, CloudError> {
        boot::boot(self, cx, spec, deadline).await
    }

    async fn power(&self, machine: &Machine) -> Result<Power, CloudError> {
        power::power(self, &machine.id).await
    }

    /// Each poll is a request.
    fn poll_interval(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// A machine that answers is on; Nova knows nothing more.
    fn health_poll_interval(&self) -> Option<Duration> {
        None
    }

    async fn console_log(&self, machine: &Machine) -> Result<String, CloudError> {
        let what = format!("read the console of {}", machine.name);
        match nova::console(&self.api, &machine.id, &Cancel::default()).await {
            Err(e) if nova::has_no_console(&e) => Err(CloudError::unable(what, e.reason())),
            shown => Ok(shown?),
        }
    }

    async fn shutdown(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        power::shutdown(self, cx, machine, deadline).await
    }

    async fn capture(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        name: &str,
        deadline: Duration,
    ) -> Result<Image, CloudError> {
        capture::machine(self, cx, run, machine, name, deadline).await
    }

    async fn publish(
        &self,
        cx: &Cx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError> {
        publish::publish(self, cx, staged, publication).await
    }

    async fn delete_resource(&self, run: &str, thing: &Entry) -> Result<(), CloudError> {
        resources::delete(self, run, thing).await
    }

    async fn list_resources(&self, run: &str) -> Result<Vec<Entry>, CloudError> {
        resources::owned(self, run).await
    }

    async fn list_runs(&self) -> Result<Vec<String>, CloudError> {
        resources::runs(self).await
    }

    async fn images(&self) -> Result<Vec<Image>, CloudError> {
        facts::images(self, &Cancel::default()).await
    }

    async fn reboot(
        &self,
        cx: &Cx,
        machine: &Machine,
        how: Reboot,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        power::reboot(self, cx, machine, how, deadline).await
    }

    async fn attach_volume(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        wanted: &VolumePlan,
        deadline: Duration,
    ) -> Result<AttachedVolume, CloudError> {
        volume::attach(self, cx, run, machine, wanted, deadline).await
    }

    async fn detach_volume(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        disk: &AttachedVolume,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        volume::detach(self, cx, run, machine, disk, deadline).await
    }

    async fn rescue(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        power::rescue(self, cx, machine, deadline).await
    }

    async fn unrescue(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        power::unrescue(self, cx, machine, deadline).await
    }

    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError> {
        power::screen(self, machine).await
    }

    async fn check_template(
        &self,
        template: &str,
        cx: &Cx,
    ) -> Result<Option<Result<(), String>>, CloudError> {
        if !self.api.has(Service::Orchestration, &cx.cancel).await? {
            return Ok(None);
        }
        Ok(Some(heat::validate(&self.api, template, &cx.cancel).await?))
    }

    async fn set_lifecycle(
        &self,
        cx: &Cx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError> {
        lifecycle::set(self, cx, image, to).await
    }

    async fn adopt(&self, cx: &Cx, image: &Image) -> Result<Image, CloudError> {
        lifecycle::adopt(self, cx, image).await
    }

    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError> {
        lifecycle::uses(self, images).await
    }

    async fn delete_image(&self, cx: &Cx, image: &Image) -> Result<(), CloudError> {
        lifecycle::discard(self, cx, image).await
    }
}

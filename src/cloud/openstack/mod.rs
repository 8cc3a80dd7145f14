//! The cloud that is an OpenStack project. Same words as any other cloud, and the same file names
//! where they fit.
//!
//! [`login`] says who we are and where (files: `clouds_yaml`, their meaning: `resolve`),
//! [`keystone`] gets tokens, [`session`] puts them on, [`api`] sends requests; [`nova`],
//! [`glance`], [`neutron`], [`cinder`] and [`heat`] are the calls that are made, [`pages`] reads
//! their lists, [`create`] owns what they make. On them stand [`facts`], [`base`], [`boot`],
//! [`power`], [`capture`], [`publish`], [`standing`] and [`owned`], the factory's verbs.
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::ledger::Entry;
use super::local_resources::LocalResources;
use super::{AttachedVolume, BootSpec, Cloud, CloudError, Cx, Machine, Power, Publication, Reboot};
use crate::cancel::Cancel;
use crate::image::{self, Image, Lifecycle};
use crate::plan::{CloudFacts, FactsQuery, PlacementDefaults, VolumePlan};

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

/// In the metadata of servers and volumes, beside the run: the machine that runs the factory.
const OWNER: &str = "factory_owner";

pub struct Config {
    pub login: login::Login,
    /// Where runs have their things on this machine.
    pub home: PathBuf,
    pub runtime: PathBuf,
    /// What the environment says where bundles are silent.
    pub defaults: PlacementDefaults,
    /// Who made it, for people who look at the cloud's lists: name of this machine.
    pub owner: String,
    /// From where this machine's SSH comes, as CIDRs; empty: found out.
    pub ssh_from: Vec<String>,
}

pub struct OpenStack {
    api: Api,
    host: LocalResources,
    defaults: PlacementDefaults,
    owner: String,
    ssh_from: Vec<String>,
    seen: RecentReads,
    /// The security groups of runs, by their IDs, made with their first machines.
    group: tokio::sync::Mutex<BTreeMap<String, Group>>,
    /// For so long a thing is looked for whose create was not answered.
    patience: Duration,
    /// [`source::ssh_from`], but for tests.
    source: fn(&str, u16) -> String,
}

/// The security group of a run.
#[derive(Clone)]
struct Group {
    id: String,
    /// CIDRs from which it admits SSH.
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

    /// What marks a server or a volume as made by `run`.
    fn marks(&self, run: &str) -> BTreeMap<String, String> {
        [(image::RUN.into(), run.into()), (OWNER.into(), self.owner.clone())].into()
    }

    /// What marks an image as staged by `run`. It is written over what an image inherits from its
    /// base: the family and the proof of that are not true of it.
    fn staged_marks(&self, run: &str) -> BTreeMap<String, String> {
        let mut marks = self.marks(run);
        marks.insert(image::STATE.into(), image::State::Staged.name().into());
        for key in [image::FAMILY, image::IMAGE_ID] {
            marks.insert(key.into(), String::new());
        }
        marks
    }
}

/// The mark of things that have a description and no metadata.
fn description(run: &str) -> String {
    format!("image-factory run {run}")
}

/// The same of a thing that has no name of its own either: of the things of this kind that a run
/// has, one is of each machine.
fn description_for(run: &str, machine: &str) -> String {
    format!("{}, machine {machine}", description(run))
}

/// Older versions name no machine.
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

/// A wait that polls: `look` gives `Some` when there is something to give. It is asked for the
/// first time after `first`, before which there is nothing to be seen; then every [`LOOK`], and
/// more seldom the longer it takes: each look costs the cloud a request.
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

/// Services of unit tests need no time.
const HASTE: u32 = if cfg!(test) { 50 } else { 1 };

/// Between two looks at something in the making.
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

    /// One look costs the cloud a request.
    fn poll_interval(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// A machine that answers is on; Nova would not know better.
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

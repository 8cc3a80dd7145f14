//! The cloud of an OpenStack project, with the same file names as the local cloud where they fit.
//!
//! [`login`] reads the configuration (files: `clouds_yaml`, meaning: `resolve`), [`keystone`] gets
//! tokens, [`session`] attaches them, [`api`] sends requests. [`nova`], [`glance`], [`neutron`],
//! [`cinder`] and [`heat`] are the service calls, [`pages`] reads lists, [`create`] owns what is
//! created, [`settle`] finds out what became of a request without an answer. [`compute`],
//! [`artifacts`], [`resources`], [`volume`] and [`heat`] implement the capabilities on top, with
//! [`boot`], [`power`], [`capture`], [`checkpoints`], [`publish`] and [`lifecycle`].
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use super::local_resources::LocalResources;
use super::{
    Artifacts, Checkpoints, CloudError, Compute, Provider, Rescue, Resources, RunCx,
    TemplateValidator, Volumes,
};
use crate::model::facts::{CloudFacts, FactsQuery, PlacementDefaults};
use crate::model::image;
use crate::system::cancel::Cancel;
use crate::system::wait::{Deadline, Wait};

mod access;
mod artifacts;
pub mod api;
mod body;
mod base;
mod boot;
mod capture;
mod checkpoints;
mod cinder;
mod clouds_yaml;
mod compute;
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
mod settle;
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
    shelf: checkpoints::Shelf,
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
            shelf: checkpoints::Shelf::new(&home),
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
                let (hint, kind) = (e.hint(), e.kind());
                Self::Refused { what: e.what().to_owned(), reason: e.reason(), hint, kind }
            }
        }
    }
}

/// A wait whose polls are requests: first after `first`, then every [`LOOK`], and less often the
/// longer it takes.
fn wait<'a>(what: &'a str, cancel: &'a Cancel, deadline: Deadline, first: Duration) -> Wait<'a> {
    Wait::new(what, cancel, deadline, LOOK / HASTE)
        .first_after(first.min(deadline.total()) / HASTE)
        .backing_off_to(LOOK * 3 / HASTE)
}

/// Speeds up polling in unit tests.
const HASTE: u32 = if cfg!(test) { 50 } else { 1 };

/// Interval between two polls.
const LOOK: Duration = Duration::from_millis(2500);

#[async_trait]
impl Provider for OpenStack {
    fn name(&self) -> &str {
        self.api.name()
    }

    async fn project(&self, cancel: &Cancel) -> Result<Option<String>, CloudError> {
        Ok(Some(self.api.project(cancel).await?))
    }

    async fn facts(&self, wanted: &FactsQuery, cx: &RunCx) -> Result<CloudFacts, CloudError> {
        facts::facts(self, wanted, cx).await
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

    fn rescue(&self) -> Option<&dyn Rescue> {
        Some(self)
    }

    fn checkpoints(&self) -> Option<&dyn Checkpoints> {
        Some(self)
    }

    fn templates(&self) -> Option<&dyn TemplateValidator> {
        Some(self)
    }
}

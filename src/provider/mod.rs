//! The interface of a cloud, in the factory's terms. [`local`] is QEMU on this machine; `openstack`
//! is a project of an OpenStack cloud.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::event::Events;
use crate::model::facts::{BaseLookup, CloudFacts, FactsQuery, Named};
use crate::model::family::{self, Meaning};
use crate::model::image::{self, Image, Lifecycle, Provenance, State};
use crate::model::placement::{Placement, VolumePlan};
pub use crate::model::publication::Publication;
use crate::system::cancel::{Cancel, Cancelled};
use crate::text::shell;

#[doc(hidden)]
pub mod contract;
pub mod local_resources;
pub mod ledger;
#[doc(hidden)]
pub mod fake;
pub mod qemu;
pub mod openstack;
mod removal;

use ledger::{Entry, Ledger, LedgerError};

/// A machine to boot.
#[derive(Debug, Clone)]
pub struct BootSpec {
    /// ID of its run; also the owner tag.
    pub run: String,
    /// Name and hostname. Contains the run ID; at most 63 characters.
    pub name: String,
    /// ID of the image to boot from, published or staged.
    pub image: String,
    pub cpus: u32,
    pub ram_mib: u64,
    /// Size of its disk, at least the image's virtual size.
    pub disk_gib: u64,
    /// cloud-init user-data.
    pub user_data: String,
    /// Placement, on a cloud with a choice. CPUs, RAM and disk are then the flavor's.
    pub place: Option<MachinePlacement>,
}

/// Placement of a machine, on a cloud with a choice.
#[derive(Debug, Clone)]
pub struct MachinePlacement {
    pub flavor: Named,
    pub site: Placement,
}

/// A booted machine. Its power is on; SSH may not answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub name: String,
    /// ID in the cloud.
    pub id: String,
    /// Address of its SSH server.
    pub host: String,
    pub port: u16,
}

/// Power state of a machine, as seen by the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    On,
    /// Powered off, by itself or on request.
    Off,
    /// Exists but does not run: paused, internal error. The text describes the state.
    Stuck(String),
    /// No longer exists. The text describes the observation.
    Gone(String),
}

/// How to reboot a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    /// The guest shuts down by itself.
    Orderly,
    /// The power is cut.
    Hard,
}

/// A disk that was attached to a running machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedVolume {
    /// ID in the cloud.
    pub id: String,
    /// Beginning of the serial number in the guest.
    pub serial: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The cloud refused; nothing was changed.
    #[error("{what}: {reason}")]
    Refused { what: String, reason: String, hint: Option<String> },
    /// The cloud does not support the operation; nothing was tried.
    #[error("{what}: {reason}")]
    Unable { what: String, reason: String },
    /// A wait exceeded its deadline.
    #[error("{what}: not done after {after:?}")]
    Deadline { what: String, after: Duration },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl CloudError {
    pub fn refused(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), reason: reason.into(), hint: None }
    }

    pub fn unable(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unable { what: what.into(), reason: reason.into() }
    }

    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Refused { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// Converts an I/O error in `map_err`; `what` names the operation ("write /x/y").
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Context of a call: the ledger that records what it creates, the events sink, and cancellation.
#[derive(Clone)]
pub struct Cx {
    pub ledger: Ledger,
    pub events: Events,
    pub cancel: Cancel,
}

/// A place that boots machines and stores images.
///
/// Calls create resources only through [`Ledger::own`]. Every wait has a deadline and ends on
/// `cx.cancel`.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// `local`, or the OpenStack cloud's name in clouds.yaml; its URL if only the environment
    /// selects it.
    fn name(&self) -> &str;

    /// Whether its machines and images use this machine's disk.
    fn is_here(&self) -> bool {
        false
    }

    /// Reads facts; changes nothing. Missing resources are facts, not errors.
    async fn facts(&self, wanted: &FactsQuery, cx: &Cx) -> Result<CloudFacts, CloudError>;

    /// Imports a disk image file as a staged image called `name`.
    async fn import(
        &self,
        cx: &Cx,
        run: &str,
        name: &str,
        file: &Path,
        deadline: Duration,
    ) -> Result<Image, CloudError>;

    async fn boot(
        &self,
        cx: &Cx,
        spec: &BootSpec,
        deadline: Duration,
    ) -> Result<Machine, CloudError>;

    async fn power(&self, machine: &Machine) -> Result<Power, CloudError>;

    /// Minimum interval between polls of a machine's power state or console.
    fn poll_interval(&self) -> Duration;

    /// Interval between polls of a machine that answers over SSH; `None` if polling reveals nothing
    /// more.
    fn health_poll_interval(&self) -> Option<Duration>;

    /// Text of the serial console, or its end if the cloud keeps only that.
    async fn console_log(&self, machine: &Machine) -> Result<String, CloudError>;

    /// Requests an orderly shutdown and waits until the machine is off.
    async fn shutdown(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError>;

    /// Makes a staged image called `name` from the disk of a machine that is off.
    async fn capture(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        name: &str,
        deadline: Duration,
    ) -> Result<Image, CloudError>;

    /// Publishes a staged image of the publication's run, in one write. Returns the image as read
    /// back, with the additions of [`Publication::proven`] at the time given by
    /// [`family::published_at`].
    async fn publish(
        &self,
        cx: &Cx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError>;

    /// Deletes a resource of a run. Success if absent. Never touches a resource of another owner.
    async fn delete_resource(&self, run: &str, thing: &Entry) -> Result<(), CloudError>;

    /// Unpublished resources of `run`, newest first. Found by owner tags, without the ledger.
    async fn list_resources(&self, run: &str) -> Result<Vec<Entry>, CloudError>;

    /// Runs that own resources here.
    async fn list_runs(&self) -> Result<Vec<String>, CloudError>;

    /// Images with the factory's properties, newest first. Includes staged and foreign ones.
    async fn images(&self) -> Result<Vec<Image>, CloudError>;

    /// Reboots a machine; returns when the cloud has done its part.
    async fn reboot(
        &self,
        cx: &Cx,
        machine: &Machine,
        how: Reboot,
        deadline: Duration,
    ) -> Result<(), CloudError>;

    /// Attaches an empty disk to a running machine. Type and zone apply where the cloud has a
    /// choice.
    async fn attach_volume(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        wanted: &VolumePlan,
        deadline: Duration,
    ) -> Result<AttachedVolume, CloudError>;

    /// Detaches a disk from its machine and deletes it.
    async fn detach_volume(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        disk: &AttachedVolume,
        deadline: Duration,
    ) -> Result<(), CloudError>;

    /// Boots a machine from a new disk of its image, with its own disk as the second.
    async fn rescue(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError>;

    /// Reverts `rescue`: boots the machine from its own disk.
    async fn unrescue(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError>;

    /// URL of the machine's graphical console. It grants access to whoever has it, so it must not
    /// be shown.
    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError>;

    /// Validates a Heat template. `None` if the cloud has no Heat; otherwise the errors, if any.
    async fn check_template(
        &self,
        template: &str,
        cx: &Cx,
    ) -> Result<Option<Result<(), String>>, CloudError>;

    /// Changes the lifecycle of a published image of ours, in one write. Returns the image as read
    /// back.
    async fn set_lifecycle(
        &self,
        cx: &Cx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError>;

    /// Adds the current proof of origin to a published image without one, in one write. Returns the
    /// image as read back. An image with a proof stays unchanged; one with contrary evidence is
    /// refused.
    async fn adopt(&self, cx: &Cx, image: &Image) -> Result<Image, CloudError>;

    /// Users of these images: maps image IDs to a sentence naming the machines, volumes and builds.
    /// What is invisible (machines of other projects) counts as use.
    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError>;

    /// Deletes a published image. Success if absent. Refuses an image that is not the factory's,
    /// protected, staged or in use.
    async fn delete_image(&self, cx: &Cx, image: &Image) -> Result<(), CloudError>;
}

/// Combines the users of each image into one sentence; omits unused images.
fn describe_users(users: BTreeMap<String, Vec<String>>) -> BTreeMap<String, String> {
    let sentence = |names: Vec<String>| match &names[..] {
        [one] => format!("{one} uses it"),
        [one, others @ ..] => format!("{one} and {} more use it", others.len()),
        [] => "somebody uses it".to_owned(),
    };
    users.into_iter().map(|(id, names)| (id, sentence(names))).collect()
}

/// Why a published image must not be changed or deleted, judged by the image alone.
pub fn why_immutable(image: &Image) -> Option<String> {
    match image.provenance() {
        Provenance::Foreign(why) => Some(why),
        Provenance::Ours | Provenance::Legacy if image.state == State::Staged => {
            Some("it is staged: its run publishes or removes it".to_owned())
        }
        Provenance::Legacy => Some(format!(
            "it was published before images proved whose they are (`image-factory image adopt {}` \
                mends it)",
            shell::word(&image.id)
        )),
        Provenance::Ours => None,
    }
}

/// Why the publication's run must not publish this image. Publishing its own image again is
/// allowed.
fn unpublishable(image: &Image, publication: &Publication) -> Option<String> {
    let run = publication.properties.get(image::RUN).map(String::as_str).unwrap_or_default();
    let published = image.state != State::Staged && image.is_ours();
    let of_run = image.properties.get(image::RUN).is_some_and(|r| r == run);
    match image.is_staged_by(run) || published && of_run {
        true => None,
        false => Some(format!("image {} is none that run {run} staged", image.id)),
    }
}

/// Why an image cannot be adopted; `None` if only the proof is missing.
fn unadoptable(image: &Image) -> Option<String> {
    match image.provenance() {
        Provenance::Foreign(why) => Some(why),
        Provenance::Ours | Provenance::Legacy if image.state == State::Staged => {
            Some("it is staged".to_owned())
        }
        Provenance::Ours | Provenance::Legacy => None,
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

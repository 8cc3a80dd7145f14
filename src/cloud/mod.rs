//! What the factory asks of a cloud, in the factory's words. QEMU on this machine ([`local`]) is
//! one, an OpenStack is another.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use crate::cancel::{Cancel, Cancelled};
use crate::event::Events;
use crate::family::{self, Meaning};
use crate::image::{self, Image, Lifecycle, Provenance, State};
pub use crate::plan::Publication;
use crate::plan::{BaseLookup, CloudFacts, FactsQuery, Named, Placement, VolumePlan};
use crate::text::shell;

#[doc(hidden)]
pub mod contract;
pub mod local_resources;
pub mod ledger;
pub mod local;
#[doc(hidden)]
pub mod memory;
pub mod openstack;
mod removal;

use ledger::{Entry, Ledger, LedgerError};

/// A machine to be booted.
#[derive(Debug, Clone)]
pub struct BootSpec {
    /// Run it belongs to, and its owner tag.
    pub run: String,
    /// Name and hostname; carries the run id, at most 63 characters.
    pub name: String,
    /// ID of the image it boots from, published or staged.
    pub image: String,
    pub cpus: u32,
    pub ram_mib: u64,
    /// Size of its disk; at least the image's virtual size.
    pub disk_gib: u64,
    /// cloud-init user-data.
    pub user_data: String,
    /// Where it goes, on a cloud that offers a choice; CPUs, RAM and disk are then the flavor's.
    pub place: Option<MachinePlacement>,
}

/// Where a machine goes, on a cloud that offers a choice.
#[derive(Debug, Clone)]
pub struct MachinePlacement {
    pub flavor: Named,
    pub site: Placement,
}

/// A machine that was booted. Its power is on; nothing is said about SSH yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub name: String,
    /// What the cloud knows it by.
    pub id: String,
    /// Where its SSH is reached.
    pub host: String,
    pub port: u16,
}

/// What a look at a machine from outside tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    On,
    /// Powered off; by itself or because it was asked to.
    Off,
    /// It is there but does not run: paused, internal error. The text says what was seen.
    Stuck(String),
    /// Not there any more. The text says what was seen.
    Gone(String),
}

/// How a machine is made to boot again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    /// The guest is asked to go down by itself.
    Orderly,
    /// The power goes off and on.
    Hard,
}

/// A disk that a running machine was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedVolume {
    /// What the cloud knows it by.
    pub id: String,
    /// Begin of the serial number that the guest sees.
    pub serial: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The cloud said no; it was not done.
    #[error("{what}: {reason}")]
    Refused { what: String, reason: String, hint: Option<String> },
    /// This cloud has no such thing; nothing was tried.
    #[error("{what}: {reason}")]
    Unable { what: String, reason: String },
    /// A wait ran into its deadline.
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

    /// For `map_err`: an I/O error with what was being done ("write /x/y").
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Everything a call needs besides its subject: the ledger that owns what it makes, where to tell
/// of progress, when to stop.
#[derive(Clone)]
pub struct Cx {
    pub ledger: Ledger,
    pub events: Events,
    pub cancel: Cancel,
}

/// A place where machines boot and images are kept.
///
/// What a call creates, it creates through [`Ledger::own`]. Every wait inside has a deadline and
/// ends on `cx.cancel`.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// `local`, or the OpenStack cloud's name in clouds.yaml; its URL where the environment alone
    /// says which it is.
    fn name(&self) -> &str;

    /// Its machines and images take space of this machine's disk.
    fn is_here(&self) -> bool {
        false
    }

    /// Reads only. What is missing is a fact too, and not an error.
    async fn facts(&self, wanted: &FactsQuery, cx: &Cx) -> Result<CloudFacts, CloudError>;

    /// Takes a disk image file in as a staged image called `name`.
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

    /// The shortest pause between two looks at a machine (`power`, `console`) that a good guest of
    /// this cloud takes.
    fn poll_interval(&self) -> Duration;

    /// How often a machine that answers over SSH is looked at all the same; `None`: a look tells
    /// nothing more.
    fn health_poll_interval(&self) -> Option<Duration>;

    /// The serial console so far (its end, where a cloud keeps only that).
    async fn console_log(&self, machine: &Machine) -> Result<String, CloudError>;

    /// Asks the machine to shut itself down and waits until it is off.
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

    /// Turns a staged image of the publication's run into the published one, in one write, and
    /// returns it as read back: with what [`Publication::proven`] adds, at the time that
    /// [`family::published_at`] gives.
    async fn publish(
        &self,
        cx: &Cx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError>;

    /// Deletes a thing of a run. What is not there is deleted: success. Never touches a thing whose
    /// owner is another.
    async fn delete_resource(&self, run: &str, thing: &Entry) -> Result<(), CloudError>;

    /// What the cloud shows as made by `run` and not published, newest first: found by owner tags,
    /// without the ledger.
    async fn list_resources(&self, run: &str) -> Result<Vec<Entry>, CloudError>;

    /// Runs that own something here.
    async fn list_runs(&self) -> Result<Vec<String>, CloudError>;

    /// Images of the factory, newest first; staged ones too, and such as carry its properties
    /// without being its.
    async fn images(&self) -> Result<Vec<Image>, CloudError>;

    /// Has a machine boot again; returns when the cloud has done its part.
    async fn reboot(
        &self,
        cx: &Cx,
        machine: &Machine,
        how: Reboot,
        deadline: Duration,
    ) -> Result<(), CloudError>;

    /// Gives a running machine an empty disk; of what type and where it is made, where there is a
    /// choice.
    async fn attach_volume(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        wanted: &VolumePlan,
        deadline: Duration,
    ) -> Result<AttachedVolume, CloudError>;

    /// Takes a disk away from its machine and deletes it.
    async fn detach_volume(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        disk: &AttachedVolume,
        deadline: Duration,
    ) -> Result<(), CloudError>;

    /// Boots a machine from a fresh disk of its image, with its own as the second.
    async fn rescue(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError>;

    /// Ends what `rescue` began: the machine boots from its own disk.
    async fn unrescue(
        &self,
        cx: &Cx,
        machine: &Machine,
        deadline: Duration,
    ) -> Result<(), CloudError>;

    /// Where the screen of a machine is seen in a browser. The address lets in whoever has it, so
    /// it is shown to nobody.
    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError>;

    /// Has a Heat template checked by the cloud's Heat; `None` where there is none, else what is
    /// wrong with it, if anything.
    async fn check_template(
        &self,
        template: &str,
        cx: &Cx,
    ) -> Result<Option<Result<(), String>>, CloudError>;

    /// Gives a published image of ours another standing, in one write, and returns it as read back.
    async fn set_lifecycle(
        &self,
        cx: &Cx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError>;

    /// Gives a published image that has no proof the one that publication writes today, in one
    /// write, and returns it as read back. One that has it is left as it is; what speaks against it
    /// is refused.
    async fn adopt(&self, cx: &Cx, image: &Image) -> Result<Image, CloudError>;

    /// Which of these images somebody uses, by ID, with a sentence that says who: machines and
    /// volumes made from them, builds under way. What cannot be seen (machines of other projects)
    /// counts as used.
    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError>;

    /// Deletes a published image. Absent is success. One that no run of the factory made, that is
    /// protected, staged or used is refused.
    async fn delete_image(&self, cx: &Cx, image: &Image) -> Result<(), CloudError>;
}

/// From users to one sentence for each image that has any.
fn describe_users(users: BTreeMap<String, Vec<String>>) -> BTreeMap<String, String> {
    let sentence = |names: Vec<String>| match &names[..] {
        [one] => format!("{one} uses it"),
        [one, others @ ..] => format!("{one} and {} more use it", others.len()),
        [] => "somebody uses it".to_owned(),
    };
    users.into_iter().map(|(id, names)| (id, sentence(names))).collect()
}

/// Why a published image may not be changed or deleted, from what is seen of it alone.
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

/// Why this is no image that the publication's run may publish. One that it published is published
/// again.
fn unpublishable(image: &Image, publication: &Publication) -> Option<String> {
    let run = publication.properties.get(image::RUN).map(String::as_str).unwrap_or_default();
    let published = image.state != State::Staged && image.is_ours();
    let of_run = image.properties.get(image::RUN).is_some_and(|r| r == run);
    match image.is_staged_by(run) || published && of_run {
        true => None,
        false => Some(format!("image {} is none that run {run} staged", image.id)),
    }
}

/// Why an image is given no proof; `None`: it lacks one alone.
fn unadoptable(image: &Image) -> Option<String> {
    match image.provenance() {
        Provenance::Foreign(why) => Some(why),
        Provenance::Ours | Provenance::Legacy if image.state == State::Staged => {
            Some("it is staged".to_owned())
        }
        Provenance::Ours | Provenance::Legacy => None,
    }
}

/// What a base's name means among `images`.
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

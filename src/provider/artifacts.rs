//! Images: import, publication, lifecycle, deletion, and the rules that protect them.
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::Path;

use super::{CloudError, Publication, RunCx};
use crate::model::image::{self, Image, Lifecycle, Provenance, State};
use crate::model::publication::suffixed;
use crate::text::shell;

/// Stores images. Every cloud has it.
#[async_trait]
pub trait Artifacts: Send + Sync {
    /// Imports a disk image file as a staged image called `name`.
    async fn import(&self, cx: &RunCx, name: &str, file: &Path) -> Result<Image, CloudError>;

    /// Publishes a staged image of the publication's run: members first, the state in one write.
    /// Returns the image as read back and compared, with the additions of [`Publication::proven`]
    /// at the time given by [`family::published_at`](crate::model::family::published_at), and under
    /// a name that no other published image has.
    ///
    /// [`CloudError::Unknown`]: it may be published. [`CloudError::Amiss`]: it is, and not as it
    /// was asked for. Any other error: it is not. May be called again after an unknown outcome.
    async fn publish(
        &self,
        cx: &RunCx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError>;

    /// Images with the factory's properties, newest first. Includes staged and foreign ones, and no
    /// checkpoints.
    async fn list(&self) -> Result<Vec<Image>, CloudError>;

    /// Why an image cannot be read, in words, for each that [`list`](Self::list) leaves out for it.
    async fn unreadable(&self) -> Result<Vec<String>, CloudError> {
        Ok(Vec::new())
    }

    /// Changes the lifecycle of a published image of ours, in one write. Returns the image as read
    /// back. `image` is as the caller judged it: refused if it stands otherwise by now, unless as
    /// it is to stand.
    async fn set_lifecycle(
        &self,
        cx: &RunCx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError>;

    /// Adds the current proof of origin to a published image without one, in one write. Returns the
    /// image as read back. An image with a proof stays unchanged; one with contrary evidence is
    /// refused.
    async fn adopt(&self, cx: &RunCx, image: &Image) -> Result<Image, CloudError>;

    /// Users of these images: maps image IDs to a sentence naming the machines, volumes and builds.
    /// What is invisible (machines of other projects) counts as use.
    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError>;

    /// Deletes a published image. Success if absent. Refuses an image that is not the factory's,
    /// protected, staged or in use, and one that does not stand any more as `image` does, which the
    /// caller judged.
    async fn delete(&self, cx: &RunCx, image: &Image) -> Result<(), CloudError>;
}

/// Combines the users of each image into one sentence; omits unused images.
pub(super) fn describe_users(users: BTreeMap<String, Vec<String>>) -> BTreeMap<String, String> {
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

/// Why what was decided on `judged` does not hold for the same image as it is `now`: somebody has
/// given it another standing.
pub(super) fn overtaken(judged: &Image, now: &Image) -> Option<String> {
    let (was, is) = (judged.standing(), now.standing());
    (was != is).then(|| format!("it was {was} when it was looked at, and is {is} now"))
}

/// Why the publication's run must not publish this image. Publishing its own image again is
/// allowed.
pub(super) fn unpublishable(image: &Image, publication: &Publication) -> Option<String> {
    let run = publication.run();
    let published = image.state != State::Staged && image.is_ours();
    let of_run = image.properties.get(image::RUN).is_some_and(|r| r == run);
    match image.is_staged_by(run) || published && of_run {
        true => None,
        false => Some(format!("image {} is none that run {run} staged", image.id)),
    }
}

/// Whether somebody has deprecated the published image, or brought it back. A publication that is
/// done again, because its answer was lost, leaves that as it is.
pub(super) fn is_others_by_now(image: &Image) -> bool {
    image.state == State::Deprecated || image.is_held()
}

/// The name to publish under, if image `other` has the wanted one by now. One that the definition
/// chose is refused then; one of the factory's gets the run's suffix, so that no two are the same.
pub(super) fn free_name(
    publication: &Publication,
    other: Option<&str>,
) -> Result<String, CloudError> {
    let name = &publication.name;
    match other {
        None => Ok(name.clone()),
        Some(_) if !publication.chosen => Ok(suffixed(name, publication.run())),
        Some(id) => {
            let reason = format!("image {id} has that name; it was published since the plan");
            Err(CloudError::refused(format!("publish {name}"), reason)
                .hint("choose another `bundle_target_name`, or leave it out"))
        }
    }
}

/// Why an image cannot be adopted; `None` if only the proof is missing.
pub(super) fn unadoptable(image: &Image) -> Option<String> {
    match image.provenance() {
        Provenance::Foreign(why) => Some(why),
        Provenance::Ours | Provenance::Legacy if image.state == State::Staged => {
            Some("it is staged".to_owned())
        }
        Provenance::Ours | Provenance::Legacy => None,
    }
}

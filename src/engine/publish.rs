//! Publication: the image becomes what everybody gets, and what is known of that is said.
use super::{BuildContext, BuildError, Built, Findings};
use crate::frontend;
use crate::model::error_kind::ErrorKind;
use crate::model::family;
use crate::model::image::{self, Image, State};
use crate::provider::ledger::{Entry, Kind, Leak};
use crate::provider::{CloudError, Publication};
use crate::system::git;

/// A publication of which nobody knows whether it was done.
#[derive(Debug)]
pub struct Unsettled {
    /// As it was before.
    pub image: Image,
    pub publication: Publication,
    pub source: CloudError,
}

pub(super) async fn publish(
    site: &BuildContext<'_>,
    staged: &Image,
    found: Findings,
) -> Result<Image, BuildError> {
    let mut publication = site.plan.publish.clone();
    publication.properties.insert(image::TESTS.into(), found.tests.to_string());
    publication
        .properties
        .extend(found.source.map(|digest| (image::SOURCE.to_owned(), digest.to_string())));
    publication.properties.extend(found.made);
    if was_changed(site).await {
        say_changed(site, &mut publication);
    }
    let artifacts = site.cloud.artifacts();
    let done = match artifacts.publish(site.cx, staged, &publication).await {
        // What was done is done again without effect, and what is left is done. A signal does not
        // end that: what was written is to be known.
        Err(source @ CloudError::Unknown { .. }) => {
            site.cx.events.warn(format!("{source}; asking again"));
            let cx = site.cx.clone().with_cancel(site.cx.cancel.for_unwind());
            match artifacts.publish(&cx, staged, &publication).await {
                Ok(image) => Ok(image),
                Err(amiss @ CloudError::Amiss { .. }) => Err(amiss),
                Err(again) => {
                    let source = match again {
                        CloudError::Cancelled(_) => source,
                        // It is gone, which tells nothing of what it was before.
                        again if again.kind() == ErrorKind::NotFound => source,
                        again => again,
                    };
                    let unsettled = Unsettled { image: staged.clone(), publication, source };
                    return Err(BuildError::Unsettled(Box::new(unsettled)));
                }
            }
        }
        done => done,
    };
    let image = match done {
        Err(CloudError::Amiss { reason, image, .. }) => {
            keep(site, &image);
            return Err(BuildError::Amiss { image, reason });
        }
        done => done?,
    };
    keep(site, &image);
    tell_current(site, &image).await;
    Ok(image)
}

/// Whether files of the definition are others than when the build was planned: what read them
/// meanwhile may have read either.
async fn was_changed(site: &BuildContext<'_>) -> bool {
    let Some(planned) = site.plan.publish.properties.get(image::INPUTS) else { return false };
    let definition = site.definition.clone();
    match tokio::task::spawn_blocking(move || frontend::inputs(&definition)).await {
        Ok(now) => now.is_ok_and(|now| now.sha256 != *planned),
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

/// The image claims no files that it may not have been made from.
fn say_changed(site: &BuildContext<'_>, publication: &mut Publication) {
    let bundle = &site.plan.bundle;
    site.cx.events.warn(format!(
        "files of {bundle} changed while it was built: the image may be made from both, is \
            published with {}={CHANGED}, and is stale",
        image::INPUTS
    ));
    publication.properties.insert(image::INPUTS.into(), CHANGED.into());
    if let Some(commit) = publication.properties.get_mut(image::COMMIT)
        && !commit.ends_with(git::DIRTY)
    {
        commit.push_str(git::DIRTY);
    }
}

/// In place of the digest of files that changed during the build.
const CHANGED: &str = "changed";

/// The image is the result, whatever becomes of the ledger.
fn keep(site: &BuildContext<'_>, image: &Image) {
    if let Err(e) = site.cx.ledger.keep(Kind::Image, &image.id) {
        site.cx.events.warn(format!("image {} is published, and stays: {e}", image.id));
    }
}

/// Says what the family's name means from now on: another run may have published meanwhile.
async fn tell_current(site: &BuildContext<'_>, image: &Image) {
    let (events, family) = (&site.cx.events, &image.family);
    match site.cloud.artifacts().list().await {
        Err(e) => events.warn(format!("what family {family} means now cannot be told: {e}")),
        Ok(images) => match family::not_current(&images, image) {
            None => events.note(format!("family {family} means {} now", image.name)),
            // Its definition has it so.
            Some(why) if site.plan.publish.hidden => events.note(why),
            Some(why) => events.warn(why),
        },
    }
}

/// Name of the image that was published, if `text` is what was said of it then.
pub(super) fn told_name(text: &str) -> Option<&str> {
    let meant = || text.strip_prefix("family ")?.strip_suffix(" now")?.split_once(" means ");
    let not_current = || text.split_once(" is not current: ");
    meant().map(|(_, name)| name).or_else(|| not_current().map(|(name, _)| name))
}

/// What became of a publication, seen by the way home: the staged image is deleted, or it is
/// published. What is still not known is for `sweep` to settle.
pub(super) async fn settled(
    site: &BuildContext<'_>,
    (unsettled, was_gone): (Unsettled, bool),
    leaks: &mut Vec<Leak>,
) -> Result<Built, BuildError> {
    let id = &unsettled.image.id;
    if leaks.iter().any(|leak| leak.entry.id.as_ref() == Some(id)) {
        return Err(BuildError::Unsettled(Box::new(unsettled)));
    }
    let now = match seen(site, id).await {
        Ok(now) => now.filter(|i| i.state != State::Staged && i.is_ours()),
        Err(_) => return Err(open(site, unsettled)),
    };
    let Some(published) = now else {
        // Somebody else deleted it, and perhaps because it was published.
        if was_gone {
            return Err(BuildError::Unsettled(Box::new(unsettled)));
        }
        site.cx.cancel.check()?;
        let Unsettled { publication, source, .. } = unsettled;
        let reason = format!("{}; it was not done, and the staged image is deleted", why(source));
        return Err(CloudError::refused(format!("publish {}", publication.name), reason).into());
    };
    let cx = site.cx.clone().with_cancel(site.cx.cancel.for_unwind());
    match site.cloud.artifacts().publish(&cx, &published, &unsettled.publication).await {
        Ok(image) => {
            let text =
                format!("image {} is published after all: {}", image.id, why(unsettled.source));
            site.cx.events.warn(text);
            tell_current(site, &image).await;
            Ok(Built::Image(Box::new(image)))
        }
        Err(CloudError::Amiss { reason, image, .. }) => Err(BuildError::Amiss { image, reason }),
        Err(e) => Err(withdrawn(site, Unsettled { source: e, ..unsettled }, leaks).await),
    }
}

/// Whether the image is not there, before the way home deletes anything.
pub(super) async fn is_gone(site: &BuildContext<'_>, unsettled: &Unsettled) -> bool {
    seen(site, &unsettled.image.id).await.is_ok_and(|image| image.is_none())
}

async fn seen(site: &BuildContext<'_>, id: &str) -> Result<Option<Image>, CloudError> {
    Ok(site.cloud.artifacts().list().await?.into_iter().find(|image| image.id == id))
}

/// A published image that could not be published again: its publication may have been taken back.
/// What is staged is deleted then.
async fn withdrawn(
    site: &BuildContext<'_>,
    unsettled: Unsettled,
    leaks: &mut Vec<Leak>,
) -> BuildError {
    match seen(site, &unsettled.image.id).await {
        Ok(Some(image)) if image.state != State::Staged => {
            BuildError::Amiss { image: Box::new(image), reason: unsettled.source.to_string() }
        }
        Ok(Some(staged)) => {
            leaks.extend(discarded(site, &staged).await);
            unsettled.source.into()
        }
        Ok(None) => unsettled.source.into(),
        Err(_) => open(site, unsettled),
    }
}

/// Deletes a staged image that the ledger has no more.
async fn discarded(site: &BuildContext<'_>, staged: &Image) -> Option<Leak> {
    let seq = own_again(site, staged);
    let (name, id) = (staged.name.clone(), Some(staged.id.clone()));
    let entry = Entry { seq, kind: Kind::Image, name, id, unanswered: None };
    let deleted = site.cloud.resources().delete(&site.plan.run, &entry).await;
    let done = deleted.and_then(|()| site.cx.ledger.gone(seq).map_err(CloudError::from));
    done.err().map(|e| Leak { entry, reason: e.to_string() })
}

/// Nobody knows what became of the publication, and nothing was left to delete: the run's ledger
/// has the image again, for `sweep` to look at.
fn open(site: &BuildContext<'_>, unsettled: Unsettled) -> BuildError {
    own_again(site, &unsettled.image);
    BuildError::Unsettled(Box::new(unsettled))
}

/// The number of the entry. Where the ledger cannot be written, `sweep` finds what is staged by its
/// marks.
fn own_again(site: &BuildContext<'_>, image: &Image) -> u64 {
    let ledger = &site.cx.ledger;
    let entered = ledger.intend(Kind::Image, &image.name).and_then(|seq| {
        ledger.made(seq, &image.id)?;
        Ok(seq)
    });
    entered.unwrap_or_else(|e| {
        site.cx.events.warn(format!("image {} is not in the ledger: {e}", image.id));
        u64::MAX
    })
}

/// Why nobody knew, without the sentence that nobody knows.
fn why(source: CloudError) -> String {
    match source {
        CloudError::Unknown { reason, .. } => reason,
        other => other.to_string(),
    }
}

//! Publication: the image becomes what everybody gets, and what is known of that is said.
use super::{BuildContext, BuildError, Built, Facts};
use crate::model::family;
use crate::model::image::{self, Image, State};
use crate::provider::ledger::{Kind, Leak};
use crate::provider::{CloudError, Publication};

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
    found: Facts,
) -> Result<Image, BuildError> {
    let mut publication = site.plan.publish.clone();
    publication.properties.insert(image::TESTS.into(), found.tests.to_string());
    publication
        .properties
        .extend(found.source.map(|digest| (image::SOURCE.to_owned(), digest.to_string())));
    let artifacts = site.cloud.artifacts();
    let done = match artifacts.publish(site.cx, staged, &publication).await {
        // What was done is done again without effect, and what is left is done.
        Err(source @ CloudError::Unknown { .. }) => {
            site.cx.events.warn(format!("{source}; asking again"));
            match artifacts.publish(site.cx, staged, &publication).await {
                Err(source) if !matches!(source, CloudError::Amiss { .. }) => {
                    let unsettled = Unsettled { image: staged.clone(), publication, source };
                    return Err(BuildError::Unsettled(Box::new(unsettled)));
                }
                done => done,
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

/// The image is the result, whatever becomes of the ledger.
fn keep(site: &BuildContext<'_>, image: &Image) {
    if let Err(e) = site.cx.ledger.keep(Kind::Image, &image.id) {
        site.cx.events.warn(format!("image {} is published, and stays: {e}", image.id));
    }
}

/// Says what the family's name means from now on: another run may have published meanwhile.
async fn tell_current(site: &BuildContext<'_>, image: &Image) {
    let family = &image.family;
    let images = match site.cloud.artifacts().list().await {
        Ok(images) => images,
        Err(e) => {
            let text = format!("what family {family} means now cannot be told: {e}");
            return site.cx.events.warn(text);
        }
    };
    match family::current(&images, family) {
        Some(current) if current.id == image.id => {
            site.cx.events.note(format!("family {family} means {} now", image.name));
        }
        _ if image.hidden => {
            let text = format!("image {} is hidden, and no family's current image", image.name);
            site.cx.events.note(text);
        }
        Some(other) => site.cx.events.warn(format!(
            "family {family} means {} ({}), and not the image of this run",
            other.name, other.id
        )),
        None => site.cx.events.note(format!("family {family} means no image: none is active")),
    }
}

/// What became of a publication, seen by the way home: the staged image is deleted, or it is
/// published. What could not be deleted is for `sweep` to settle.
pub(super) async fn settled(
    site: &BuildContext<'_>,
    unsettled: Unsettled,
    leaks: &[Leak],
) -> Result<Built, BuildError> {
    let id = &unsettled.image.id;
    let left = leaks.iter().any(|leak| leak.entry.id.as_ref() == Some(id));
    let images = match left {
        true => return Err(BuildError::Unsettled(Box::new(unsettled))),
        false => site.cloud.artifacts().list().await,
    };
    let Ok(images) = images else { return Err(BuildError::Unsettled(Box::new(unsettled))) };
    let Unsettled { image, publication, source } = unsettled;
    let published = |i: &&Image| i.id == image.id && i.state != State::Staged && i.is_ours();
    let Some(published) = images.iter().find(published) else {
        let (what, reason) = (format!("publish {}", publication.name), source.to_string());
        let reason = format!("{reason}; it was not done, and the staged image is deleted");
        return Err(CloudError::refused(what, reason).into());
    };
    match site.cloud.artifacts().publish(site.cx, published, &publication).await {
        Ok(image) => {
            site.cx.events.warn(format!("image {} is published: {source}", image.id));
            tell_current(site, &image).await;
            Ok(Built::Image(Box::new(image)))
        }
        Err(e) => {
            Err(BuildError::Amiss { image: Box::new(published.clone()), reason: e.to_string() })
        }
    }
}

//! Images in memory.
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::Path;

use super::Memory;
use super::world::World;
use crate::model::family;
use crate::model::image::{self, Image, Lifecycle, State};
use crate::provider::artifacts::{
    free_name, is_others_by_now, overtaken, unadoptable, unpublishable, why_immutable,
};
use crate::provider::{Artifacts, CloudError, Publication, RunCx};

#[async_trait]
impl Artifacts for Memory {
    async fn import(&self, cx: &RunCx, name: &str, file: &Path) -> Result<Image, CloudError> {
        let size =
            file.metadata().map_err(CloudError::io(format!("read {}", file.display())))?.len();
        self.make(cx, name, "import", |_| Ok(size)).await
    }

    async fn publish(
        &self,
        _: &RunCx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError> {
        self.mutate("publish", |world| {
            let missing = || CloudError::missing(format!("image {}", staged.id));
            let there: Vec<Image> = world.images.values().cloned().collect();
            let image = world.images.get_mut(&staged.id).ok_or_else(missing)?;
            if let Some(why) = unpublishable(image, publication) {
                return Err(CloudError::refused(format!("publish {}", publication.name), why));
            }
            if is_others_by_now(image) {
                return Ok(image.clone());
            }
            let at = family::published_at(
                &there,
                &publication.family,
                &image.id,
                jiff::Timestamp::now(),
            );
            let named = |i: &&Image| {
                i.id != image.id && i.name == publication.name && i.state != State::Staged
            };
            let name = free_name(publication, there.iter().find(named).map(|i| i.id.as_str()))?;
            let publication = Publication { name, ..publication.of(image).proven(&image.id, at) };
            image.state = State::Active;
            image.min_disk_gib = publication.min_disk(image.virtual_size);
            (image.name, image.family) = (publication.name, publication.family);
            (image.properties, image.tags) = (publication.properties, publication.tags);
            image.min_ram_mib = publication.min_ram_mib;
            image.visibility = publication.visibility;
            (image.protected, image.hidden) = (publication.protected, publication.hidden);
            Ok(image.clone())
        })
    }

    async fn list(&self) -> Result<Vec<Image>, CloudError> {
        let all = |world: &World| world.images.values().cloned().collect::<Vec<Image>>();
        let mut images = self.world().read("list images", all)?;
        images.sort_by(|a, b| b.id.cmp(&a.id));
        image::tell_copies(&mut images);
        Ok(images)
    }

    async fn set_lifecycle(
        &self,
        _: &RunCx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError> {
        self.mutate("set_standing", |world| {
            let what = format!("change image {}", image.name);
            let there =
                world.images.get_mut(&image.id).ok_or_else(|| CloudError::missing(&what))?;
            let late = || overtaken(image, there).filter(|_| there.standing() != *to);
            if let Some(why) = why_immutable(there).or_else(late) {
                return Err(CloudError::refused(what, why));
            }
            there.stand(to);
            Ok(there.clone())
        })
    }

    async fn adopt(&self, _: &RunCx, image: &Image) -> Result<Image, CloudError> {
        self.mutate("adopt", |world| {
            let what = format!("adopt image {}", image.name);
            let image =
                world.images.get_mut(&image.id).ok_or_else(|| CloudError::missing(&what))?;
            match unadoptable(image) {
                Some(why) => return Err(CloudError::refused(what, why)),
                None if !image.is_ours() => image.prove(image.created),
                None => {}
            }
            Ok(image.clone())
        })
    }

    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError> {
        self.world().read("list users of images", |world| world.usage(images))
    }

    async fn delete(&self, _: &RunCx, image: &Image) -> Result<(), CloudError> {
        self.mutate("discard", |world| {
            let Some(there) = world.images.get(&image.id) else { return Ok(()) };
            let used = world.usage(std::slice::from_ref(there)).remove(&image.id);
            let protected = there.protected.then(|| "it is protected".to_owned());
            let late = overtaken(image, there);
            match why_immutable(there).or(late).or(protected).or(used) {
                Some(why) => Err(CloudError::refused(format!("delete image {}", there.name), why)),
                None => {
                    world.images.remove(&image.id);
                    Ok(())
                }
            }
        })
    }
}

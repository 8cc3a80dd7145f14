//! Images: [`Artifacts`] of this machine.
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::Path;

use super::{Local, capture, lifecycle};
use crate::model::family;
use crate::model::image::{self, Image, Lifecycle, State};
use crate::provider::artifacts::{free_name, is_others_by_now, unpublishable};
use crate::provider::{Artifacts, CloudError, Publication, RunCx};

#[async_trait]
impl Artifacts for Local {
    async fn import(&self, cx: &RunCx, name: &str, file: &Path) -> Result<Image, CloudError> {
        capture::file(self, cx, file, name).await
    }

    /// Ignores `members`: the store has no projects.
    async fn publish(
        &self,
        cx: &RunCx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError> {
        // Age and name of an image are settled by one publication after the other.
        let _turn = self.store.turn(&cx.cancel).await?;
        let now = self.store.need(&staged.id)?;
        if let Some(why) = unpublishable(&now, publication) {
            return Err(CloudError::refused(format!("publish {}", publication.name), why));
        }
        if is_others_by_now(&now) {
            return Ok(now);
        }
        let at = family::published_at(
            &self.store.list()?,
            &publication.family,
            &now.id,
            jiff::Timestamp::now(),
        );
        let named = self.store.named(&publication.name)?;
        let other = named.iter().map(|i| i.id.as_str()).find(|id| *id != now.id);
        let name = free_name(publication, other)?;
        let publication = Publication { name, ..publication.of(&now).proven(&now.id, at) };
        let state = match publication.properties.get(image::STATE).map(String::as_str) {
            Some("deprecated") => State::Deprecated,
            _ => State::Active,
        };
        let min_disk_gib = publication.min_disk(now.virtual_size);
        let wanted = Image {
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
        };
        self.store.update_and_warn(&wanted, &cx.events)
    }

    async fn list(&self) -> Result<Vec<Image>, CloudError> {
        self.store.list()
    }

    async fn unreadable(&self) -> Result<Vec<String>, CloudError> {
        Ok(self.store.unreadable()?.iter().map(ToString::to_string).collect())
    }

    async fn set_lifecycle(
        &self,
        cx: &RunCx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError> {
        lifecycle::set(&self.store, &cx.cancel, image, to).await
    }

    async fn adopt(&self, cx: &RunCx, image: &Image) -> Result<Image, CloudError> {
        lifecycle::adopt(&self.store, &cx.cancel, &image.id).await
    }

    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError> {
        lifecycle::uses(&self.layout, images)
    }

    async fn delete(&self, cx: &RunCx, image: &Image) -> Result<(), CloudError> {
        lifecycle::discard(&self.store, &self.layout, &cx.cancel, image).await
    }
}

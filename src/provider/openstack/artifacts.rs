//! Images: [`Artifacts`] of a project.
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::Path;

use super::{OpenStack, capture, facts, lifecycle, publish};
use crate::model::image::{Image, Lifecycle};
use crate::provider::{Artifacts, CloudError, Publication, RunCx};
use crate::system::cancel::Cancel;

#[async_trait]
impl Artifacts for OpenStack {
    async fn import(&self, cx: &RunCx, name: &str, file: &Path) -> Result<Image, CloudError> {
        capture::file(self, cx, name, file).await
    }

    async fn publish(
        &self,
        cx: &RunCx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError> {
        publish::publish(self, cx, staged, publication).await
    }

    async fn list(&self) -> Result<Vec<Image>, CloudError> {
        facts::images(self, &Cancel::default()).await
    }

    async fn set_lifecycle(
        &self,
        cx: &RunCx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError> {
        lifecycle::set(self, cx, image, to).await
    }

    async fn adopt(&self, cx: &RunCx, image: &Image) -> Result<Image, CloudError> {
        lifecycle::adopt(self, cx, image).await
    }

    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError> {
        lifecycle::uses(self, images).await
    }

    async fn delete(&self, cx: &RunCx, image: &Image) -> Result<(), CloudError> {
        lifecycle::discard(self, cx, image).await
    }
}

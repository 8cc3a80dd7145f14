//! The cloud in memory, as everything that uses a cloud sees it.
use async_trait::async_trait;

use super::Memory;
use crate::model::facts::{BaseLookup, CloudFacts, FactsQuery};
use crate::model::image::{Image, State};
use crate::provider::{Artifacts, CloudError, Compute, Provider, Resources, RunCx};
use crate::system::cancel::Cancel;

#[async_trait]
impl Provider for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn project(&self, _: &Cancel) -> Result<Option<String>, CloudError> {
        Ok(self.world().project.clone())
    }

    async fn facts(&self, wanted: &FactsQuery, _: &RunCx) -> Result<CloudFacts, CloudError> {
        let images: Vec<Image> = self
            .artifacts()
            .list()
            .await?
            .into_iter()
            .filter(|i| i.state != State::Staged)
            .collect();
        let base = wanted.base.as_deref().map_or(BaseLookup::None, |base| {
            let family = base.strip_prefix("os/");
            crate::provider::base_among(
                &images,
                family.unwrap_or(base),
                wanted.base_is_family || family.is_some(),
                Vec::new,
            )
        });
        Ok(CloudFacts {
            base,
            name_taken_by: images
                .iter()
                .filter(|i| i.name == wanted.image_name)
                .map(|i| i.id.clone())
                .collect(),
            how: "in memory".into(),
            max_cpus: None,
            max_ram_mib: None,
            free_bytes: None,
            missing_prerequisites: self.world().missing_prerequisites.clone(),
            notes: Vec::new(),
            site: None,
        })
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
}

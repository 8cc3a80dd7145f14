//! Which rendered templates the cloud's Heat is asked about.
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::jobs::factory::Setup;
use crate::jobs::heat::heat_accepts;
use crate::model::facts::{CloudFacts, FactsQuery};
use crate::provider::{Artifacts, CloudError, Compute, Resources, RunCx, TemplateValidator};

/// A cloud whose Heat refuses what has `bad` in it, and the templates that it was asked about.
#[derive(Default)]
struct WithHeat {
    cloud: Memory,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl TemplateValidator for WithHeat {
    async fn validate(
        &self,
        template: &str,
        _: &RunCx,
    ) -> Result<Option<Result<(), String>>, CloudError> {
        self.asked.lock().unwrap().push(template.to_owned());
        Ok(Some(if template.contains("bad") { Err("it is bad".into()) } else { Ok(()) }))
    }
}

#[async_trait]
impl Provider for WithHeat {
    fn name(&self) -> &str {
        self.cloud.name()
    }

    async fn facts(&self, wanted: &FactsQuery, cx: &RunCx) -> Result<CloudFacts, CloudError> {
        self.cloud.facts(wanted, cx).await
    }

    fn compute(&self) -> &dyn Compute {
        self.cloud.compute()
    }

    fn artifacts(&self) -> &dyn Artifacts {
        self.cloud.artifacts()
    }

    fn resources(&self) -> &dyn Resources {
        self.cloud.resources()
    }

    fn templates(&self) -> Option<&dyn TemplateValidator> {
        Some(self)
    }
}

#[tokio::test]
async fn heat_is_asked_about_its_templates_unless_the_options_say_no() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = Arc::new(WithHeat::default());
    let factory = factory(dir.path(), cloud.clone());
    let of = |path: &str, text: &str| report::Rendered { path: path.into(), text: text.into() };
    let rendered = [
        of("a.heat.yml", "heat_template_version: 2018-08-31\n"),
        of("b.heat.yml", "heat_template_version: bad\n"),
        of("c.json", "{\"bad\": 1}\n"),
    ];
    let cx = RunCx::outside(Cancel::default());

    let options = RunOptions { check_templates: true, ..quiet() };
    let setup = Setup { factory: &factory, options: &options };
    let refused = heat_accepts(setup, &cx, &rendered).await.unwrap_err();
    assert_eq!(refused, "b.heat.yml: Heat refuses it: it is bad");
    assert_eq!(cloud.asked.lock().unwrap().len(), 2, "the third is none of Heat's");

    let options = RunOptions { check_templates: false, ..quiet() };
    let setup = Setup { factory: &factory, options: &options };
    assert!(heat_accepts(setup, &cx, &rendered).await.is_ok());
    assert_eq!(cloud.asked.lock().unwrap().len(), 2, "nobody was asked again");
}

//! Calls of Heat: template validation. Source: the Orchestration API v1 reference.
use async_trait::async_trait;
use serde_json::json;

use super::OpenStack;
use super::api::{Api, ApiError, Service};
use crate::provider::{CloudError, RunCx, TemplateValidator};
use crate::system::cancel::Cancel;

#[async_trait]
impl TemplateValidator for OpenStack {
    async fn validate(
        &self,
        template: &str,
        cx: &RunCx,
    ) -> Result<Option<Result<(), String>>, CloudError> {
        if !self.api.has(Service::Orchestration, &cx.cancel).await? {
            return Ok(None);
        }
        Ok(Some(validate(&self.api, template, &cx.cancel).await?))
    }
}

/// The inner `Err` is Heat's objection to the template.
pub async fn validate(
    api: &Api,
    template: &str,
    cancel: &Cancel,
) -> Result<Result<(), String>, ApiError> {
    let call = api
        .post(Service::Orchestration, &["validate"])
        .json(&json!({ "template": template }))
        .idempotent();
    match call.what("have a template validated").send(cancel).await {
        Ok(_) => Ok(Ok(())),
        Err(ApiError::Refused { status: 400, message, .. }) => Ok(Err(message)),
        Err(e) => Err(e),
    }
}

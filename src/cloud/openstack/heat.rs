//! Heat, as far as the factory needs it: is a template valid? Source: the Orchestration API v1
//! reference.
use serde_json::json;

use super::api::{Api, ApiError, Service};
use crate::cancel::Cancel;

/// `Err` in the answer is what Heat finds wrong with the template.
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

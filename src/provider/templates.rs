//! Validation of Heat templates.
use async_trait::async_trait;

use super::{CloudError, RunCx};

/// Validates Heat templates.
#[async_trait]
pub trait TemplateValidator: Send + Sync {
    /// Validates a template: the inner error is Heat's. `None` if the service catalog, known only
    /// after the login, has no Heat.
    async fn validate(
        &self,
        template: &str,
        cx: &RunCx,
    ) -> Result<Option<Result<(), String>>, CloudError>;
}

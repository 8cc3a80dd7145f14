//! A step `script`: a file of the definition runs in the machine.
use std::path::Path;

use super::{Attempt, shell};
use crate::engine::BuildError;

pub(super) async fn run(attempt: &Attempt<'_>, path: &Path) -> Result<(), BuildError> {
    let path = attempt.site.plan.bundle_dir.join(path);
    let text = std::fs::read(&path).map_err(|source| BuildError::Unreadable { path, source })?;
    shell::run(attempt, "script", text).await
}

//! Loads a definition in whichever language it is written, and what comes of that.
use std::path::Path;

use super::build_vars::{Doubts, Override};
use super::of;
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;

/// A sound bundle, and what its writer should know all the same.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Loaded {
    pub bundle: Definition,
    pub warnings: Vec<Diagnostic>,
}

/// A definition with errors.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Unsound {
    /// All, warnings too, sorted by place.
    pub findings: Vec<Diagnostic>,
    /// What could be read all the same, and has values missing where something is wrong. Only to
    /// find what else is.
    pub rest: Option<Box<Rest>>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Rest {
    pub bundle: Definition,
    /// What must not be concluded from it.
    pub doubts: Doubts,
}

impl From<Vec<Diagnostic>> for Unsound {
    fn from(findings: Vec<Diagnostic>) -> Self {
        Self { findings, rest: None }
    }
}

/// Reads the definition in `dir`, which may lie outside of `tree`. The error holds all findings,
/// warnings too, sorted by place.
pub fn load(tree: &Path, dir: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    load_with(tree, dir, &[])
}

/// The same, with values from elsewhere put over those of the file.
pub fn load_with(
    tree: &Path,
    dir: &Path,
    overrides: &[Override],
) -> Result<Loaded, Vec<Diagnostic>> {
    load_whole(tree, dir, overrides).map_err(|unsound| unsound.findings)
}

/// The same, with what is left of a definition that has errors.
pub(super) fn load_whole(
    tree: &Path,
    dir: &Path,
    overrides: &[Override],
) -> Result<Loaded, Unsound> {
    of(dir).load(tree, dir, overrides)
}

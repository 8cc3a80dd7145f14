//! What is wrong with definitions, for every command that says so.
use std::path::PathBuf;

use crate::bundle::{self, Base, Bundle};
use crate::diagnostic::Diagnostic;

/// Findings that need several definitions to see, on those that are `meant` and on the bases that are built before them. `others`
/// are those of the tree; of a definition that is meant, what was read with `--set` counts.
pub(super) fn together(meant: &[&Bundle], others: &[&Bundle]) -> Vec<Diagnostic> {
    let is_meant = |other: &&&Bundle| meant.iter().any(|one| one.asks.definition == other.asks.definition);
    let all: Vec<&Bundle> = meant.iter().chain(others.iter().filter(|other| !is_meant(other))).copied().collect();
    let files: Vec<PathBuf> = with_bases(&all, meant.len()).iter().filter_map(|at| file(all[*at])).collect();
    let mut found = bundle::check_bases(&all);
    found.extend(bundle::check_families(&all));
    // A circle may lie in definitions that nobody has named.
    found.retain(|finding| finding.place.as_ref().is_none_or(|place| files.contains(&place.file)));
    found
}

/// The first `count` of `all`, and the definitions of the tree that they are built on.
fn with_bases(all: &[&Bundle], count: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = (0..count).collect();
    let mut next = 0;
    while let Some(bundle) = chosen.get(next).map(|at| all[*at]) {
        next += 1;
        if let Some(base) = bundle::base_among(all, bundle).filter(|_| matches!(bundle.base, Some(Base::Os(_))))
            && !chosen.contains(&base)
        {
            chosen.push(base);
        }
    }
    chosen
}

/// The build-vars.yml of a bundle, as places name it.
fn file(bundle: &Bundle) -> Option<PathBuf> {
    bundle.places.values().next().map(|place| place.file.clone())
}

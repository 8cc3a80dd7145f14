//! The base of a bundle: whether it has to be built first.
use super::factory::Setup;
use super::outcome::RunError;
use super::run::reading;
use crate::frontend;
use crate::model::category::OS;
use crate::model::definition::{Base, Definition};
use crate::model::facts::{BaseLookup, CloudFacts, FactsQuery};
use crate::model::kind::Kind;

/// The definition of the base `os/<name>`, if the cloud has no image of it that is this factory's,
/// and how that is said.
pub(super) async fn missing_base(
    setup: Setup<'_>,
    bundle: &Definition,
) -> Result<Option<(Definition, &'static str)>, RunError> {
    let Some(Base::Os(name)) = &bundle.base else { return Ok(None) };
    let loaded = frontend::load(&bundle.tree, &bundle.tree.join(OS.dir).join(name))
        .map_err(RunError::Bad)?;
    // The bundle is what was asked for, and is waited for: its base gets the checks of a bundle.
    // Who names the base has all.
    let base = Definition { kind: Kind::Image, ..loaded.bundle };
    let facts = looked_up(setup, &base).await?;
    // What a cloud lacks at all, each run tells by itself.
    let why = lacking(&facts.base).filter(|_| facts.missing_prerequisites.is_empty());
    Ok(why.map(|why| (base, why)))
}

/// What the cloud has of the family of `base`.
pub(super) async fn looked_up(setup: Setup<'_>, base: &Definition) -> Result<CloudFacts, RunError> {
    let wanted = FactsQuery {
        base: Some(base.name.clone()),
        base_is_family: true,
        base_only: true,
        ..FactsQuery::default()
    };
    Ok(setup.factory.provider.facts(&wanted, &reading(setup)).await?)
}

pub(super) fn lacking(base: &BaseLookup) -> Option<&'static str> {
    match base {
        BaseLookup::Missing { .. } => Some("is missing"),
        BaseLookup::Doubtful(_) => Some("is there, but nothing proves that it is this factory's"),
        BaseLookup::None | BaseLookup::Found(_) | BaseLookup::Ambiguous(_) => None,
    }
}

/// In words: that `base` is built before `bundle`.
pub(super) fn first(base: &str, bundle: &Definition, why: &str) -> String {
    format!(
        "base {base} of {} {why}: building it first, with the checks of a bundle; `build {base}` \
            makes all",
        bundle.label
    )
}

//! The base of a bundle: what the cloud calls it, and whether it has to be built first.
use crate::model::category::OS;
use jiff::Timestamp;

use super::options::RunOptions;
use super::outcome::{RunError, RunOutcome};
use super::{reading, run};
use crate::frontend;
use crate::model::definition::{Base, Definition};
use crate::model::event::Event;
use crate::model::facts::{BaseLookup, FactsQuery};

/// The base as the cloud knows it: an `os/<name>` of the tree is known by its family. What takes
/// more than its bounds was refused when the bundle was loaded.
pub fn base_name(bundle: &Definition) -> Result<Option<String>, RunError> {
    match &bundle.base {
        None => Ok(None),
        Some(Base::Image(name)) => Ok(Some(name.clone())),
        Some(Base::Os(_)) if bundle.base_family.is_some() => Ok(bundle.base_family.clone()),
        Some(Base::Os(name)) => {
            let loaded = frontend::load(&bundle.tree, &bundle.tree.join(OS.dir).join(name))
                .map_err(RunError::Bad)?;
            Ok(Some(loaded.bundle.name))
        }
    }
}

/// The definition of the base `os/<name>`, if the cloud has no image of it that is this factory's,
/// and how that is said.
pub async fn missing_base(
    setup: &RunOptions<'_>,
    bundle: &Definition,
) -> Result<Option<(Definition, &'static str)>, RunError> {
    let Some(Base::Os(name)) = &bundle.base else { return Ok(None) };
    let loaded = frontend::load(&bundle.tree, &bundle.tree.join(OS.dir).join(name))
        .map_err(RunError::Bad)?;
    // The bundle is what was asked for, and is waited for: its base gets the checks of a bundle.
    // Who names the base has all.
    let base = Definition { kind: crate::model::definition::Kind::Image, ..loaded.bundle };
    let wanted = FactsQuery {
        base: Some(base.name.clone()),
        base_is_family: true,
        base_only: true,
        ..FactsQuery::default()
    };
    let facts = setup.cloud.facts(&wanted, &reading(setup)).await?;
    // What a cloud lacks at all, each run tells by itself.
    let why = lacking(&facts.base).filter(|_| facts.missing_prerequisites.is_empty());
    Ok(why.map(|why| (base, why)))
}

pub(super) fn lacking(base: &BaseLookup) -> Option<&'static str> {
    match base {
        BaseLookup::Missing { .. } => Some("is missing"),
        BaseLookup::Doubtful(_) => Some("is there, but nothing proves that it is this factory's"),
        BaseLookup::None | BaseLookup::Found(_) | BaseLookup::Ambiguous(_) => None,
    }
}

/// Builds the base that is wanted first; `Some` is how that ended, if not well.
pub(super) async fn base_first(
    setup: &RunOptions<'_>,
    bundle: &Definition,
) -> Result<Option<RunOutcome>, RunError> {
    let Some((base, why)) = missing_base(setup, bundle).await? else { return Ok(None) };
    let label = base.label.clone();
    let mut show = (setup.show)(&label);
    let text = first(&label, bundle, why);
    show.take(&crate::model::event::Stamped { at: Timestamp::now(), event: Event::Note { text } });
    drop(show);
    let base_setup = RunOptions { person: None, ..*setup };
    let ended = Box::pin(run(&base_setup, &base)).await;
    match ended.result {
        Ok(_) if ended.leaks.is_empty() => Ok(None),
        Ok(image) => Ok(Some(RunOutcome { result: Ok(image), ..ended })),
        Err(e) => Ok(Some(RunOutcome {
            result: Err(RunError::Base { base: label, source: Box::new(e) }),
            ..ended
        })),
    }
}

/// In words: that `base` is built before `bundle`.
pub fn first(base: &str, bundle: &Definition, why: &str) -> String {
    format!(
        "base {base} of {} {why}: building it first, with the checks of a bundle; `build {base}` \
            makes all",
        bundle.label
    )
}

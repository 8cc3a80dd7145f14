//! Outputs of a published image that are not shown on this machine: found, and made without a
//! build.
use std::path::PathBuf;

use super::factory::{Factory, Setup};
use super::heat::heat_accepts;
use super::latest::LatestLogs;
use super::outcome::{RunError, RunOutcome};
use super::request::RunOptions;
use super::results::Results;
use super::run;
use super::unplanned::unchanged;
use crate::model::definition::Definition;
use crate::model::event::{Event, Events, Stage};
use crate::model::image::Image;
use crate::provider::{CloudError, RunCx};
use crate::report;

/// Outputs of `image` that are not among the bundle's latest as they were made: those of another
/// image, and what somebody changed, are none of it. Relative to `images/target/<bundle>`.
pub(super) fn missing(bundle: &Definition, image: &Image) -> Vec<PathBuf> {
    let target = Results::of(bundle).dir();
    let shown = report::shown(&target).filter(|shown| shown.is_of(image));
    let templates = bundle.templates.iter().map(|t| report::output_path(t));
    let has = |path: &PathBuf| shown.as_ref().is_some_and(|shown| shown.has(&target, path));
    let mut missing: Vec<PathBuf> = templates.filter(|path| !has(path)).collect();
    if shown.is_none() {
        missing.push(report::PROPERTIES.into());
    }
    missing
}

impl Factory {
    /// A run that makes the outputs of `image`, which is published and was made from the definition
    /// as it is. Nothing is built.
    pub async fn make_outputs(
        &self,
        options: &RunOptions,
        bundle: &Definition,
        image: Image,
    ) -> RunOutcome {
        let (setup, events) = (Setup { factory: self, options }, Events::default());
        let begun = match setup.withdraw(bundle) {
            Ok(()) => run::begin(setup, bundle, events.clone()).await,
            Err(e) => Err(e),
        };
        let ended = match begun {
            Ok(begun) => {
                events.emit(Event::StageStarted { stage: Stage::Plan });
                unchanged(setup, bundle, begun, image).await
            }
            Err(e) => setup.not_begun(bundle, e, &events),
        };
        LatestLogs::of(options, &bundle.tree).ended(&bundle.label, ended)
    }
}

impl Setup<'_> {
    /// The templates for `image`, which is published and was made from the definition as it is,
    /// checked by Heat.
    pub async fn rendered(
        &self,
        bundle: &Definition,
        image: &Image,
        cx: &RunCx,
    ) -> Result<Vec<report::Rendered>, RunError> {
        let failed = |why| RunError::Output { image: Box::new(image.clone()), why };
        let rendered = self.factory.templates.of_published(bundle, image, &cx.cancel).await;
        let rendered = rendered.map_err(CloudError::from)?.map_err(|e| {
            failed(e.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        heat_accepts(*self, cx, &rendered).await.map_err(failed)?;
        Ok(rendered)
    }
}

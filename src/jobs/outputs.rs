//! Outputs of a published image that its build did not leave: found, and made without a build.
use std::path::PathBuf;

use super::factory::{Factory, Setup};
use super::heat::heat_accepts;
use super::outcome::RunError;
use super::request::RunOptions;
use super::results::Results;
use super::run::reading;
use crate::model::definition::Definition;
use crate::model::image::{self, Image};
use crate::plan;
use crate::provider::CloudError;
use crate::report;

/// Outputs of `image`, rendered from the definition's templates, that are not in all their places
/// on this machine; relative to `output/`.
pub(super) fn missing(bundle: &Definition, image: &Image) -> Vec<PathBuf> {
    let places = places(bundle, image);
    let outputs = bundle.templates.iter().map(|t| report::output_of(t));
    outputs.filter(|path| places.iter().any(|place| !place.join(path).is_file())).collect()
}

/// Where outputs of `image` are: among the bundle's latest, and in the directory of the run that
/// made it, if its ID can be one. Anybody can set a property.
fn places(bundle: &Definition, image: &Image) -> Vec<PathBuf> {
    let target = Results::of(bundle).dir();
    let run = image.properties.get(image::RUN).filter(|run| plan::is_run_id(run));
    let of_run = run.map(|run| target.join("runs").join(run).join(report::RENDERED));
    of_run.into_iter().chain([target.join(report::OUTPUT)]).collect()
}

impl Factory {
    /// Renders the templates for `image`, which is published and was made from the definition as it
    /// is, has Heat check them, and writes them. Returns the files.
    pub async fn make_outputs(
        &self,
        options: &RunOptions,
        bundle: &Definition,
        image: &Image,
    ) -> Result<Vec<PathBuf>, RunError> {
        let failed = |why| RunError::Output { image: Box::new(image.clone()), why };
        let lines = |all: Vec<String>| all.join("; ");
        Results::of(bundle).in_tree()?;
        let rendered = self.templates.of_published(bundle, image, &options.cancel).await;
        let rendered = rendered.map_err(CloudError::from)?;
        let rendered =
            rendered.map_err(|e| failed(lines(e.iter().map(ToString::to_string).collect())))?;
        let setup = Setup { factory: self, options };
        heat_accepts(setup, &reading(setup), &rendered).await.map_err(failed)?;
        let sources = [bundle.dir.clone(), bundle.tree.join(&bundle.label)];
        let target = Results::of(bundle).dir();
        let dirs = places(bundle, image);
        let write = move || -> Result<Vec<PathBuf>, Vec<report::OutputError>> {
            let _turn = report::turn(&target);
            let sources = sources.each_ref().map(PathBuf::as_path);
            let put = dirs.iter().map(|dir| report::put(dir, &rendered, &sources));
            put.reduce(Result::and).unwrap_or(Ok(Vec::new()))
        };
        let written = match tokio::task::spawn_blocking(write).await {
            Ok(written) => written,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        };
        written.map_err(|e| failed(lines(e.iter().map(ToString::to_string).collect())))
    }
}

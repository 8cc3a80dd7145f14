//! Outputs of a published image that its build did not leave: found, and made without a build.
use std::path::{Path, PathBuf};

use super::factory::{Factory, Setup};
use super::heat::heat_accepts;
use super::outcome::RunError;
use super::request::RunOptions;
use super::results::Results;
use super::run::reading;
use crate::model::definition::Definition;
use crate::model::image::{self, Image};
use crate::provider::CloudError;
use crate::report;

/// Outputs of `image`, rendered from the definition's templates, that its run left not on this
/// machine; relative to `output/`.
pub(super) fn missing(bundle: &Definition, image: &Image) -> Vec<PathBuf> {
    let of_run = of_run(bundle, image);
    let outputs = bundle.templates.iter().map(|t| report::output_of(t));
    outputs.filter(|path| !of_run.join(path).is_file()).collect()
}

/// Where the run that made `image` keeps what it rendered.
fn of_run(bundle: &Definition, image: &Image) -> PathBuf {
    let run = image.properties.get(image::RUN).map(String::as_str).unwrap_or_default();
    // It becomes a part of a path, and anybody can set a property.
    let run = Path::new(run).file_name().unwrap_or_default();
    Results::of(bundle).dir().join("runs").join(run).join(report::RENDERED)
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
        let dirs = [of_run(bundle, image), target.join(report::OUTPUT)];
        let write = move || -> Result<Vec<PathBuf>, Vec<report::OutputError>> {
            let _turn = report::turn(&target);
            let sources = sources.each_ref().map(PathBuf::as_path);
            let [kept, shown] = dirs.map(|dir| report::put(&dir, &rendered, &sources));
            kept.and(shown)
        };
        let written = match tokio::task::spawn_blocking(write).await {
            Ok(written) => written,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        };
        written.map_err(|e| failed(lines(e.iter().map(ToString::to_string).collect())))
    }
}

//! How a run ends, for its caller: an image or an error, what was left, and where the outputs are.
use std::path::{Path, PathBuf};

use super::exit_code::{STOPPED, worst};
use crate::engine::run_dir::RunDirError;
use crate::engine::{BuildError, SshAccess};
use crate::model::diagnostic::Diagnostic;
use crate::model::image::Image;
use crate::model::outcome::Outcome;
use crate::provider::CloudError;
use crate::provider::ledger::Leak;
use crate::system::http::ProxyError;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What is wrong with the bundle; nothing was created.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Bad(Vec<Diagnostic>),
    /// What the bundle asks for and the cloud or this machine does not have; nothing was created.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Diagnostic>),
    /// What is to be downloaded cannot be; nothing was created.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("cannot write {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// The image is published; `image-factory build --stale` makes the outputs without a build.
    #[error("its outputs could not be written: {why}")]
    Output { image: Box<Image>, why: String },
    /// The base that had to be built first was not.
    #[error("base {base}: {source}")]
    Base { base: String, source: Box<RunError> },
}

impl From<RunDirError> for RunError {
    fn from(e: RunDirError) -> Self {
        match e {
            RunDirError::Io { path, source } => Self::Io { path, source },
            RunDirError::Ledger(e) => Self::Cloud(e.into()),
        }
    }
}

impl RunError {
    /// The same, if it is what a plan found: of the definition, the cloud or this machine.
    pub(super) fn of_definition(&self) -> Option<Self> {
        match self {
            Self::Bad(all) => Some(Self::Bad(all.clone())),
            Self::Refused(all) => Some(Self::Refused(all.clone())),
            _ => None,
        }
    }

    /// Results or record of a run that went well could not be written. `dir`: the run's.
    pub(super) fn unwritten(image: Option<&Image>, dir: &Path, why: String) -> Self {
        match image {
            Some(image) => Self::Output { image: Box::new(image.clone()), why },
            None => Self::Io { path: dir.into(), source: std::io::Error::other(why) },
        }
    }

    /// The outcome of a build that ended so before its run began.
    fn of_no_run(&self) -> Outcome {
        match self.exit_code() {
            STOPPED => Outcome::Stopped,
            _ => Outcome::Failed,
        }
    }

    /// The image that is published all the same.
    pub fn published(&self) -> Option<&Image> {
        match self {
            Self::Output { image, .. } | Self::Build(BuildError::Amiss { image, .. }) => {
                Some(image)
            }
            _ => None,
        }
    }

    /// The text of a run that has no plan. It begins with the number of errors if there are
    /// several: the last line of a run shows the first line alone.
    pub(super) fn unplanned(&self) -> String {
        match self {
            Self::Bad(all) | Self::Refused(all) if all.len() > 1 => {
                format!("{} errors; nothing was created: {self}", all.len())
            }
            other => other.to_string(),
        }
    }
}

/// How a run ended.
pub struct RunOutcome {
    pub result: Result<Option<Image>, RunError>,
    /// As its record has it.
    pub outcome: Outcome,
    pub leaks: Vec<Leak>,
    /// Exit code of the bases that were built for it.
    pub of_bases: u8,
    pub kept: Option<RetainedMachine>,
    /// `None`: it was not begun.
    pub dir: Option<PathBuf>,
    /// Rendered templates that were written, then the report.
    pub outputs: Vec<PathBuf>,
}

/// A machine that was left up on purpose, and what `sweep` needs to know to remove it.
pub struct RetainedMachine {
    pub opened: SshAccess,
    pub run: String,
    pub cloud: String,
}

impl RunOutcome {
    /// Nothing was built: another process made the image meanwhile.
    pub(super) fn found(image: Image) -> Self {
        let nothing = Self::not_begun(RunError::Refused(Vec::new()));
        Self { result: Ok(Some(image)), outcome: Outcome::Unchanged, ..nothing }
    }

    /// The image that was published, whatever became of its outputs.
    pub fn published(&self) -> Option<&Image> {
        match &self.result {
            Ok(image) => image.as_ref(),
            Err(e) => e.published(),
        }
    }

    /// Whether what stands on it can be built: all went well, or the image is published at least.
    /// What it left behind stops nobody.
    pub fn is_built(&self) -> bool {
        self.result.is_ok() || self.published().is_some()
    }

    /// The same, on bases that were built for it. What one left behind, and what is not as it was
    /// asked for, does not stop the definition, and is told with it.
    pub(super) fn on(mut self, bases: Vec<Self>) -> Self {
        self.of_bases = worst(bases.iter().map(Self::exit_code));
        self.leaks.splice(0..0, bases.into_iter().flat_map(|base| base.leaks));
        self
    }

    /// Whether `sweep` has nothing to do for it: no thing and no machine is left, and what became
    /// of its publication is known.
    pub(super) fn is_settled(&self) -> bool {
        let unknown = matches!(self.result, Err(RunError::Build(BuildError::Unsettled(_))));
        self.leaks.is_empty() && self.kept.is_none() && !unknown
    }

    pub(super) fn not_begun(error: impl Into<RunError>) -> Self {
        let error = error.into();
        Self {
            outcome: error.of_no_run(),
            result: Err(error),
            leaks: Vec::new(),
            of_bases: 0,
            kept: None,
            dir: None,
            outputs: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands on an image that is published is built, whatever became of the outputs.
    #[test]
    fn an_image_without_its_outputs_is_built() {
        let image = Box::new(Image::of_test("i1", "x-1", "x"));
        let (why, reason) = ("no".to_owned(), "no".to_owned());
        let output = RunError::Output { image: image.clone(), why };
        let amiss = RunError::Build(BuildError::Amiss { image, reason });
        for error in [output, amiss] {
            let ended = RunOutcome::not_begun(error);
            assert!(ended.is_built() && ended.published().is_some_and(|i| i.id == "i1"));
        }
        let failed = RunOutcome::not_begun(RunError::Bad(Vec::new()));
        assert!(!failed.is_built() && failed.published().is_none());
    }

    /// The base lacks a property, and the build of the bundle ended with 0.
    #[test]
    fn what_a_base_lacks_is_told_with_what_was_built_on_it() {
        let built = || RunOutcome {
            result: Ok(None),
            outcome: Outcome::Built,
            ..RunOutcome::not_begun(RunError::Bad(Vec::new()))
        };
        let image = Box::new(Image::of_test("i1", "os-1", "os"));
        let base = || {
            let output = RunError::Output { image: image.clone(), why: "no".into() };
            RunOutcome::not_begun(output)
        };
        assert_eq!(built().on(vec![built(), built()]).exit_code(), 0);
        assert_eq!(built().on(vec![built(), base()]).exit_code(), 70);
        let failed = RunOutcome::not_begun(RunError::Bad(Vec::new()));
        assert_eq!(failed.on(vec![base()]).exit_code(), 10, "its own failure is the worse one");
    }

    /// What a sweep is to tell stays in the index.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_whose_publication_is_unknown_is_not_settled() {
        let publication = crate::engine::tests::world::World::new().plan().publish;
        let source = CloudError::Unknown { what: "publish x-1".into(), reason: "502".into() };
        let image = Image::of_test("i1", "x-1", "x");
        let unsettled = crate::engine::Unsettled { image, publication, source };
        let unknown = RunError::Build(BuildError::Unsettled(Box::new(unsettled)));
        assert!(!RunOutcome::not_begun(unknown).is_settled());
        assert!(RunOutcome::not_begun(RunError::Bad(Vec::new())).is_settled());
    }

    #[test]
    fn several_errors_are_counted_and_none_is_lost() {
        let errors = ["one", "two"].map(|text| Diagnostic::error(None, text.to_owned()));
        let several = RunError::Refused(errors.to_vec()).unplanned();
        assert_eq!(several, "2 errors; nothing was created: error: one\nerror: two");
        assert_eq!(RunError::Bad(errors[..1].to_vec()).unplanned(), "error: one");
    }
}

//! Results of a definition's builds in the tree. They are withdrawn before a build can fail, so
//! that a job reading `image.properties` afterwards gets that build's, or none.
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::outcome::RunError;
use crate::model::definition::Definition;
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::event::{Event, Stage, Stamped};
use crate::model::outcome::Outcome;
use crate::report::{self, LATEST};
use crate::system::durable;
use crate::system::paths::real_so_far;
use crate::text;

/// Location of a definition's results, even if the definition is unreadable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    tree: PathBuf,
    /// `images/bundle-nginx`
    label: String,
    /// Family; empty if unknown.
    family: String,
}

impl Results {
    pub fn of(bundle: &Definition) -> Self {
        Self { tree: bundle.tree.clone(), label: bundle.label.clone(), family: bundle.name.clone() }
    }

    /// By the definition's directory, which may no longer exist.
    pub fn of_directory(tree: &Path, dir: &Path) -> Self {
        let (tree, home) = (real_so_far(tree), real_so_far(dir));
        let label = home
            .strip_prefix(&tree)
            .ok()
            .filter(|inner| inner.components().count() > 0)
            .unwrap_or(dir);
        Self { label: label.display().to_string(), tree, family: String::new() }
    }

    /// `images/target/<bundle>`, `os/target/<os>`
    pub fn dir(&self) -> PathBuf {
        let name = self.label.rsplit('/').next().unwrap_or(&self.family);
        let of_label = self.tree.join(&self.label);
        let home = of_label.parent().map_or_else(|| self.tree.clone(), Path::to_path_buf);
        home.join("target").join(name)
    }

    /// Refuses a link in place of `target`: writes and removals would follow it.
    pub(super) fn in_tree(&self) -> Result<(), RunError> {
        let target = self.dir();
        let home = target.parent().and_then(Path::parent).unwrap_or(&self.tree).canonicalize();
        let Ok(home) = home else { return Ok(()) };
        let runs = target.join("runs");
        let mut there = runs.ancestors().take(3).filter_map(|dir| dir.canonicalize().ok());
        match there.find(|dir| !dir.starts_with(&home)) {
            Some(there) => {
                let place = Location { file: target, line: 0, column: 0 };
                let finding = Diagnostic::error(
                    place,
                    format!(
                        "outputs would go to {}: a link leads out of the tree",
                        there.display()
                    ),
                );
                Err(RunError::Refused(vec![
                    finding.hint("remove the link; another disk can be mounted there"),
                ]))
            }
            None => Ok(()),
        }
    }

    /// Removes the last build's results.
    pub fn withdraw(&self) -> Result<(), RunError> {
        self.in_tree()?;
        report::withdraw(&self.dir()).map_err(|e| match e {
            report::OutputError::Io { path, source, .. } => RunError::Io { path, source },
            e => RunError::Io { path: self.dir(), source: std::io::Error::other(e.to_string()) },
        })
    }

    /// Records why a build did not begin a run. Writes nothing if no build has left anything.
    /// `cloud` is empty if unknown.
    ///
    /// Ignores write errors: the caller already reports the reason.
    pub fn failed(&self, cloud: &str, why: &str) {
        let dir = self.dir();
        if !dir.is_dir() || self.withdraw().is_err() {
            return;
        }
        let at = |event| Stamped { at: Timestamp::now(), event };
        let events = [
            at(Event::StageFailed { stage: Stage::Plan, seconds: 0.0, error: why.into() }),
            at(Event::Finished {
                outcome: Outcome::Failed.name().into(),
                seconds: 0.0,
                image: None,
                error: Some(why.into()),
                leaks: Vec::new(),
            }),
        ];
        let (bundle, family) = (self.label.as_str(), self.family.as_str());
        let failed = report::Failed {
            run: "",
            bundle,
            family,
            cloud,
            events: &events,
            definition: None,
            log: None,
        };
        let _ = report::failed(&dir, &self.tree, &failed);
        // The last build's, under names that jobs archive.
        for log in LATEST.map(|name| self.tree.join(name)).into_iter().filter(|log| log.is_file()) {
            let text = text::block(&format!("{:.0} {bundle}: error: {why}\n", Timestamp::now()));
            let _ = durable::replace_as(&log, text.as_bytes(), 0o644);
        }
    }
}

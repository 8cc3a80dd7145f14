//! Results of a definition's builds in the tree. They are withdrawn before a build can fail, so
//! that a job reading `image.properties` afterwards gets that build's, or none.
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::ending::finished;
use super::exit_code::STOPPED;
use super::latest::LatestLogs;
use super::outcome::RunError;
use super::request::Show;
use crate::engine::run_dir::{ELSEWHERE, EVENTS, LOG, Record, TESTS, latest, tell_ended};
use crate::log::{EventFile, LogFile, Recorder};
use crate::model::category::IMAGES;
use crate::model::definition::Definition;
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::digest::Algorithm;
use crate::model::event::{BUILDING, Event, Events, Sink, Stage};
use crate::model::outcome::Outcome;
use crate::plan;
use crate::report;
use crate::system::digest::Hasher;
use crate::system::paths::real_so_far;

/// Directory of outputs, beside the definitions of a tree.
const TARGET: &str = "target";

/// Location of a definition's results, even if the definition is unreadable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    tree: PathBuf,
    /// `images/bundle-nginx`; the absolute path of a definition outside of the tree.
    label: String,
    /// Family; empty if unknown.
    family: String,
    /// Of tests of its images.
    of_tests: bool,
}

impl Results {
    pub fn of(bundle: &Definition) -> Self {
        Self {
            tree: bundle.tree.clone(),
            label: bundle.label.clone(),
            family: bundle.name.clone(),
            of_tests: false,
        }
    }

    /// By the definition's directory, which may no longer exist.
    pub fn of_directory(tree: &Path, dir: &Path) -> Self {
        let (tree, home) = (real_so_far(tree), real_so_far(dir));
        let label = home
            .strip_prefix(&tree)
            .ok()
            .filter(|inner| inner.components().count() > 0)
            .unwrap_or(&home);
        let label = label.display().to_string();
        Self { label, tree, family: String::new(), of_tests: false }
    }

    /// Those of tests, in a place that no build has.
    pub(super) fn of_tests(self) -> Self {
        Self { of_tests: true, ..self }
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    /// `images/target/<bundle>`, `os/target/<os>`. For a definition outside of the tree
    /// `images/target/<name>/elsewhere-<digest of its path>`. Of tests: `test` in one of these.
    pub fn dir(&self) -> PathBuf {
        let of_label = self.tree.join(&self.label);
        let name = of_label.file_name().unwrap_or(self.family.as_ref());
        let inner = of_label.strip_prefix(&self.tree).ok();
        let dir = match inner.and_then(Path::parent) {
            Some(home) => self.tree.join(home).join(TARGET).join(name),
            None => {
                let place = format!("{ELSEWHERE}{}", short_digest(&self.label));
                self.tree.join(IMAGES.dir).join(TARGET).join(name).join(place)
            }
        };
        if self.of_tests { dir.join(TESTS) } else { dir }
    }

    /// Refuses a link in place of `target`: writes and removals would follow it.
    pub(super) fn in_tree(&self) -> Result<(), RunError> {
        let target = self.dir();
        let is_target = |dir: &&Path| dir.file_name().is_some_and(|name| name == TARGET);
        // The lowest one: a definition may be called so.
        let lowest = target.ancestors().skip(1).find(is_target).unwrap_or(&target);
        let home = lowest.parent().unwrap_or(&self.tree).canonicalize();
        let Ok(home) = home else { return Ok(()) };
        let runs = target.join("runs");
        let below = runs.ancestors().take_while(|dir| dir.starts_with(lowest));
        let mut there = below.filter_map(|dir| dir.canonicalize().ok());
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

    /// Tells `events` of a build that ended before its run began, and records it as a run of its
    /// own in place of the last build's results. Its directory; `None` if nothing can be recorded,
    /// or there is neither such a definition nor anything of its builds.
    ///
    /// Ignores write errors: the caller already reports the reason.
    pub(super) fn not_built(&self, not: &NotBuilt<'_>, events: &Events) -> Option<PathBuf> {
        let now = Timestamp::now();
        let random = uuid::Uuid::new_v4().as_u128() as u32;
        let run = plan::run_id_after(latest(None, &self.tree).as_deref(), now, random);
        let (target, recorder) = (self.dir(), Recorder::default());
        let dir = target.join("runs").join(&run);
        let known = self.of_tests || self.tree.join(&self.label).is_dir() || target.is_dir();
        let recorded = known && self.in_tree().is_ok() && std::fs::create_dir_all(&dir).is_ok();
        if recorded {
            let file =
                |sink: std::io::Result<Box<dyn Sink>>| sink.into_iter().for_each(|s| events.add(s));
            file(LogFile::create(&dir.join(LOG)).map(|log| Box::new(log) as _));
            file(EventFile::open(&dir.join(EVENTS)).map(|file| Box::new(file) as _));
        }
        events.add(Box::new(recorder.clone()));
        let record = Record {
            run,
            bundle: self.label.clone(),
            cloud: not.cloud.into(),
            started: now,
            seconds: 0.0,
            outcome: self.outcome(not.exit_code).name().into(),
            image: None,
            error: Some(not.why.into()),
            leaks: Vec::new(),
            kept: None,
        };
        self.tell(&record, events);
        if !recorded {
            return None;
        }
        let _ = tell_ended(&dir, &record);
        let unplanned = report::Unplanned {
            run: &record.run,
            bundle: &self.label,
            family: &self.family,
            cloud: not.cloud,
            events: &recorder.events(),
            definition: not.definition,
            image: None,
            rendered: &[],
            exit_code: not.exit_code,
        };
        let (outputs, _) = report::Outputs::of_unplanned(&dir, &unplanned);
        let _ = outputs.show(&target);
        Some(dir)
    }

    fn outcome(&self, exit_code: u8) -> Outcome {
        match exit_code {
            STOPPED => Outcome::Stopped,
            _ if self.of_tests => Outcome::Untested,
            _ => Outcome::Failed,
        }
    }

    /// The events of a run, from the first to the last.
    fn tell(&self, record: &Record, events: &Events) {
        let error = record.error.clone().unwrap_or_default();
        events.emit(Event::Started {
            run: record.run.clone(),
            bundle: record.bundle.clone(),
            purpose: if self.of_tests { "testing" } else { BUILDING }.into(),
            image_name: String::new(),
            cloud: record.cloud.clone(),
        });
        events.emit(Event::StageStarted { stage: Stage::Plan });
        events.emit(Event::StageFailed { stage: Stage::Plan, seconds: 0.0, error });
        events.emit(finished(record));
    }
}

/// A build that ended before its run began.
#[derive(Debug, Clone, Copy)]
pub struct NotBuilt<'a> {
    /// Empty if unknown.
    pub cloud: &'a str,
    pub why: &'a str,
    pub exit_code: u8,
    /// `None` if unreadable.
    pub definition: Option<&'a Definition>,
}

/// Records that none of these was built, and tells `show` of each.
pub fn none_built(all: &[Results], not: &NotBuilt<'_>, show: Option<&Show>) {
    let latest = all.first().map(|one| LatestLogs::of_tree(&one.tree));
    for one in all {
        let events = Events::default();
        show.into_iter().for_each(|show| events.add(show(&one.label)));
        let dir = one.not_built(not, &events);
        if let (Some(latest), Some(dir)) = (&latest, dir) {
            latest.not_built(&one.label, &dir, not.exit_code);
        }
    }
}

fn short_digest(text: &str) -> String {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(text.as_bytes());
    hasher.finish().hex[..12].to_owned()
}

//! The end of a run: outputs, record, and what it comes to for the caller.
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::factory::Setup;
use super::heat::heat_accepts;
use super::outcome::{RetainedMachine, RunError, RunOutcome};
use super::retention::settle_family;
use super::run::Begun;
use crate::engine::run_dir::Record;
use crate::engine::{BuildError, Built, Outcome as Ended};
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::event::{Event, FinishedImage, Stage, seconds};
use crate::model::image::Image;
use crate::model::outcome::Outcome;
use crate::plan::Plan;
use crate::provider::CloudError;
use crate::report;

/// A run that was built or was not, and what its end is made from.
pub(super) struct Ending<'r> {
    pub setup: Setup<'r>,
    pub bundle: &'r Definition,
    pub plan: &'r Plan,
    pub begun: &'r Begun,
}

impl Ending<'_> {
    /// Writes the outputs, prunes the family, and records how the run ended.
    pub async fn finish(&self, outcome: Ended) -> RunOutcome {
        let Ended { result, leaks, kept } = outcome;
        let (mut result, image) = match result {
            Ok(Built::Image(image)) => (Ok(()), Some(*image)),
            Ok(Built::ShellEnded | Built::Tested) => (Ok(()), None),
            Err(e) => (Err(RunError::Build(e)), None),
        };
        let image = image.or_else(|| result.as_ref().err()?.published().cloned());
        let outputs = self.outputs(image.as_ref()).await;
        let (dir, cx) = (&self.begun.dir, &self.begun.cx);
        // Of an image that is not as it was asked for, those before it may still be wanted.
        let settles = result.is_ok();
        if let Some(image) = &image
            && let Err(why) = self.output_stage(&outputs).await
            && result.is_ok()
        {
            result = Err(RunError::Output { image: Box::new(image.clone()), why });
        }
        if let (true, Some(image)) = (settles, &image) {
            settle_family(self.setup, self.plan, image, cx).await;
        }
        let record = Record {
            run: self.plan.run.clone(),
            bundle: self.plan.bundle.clone(),
            cloud: self.plan.cloud.clone(),
            started: self.plan.at,
            seconds: seconds(self.begun.begin.elapsed()),
            outcome: outcome_of(self.setup, result.as_ref().err()).name().into(),
            image: image.clone(),
            error: result.as_ref().err().map(ToString::to_string),
            leaks: leaks.clone(),
            kept: kept.clone(),
        };
        cx.events.emit(finished(&record));
        let retained = |opened| RetainedMachine {
            opened,
            run: record.run.clone(),
            cloud: record.cloud.clone(),
        };
        let mut ended = RunOutcome {
            result: result.map(|()| image.clone()),
            leaks,
            kept: kept.map(retained),
            dir: Some(dir.path.clone()),
            outputs: Vec::new(),
        };
        match self.recorded(&record, &outputs, ended.exit_code()).await {
            Ok(outputs) => ended.outputs = outputs,
            Err(why) if ended.result.is_ok() => {
                ended.result = Err(RunError::unwritten(image.as_ref(), &dir.path, why));
            }
            Err(_) => {}
        }
        if ended.leaks.is_empty() && ended.kept.is_none() {
            dir.forget();
        }
        ended
    }

    /// Writes the record, and the outputs now that the end is known: reports tell of it, and the
    /// log is whole. Ok: those that people look for.
    async fn recorded(
        &self,
        record: &Record,
        outputs: &Outputs<'_>,
        exit_code: u8,
    ) -> Result<Vec<PathBuf>, String> {
        self.begun.dir.record(record).map_err(|e| RunError::from(e).to_string())?;
        outputs.write(Some(exit_code)).await
    }

    async fn outputs<'o>(&'o self, image: Option<&'o Image>) -> Outputs<'o> {
        let Self { setup, bundle, plan, begun } = self;
        let rendered = match image {
            // The image is published: only a second signal leaves its templates out.
            Some(image) => setup
                .factory
                .templates
                .render(bundle, plan, image, &begun.cx.cancel.for_unwind())
                .await
                .unwrap_or_else(|stopped| {
                    let why = format!("templates are not rendered: {stopped}");
                    Err(vec![Diagnostic::error(None, why)])
                }),
            None => Ok(Vec::new()),
        };
        Outputs { ending: self, image, rendered }
    }

    /// The stage `output`, which a published image has.
    async fn output_stage(&self, outputs: &Outputs<'_>) -> Result<(), String> {
        let (began, cx) = (Instant::now(), &self.begun.cx);
        cx.events.emit(Event::StageStarted { stage: Stage::Output });
        let written = match outputs.write(None).await {
            Ok(_) => {
                let rendered = outputs.rendered.as_deref().unwrap_or_default();
                heat_accepts(self.setup, cx, rendered).await
            }
            Err(failed) => Err(failed),
        };
        let seconds = seconds(began.elapsed());
        cx.events.emit(match &written {
            Ok(()) => Event::StageDone { stage: Stage::Output, seconds },
            Err(e) => Event::StageFailed { stage: Stage::Output, seconds, error: e.clone() },
        });
        written
    }
}

/// What the outputs of a run are made from: once when the image is published, and again when the
/// end is known.
struct Outputs<'o> {
    ending: &'o Ending<'o>,
    image: Option<&'o Image>,
    rendered: Result<Vec<report::Rendered>, Vec<Diagnostic>>,
}

impl Outputs<'_> {
    /// Makes the outputs in the run's directory. With the exit code of a run that ended, shows them
    /// as the bundle's latest; Ok: those that people look for. On a thread of its own: logs and
    /// inputs may be large.
    async fn write(&self, exit_code: Option<u8>) -> Result<Vec<PathBuf>, String> {
        let Ending { setup, bundle, plan, begun } = self.ending;
        // A visit makes nothing: what the last build left stays as it is.
        if setup.options.visits() {
            return Ok(Vec::new());
        }
        let (target, run) = (setup.results(bundle).dir(), begun.dir.path.clone());
        let (bundle, plan, events) =
            (Definition::clone(bundle), Plan::clone(plan), begun.recorder.events());
        let (image, templates) = (self.image.cloned(), self.rendered.clone());
        let write = move || {
            let built = report::Built {
                bundle: &bundle,
                plan: &plan,
                events: &events,
                image: image.as_ref(),
                templates: &templates,
                exit_code,
            };
            let (outputs, mut errors) = report::Outputs::of_build(&run, &built);
            let shown = match exit_code {
                Some(_) => outputs.show(&target),
                None => Ok(Vec::new()),
            };
            let files = shown.unwrap_or_else(|more| {
                errors.extend(more);
                Vec::new()
            });
            if !errors.is_empty() {
                return Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
            }
            Ok(files.into_iter().filter(|file| is_for_people(&target, file)).collect())
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(written) => written,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }
}

/// The last event of a run.
pub(super) fn finished(record: &Record) -> Event {
    let image = record.image.as_ref();
    Event::Finished {
        outcome: record.outcome.clone(),
        seconds: record.seconds,
        image: image.map(|i| FinishedImage { id: i.id.clone(), name: i.name.clone() }),
        error: record.error.clone(),
        leaks: record
            .leaks
            .iter()
            .map(|l| format!("{} {}: {}", l.entry.kind.name(), l.entry.name, l.reason))
            .collect(),
    }
}

/// How the run ended.
pub(super) fn outcome_of(setup: Setup<'_>, error: Option<&RunError>) -> Outcome {
    let visit = setup.options.visits();
    match error {
        None if visit => Outcome::Visited,
        None if setup.options.tests() => Outcome::Tested,
        None => Outcome::Built,
        Some(RunError::Build(e)) if e.is_cancelled() => Outcome::Stopped,
        Some(RunError::Cloud(CloudError::Cancelled(_))) => Outcome::Stopped,
        // The builder was opened as the step left it, and was looked at: that is what the command
        // is for.
        Some(RunError::Build(BuildError::Step { .. } | BuildError::StepRemote { .. })) if visit => {
            Outcome::Visited
        }
        Some(RunError::Build(BuildError::Smoke { .. })) if setup.options.tests() => {
            Outcome::Rejected
        }
        Some(_) if setup.options.tests() => Outcome::Untested,
        Some(e) if e.published().is_some() => Outcome::Incomplete,
        Some(RunError::Build(BuildError::Unsettled(_))) => Outcome::Unknown,
        Some(_) => Outcome::Failed,
    }
}

/// What a person looks for when a run has ended, among the outputs below `target`.
pub(super) fn is_for_people(target: &Path, file: &Path) -> bool {
    file.starts_with(target.join("output")) || file == target.join("report.html")
}

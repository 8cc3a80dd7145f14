//! The end of a run: outputs, record, and what it comes to for the caller.
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use super::factory::Setup;
use super::heat::heat_accepts;
use super::outcome::{RetainedMachine, RunError, RunOutcome};
use super::retention::{expire_checkpoints, prune_family};
use super::run::Begun;
use crate::engine::run_dir::Record;
use crate::engine::{BuildError, Built, Goal, Outcome as Ended};
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::event::{Event, FinishedImage, Stage, Stamped, seconds};
use crate::model::image::Image;
use crate::model::outcome::Outcome;
use crate::plan::Plan;
use crate::provider::CloudError;
use crate::report::{self, OutputError};

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
            Ok(Built::ShellEnded | Built::Tested | Built::Warm) => (Ok(()), None),
            Err(e) => (Err(RunError::Build(e)), None),
        };
        let image = image.or_else(|| result.as_ref().err()?.published().cloned());
        let mut outputs = self.outputs(image.as_ref()).await;
        let (dir, cx) = (&self.begun.dir, &self.begun.cx);
        // Beside an image that is not as it was asked for, those before it may still be wanted.
        let prunes = result.is_ok();
        if let Some(image) = &image
            && let Err(why) = self.output_stage(&mut outputs).await
            && result.is_ok()
        {
            result = Err(RunError::Output { image: Box::new(image.clone()), why });
        }
        if let (true, Some(image)) = (prunes, &image) {
            prune_family(self.setup, self.plan, image, cx).await;
        }
        expire_checkpoints(self.setup, self.bundle, cx).await;
        let retained = |opened| RetainedMachine {
            opened,
            run: self.plan.run.clone(),
            cloud: self.plan.cloud.clone(),
        };
        let mut ended = RunOutcome {
            outcome: outcome_of(self.setup, result.as_ref().err()),
            result: result.map(|()| image.clone()),
            leaks,
            of_bases: 0,
            kept: kept.map(retained),
            dir: Some(dir.path.clone()),
            outputs: Vec::new(),
        };
        // As if it had ended: what cannot be shown or recorded is known before its last event.
        let record = self.record(&ended, image.as_ref());
        match outputs.write(Some((ended.exit_code(), finished(&record)))).await {
            Ok(outputs) => ended.outputs = outputs,
            Err(why) => {
                self.unwritten(&mut ended, image.as_ref(), why);
                // What can be written tells of that.
                let end = (ended.exit_code(), finished(&self.record(&ended, image.as_ref())));
                ended.outputs = outputs.write(Some(end)).await.unwrap_or_default();
            }
        }
        let recorded = dir.record(&self.record(&ended, image.as_ref()));
        let is_recorded = recorded.is_ok();
        if let Err(e) = recorded {
            self.unwritten(&mut ended, image.as_ref(), RunError::from(e).to_string());
        }
        cx.events.emit(finished(&self.record(&ended, image.as_ref())));
        // What the workspace could not take is in the home's record.
        if ended.is_settled() && is_recorded {
            dir.forget();
        }
        ended
    }

    /// A run that went well is none if its outputs or its record cannot be written. Of one that did
    /// not, its own error counts.
    fn unwritten(&self, ended: &mut RunOutcome, image: Option<&Image>, why: String) {
        if ended.result.is_ok() {
            let error = RunError::unwritten(image, &self.begun.dir.path, why);
            ended.outcome = outcome_of(self.setup, Some(&error));
            ended.result = Err(error);
        } else {
            self.begun.cx.events.warn(why);
        }
    }

    fn record(&self, ended: &RunOutcome, image: Option<&Image>) -> Record {
        let error = ended.result.as_ref().err();
        Record {
            run: self.plan.run.clone(),
            bundle: self.plan.bundle.clone(),
            cloud: self.plan.cloud.clone(),
            started: self.plan.at,
            seconds: seconds(self.begun.begin.elapsed()),
            outcome: ended.outcome.name().into(),
            image: image.cloned(),
            error: error.map(ToString::to_string),
            leaks: ended.leaks.clone(),
            kept: ended.kept.as_ref().map(|kept| kept.opened.clone()),
        }
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

    /// The stage `output`, which a published image has. Templates that Heat refuses are no outputs.
    async fn output_stage(&self, outputs: &mut Outputs<'_>) -> Result<(), String> {
        let (began, cx) = (Instant::now(), &self.begun.cx);
        cx.events.emit(Event::StageStarted { stage: Stage::Output });
        if let Ok(rendered) = &outputs.rendered
            && let Err(why) = heat_accepts(self.setup, cx, rendered).await
        {
            outputs.rendered = Err(vec![Diagnostic::error(None, why)]);
        }
        let written = outputs.write(None).await.map(drop);
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
    /// Makes the outputs in the run's directory. With the exit code and the last event of the run,
    /// shows them as the bundle's latest; Ok: those that people look for. On a thread of its own:
    /// inputs may be large.
    async fn write(&self, end: Option<(u8, Event)>) -> Result<Vec<PathBuf>, String> {
        let Ending { setup, bundle, plan, begun } = self.ending;
        // A visit makes nothing: what the last build left stays as it is.
        if setup.options.visits() {
            return Ok(Vec::new());
        }
        let (target, run) = (setup.results(bundle).dir(), begun.dir.path.clone());
        let (bundle, plan) = (Definition::clone(bundle), Plan::clone(plan));
        let (mut events, mut exit_code) = (begun.recorder.events(), None);
        if let Some((code, event)) = end {
            events.push(Stamped { at: Timestamp::now(), event });
            exit_code = Some(code);
        }
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
            // The run's own error has them by then.
            errors.retain(|e| exit_code.is_none() || !matches!(e, OutputError::Templates(_)));
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
        None if matches!(setup.options.goal, Goal::Warm) => Outcome::Warm,
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

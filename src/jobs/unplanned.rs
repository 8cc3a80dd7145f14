//! The end of a run that has no plan: it found what is wrong, or the image that it would make.
//! Nothing was created.
use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;

use super::ending::{finished, is_for_people, outcome_of};
use super::factory::Setup;
use super::outcome::{RunError, RunOutcome};
use super::run::Begun;
use crate::engine::run_dir::Record;
use crate::model::definition::Definition;
use crate::model::event::{Event, Stage, Stamped, seconds};
use crate::model::image::Image;
use crate::model::outcome::Outcome;
use crate::report::{self, Rendered};

/// The end of a run that cannot be planned. Its results say why, in place of those of the last
/// build.
pub(super) fn not_planned(
    setup: Setup<'_>,
    bundle: &Definition,
    begun: Begun,
    error: RunError,
) -> RunOutcome {
    let total = seconds(begun.begin.elapsed());
    let why = error.to_string();
    begun.cx.events.emit(Event::StageFailed { stage: Stage::Plan, seconds: total, error: why });
    end(setup, bundle, begun, End { image: None, rendered: Vec::new(), error: Some(error) })
}

/// The end of a run whose image is there: a build would make it again. Its outputs are made anew.
pub(super) async fn unchanged(
    setup: Setup<'_>,
    bundle: &Definition,
    begun: Begun,
    image: Image,
) -> RunOutcome {
    let events = begun.cx.events.clone();
    events.emit(Event::Planned { image_name: image.name.clone() });
    events.note(format!(
        "image {} ({}) is what a build would make: it is not built again (`--force` builds), its \
            outputs are made anew",
        image.name, image.id
    ));
    events.emit(Event::StageDone { stage: Stage::Plan, seconds: seconds(begun.begin.elapsed()) });
    let (stage, began) = (Stage::Output, Instant::now());
    events.emit(Event::StageStarted { stage });
    let rendered = setup.rendered(bundle, &image, &begun.cx).await;
    let seconds = seconds(began.elapsed());
    let (rendered, error) = match rendered {
        Ok(rendered) => {
            events.emit(Event::StageDone { stage, seconds });
            (rendered, None)
        }
        Err(e) => {
            events.emit(Event::StageFailed { stage, seconds, error: e.to_string() });
            (Vec::new(), Some(e))
        }
    };
    end(setup, bundle, begun, End { image: Some(image), rendered, error })
}

/// What such a run comes to.
struct End {
    /// The one that was there.
    image: Option<Image>,
    rendered: Vec<Rendered>,
    error: Option<RunError>,
}

fn end(setup: Setup<'_>, bundle: &Definition, mut begun: Begun, end: End) -> RunOutcome {
    let End { image, rendered, error } = end;
    let events = begun.cx.events.clone();
    let outcome = |error: Option<&RunError>| match error {
        None => Outcome::Unchanged,
        error => outcome_of(setup, error),
    };
    let record = |error: Option<&RunError>| Record {
        run: begun.run.clone(),
        bundle: bundle.label.clone(),
        cloud: setup.factory.provider.name().into(),
        started: begun.now,
        seconds: seconds(begun.begin.elapsed()),
        outcome: outcome(error).name().into(),
        image: image.clone(),
        error: error.map(RunError::unplanned),
        leaks: Vec::new(),
        kept: None,
    };
    let mut ended = RunOutcome {
        outcome: outcome(error.as_ref()),
        result: error.map_or(Ok(image.clone()), Err),
        leaks: Vec::new(),
        of_bases: 0,
        kept: None,
        dir: Some(begun.dir.path.clone()),
        outputs: Vec::new(),
    };
    if !setup.options.visits() {
        let so_far = record(ended.result.as_ref().err());
        let (files, errors) = outputs(setup, bundle, &begun, (&so_far, &rendered, &ended));
        ended.outputs = files;
        let why: Vec<String> = errors.iter().map(ToString::to_string).collect();
        match &image {
            // A run that went well is none if its outputs cannot be written.
            Some(image) if ended.result.is_ok() && !why.is_empty() => {
                let why = why.join("; ");
                let error = RunError::unwritten(Some(image), &begun.dir.path, why);
                ended.outcome = outcome(Some(&error));
                ended.result = Err(error);
            }
            _ => why.into_iter().for_each(|why| events.warn(why)),
        }
    }
    let record = record(ended.result.as_ref().err());
    if let Err(e) = begun.dir.not_planned().and_then(|()| begun.dir.record(&record)) {
        events.warn(e.to_string());
    }
    events.emit(finished(&record));
    begun.dir.forget();
    ended
}

/// Makes and shows what the run has of outputs, as if it had ended: what cannot be written is told
/// before its last event. Those for people, and the errors.
fn outputs(
    setup: Setup<'_>,
    bundle: &Definition,
    begun: &Begun,
    (record, rendered, ended): (&Record, &[Rendered], &RunOutcome),
) -> (Vec<PathBuf>, Vec<report::OutputError>) {
    let mut events = begun.recorder.events();
    events.push(Stamped { at: Timestamp::now(), event: finished(record) });
    let unplanned = report::Unplanned {
        run: &record.run,
        bundle: &bundle.label,
        family: &bundle.name,
        cloud: &record.cloud,
        events: &events,
        definition: Some(bundle),
        image: record.image.as_ref(),
        rendered,
        exit_code: ended.exit_code(),
    };
    let target = setup.results(bundle).dir();
    let (outputs, mut errors) = report::Outputs::of_unplanned(&begun.dir.path, &unplanned);
    let files = outputs.show(&target).unwrap_or_else(|more| {
        errors.extend(more);
        Vec::new()
    });
    (files.into_iter().filter(|file| is_for_people(&target, file)).collect(), errors)
}

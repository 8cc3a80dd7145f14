//! The end of a run that has no plan: nothing was created, and the results say why.
use super::ending::{is_for_people, outcome_of};
use super::factory::Setup;
use super::outcome::{RunError, RunOutcome};
use super::run::Begun;
use crate::engine::run_dir::Record;
use crate::model::definition::Definition;
use crate::model::event::{Event, Stage, seconds};
use crate::report;

/// The end of a run that has no plan: nothing was created in the cloud. Its results say why, in
/// place of those of the last build.
pub(super) fn not_planned(
    setup: Setup<'_>,
    bundle: &Definition,
    begun: Begun,
    error: RunError,
) -> RunOutcome {
    let Begun { run, begin, now, mut dir, recorder, cx } = begun;
    let word = outcome_of(setup, Some(&error)).name();
    let (text, total) = (error.unplanned(), seconds(begin.elapsed()));
    cx.events.emit(Event::StageFailed {
        stage: Stage::Plan,
        seconds: total,
        error: error.to_string(),
    });
    cx.events.emit(Event::Finished {
        outcome: word.into(),
        seconds: total,
        image: None,
        error: Some(text.clone()),
        leaks: Vec::new(),
    });
    let record = Record {
        run,
        bundle: bundle.label.clone(),
        cloud: setup.factory.provider.name().into(),
        started: now,
        seconds: total,
        outcome: word.into(),
        image: None,
        error: Some(text),
        leaks: Vec::new(),
        kept: None,
    };
    let mut ended = RunOutcome {
        result: Err(error),
        leaks: Vec::new(),
        kept: None,
        dir: Some(dir.path.clone()),
        outputs: Vec::new(),
    };
    if let Err(e) = dir.not_planned().and_then(|()| dir.record(&record)) {
        cx.events.warn(e.to_string());
    }
    if !setup.options.visits() {
        let failed = report::Failed {
            run: &record.run,
            bundle: &bundle.label,
            family: &bundle.name,
            cloud: &record.cloud,
            events: &recorder.events(),
            definition: Some(bundle),
            exit_code: ended.exit_code(),
        };
        let target = setup.results(bundle).dir();
        let (outputs, errors) = report::Outputs::of_failure(&dir.path, &failed);
        match outputs.show(&target) {
            Ok(files) => {
                ended.outputs.extend(files.into_iter().filter(|file| is_for_people(&target, file)))
            }
            Err(more) => errors.iter().chain(&more).for_each(|e| cx.events.warn(e.to_string())),
        }
    }
    dir.forget();
    ended
}

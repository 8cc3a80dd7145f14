//! The end of a run that has no plan: nothing was created, and the results say why.
use std::path::PathBuf;

use jiff::Timestamp;

use super::ending::{finished, is_for_people, outcome_of};
use super::factory::Setup;
use super::outcome::{RunError, RunOutcome};
use super::run::Begun;
use crate::engine::run_dir::Record;
use crate::model::definition::Definition;
use crate::model::event::{Event, Stage, Stamped, seconds};
use crate::report;

/// The end of a run that has no plan: nothing was created in the cloud. Its results say why, in
/// place of those of the last build.
pub(super) fn not_planned(
    setup: Setup<'_>,
    bundle: &Definition,
    mut begun: Begun,
    error: RunError,
) -> RunOutcome {
    let events = begun.cx.events.clone();
    let word = outcome_of(setup, Some(&error)).name();
    let (text, total) = (error.unplanned(), seconds(begun.begin.elapsed()));
    let why = error.to_string();
    events.emit(Event::StageFailed { stage: Stage::Plan, seconds: total, error: why });
    let record = Record {
        run: begun.run.clone(),
        bundle: bundle.label.clone(),
        cloud: setup.factory.provider.name().into(),
        started: begun.now,
        seconds: total,
        outcome: word.into(),
        image: None,
        error: Some(text),
        leaks: Vec::new(),
        kept: None,
    };
    if let Err(e) = begun.dir.not_planned().and_then(|()| begun.dir.record(&record)) {
        events.warn(e.to_string());
    }
    let mut ended = RunOutcome {
        result: Err(error),
        leaks: Vec::new(),
        kept: None,
        dir: Some(begun.dir.path.clone()),
        outputs: Vec::new(),
    };
    if !setup.options.visits() {
        ended.outputs = outputs(setup, bundle, &begun, (&record, ended.exit_code()));
    }
    events.emit(finished(&record));
    begun.dir.forget();
    ended
}

/// Makes and shows what the run has of outputs, as if it had ended: what cannot be written is told
/// before its last event. Those for people.
fn outputs(
    setup: Setup<'_>,
    bundle: &Definition,
    begun: &Begun,
    (record, exit_code): (&Record, u8),
) -> Vec<PathBuf> {
    let mut events = begun.recorder.events();
    events.push(Stamped { at: Timestamp::now(), event: finished(record) });
    let failed = report::Failed {
        run: &record.run,
        bundle: &bundle.label,
        family: &bundle.name,
        cloud: &record.cloud,
        events: &events,
        definition: Some(bundle),
        exit_code,
    };
    let target = setup.results(bundle).dir();
    let (outputs, mut errors) = report::Outputs::of_failure(&begun.dir.path, &failed);
    let files = outputs.show(&target).unwrap_or_else(|more| {
        errors.extend(more);
        Vec::new()
    });
    errors.iter().for_each(|e| begun.cx.events.warn(e.to_string()));
    files.into_iter().filter(|file| is_for_people(&target, file)).collect()
}

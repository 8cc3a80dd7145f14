//! The end of a run that has no plan: nothing was created, and the results say why.
use std::path::{Path, PathBuf};

use super::ending::{is_for_people, outcome_of};
use super::factory::Setup;
use super::outcome::{RunError, RunOutcome};
use super::results::Results;
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
    let written = dir.not_planned().and_then(|()| dir.record(&record));
    let mut outputs = Vec::new();
    if !setup.options.visits() {
        let log = written.is_ok().then(|| dir.log());
        outputs = report_failure(bundle, &record, &recorder.events(), log.as_deref())
            .unwrap_or_else(|errors| {
                errors.iter().for_each(|e| cx.events.warn(e.to_string()));
                Vec::new()
            });
    }
    if let Err(e) = written {
        cx.events.warn(e.to_string());
    }
    dir.forget();
    RunOutcome {
        result: Err(error),
        leaks: Vec::new(),
        kept: None,
        dir: Some(dir.path.clone()),
        outputs,
    }
}

fn report_failure(
    bundle: &Definition,
    record: &Record,
    events: &[Stamped],
    log: Option<&Path>,
) -> Result<Vec<PathBuf>, Vec<report::OutputError>> {
    let failed = report::Failed {
        run: &record.run,
        bundle: &bundle.label,
        family: &bundle.name,
        cloud: &record.cloud,
        events,
        definition: Some(bundle),
        log,
    };
    let target = Results::of(bundle).dir();
    let written = report::failed(&target, &bundle.tree, &failed)?;
    Ok(written.into_iter().filter(|file| is_for_people(&target, file)).collect())
}

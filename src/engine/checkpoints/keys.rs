//! What a state of a builder is found by: the outlines of the plan, with what only the run knows.
//! The contents of files that a playbook read are compared when it is found: see [`super::reads`].
use serde_json::{Value, json};

use crate::engine::surroundings::hidden;
use crate::engine::{BuildContext, BuildError, cloud_init, ready};
use crate::model::step::Reads;
use crate::plan::{StepPlan, digest};

/// Key of the state before the first step, and after each; `None` where not all of that is known
/// which determines it. `around` is what playbooks see besides the definition.
pub(super) fn of(
    site: &BuildContext<'_>,
    around: Option<&str>,
) -> Result<Vec<Option<String>>, BuildError> {
    let plan = site.plan;
    let edition = cloud_init::builder_edition();
    let booted = |base: &String| booted(base, [&edition, ready::SCRIPT]);
    let mut keys = vec![plan.base_key.as_ref().map(booted)];
    let sight = match around {
        Some(around) => Some(json!([plan.ansible, granted(site)?, around])),
        None => None,
    };
    for step in &plan.steps {
        let before = keys.last().cloned().flatten();
        let sight = if on_factory(step) { sight.clone() } else { Some(Value::Null) };
        let known = before.zip(step.outline.as_ref()).zip(sight);
        let digest = |((before, key), sight)| digest(&json!(["step", before, key, sight]));
        keys.push(known.map(digest));
    }
    Ok(keys)
}

/// Of a base that was booted: with what the factory itself tells the machine, and runs in it.
pub(super) fn booted(base: &str, own: [&str; 2]) -> String {
    digest(&json!(["base", base, own]))
}

/// Whether a program of the step runs on the factory, where it sees more than the definition.
pub(super) fn on_factory(step: &StepPlan) -> bool {
    matches!(step.action.reads(), Reads::Everything)
}

/// The values of the environment that the definition asks for and gets.
fn granted(site: &BuildContext<'_>) -> Result<Option<String>, BuildError> {
    let env = site.wall.passed_on(site.plan);
    if env.is_empty() { Ok(None) } else { hidden(&site.home, &json!(env)).map(Some) }
}

//! What a state of a builder is found by: the outlines of the plan, with what only the run knows.
//! The contents of files that a playbook read are compared when it is found: see [`super::reads`].
use std::path::Path;

use serde_json::{Value, json};

use crate::engine::{BuildContext, BuildError, cloud_init, ready};
use crate::frontend;
use crate::model::step::Reads;
use crate::plan::{StepPlan, digest};
use crate::system::durable;

/// Bytes of the key under which values of the environment are hashed.
const SALT: usize = 32;

/// Key of the state before the first step, and after each; `None` where not all of that is known
/// which determines it.
pub(super) async fn of(site: &BuildContext<'_>) -> Result<Vec<Option<String>>, BuildError> {
    let plan = site.plan;
    let edition = cloud_init::builder_edition();
    let booted = |base: &String| booted(base, [&edition, ready::SCRIPT]);
    let mut keys = vec![plan.base_key.as_ref().map(booted)];
    let plays = plan.steps.iter().any(on_factory);
    let surroundings = if plays { surroundings(site).await? } else { Value::Null };
    for step in &plan.steps {
        let before = keys.last().cloned().flatten();
        let around = if on_factory(step) { &surroundings } else { &Value::Null };
        let key = before.zip(step.outline.as_ref());
        keys.push(key.map(|(before, key)| digest(&json!(["step", before, key, around]))));
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

/// What programs on the factory see besides the definition: Ansible itself, the values of the
/// environment that they are given, and the files that the owner shows them.
async fn surroundings(site: &BuildContext<'_>) -> Result<Value, BuildError> {
    let env = site.wall.passed_on(site.plan);
    let env = match env.is_empty() {
        true => Value::Null,
        false => json!(hidden(&salt(&site.home)?, &json!(env).to_string())),
    };
    let shown = site.wall.shown_paths();
    let files = tokio::task::spawn_blocking(move || frontend::stamp_of(shown)).await;
    let files = files.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    Ok(json!([site.plan.ansible, env, files]))
}

/// A digest that tells nothing of a value that could be guessed: the key of it stays on this
/// machine.
fn hidden(salt: &[u8], text: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, salt);
    ring::hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Made once for each home.
fn salt(home: &Path) -> Result<Vec<u8>, BuildError> {
    let path = home.join("cache/checkpoints.salt");
    let io = |source| BuildError::Io { path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(salt) if salt.len() == SALT => return Ok(salt),
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
        _ => {}
    }
    let mut salt = vec![0; SALT];
    rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut salt);
    std::fs::create_dir_all(home.join("cache")).map_err(io)?;
    durable::replace_as(&path, &salt, 0o600).map_err(io)?;
    Ok(salt)
}

//! A step `shell`: its text runs in the machine.
use super::{Attempt, factory_env};
use crate::engine::BuildError;
use crate::engine::answer::exit_text;
use crate::engine::heard::{LastLines, lines_to};
use crate::guest::{Command, Exit};
use crate::model::inputs::{OF_RUN, names_run};

/// Runs a text in the machine; its output is that of `source`.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    source: &'static str,
    script: Vec<u8>,
) -> Result<(), BuildError> {
    let (site, step) = (attempt.site, attempt.step);
    let mut env = factory_env(site);
    // What differs in every run is told to those that name it. One that prints all that it is told
    // would put it into a checkpoint, which is another run's too.
    if !names_run(&script) && !names_run(serde_json::json!(step.env).to_string().as_bytes()) {
        env.retain(|name, _| !OF_RUN.contains(&name.as_str()));
    }
    env.extend(step.env.clone());
    let command =
        Command { script, args: Vec::new(), env, sudo: step.sudo, deadline: attempt.limit() };
    let last = LastLines::default();
    let output = lines_to(site.cx.events.clone(), source, last.clone());
    match attempt.builder.remote.exec(command, output).await {
        Ok(Exit::Code(0)) => Ok(()),
        Ok(exit) => Err(attempt.failed(last.reason(exit_text(&exit)))),
        Err(e) => Err(attempt.lost(e)),
    }
}

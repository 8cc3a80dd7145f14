//! Runs Ansible's syntax check on the playbooks of a tree in parallel, except those cached as
//! valid.
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Context, Failure, err};
use crate::engine::ansible::syntax::{Checks, Job, Verdict, left_out, merge};
use crate::engine::run_dir::CHECKED;
use crate::model::definition::Definition;
use crate::model::diagnostic::{Diagnostic, few};
use crate::model::step::StepKind;
use crate::system::durable;
use crate::system::scratch::Scratch;

/// Adds Ansible's findings. Why a check did not run is printed, and is not a finding.
pub(super) async fn check(
    context: &Context,
    bundles: &[Definition],
    found: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    if !bundles.iter().any(has_playbooks) {
        return Ok(());
    }
    note_left_out(context, bundles);
    let wall = context.wall()?;
    // Both start programs, so they run concurrently. Without a wall, the first check reports that.
    let (version, standing) =
        tokio::join!(wall.ansible_version(&context.cancel), wall.availability(&context.cancel));
    standing?;
    let version = match version? {
        Ok(version) => version,
        Err(why) => {
            note_unchecked(context, &why);
            return Ok(());
        }
    };
    let scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(e) => {
            note_unchecked(context, &format!("cannot make a temporary directory: {e}"));
            return Ok(());
        }
    };
    let memory = verdict_cache(context);
    let checks = Checks { wall, version, scratch: scratch.path(), memory, at_hand: wall.at_hand() };
    let jobs: Vec<Job> = bundles
        .iter()
        .flat_map(|bundle| checks.jobs(bundle))
        .filter(|job| !checks.remembers(job))
        .collect();
    if !jobs.is_empty() {
        let (count, plural) = (jobs.len(), if jobs.len() == 1 { "" } else { "s" });
        let text = format!(
            "ansible-playbook checks the syntax of {count} playbook{plural} (--offline leaves this \
                out)"
        );
        note(context, &text);
    }
    let verdicts = all(context, &checks, &jobs).await?;
    let sound = |(job, verdict)| matches!(verdict, &Verdict::Sound).then_some(job);
    checks.remember(jobs.iter().zip(&verdicts).filter_map(sound));
    add(context, verdicts, found);
    checks.forget();
    Ok(())
}

fn note(context: &Context, text: &str) {
    if !context.common.quiet {
        err(text);
    }
}

fn note_unchecked(context: &Context, why: &str) {
    note(context, &format!("note: the playbooks are not checked by Ansible itself: {why}"));
}

/// Names the playbooks that only a run can check.
fn note_left_out(context: &Context, bundles: &[Definition]) {
    for bundle in bundles {
        for playbook in left_out(bundle) {
            let shown = bundle.label.clone() + "/" + &playbook.display().to_string();
            let text = format!(
                "note: {shown} is not checked by Ansible itself: a run installs what its \
                    requirements.yml names"
            );
            note(context, &text);
        }
    }
}

/// Directory of remembered verdicts. Deletes one that another user can write into, because its
/// content is not trustworthy. `None` if the home is not private.
fn verdict_cache(context: &Context) -> Option<PathBuf> {
    let dir = context.home.data.join(CHECKED);
    if durable::check_private(&dir, durable::Others::Look).is_ok_and(|closed| !closed) {
        let _ = std::fs::remove_dir_all(dir.canonicalize().unwrap_or(dir));
    }
    context.home.secure().is_ok().then(|| context.home.data.join(CHECKED))
}

/// Adds the findings among the verdicts, and notes why there is no verdict.
fn add(context: &Context, verdicts: Vec<Verdict>, found: &mut Vec<Diagnostic>) {
    for verdict in verdicts {
        match verdict {
            Verdict::Sound => {}
            Verdict::Wrong(finding) => merge(found, finding),
            Verdict::NoWall => {
                let why = "this machine has no wall to run their plugins behind (`image-factory \
                    doctor` says why)";
                note_unchecked(context, why);
                break;
            }
            Verdict::Unknown(why) => {
                let text = format!("note: a playbook is not checked by Ansible itself: {why}");
                note(context, &text);
            }
        }
    }
}

/// Whether there is a playbook to check.
pub(super) fn has_playbooks(bundle: &Definition) -> bool {
    bundle.has_bootstrap
        || bundle.steps.iter().any(|step| matches!(step.action, StepKind::Ansible { .. }))
}

/// Maximum number of skipped definitions shown.
const SHOWN: usize = 10;

/// Lists definitions whose playbooks are not checked because of their errors.
pub(super) fn say_left_out(context: &Context, labels: &[String]) {
    if labels.is_empty() || context.common.quiet {
        return;
    }
    let shown = few(labels, SHOWN);
    err(&format!(
        "note: the playbooks of {shown} are not checked by Ansible itself until the errors there \
            are mended"
    ));
}

/// Results in the order of the jobs.
async fn all(
    context: &Context,
    checks: &Checks<'_>,
    jobs: &[Job<'_>],
) -> Result<Vec<Verdict>, Failure> {
    let side_by_side = std::thread::available_parallelism().map_or(1, usize::from);
    let free = Arc::new(Semaphore::new(side_by_side));
    let asked = jobs.iter().enumerate().map(|(number, job)| {
        let free = free.clone();
        async move {
            let _permit = free.acquire().await.expect("it is never closed");
            checks.ask(job, number, &context.cancel).await
        }
    });
    let all = futures_util::future::join_all(asked).await;
    Ok(all.into_iter().collect::<Result<_, _>>()?)
}

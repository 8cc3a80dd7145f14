//! Runs Ansible's syntax check on the playbooks of a tree in parallel, except those cached as
//! valid.
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
    let note = |text: &str| {
        if !context.common.quiet {
            err(text);
        }
    };
    if !bundles.iter().any(has_playbooks) {
        return Ok(());
    }
    for bundle in bundles {
        for playbook in left_out(bundle) {
            let shown = bundle.label.clone() + "/" + &playbook.display().to_string();
            note(&format!(
                "note: {shown} is not checked by Ansible itself: a run installs what its \
                    requirements.yml names"
            ));
        }
    }
    let wall = context.wall()?;
    // Both start programs, so they run concurrently. Without a wall, the first check reports that.
    let (version, standing) =
        tokio::join!(wall.ansible_version(&context.cancel), wall.availability(&context.cancel));
    standing?;
    let version = match version? {
        Ok(version) => version,
        Err(why) => {
            note(&format!("note: the playbooks are not checked by Ansible itself: {why}"));
            return Ok(());
        }
    };
    // What another could write into is not believed, nor what it holds since then.
    let dir = context.home.data.join(CHECKED);
    if durable::check_private(&dir, durable::Others::Look).is_ok_and(|closed| !closed) {
        let _ = std::fs::remove_dir_all(dir.canonicalize().unwrap_or(dir));
    }
    let memory = context.home.secure().is_ok().then(|| context.home.data.join(CHECKED));
    let scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(e) => {
            note(&format!(
                "note: the playbooks are not checked by Ansible itself: cannot make a temporary \
                    directory: {e}"
            ));
            return Ok(());
        }
    };
    let checks = Checks { wall, version, scratch: scratch.path(), memory, at_hand: wall.at_hand() };
    let jobs: Vec<Job> = bundles
        .iter()
        .flat_map(|bundle| checks.jobs(bundle))
        .filter(|job| !checks.remembers(job))
        .collect();
    if !jobs.is_empty() {
        let (count, plural) = (jobs.len(), if jobs.len() == 1 { "" } else { "s" });
        note(&format!(
            "ansible-playbook checks the syntax of {count} playbook{plural} (--offline leaves this \
                out)"
        ));
    }
    let verdicts = all(context, &checks, &jobs).await?;
    checks.remember(
        jobs.iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| matches!(verdict, Verdict::Sound))
            .map(|(job, _)| job),
    );
    for verdict in verdicts {
        match verdict {
            Verdict::Sound => {}
            Verdict::Wrong(finding) => merge(found, finding),
            Verdict::NoWall => {
                let why = "this machine has no wall to run their plugins behind (`image-factory \
                    doctor` says why)";
                note(&format!("note: the playbooks are not checked by Ansible itself: {why}"));
                break;
            }
            Verdict::Unknown(why) => {
                note(&format!("note: a playbook is not checked by Ansible itself: {why}"))
            }
        }
    }
    checks.forget();
    Ok(())
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

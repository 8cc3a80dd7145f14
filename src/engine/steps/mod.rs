//! The steps of a bundle on the builder, one after the other, each with a deadline and under watch.
//! Each kind is a file: `ansible`, `shell`, `script`, `upload`, `reboot`.
use std::time::{Duration, Instant};

use super::checkpoints::Trail;
use super::machine::{self, Running};
use super::{BuildContext, BuildError, answer, watch};
use crate::guest::{Orphan, Remote, RemoteError};
use crate::model::event::{Event, seconds};
use crate::model::step::StepKind;
use crate::plan::StepPlan;

mod ansible;
mod reboot;
mod script;
mod shell;
#[cfg(test)]
mod tests;
mod upload;

pub(super) use ansible::ROOM;
use ansible::{Play, stop_ssh_master};

/// Time limit for ending what a lost attempt left running.
const ENDING: Duration = Duration::from_secs(60);

/// The steps that the builder does not have behind it.
pub(super) async fn run(
    site: &BuildContext<'_>,
    builder: &mut Running,
    trail: &mut Trail,
) -> Result<(), BuildError> {
    let done = all(site, builder, trail).await;
    stop_ssh_master(site).await;
    done
}

async fn all(
    site: &BuildContext<'_>,
    builder: &mut Running,
    trail: &mut Trail,
) -> Result<(), BuildError> {
    let all = &site.plan.steps;
    let end = site.range.end(all.len());
    for (index, step) in all.iter().enumerate().take(end).skip(trail.done()) {
        site.cx.cancel.check()?;
        let begin = Instant::now();
        site.cx.events.emit(Event::StepStarted { index, of: all.len(), name: step.name.clone() });
        builder.reads = trail.watch(site);
        let result = with_retries(site, builder, index, step).await;
        let seconds = seconds(begin.elapsed());
        site.cx.events.emit(match &result {
            Ok(()) => Event::StepDone { index, seconds },
            Err(e) => Event::StepFailed { index, seconds, error: e.to_string() },
        });
        result?;
        trail.passed(site, builder).await?;
    }
    Ok(())
}

async fn with_retries(
    site: &BuildContext<'_>,
    builder: &mut Running,
    index: usize,
    step: &StepPlan,
) -> Result<(), BuildError> {
    let mut left = step.retries;
    loop {
        let begin = Instant::now();
        let error = match watched(site, builder, index, step).await {
            Ok(()) => return Ok(()),
            Err(e) => of_step(e, index, step),
        };
        let may_pass = matches!(error, BuildError::Step { .. } | BuildError::StepRemote { .. });
        if left == 0 || !may_pass {
            return Err(error);
        }
        left -= 1;
        site.cx.events.warn(format!("{error}; trying again ({left} more after this)"));
        let orphans = builder.remote.take_orphans();
        settle(site, builder).await.map_err(|e| of_step(e, index, step))?;
        for orphan in orphans {
            let ended = site.cx.cancel.or(end(site, builder, (begin, &orphan))).await?;
            ended.map_err(|source| BuildError::StepRemote {
                index,
                name: step.name.clone(),
                source,
            })?;
        }
    }
}

/// A machine that does not come back was taken away by the step; one that the cloud lost is lost.
fn of_step(error: BuildError, index: usize, step: &StepPlan) -> BuildError {
    match error {
        BuildError::NotReady { reason, .. } => {
            BuildError::Step { index, name: step.name.clone(), reason }
        }
        BuildError::MachineLost { reason, console, .. } => {
            BuildError::BuilderLost { reason, console }
        }
        other => other,
    }
}

/// Ends what a lost attempt left running: the next one would run beside it. Of a machine that was
/// restarted since, nothing runs.
async fn end(
    site: &BuildContext<'_>,
    builder: &Running,
    (begin, orphan): (Instant, &Orphan),
) -> Result<(), RemoteError> {
    if uptime(&*builder.remote).await.is_some_and(|up| up < begin.elapsed().as_secs()) {
        return Ok(());
    }
    site.cx.events.note("ending what the lost attempt left running".to_owned());
    builder.remote.exec(orphan.end(ENDING), Box::new(|_, _| {})).await.map(drop)
}

/// Seconds since the machine booted.
async fn uptime(remote: &dyn Remote) -> Option<u64> {
    let asked = answer::say(remote, "cut -d. -f1 /proc/uptime", watch::PACE.answer).await;
    asked.ok()?.trim().parse().ok()
}

/// One run of a step, which ends too when the builder is lost or the run is stopped.
async fn watched(
    site: &BuildContext<'_>,
    builder: &mut Running,
    index: usize,
    step: &StepPlan,
) -> Result<(), BuildError> {
    if matches!(step.action, StepKind::Reboot) {
        return reboot::run(site, builder, step.timeout).await;
    }
    let begin = Instant::now();
    let patience = watch::patience(&step.action, Duration::from_secs(step.timeout));
    let attempt = Attempt { site, builder, index, step };
    let lost = tokio::select! {
        // A step that ended and a machine that was lost at the same instant: the step's own word
        // counts.
        biased;
        done = site.cx.cancel.or(attempt.run()) => match done? {
            Ok(()) => return settle(site, builder).await,
            // Whether the machine is lost is a better answer than "connection reset" or
            // "unreachable".
            Err(e @ (BuildError::Step { .. } | BuildError::StepRemote { .. })) => {
                match site.cx.cancel.or(watch::verdict(site, builder, watch::PACE)).await? {
                    Some(reason) => format!("{reason} ({e})"),
                    None => return Err(restarted(site, builder, begin, e).await),
                }
            }
            done => return done,
        },
        reason = watch::lost(site, builder, patience, watch::PACE) => reason,
    };
    let console = machine::shown_tail(site, &builder.machine).await;
    Err(BuildError::BuilderLost { reason: lost, console })
}

/// After a step that went well: our own session may have gone with a network or a machine that was
/// restarted on purpose.
async fn settle(site: &BuildContext<'_>, builder: &mut Running) -> Result<(), BuildError> {
    if site.cx.cancel.or(builder.remote.ping(watch::PACE.answer)).await?.is_ok() {
        return Ok(());
    }
    site.cx.events.note(format!(
        "the step took {} or its network away for a while: logging in again",
        builder.machine.name
    ));
    stop_ssh_master(site).await;
    let deadline = Instant::now() + Duration::from_secs(site.plan.timeouts.ssh);
    builder.remote = machine::reach(site, &builder.machine, &builder.target, deadline).await?;
    up(site, builder, deadline).await
}

/// Waits for cloud-init after a login. The cloud sees the end of a machine minutes before a session
/// breaks that waits for its word.
async fn up(
    site: &BuildContext<'_>,
    builder: &Running,
    deadline: Instant,
) -> Result<(), BuildError> {
    let patience = deadline.saturating_duration_since(Instant::now());
    tokio::select! {
        biased;
        done = machine::cloud_init_done(site, builder, deadline) => done,
        reason = watch::lost(site, builder, patience, watch::PACE) => {
            Err(machine::not_ready(site, &builder.machine, reason).await)
        }
    }
}

/// What is said of a step whose session broke, where the machine answers: it may have restarted
/// itself.
async fn restarted(
    site: &BuildContext<'_>,
    builder: &Running,
    begin: Instant,
    error: BuildError,
) -> BuildError {
    let BuildError::StepRemote { index, name, source: RemoteError::Lost(_) } = &error else {
        return error;
    };
    let session = builder.watch.lock().await.clone();
    let Some(session) = session else { return error };
    match site.cx.cancel.or(uptime(&*session)).await.ok().flatten() {
        Some(up) if up < begin.elapsed().as_secs() => {
            let reason = format!(
                "the machine was restarted {up} s ago, and the step with it: a step `reboot: true` \
                    waits for that"
            );
            BuildError::Step { index: *index, name: name.clone(), reason }
        }
        _ => error,
    }
}

/// One attempt of a step.
struct Attempt<'s> {
    site: &'s BuildContext<'s>,
    builder: &'s Running,
    index: usize,
    step: &'s StepPlan,
}

impl Attempt<'_> {
    /// Each kind of step is a file of its own.
    async fn run(&self) -> Result<(), BuildError> {
        match &self.step.action {
            StepKind::Ansible { playbook, extra_vars, tags, .. } => {
                Play { attempt: self, playbook, extra_vars, tags }.run().await
            }
            StepKind::Shell { text } => shell::run(self, "shell", text.clone().into()).await,
            StepKind::Script { path } => script::run(self, path).await,
            StepKind::Upload { src, dest, mode } => upload::run(self, src, (dest, *mode)).await,
            StepKind::Reboot => unreachable!("it replaces the session, and is no attempt"),
        }
    }

    fn failed(&self, reason: String) -> BuildError {
        BuildError::Step { index: self.index, name: self.step.name.clone(), reason }
    }

    /// The connection broke.
    fn lost(&self, source: RemoteError) -> BuildError {
        BuildError::StepRemote { index: self.index, name: self.step.name.clone(), source }
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.step.timeout)
    }
}

/// What scripts and playbooks may know of the run.
fn factory_env(site: &BuildContext<'_>) -> std::collections::BTreeMap<String, String> {
    let plan = site.plan;
    [
        ("FACTORY_RUN", plan.run.clone()),
        ("FACTORY_BUNDLE", plan.family.clone()),
        ("FACTORY_IMAGE_NAME", plan.image_name.clone()),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into()
}

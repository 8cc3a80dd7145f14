//! The steps of a bundle on the builder, one after the other, each with a deadline and under watch;
//! then tidy.
use crate::model::step::StepKind;
use std::time::{Duration, Instant};

use super::answer::{self, NoAnswer, exit_text};
use super::heard::{LastLines, lines_to};
use super::machine::{self, Running};
use super::{BuildContext, BuildError, tidy as tidy_script, watch};
use crate::guest::{Command, Exit, RemoteError};
use crate::model::event::{Event, seconds};
use crate::plan::StepPlan;

mod playbook;
#[cfg(test)]
mod tests;

pub(super) use playbook::ROOM;
use playbook::{Play, stop_ssh_master};

/// What tidy leaves alone and yet tells.
const WARNING: &str = "warning: ";

pub(super) async fn steps(
    site: &BuildContext<'_>,
    builder: &mut Running,
) -> Result<(), BuildError> {
    let done = all(site, builder).await;
    stop_ssh_master(site).await;
    done
}

async fn all(site: &BuildContext<'_>, builder: &mut Running) -> Result<(), BuildError> {
    let all = &site.plan.steps;
    for (index, step) in all.iter().enumerate() {
        site.cx.cancel.check()?;
        let begin = Instant::now();
        site.cx.events.emit(Event::StepStarted { index, of: all.len(), name: step.name.clone() });
        let result = with_retries(site, builder, index, step).await;
        let seconds = seconds(begin.elapsed());
        site.cx.events.emit(match &result {
            Ok(()) => Event::StepDone { index, seconds },
            Err(e) => Event::StepFailed { index, seconds, error: e.to_string() },
        });
        result?;
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
        let error = match watched(site, builder, index, step).await {
            Ok(()) => return Ok(()),
            Err(e) => e,
        };
        let may_pass = matches!(error, BuildError::Step { .. } | BuildError::StepRemote { .. });
        if left == 0 || !may_pass {
            return Err(error);
        }
        left -= 1;
        site.cx.events.warn(format!("{error}; trying again ({left} more after this)"));
        settle(site, builder).await?;
    }
}

/// One run of a step, which ends too when the builder is lost or the run is stopped.
async fn watched(
    site: &BuildContext<'_>,
    builder: &mut Running,
    index: usize,
    step: &StepPlan,
) -> Result<(), BuildError> {
    if matches!(step.action, StepKind::Reboot) {
        return reboot(site, builder, index, step).await;
    }
    let begin = Instant::now();
    let patience = watch::patience(&step.action, Duration::from_secs(step.timeout));
    let lost = tokio::select! {
        // A step that ended and a machine that was lost at the same instant: the step's own word
        // counts.
        biased;
        done = site.cx.cancel.or(run(site, builder, index, step)) => match done? {
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
    let console = machine::console_tail(site, &builder.machine).await;
    for line in &console {
        site.cx.events.output("console", line);
    }
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
    machine::cloud_init_done(site, builder, deadline).await
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
    let asked = site
        .cx
        .cancel
        .or(answer::say(&*session, "cut -d. -f1 /proc/uptime", watch::PACE.answer))
        .await;
    match asked.ok().and_then(Result::ok).and_then(|up| up.trim().parse::<u64>().ok()) {
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

async fn run(
    site: &BuildContext<'_>,
    builder: &Running,
    index: usize,
    step: &StepPlan,
) -> Result<(), BuildError> {
    let dir = &site.plan.bundle_dir;
    let limit = Duration::from_secs(step.timeout);
    let failed = |reason: String| BuildError::Step { index, name: step.name.clone(), reason };
    let lost =
        |source: RemoteError| BuildError::StepRemote { index, name: step.name.clone(), source };
    match &step.action {
        StepKind::Ansible { playbook, extra_vars, tags, .. } => {
            let play = Play { site, builder, index, step, playbook, extra_vars, tags };
            play.run().await
        }
        StepKind::Shell { text } => shell(site, builder, "shell", step, text.clone().into())
            .await
            .map_err(lost)?
            .map_err(failed),
        StepKind::Script { path } => {
            let path = dir.join(path);
            let text = std::fs::read(&path).map_err(|source| BuildError::Io { path, source })?;
            shell(site, builder, "script", step, text).await.map_err(lost)?.map_err(failed)
        }
        StepKind::Upload { src, dest } => {
            let events = site.cx.events.clone();
            let mut told = Instant::now();
            let progress = Box::new(move |done, of| {
                if told.elapsed() > Duration::from_secs(1) || done == of {
                    told = Instant::now();
                    events.emit(Event::Progress { done, of, unit: "bytes".into() });
                }
            });
            builder.remote.put(&dir.join(src), dest, step.sudo, limit, progress).await.map_err(lost)
        }
        StepKind::Reboot => unreachable!("handled above"),
    }
}

/// Outer error: the connection. Inner error: what the script itself came to.
async fn shell(
    site: &BuildContext<'_>,
    builder: &Running,
    source: &'static str,
    step: &StepPlan,
    script: Vec<u8>,
) -> Result<Result<(), String>, RemoteError> {
    let mut env = factory_env(site);
    env.extend(step.env.clone());
    let command = Command {
        script,
        args: Vec::new(),
        env,
        sudo: step.sudo,
        deadline: Duration::from_secs(step.timeout),
    };
    let last = LastLines::default();
    let exit = builder
        .remote
        .exec(command, lines_to(site.cx.events.clone(), source, last.clone()))
        .await?;
    Ok(match exit {
        Exit::Code(0) => Ok(()),
        exit => Err(last.reason(exit_text(&exit))),
    })
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

/// Restarts the machine and waits until another boot of it answers.
async fn reboot(
    site: &BuildContext<'_>,
    builder: &mut Running,
    index: usize,
    step: &StepPlan,
) -> Result<(), BuildError> {
    let failed = |reason: NoAnswer| BuildError::Step {
        index,
        name: step.name.clone(),
        reason: reason.to_string(),
    };
    let deadline = Instant::now() + Duration::from_secs(step.timeout);
    let short = Duration::from_secs(60);
    let before =
        site.cx.cancel.or(answer::boot_id(&*builder.remote, short)).await?.map_err(failed)?;
    // The answer may or may not arrive before the connection goes down: only the new boot ID
    // counts.
    let command = "sudo -n systemctl reboot || sudo -n shutdown -r now";
    if let Err(refused @ NoAnswer::Exit { exit: Exit::Code(_), .. }) =
        site.cx.cancel.or(answer::say(&*builder.remote, command, short)).await?
    {
        return Err(failed(refused));
    }
    stop_ssh_master(site).await;
    loop {
        builder.remote = machine::reach(site, &builder.machine, &builder.target, deadline).await?;
        match site.cx.cancel.or(answer::boot_id(&*builder.remote, Duration::from_secs(20))).await? {
            Ok(now) if now != before => break,
            // Still the old boot on its way down, or the connection went with it.
            _ if Instant::now() < deadline => {
                site.cx.cancel.pause(Duration::from_millis(500)).await?
            }
            _ => {
                let reason = format!("the machine did not restart within {} s", step.timeout);
                return Err(BuildError::Step { index, name: step.name.clone(), reason });
            }
        }
    }
    machine::cloud_init_done(site, builder, deadline).await
}

/// Runs the tidy script: the last thing that is done on a builder.
pub(super) async fn tidy(site: &BuildContext<'_>, builder: &Running) -> Result<(), BuildError> {
    let script = tidy_script::script(&site.plan.tidy, builder.target.key.public_key()).into();
    let command = Command {
        script,
        args: Vec::new(),
        env: Default::default(),
        sudo: true,
        deadline: Duration::from_secs(600),
    };
    let last = LastLines::default();
    let exit = site
        .cx
        .cancel
        .or(builder.remote.exec(command, lines_to(site.cx.events.clone(), "tidy", last.clone())))
        .await?;
    match exit {
        Ok(Exit::Code(0)) => {
            last.all()
                .iter()
                .filter_map(|line| line.strip_prefix(WARNING))
                .for_each(|text| site.cx.events.warn(format!("tidy: {text}")));
            Ok(())
        }
        Ok(exit) => Err(BuildError::Tidy(last.reason(exit_text(&exit)))),
        Err(e) => Err(BuildError::Tidy(e.to_string())),
    }
}

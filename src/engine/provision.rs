//! The steps of a bundle on the builder, one after the other, each with a deadline and under watch;
//! then tidy.
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::answer::{self, NoAnswer, exit_text};
use super::heard::{LastLines, REASON, lines_to};
use super::machine::{self, Running, SshFiles};
use super::{
    BuildContext, BuildError, child, exec_reason, inventory, required, tidy as tidy_script, watch,
};
use crate::event::{Event, seconds};
use crate::exec::{self, Cmd};
use crate::guest::{Command, Exit, RemoteError};
use crate::plan::{StepAction, StepPlan};
use crate::wall::Room;
use crate::{ansible, lines};

#[cfg(test)]
mod tests;

/// In the run's scratch directory: where what the definition brings may write.
pub(super) const ROOM: &str = "room";
/// What tidy leaves alone and yet tells.
const WARNING: &str = "warning: ";
/// Of Ansible's `ssh`, in the room.
const CONTROL_SOCKET: &str = "cm";

/// What Ansible does not say of a `become` on the factory.
const NO_OTHER_USER: &str = "behind the wall a task on the factory cannot become another user \
    (sudo, su): take `become` off it \
     (`become: false`), or have the machine do it";

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
    if matches!(step.action, StepAction::Reboot) {
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
        StepAction::Ansible { playbook, extra_vars, tags, .. } => {
            ansible_playbook(site, builder, index, step, playbook, extra_vars, tags).await
        }
        StepAction::Shell { text } => shell(site, builder, "shell", step, text.clone().into())
            .await
            .map_err(lost)?
            .map_err(failed),
        StepAction::Script { path } => {
            let path = dir.join(path);
            let text = std::fs::read(&path).map_err(|source| BuildError::Io { path, source })?;
            shell(site, builder, "script", step, text).await.map_err(lost)?.map_err(failed)
        }
        StepAction::Upload { src, dest } => {
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
        StepAction::Reboot => unreachable!("handled above"),
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

async fn ansible_playbook(
    site: &BuildContext<'_>,
    builder: &Running,
    index: usize,
    step: &StepPlan,
    playbook: &Path,
    extra_vars: &serde_json::Map<String, serde_json::Value>,
    tags: &[String],
) -> Result<(), BuildError> {
    let failed = |reason: String| BuildError::Step { index, name: step.name.clone(), reason };
    let inventory = inventory::write(site, builder).await?.map_err(failed)?;
    let installed = required::install(site, index, step, playbook).await?.map_err(failed)?;
    let cmd = ansible_command(
        site,
        builder,
        step,
        playbook,
        extra_vars,
        tags,
        &Given { inventory, installed },
    )
    .await?;
    let last = LastLines::default();
    let (events, keep) = (site.cx.events.clone(), last.clone());
    let name = format!("{} ansible-playbook {index}", site.plan.run);
    let status = child::run(site.cx, &name, &cmd, move |_, line| {
        keep.push(line);
        events.output("ansible", line);
    })
    .await;
    match status {
        Ok(status) if status.success() => {
            // Ansible calls it a success when no host matched: nothing was done, and that is not
            // what was asked for.
            match ansible::matched_no_hosts(&last.all()) {
                true => Err(failed(
                    "no play matched the builder; use `hosts: all`, `local` or `default`".into(),
                )),
                false => Ok(()),
            }
        }
        Ok(status) => {
            let why = match ansible::failure(&last.all()) {
                Some(f) => lines::cut(&f.to_string(), 8 * REASON),
                None => last.reason(exec::status_text(status)),
            };
            let local = matches!(step.action, StepAction::Ansible { local: true, .. });
            Err(failed(
                match cmd.joint.is_some() && ansible::could_not_become(&last.all(), local) {
                    true => format!("{why}; {NO_OTHER_USER}"),
                    false => why,
                },
            ))
        }
        Err(child::ChildError::Exec(e)) => Err(failed(exec_reason(e)?)),
        Err(child::ChildError::Ledger(e)) => Err(e.into()),
    }
}

/// What the factory made for the step.
struct Given {
    inventory: PathBuf,
    installed: required::Installed,
}

/// The real `ansible-playbook`, over the system's `ssh`, as strict as our own sessions: pinned host
/// key, one key, nobody's config.
async fn ansible_command(
    site: &BuildContext<'_>,
    builder: &Running,
    step: &StepPlan,
    playbook: &Path,
    extra_vars: &serde_json::Map<String, serde_json::Value>,
    tags: &[String],
    given: &Given,
) -> Result<Cmd, BuildError> {
    let Given { inventory, installed } = given;
    let files = SshFiles::write(site, builder)?;
    let write = |name: &str, text: String| {
        let path = site.scratch.join(name);
        std::fs::write(&path, text)
            .map_err(|source| BuildError::Io { path: path.clone(), source })
            .map(|()| path)
    };
    let mut options = files.options();
    // A name this short, because a socket's path has at most 108 bytes; in a directory of the run,
    // because `sweep` knows a master by it (OpenSSH writes its title over the environment, and the
    // run's mark is lost).
    let room = site.scratch.join(ROOM);
    let control = format!("ControlPath={}", room.join(CONTROL_SOCKET).display());
    for option in ["ControlMaster=auto", "ControlPersist=60s", &control] {
        options.extend(["-o".into(), option.into()]);
    }
    let options = options.join(" ");
    let pins = write("pins.json", pins(&options).to_string())?;
    let mut cmd = Cmd::new("ansible-playbook", Duration::from_secs(step.timeout))
        .dir(&site.plan.bundle_dir)
        .env("ANSIBLE_PIPELINING", "True")
        // Of a connection, and of sudo's prompt: the default of 10 s is not enough for an emulated
        // machine on a busy host.
        .env("ANSIBLE_TIMEOUT", "60")
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_RETRY_FILES_ENABLED", "False")
        .env("ANSIBLE_STDOUT_CALLBACK", "default")
        .env("PYTHONUNBUFFERED", "1");
    cmd.env.extend(factory_env(site));
    cmd.env.extend(step.env.clone());
    installed.add_to(&mut cmd.env, &site.plan.bundle_dir);
    // After the step's own, which cannot change these (`wall` refuses them before the run begins).
    let mut cmd = cmd
        .mark(&site.plan.run)
        .env("ANSIBLE_SSH_ARGS", options)
        .env("ANSIBLE_HOST_KEY_CHECKING", "True")
        .env("ANSIBLE_INVENTORY_ENABLED", "yaml")
        .env("ANSIBLE_LOCAL_TEMP", room.join("ansible").to_string_lossy())
        .arg("-i")
        .arg(inventory.as_os_str())
        .arg(playbook.as_os_str());
    let mut read = vec![files.key, files.known_hosts, inventory.to_owned(), pins.clone()];
    read.extend(installed.directories());
    if !extra_vars.is_empty() {
        let path =
            write("extra-vars.json", serde_json::Value::Object(extra_vars.clone()).to_string())?;
        cmd = cmd.arg("--extra-vars").arg(format!("@{}", path.display()));
        read.push(path);
    }
    // Of several the last one counts, and over all other variables.
    cmd = cmd.arg("--extra-vars").arg(format!("@{}", pins.display()));
    if !tags.is_empty() {
        cmd = cmd.arg("--tags").arg(tags.join(","));
    }
    let room = Room { plan: site.plan, dir: &room, read, source: false };
    Ok(site.wall.around(cmd, &room, &site.cx.cancel).await?)
}

/// What no variable of a playbook, inventory or role may change: how the machine's key is checked.
fn pins(options: &str) -> serde_json::Value {
    serde_json::json!({
        "ansible_ssh_args": options,
        "ansible_ssh_common_args": "",
        "ansible_ssh_extra_args": "",
        "ansible_sftp_extra_args": "",
        "ansible_scp_extra_args": "",
        "ansible_ssh_executable": "ssh",
        "ansible_host_key_checking": true,
        "ansible_ssh_host_key_checking": true,
        "ansible_paramiko_host_key_checking": true,
        "ansible_paramiko_host_key_auto_add": false,
    })
}

/// Ansible leaves an SSH master behind for a minute; the builder is about to be tidied.
async fn stop_ssh_master(site: &BuildContext<'_>) {
    let socket = site.scratch.join(ROOM).join(CONTROL_SOCKET);
    // Of the room, where a playbook may have put a link to another's.
    let own = std::fs::symlink_metadata(&socket).is_ok_and(|meta| meta.file_type().is_socket());
    if own {
        let cmd = Cmd::new("ssh", Duration::from_secs(5))
            .mark(&site.plan.run)
            .args(["-F", "none", "-O", "exit", "-o"])
            .arg(format!("ControlPath={}", socket.display()))
            .arg("builder");
        // A master that is gone already is what we want.
        let _ = exec::output(&cmd, &site.cx.cancel.for_unwind()).await;
    }
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

//! A step `ansible`: the real `ansible-playbook`, over the system's `ssh`, behind the wall.
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Attempt, factory_env};
use crate::engine::ansible;
use crate::engine::heard::{LastLines, REASON};
use crate::engine::machine::SshFiles;
use crate::engine::{BuildContext, BuildError, child, exec_reason, inventory, required};
use crate::model::step::StepKind;
use crate::system::exec::{self, Cmd};
use crate::system::lines;
use crate::wall::WorkDir;

/// In the run's scratch directory: where what the definition brings may write.
pub(in crate::engine) const ROOM: &str = "room";
/// Of Ansible's `ssh`, in the room.
const CONTROL_SOCKET: &str = "cm";

/// What Ansible does not say of a `become` on the factory.
const NO_OTHER_USER: &str = "behind the wall a task on the factory cannot become another user \
    (sudo, su): take `become` off it \
     (`become: false`), or have the machine do it";

/// A playbook, played on the builder.
pub(super) struct Play<'p> {
    pub attempt: &'p Attempt<'p>,
    pub playbook: &'p Path,
    pub extra_vars: &'p serde_json::Map<String, serde_json::Value>,
    pub tags: &'p [String],
}

/// What the factory made for the step.
struct Given {
    inventory: PathBuf,
    installed: required::Installed,
}

impl Play<'_> {
    pub async fn run(&self) -> Result<(), BuildError> {
        let Attempt { site, builder, index, step } = *self.attempt;
        let failed = |reason: String| self.attempt.failed(reason);
        let inventory = inventory::write(site, builder).await?.map_err(failed)?;
        let installed =
            required::install(site, index, step, self.playbook).await?.map_err(failed)?;
        let cmd = self.command(&Given { inventory, installed }).await?;
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
                // Ansible calls it a success when no host matched: nothing was done, and that is
                // not what was asked for.
                match ansible::matched_no_hosts(&last.all()) {
                    true => Err(failed(
                        "no play matched the builder; use `hosts: all`, `local` or `default`"
                            .into(),
                    )),
                    false => Ok(()),
                }
            }
            Ok(status) => {
                let why = match ansible::failure(&last.all()) {
                    Some(f) => lines::cut(&f.to_string(), 8 * REASON),
                    None => last.reason(exec::status_text(status)),
                };
                let local = matches!(step.action, StepKind::Ansible { local: true, .. });
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

    /// As strict as our own sessions: pinned host key, one key, nobody's config.
    async fn command(&self, given: &Given) -> Result<Cmd, BuildError> {
        let Self { attempt: Attempt { site, builder, .. }, extra_vars, tags, .. } = *self;
        let Given { inventory, installed } = given;
        let files = SshFiles::write(site, builder)?;
        let room = site.scratch.join(ROOM);
        let options = ssh_options(&files, &room);
        let pins = self.write("pins.json", pins(&options).to_string())?;
        let mut cmd = self
            .environment(installed)
            .env("ANSIBLE_SSH_ARGS", options)
            .env("ANSIBLE_LOCAL_TEMP", room.join("ansible").to_string_lossy())
            .arg("-i")
            .arg(inventory.as_os_str())
            .arg(self.playbook.as_os_str());
        let mut read = vec![files.key, files.known_hosts, inventory.to_owned(), pins.clone()];
        read.extend(installed.directories());
        if !extra_vars.is_empty() {
            let text = serde_json::Value::Object(extra_vars.clone()).to_string();
            let path = self.write("extra-vars.json", text)?;
            cmd = cmd.arg("--extra-vars").arg(format!("@{}", path.display()));
            read.push(path);
        }
        // Of several the last one counts, and over all other variables.
        cmd = cmd.arg("--extra-vars").arg(format!("@{}", pins.display()));
        if !tags.is_empty() {
            cmd = cmd.arg("--tags").arg(tags.join(","));
        }
        let room = WorkDir { plan: site.plan, dir: &room, read, source: false };
        Ok(site.wall.around(cmd, &room, &site.cx.cancel).await?)
    }

    /// `ansible-playbook` without arguments.
    fn environment(&self, installed: &required::Installed) -> Cmd {
        let Attempt { site, step, .. } = *self.attempt;
        let mut cmd = Cmd::new("ansible-playbook", Duration::from_secs(step.timeout))
            .dir(&site.plan.bundle_dir)
            .env("ANSIBLE_PIPELINING", "True")
            // Of a connection, and of sudo's prompt: the default of 10 s is not enough for an
            // emulated machine on a busy host.
            .env("ANSIBLE_TIMEOUT", "60")
            .env("ANSIBLE_NOCOLOR", "1")
            .env("ANSIBLE_RETRY_FILES_ENABLED", "False")
            .env("ANSIBLE_STDOUT_CALLBACK", "default")
            .env("PYTHONUNBUFFERED", "1");
        cmd.env.extend(factory_env(site));
        cmd.env.extend(step.env.clone());
        installed.add_to(&mut cmd.env, &site.plan.bundle_dir);
        // After the step's own, which cannot change these, nor what the caller sets (`wall` refuses
        // them before the run begins).
        cmd.mark(&site.plan.run)
            .env("ANSIBLE_HOST_KEY_CHECKING", "True")
            .env("ANSIBLE_INVENTORY_ENABLED", "yaml")
    }

    fn write(&self, name: &str, text: String) -> Result<PathBuf, BuildError> {
        let path = self.attempt.site.scratch.join(name);
        std::fs::write(&path, text)
            .map_err(|source| BuildError::Io { path: path.clone(), source })
            .map(|()| path)
    }
}

/// For all of Ansible's connections.
fn ssh_options(files: &SshFiles, room: &Path) -> String {
    let mut options = files.options();
    // A name this short, because a socket's path has at most 108 bytes; in a directory of the run,
    // because `sweep` knows a master by it (OpenSSH writes its title over the environment, and the
    // run's mark is lost).
    let control = format!("ControlPath={}", room.join(CONTROL_SOCKET).display());
    for option in ["ControlMaster=auto", "ControlPersist=60s", &control] {
        options.extend(["-o".into(), option.into()]);
    }
    options.join(" ")
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
pub(super) async fn stop_ssh_master(site: &BuildContext<'_>) {
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

//! The command line and the environment of `ansible-playbook`.
use std::path::PathBuf;

use super::super::{Attempt, factory_env};
use super::connection::{pins, ssh_options};
use super::{Given, Manner, Play, ROOM};
use crate::engine::inventory::Inventory;
use crate::engine::machine::SshFiles;
use crate::engine::{BuildError, required};
use crate::system::exec::Cmd;
use crate::wall::WorkDir;

impl Play<'_> {
    /// As strict as our own sessions: pinned host key, one key, nobody's config.
    pub(super) async fn command(
        &self,
        given: &Given,
        manner: &Manner<'_>,
    ) -> Result<Cmd, BuildError> {
        let Self { attempt: Attempt { site, builder, .. }, extra_vars, tags, .. } = *self;
        let Given { inventory: Inventory { path: inventory, .. }, installed, .. } = given;
        let files = SshFiles::write(site, builder)?;
        let room = site.scratch.join(ROOM);
        let options = ssh_options(&files, &room);
        let pins = self.write("pins.json", pins(&options).to_string())?;
        let mut cmd = self
            .environment(installed, manner)
            .env("ANSIBLE_SSH_ARGS", options)
            .env("ANSIBLE_LOCAL_TEMP", room.join("ansible").to_string_lossy())
            .arg("-i")
            .arg(inventory.as_os_str())
            .arg(self.playbook.as_os_str());
        let mut read = vec![files.key, files.known_hosts, inventory.to_owned(), pins.clone()];
        read.extend(installed.directories());
        read.extend(manner.with.map(|mitogen| mitogen.dir.clone()));
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
    fn environment(&self, installed: &required::Installed, manner: &Manner<'_>) -> Cmd {
        let Attempt { site, step, .. } = *self.attempt;
        let mut cmd = Cmd::new("ansible-playbook", manner.limit)
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
        if let Some(mitogen) = manner.with {
            let strategies = mitogen.strategies().to_string_lossy().into_owned();
            cmd = cmd
                .env("ANSIBLE_STRATEGY_PLUGINS", strategies)
                .env("ANSIBLE_STRATEGY", "mitogen_linear");
        }
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

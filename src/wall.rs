//! The wall around the programs of definitions. Playbooks, source scripts and checks run in
//! namespaces of their own (bubblewrap). They see the system, their definition and their working
//! directory, and no home, store, ledger or other run. They use the machine's network, because
//! Ansible has to reach the guest.
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;

use crate::model::definition::Asks;
use crate::plan::Plan;
use crate::settings::Settings;
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::{self, Cmd};

mod accelerator;
mod ansible;
mod availability;
mod calls;
mod check;
mod definition;
mod grants;
mod handed;
mod installation;
mod legible;
mod limits;
mod mounts;
mod say;
mod seen;
mod shipped;
mod shown;
#[cfg(test)]
mod tests;
mod workdir;

pub use accelerator::Mitogen;
pub use availability::Availability;
pub use check::Checked;
use handed::with_options;
use installation::Installation;
use mounts::Mounts;
#[cfg(test)]
pub(crate) use tests::plan as example_plan;
pub use workdir::WorkDir;
use workdir::furnished;

const BWRAP: &str = "bwrap";

/// Configuration of the wall. Has no `Debug`, because `env` is the factory's own environment, with
/// its secrets.
pub struct Config {
    pub settings: Settings,
    pub env: BTreeMap<String, String>,
    /// Home of the user whom the factory runs as.
    pub home: Option<PathBuf>,
    /// Directories that are never visible behind the wall: the store, the runs' directories.
    pub hidden: Vec<PathBuf>,
}

/// The wall of this machine. Queries the machine once.
pub struct Wall {
    config: Config,
    availability: OnceCell<Availability>,
    ansible: OnceCell<Installation>,
}

/// The definition whose files are visible.
struct Walled<'d> {
    label: &'d str,
    asks: &'d Asks,
    /// The bundle's directory.
    dir: &'d Path,
}

impl<'d> From<&'d Plan> for Walled<'d> {
    fn from(plan: &'d Plan) -> Self {
        Self { label: &plan.bundle, asks: &plan.asks, dir: &plan.bundle_dir }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WallError {
    #[error("{0}")]
    Refused(String),
    #[error("cannot make {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Wall {
    pub fn new(config: Config) -> Self {
        Self { config, availability: OnceCell::new(), ansible: OnceCell::new() }
    }

    pub fn settings(&self) -> &Settings {
        &self.config.settings
    }

    fn path(&self) -> &str {
        self.config.env.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str)
    }

    /// Puts `cmd` behind the wall, if there is one. Of the factory's environment, `cmd` gets the
    /// variables that the definition gets. Its own variables stay.
    pub async fn around(
        &self,
        cmd: Cmd,
        work: &WorkDir<'_>,
        cancel: &Cancel,
    ) -> Result<Cmd, WallError> {
        let standing = self.availability(cancel).await?;
        let mut env = self.env(work.plan);
        let (home, temp) = furnished(work.dir, &mut env)?;
        let ansible = self.ansible_for(&cmd, cancel).await?;
        if let Some(ansible) = &ansible {
            ansible.set_env(&mut env);
        }
        env.extend(cmd.env.clone());
        env.insert(NO_BYTECODE.0.into(), NO_BYTECODE.1.into());
        let program =
            ansible.as_ref().map_or_else(|| PathBuf::from(&cmd.program), |a| a.program.clone());
        let limits = self.limits();
        let Availability::Up { nested, .. } = standing else {
            return Ok(Cmd { program: program.into(), env, bare: true, limits, ..cmd });
        };
        if work.source && self.lets_out(work.plan) {
            return Ok(Cmd { program: program.into(), env, bare: true, limits, ..cmd });
        }
        let mut mounts = Mounts::system(*nested);
        mounts.writable_at(&temp, Path::new("/tmp"));
        self.definition(&mut mounts, &work.plan.into(), work.dir)?;
        self.certificates().iter().for_each(|path| mounts.read_only(path));
        work.show(&mut mounts)?;
        if let Some(ansible) = &ansible {
            self.show_ansible(&mut mounts, ansible.installation, &home);
            ansible.show(&mut mounts);
        }
        let called = Some(cmd.program.clone());
        self.behind(
            Cmd { program: program.into(), env, called, limits: self.hard(), ..cmd },
            mounts,
        )
    }

    /// Puts `cmd` behind the mounts. Its environment is complete.
    fn behind(&self, cmd: Cmd, mut mounts: Mounts) -> Result<Cmd, WallError> {
        if let Some(dir) = &cmd.dir {
            mounts.start_in(dir);
        }
        cmd.env.iter().for_each(|(name, value)| mounts.set_env(name, value));
        let marks = [exec::RUN_MARK, exec::PROCESS_MARK].into_iter();
        let outside =
            marks.filter_map(|name| Some((name.to_owned(), cmd.env.get(name)?.clone()))).collect();
        let bwrap = find(BWRAP, self.path()).unwrap_or_else(|| BWRAP.into());
        let (program, args) = (cmd.program.clone(), cmd.args.clone());
        let walled = Cmd {
            program: bwrap.into(),
            args: Vec::new(),
            env: outside,
            bare: true,
            joint: Some(self.joint()),
            dir: None,
            ..cmd
        };
        let walled = with_options(walled, mounts)
            .map_err(|source| WallError::Io { path: "the wall's options".into(), source })?;
        Ok(walled.arg("--").arg(program).args(args))
    }
}

/// Python leaves no `__pycache__` beside a plugin or a script of the definition: a build does not
/// change its own inputs.
const NO_BYTECODE: (&str, &str) = ("PYTHONDONTWRITEBYTECODE", "1");

/// Finds a program in the directories of `path`.
fn find(name: &str, path: &str) -> Option<PathBuf> {
    let runs = |file: &PathBuf| {
        file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    path.split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Path::new(dir).join(name))
        .find(runs)
}

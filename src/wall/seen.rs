//! What playbooks see of the factory besides their definition, whichever it is.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::ansible::IN_HOME;
use super::{Wall, WallError};
use crate::system::cancel::Cancel;
use crate::system::exec::env;

/// Settings, roles, collections and plugins of the machine.
const OF_MACHINE: [&str; 2] = ["/etc/ansible", "/usr/share/ansible"];

/// Decides how a terminal shows output, and no step has a terminal.
const OF_TERMINAL: &str = "TERM";

/// Has no `Debug`, because a variable may hold a secret.
pub struct Seen {
    /// Variables that pass without being asked for.
    pub env: BTreeMap<String, String>,
    /// Version of ansible-core, and the packages beside it.
    pub ansible: (Option<String>, BTreeSet<String>),
    /// Files and directories.
    pub paths: Vec<PathBuf>,
}

impl Wall {
    /// The error says why there is no Ansible.
    pub async fn seen(&self, cancel: &Cancel) -> Result<Seen, WallError> {
        let installed = self.ansible(cancel).await?;
        let own = self.config.env.iter();
        let own = own.filter(|(name, value)| *name != OF_TERMINAL && env::passes(name, value));
        let settings = &self.config.settings;
        let named = settings.ansible.collections.iter().chain(&settings.ansible.roles);
        let home = self.config.home.iter().flat_map(|home| IN_HOME.map(|inner| home.join(inner)));
        let paths = settings.read_only.iter().chain(named).cloned().chain(home);
        let paths = paths.chain(OF_MACHINE.map(|dir| Path::new(dir).to_owned()));
        Ok(Seen {
            env: own.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ansible: (installed.version.clone(), installed.packages.clone()),
            paths: paths.chain(self.certificates()).collect(),
        })
    }
}

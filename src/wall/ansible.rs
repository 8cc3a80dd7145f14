//! Ansible behind the wall: the owner's installation, with his collections, roles and vault.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::installation::{self, Installation, Surroundings};
use super::mounts::Mounts;
use super::{Wall, WallError};
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::Cmd;

pub(super) const ANSIBLE: &str = "ansible-playbook";
/// Lies beside it.
const GALAXY: &str = "ansible-galaxy";

/// Where it looks for collections and roles by itself, in a home.
pub(super) const IN_HOME: [&str; 2] = [".ansible/collections", ".ansible/roles"];

/// A command of Ansible's, of the installation that the owner has.
pub(super) struct Ansible<'w> {
    pub installation: &'w Installation,
    pub program: PathBuf,
    vault_password_file: Option<&'w PathBuf>,
}

impl Ansible<'_> {
    pub fn set_env(&self, env: &mut BTreeMap<String, String>) {
        if let Some(file) = self.vault_password_file {
            env.insert("ANSIBLE_VAULT_PASSWORD_FILE".into(), file.display().to_string());
        }
        if let Some(base) = self.installation.user_base.clone() {
            env.insert("PYTHONUSERBASE".into(), base);
        }
    }

    pub fn show(&self, mounts: &mut Mounts) {
        if !self.program.starts_with("/usr") {
            mounts.read_only(&self.program);
        }
        let vault = self.vault_password_file.into_iter();
        vault.filter(|path| path.exists()).for_each(|path| mounts.read_only(path));
    }
}

impl Wall {
    /// `None`: `cmd` is another program.
    pub(super) async fn ansible_for(
        &self,
        cmd: &Cmd,
        cancel: &Cancel,
    ) -> Result<Option<Ansible<'_>>, WallError> {
        let named = Path::new(&cmd.program);
        let (plays, galaxy) = (named == Path::new(ANSIBLE), named == Path::new(GALAXY));
        if !plays && !galaxy {
            return Ok(None);
        }
        let installation = self.ansible(cancel).await?;
        let program = match galaxy {
            true => installation.program.with_file_name(GALAXY),
            false => installation.program.clone(),
        };
        // `ansible-galaxy` reads lists, which no vault holds, and talks to strangers.
        let vault = self.config.settings.ansible.vault_password_file.as_ref();
        Ok(Some(Ansible { installation, program, vault_password_file: vault.filter(|_| plays) }))
    }

    pub(super) async fn ansible(&self, cancel: &Cancel) -> Result<&Installation, WallError> {
        let asked = Surroundings { path: self.path(), home: self.config.home.as_deref() };
        let look = || async {
            match installation::of_ansible(&asked, cancel).await {
                Ok(found) => Ok(found),
                Err(_) if cancel.check().is_err() => Err(WallError::Cancelled(Cancelled)),
                Err(why) => Err(WallError::Refused(why)),
            }
        };
        self.ansible.get_or_try_init(look).await
    }

    pub(super) fn show_ansible(&self, mounts: &mut Mounts, ansible: &Installation, home: &Path) {
        let settings = &self.config.settings.ansible;
        let named = settings.collections.iter().chain(&settings.roles);
        ansible
            .paths
            .iter()
            .chain(named.filter(|path| path.exists()))
            .for_each(|path| mounts.read_only(path));
        for inner in IN_HOME {
            if let Some(dir) =
                self.config.home.as_ref().map(|h| h.join(inner)).filter(|dir| dir.is_dir())
            {
                mounts.read_only_at(&dir, &home.join(inner));
            }
        }
    }
}

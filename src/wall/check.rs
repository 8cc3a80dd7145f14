//! The wall around checks before a run: the definition's code sees only itself and a scratch
//! directory. It has no network, no vault password, and only the inherited part of the factory's
//! environment. Without a wall these checks do not run.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ansible::ANSIBLE;
use super::installation::python_homes;
use super::mounts::Mounts;
use super::{Availability, NO_BYTECODE, Wall, WallError, Walled, find, furnished};
use crate::frontend;
use crate::model::definition::{Definition, Need, NeedKind};
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::{Cmd, Limits, env};

/// Default limits per process of a check: bytes of address space, CPU time, bytes per file.
const MOST_MEMORY: u64 = 2 << 30;
const MOST_CPU: Duration = Duration::from_secs(60);
const MOST_WRITTEN: u64 = 16 << 20;
/// Bytes that a check may write in each of its two directories.
const MOST_ROOM: &str = "67108864";

/// A check's subject and writable directory.
pub struct Checked<'c> {
    pub bundle: &'c Definition,
    /// Created anew. Holds the home and the temporary directory.
    pub dir: &'c Path,
    pub read: &'c [PathBuf],
}

impl Wall {
    /// `ansible-playbook` as a check runs it. `cmd` gives arguments, directory and the step's
    /// environment. `None`: this machine has no wall.
    pub async fn around_check(
        &self,
        cmd: Cmd,
        checked: &Checked<'_>,
        cancel: &Cancel,
    ) -> Result<Option<Cmd>, WallError> {
        let Availability::Up { nested, .. } = self.availability(cancel).await? else {
            return Ok(None);
        };
        let ansible = self.ansible(cancel).await?;
        let passing = self.config.env.iter().filter(|(name, value)| env::passes(name, value));
        let mut env: BTreeMap<_, _> = passing.map(|(n, v)| (n.clone(), v.clone())).collect();
        env.entry("PATH".into()).or_insert_with(|| self.path().to_owned());
        let (home, temp) = furnished(checked.dir, &mut env)?;
        env.extend(ansible.user_base.clone().map(|base| ("PYTHONUSERBASE".to_owned(), base)));
        env.extend(cmd.env.clone());
        env.insert(NO_BYTECODE.0.into(), NO_BYTECODE.1.into());
        let mut mounts = Mounts::system(*nested);
        mounts.without_network();
        // In memory: limited in size, and discarded after the check.
        mounts.tmpfs(Path::new("/tmp"), MOST_ROOM);
        let bundle = checked.bundle;
        self.definition(
            &mut mounts,
            &Walled { label: &bundle.label, asks: &bundle.asks, dir: &bundle.dir },
            checked.dir,
        )?;
        mounts.tmpfs(checked.dir, MOST_ROOM);
        [&home, &temp].into_iter().for_each(|dir| mounts.directory(dir));
        checked.read.iter().for_each(|path| mounts.read_only(path));
        self.show_ansible(&mut mounts, ansible, &home);
        let wanted = self.limits();
        let limits = Limits {
            address_space: Some(wanted.address_space.unwrap_or(MOST_MEMORY)),
            cpu: Some(wanted.cpu.unwrap_or(MOST_CPU)),
            file_size: Some(MOST_WRITTEN),
            ..self.hard()
        };
        let called = Some(ANSIBLE.into());
        self.behind(
            Cmd { program: ansible.program.clone().into(), env, called, limits, ..cmd },
            mounts,
        )
        .map(Some)
    }

    /// Path and version of the Ansible that would run, as part of cache keys. The error says why
    /// there is none.
    pub async fn ansible_version(
        &self,
        cancel: &Cancel,
    ) -> Result<Result<String, String>, Cancelled> {
        match self.ansible(cancel).await {
            Ok(ansible) => Ok(Ok(format!(
                "{} {}",
                ansible.program.display(),
                ansible.version.as_deref().unwrap_or("unknown")
            ))),
            Err(WallError::Cancelled(cancelled)) => Err(cancelled),
            Err(e) => Ok(Err(e.to_string())),
        }
    }

    /// Whether `ansible-playbook` is installed. Runs nothing.
    pub fn has_ansible(&self) -> bool {
        find(ANSIBLE, self.path()).is_some()
    }

    /// Whether Ansible finds this role or collection behind the wall. Runs nothing.
    pub fn has(&self, need: &Need) -> bool {
        match need.kind {
            NeedKind::Role => self.role_places().iter().any(|dir| dir.join(&need.name).is_dir()),
            NeedKind::Collection => self.collection_places().iter().any(|dir| {
                need.name.split_once('.').is_some_and(|(namespace, name)| {
                    dir.join("ansible_collections").join(namespace).join(name).is_dir()
                })
            }),
        }
    }

    /// Directories of roles that Ansible finds behind the wall.
    pub fn role_places(&self) -> Vec<PathBuf> {
        let mut places = self.settings().ansible.roles.clone();
        places.extend(self.config.home.as_ref().map(|home| home.join(".ansible/roles")));
        places.extend(["/usr/share/ansible/roles".into(), "/etc/ansible/roles".into()]);
        places
    }

    /// Directories that contain `ansible_collections`.
    pub fn collection_places(&self) -> Vec<PathBuf> {
        let mut places = self.settings().ansible.collections.clone();
        places.extend(self.config.home.as_ref().map(|home| home.join(".ansible/collections")));
        places.push("/usr/share/ansible/collections".into());
        // The package `ansible` brings its collections along, beside its Python modules.
        places.extend(
            find(ANSIBLE, self.path())
                .iter()
                .flat_map(|program| python_homes(program, self.config.home.as_deref())),
        );
        places
    }

    /// A fingerprint of all installed roles and collections; changes with any of their files.
    pub fn at_hand(&self) -> String {
        let collections =
            self.collection_places().into_iter().map(|dir| dir.join("ansible_collections"));
        frontend::stamp_of(collections.chain(self.role_places()))
    }
}

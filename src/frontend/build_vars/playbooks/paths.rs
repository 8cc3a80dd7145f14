//! Where Ansible looks for what a playbook names: beside the file, in the role, beside the
//! playbook.
use std::path::{Component, Path, PathBuf};

use super::Scope;
use crate::frontend::build_vars::ansible_cfg::{
    BECOMES, COLLECTIONS, CONNECTIONS, Config, FILTERS, Key, LOOKUPS, MODULES, ROLES, STRATEGIES,
    TESTS,
};
use crate::frontend::build_vars::looked::Looked;

/// Roles that are looked into for plugins.
const MOST_ROLES: usize = 500;

/// All paths given and taken are relative to the bundle's directory.
pub(super) struct Paths<'a> {
    dir: &'a Path,
    config: &'a Config,
    /// `roles_path` and `collections_path`, as far as they lie in the bundle.
    roles: Vec<PathBuf>,
    collections: Vec<PathBuf>,
    looked: Looked,
}

impl<'a> Paths<'a> {
    pub fn of(dir: &'a Path, config: &'a Config) -> Self {
        Self {
            dir,
            config,
            roles: config.inner(&ROLES),
            collections: config.inner(&COLLECTIONS),
            looked: Looked::default(),
        }
    }

    /// The file or directory itself, if it lies in the definition or in what its links bring in.
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        // Links out of the tree are refused where links are looked at, which is before anything
        // that is found here is told.
        self.may_tell(path).then(|| self.dir.join(plain(path)))
    }

    /// Whether it can be told here if the file is there.
    pub fn may_tell(&self, path: &Path) -> bool {
        let mut depth = 0_i64;
        let inner = path.components().all(|part| {
            depth += match part {
                Component::Normal(_) => 1,
                Component::ParentDir => -1,
                Component::CurDir => 0,
                Component::RootDir | Component::Prefix(_) => return false,
            };
            depth >= 0
        });
        inner && !path.starts_with("~")
    }

    pub fn is_file(&self, path: &Path) -> bool {
        self.inside(path).is_some_and(|path| self.looked.is_file(&path))
    }

    pub fn exists(&self, path: &Path) -> bool {
        self.inside(path).is_some_and(|path| self.looked.exists(&path))
    }

    pub fn is_dir(&self, path: &Path) -> bool {
        self.inside(path).is_some_and(|path| self.looked.is_dir(&path))
    }

    /// A file or directory by the name that a task gives it. `kinds` are the directories of a role
    /// or beside a playbook where files of its kind lie. More places are tried than Ansible tries:
    /// what is not found is not there.
    pub fn find(&self, name: &str, kinds: &[&str], scope: &Scope) -> Option<PathBuf> {
        let own = scope.file.parent().unwrap_or(Path::new(""));
        let mut starts = vec![own, &scope.base];
        starts.extend(own.parent());
        starts.extend(scope.role.as_deref());
        let tries = starts.iter().flat_map(|start| {
            kinds.iter().map(|kind| start.join(kind)).chain([start.to_path_buf()])
        });
        tries.map(|dir| plain(&dir.join(name))).find(|path| self.exists(path))
    }

    /// The directory of a role.
    pub fn role(&self, name: &str, scope: &Scope) -> Option<PathBuf> {
        let mut places = vec![scope.base.join("roles")];
        places.extend(self.roles.iter().cloned());
        places.extend(scope.role.as_ref().and_then(|role| role.parent()).map(Path::to_owned));
        places.push(scope.base.clone());
        let found =
            places.into_iter().map(|dir| plain(&dir.join(name))).find(|path| self.is_dir(path));
        let of_collections = || {
            scope
                .collections
                .iter()
                .filter_map(|collection| self.collection(collection, &scope.base))
        };
        found.or_else(|| {
            of_collections().map(|dir| dir.join("roles").join(name)).find(|path| self.is_dir(path))
        })
    }

    /// Whether the bundle brings the collection along.
    pub fn has_collection(&self, name: &str, base: &Path) -> bool {
        self.collection(name, base).is_some()
    }

    /// The directory of a collection of the bundle.
    fn collection(&self, name: &str, base: &Path) -> Option<PathBuf> {
        let (namespace, name) = name.split_once('.')?;
        let inner = Path::new("ansible_collections").join(namespace).join(name);
        let beside = [base.join("collections"), "collections".into()];
        beside
            .iter()
            .chain(&self.collections)
            .map(|dir| dir.join(&inner))
            .find(|dir| self.is_dir(dir))
    }

    /// Whether the bundle has plugins of this kind (`filter`, `lookup`) of its own, anywhere that
    /// Ansible looks.
    pub fn has_plugins(&self, kind: &str, scope: &Scope) -> bool {
        let key = key_of(kind);
        self.plugin_places(&format!("{kind}_plugins"), key, scope)
            .iter()
            .any(|dir| self.is_dir(dir))
    }

    /// Whether there may be plugins of this kind: beside one of these files or above it, where
    /// `ansible.cfg` says, on this machine.
    pub fn may_have_plugins<'f>(
        &self,
        kind: &str,
        mut files: impl Iterator<Item = &'f PathBuf>,
    ) -> bool {
        let (key, dir) = (key_of(kind), format!("{kind}_plugins"));
        let of_machine = Path::new("/usr/share/ansible/plugins").join(kind);
        // Of filters and tests in directories that are not looked into nothing is told; of others
        // it is told with them.
        (matches!(kind, "filter" | "test") && !self.config.paths(key).is_empty())
            || self.looked.is_dir(&of_machine)
            || files
                .any(|file| file.ancestors().skip(1).any(|above| self.is_dir(&above.join(&dir))))
    }

    /// A directory outside of the definition that `ansible.cfg` names for plugins of this kind.
    pub fn plugins_elsewhere(&self, kind: &str) -> Option<String> {
        let outside = |path: &String| {
            path.starts_with(['/', '~', '$']) || plain(Path::new(path)).starts_with("..")
        };
        self.config.paths(key_of(kind)).into_iter().find(outside)
    }

    /// Whether a module of this name is the bundle's own.
    pub fn has_module(&self, name: &str, scope: &Scope) -> bool {
        let places = self.plugin_places("library", &MODULES, scope);
        places.iter().any(|dir| {
            ["", ".py", ".sh"].iter().any(|end| self.is_file(&dir.join(format!("{name}{end}"))))
        })
    }

    /// Beside the playbook, where ansible.cfg says, and in roles: what one brings, all that come
    /// after it have.
    fn plugin_places(&self, kind: &str, key: &Key, scope: &Scope) -> Vec<PathBuf> {
        let mut places = vec![scope.base.join(kind)];
        places.extend(self.config.inner(key));
        places.extend(scope.role.as_ref().map(|role| role.join(kind)));
        for root in std::iter::once(&scope.base.join("roles")).chain(&self.roles) {
            let roles = self
                .inside(root)
                .and_then(|root| std::fs::read_dir(root).ok())
                .into_iter()
                .flatten()
                .flatten();
            places
                .extend(roles.take(MOST_ROLES).map(|role| root.join(role.file_name()).join(kind)));
        }
        places
    }
}

fn key_of(kind: &str) -> &'static Key {
    match kind {
        "filter" => &FILTERS,
        "test" => &TESTS,
        "strategy" => &STRATEGIES,
        "become" => &BECOMES,
        "connection" => &CONNECTIONS,
        _ => &LOOKUPS,
    }
}

/// Without `.` and `..`, as far as that goes.
pub fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                _ = out.pop()
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

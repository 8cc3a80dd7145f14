//! Where Ansible looks for what a playbook names: beside the file, in the role, beside the playbook.
use std::path::{Component, Path, PathBuf};

use super::Scope;
use crate::reading;

/// Longer files are no settings of Ansible's.
const MAX_SETTINGS: u64 = 1 << 20;

/// All paths given and taken are relative to the bundle's directory.
pub(super) struct Paths<'a> {
    dir: &'a Path,
    /// The playbook's directory.
    beside: PathBuf,
    /// `roles_path` and `collections_path` of the bundle's `ansible.cfg`, as far as they lie in it.
    roles: Vec<PathBuf>,
    collections: Vec<PathBuf>,
}

impl<'a> Paths<'a> {
    pub fn of(dir: &'a Path, playbook: &Path) -> Self {
        let beside = playbook.parent().unwrap_or(Path::new("")).to_owned();
        let named = |keys: &[&str]| {
            let all = configured(dir, keys).into_iter();
            all.filter(|path| !path.starts_with(['/', '~'])).map(PathBuf::from).collect()
        };
        Self { dir, beside, roles: named(&["roles_path"]), collections: named(&["collections_path", "collections_paths"]) }
    }

    /// The file or directory itself, if it lies in the definition or in what its links bring in.
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        // Links out of the tree are refused where links are looked at, which is before anything that is found here is told.
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
        self.inside(path).is_some_and(|path| path.is_file())
    }

    pub fn exists(&self, path: &Path) -> bool {
        self.inside(path).is_some_and(|path| path.exists())
    }

    pub fn is_dir(&self, path: &Path) -> bool {
        self.inside(path).is_some_and(|path| path.is_dir())
    }

    /// A file or directory by the name that a task gives it. `kinds` are the directories of a role or beside a playbook where
    /// files of its kind lie. More places are tried than Ansible tries: what is not found is not there.
    pub fn find(&self, name: &str, kinds: &[&str], scope: &Scope) -> Option<PathBuf> {
        let own = scope.file.parent().unwrap_or(Path::new(""));
        let mut starts = vec![own, &self.beside];
        starts.extend(own.parent());
        starts.extend(scope.role.as_deref());
        let tries = starts.iter().flat_map(|start| kinds.iter().map(|kind| start.join(kind)).chain([start.to_path_buf()]));
        tries.map(|dir| plain(&dir.join(name))).find(|path| self.exists(path))
    }

    /// The directory of a role.
    pub fn role(&self, name: &str, scope: &Scope) -> Option<PathBuf> {
        let mut places = vec![self.beside.join("roles")];
        places.extend(self.roles.iter().cloned());
        places.extend(scope.role.as_ref().and_then(|role| role.parent()).map(Path::to_owned));
        places.push(self.beside.clone());
        places.into_iter().map(|dir| plain(&dir.join(name))).find(|path| self.is_dir(path))
    }

    /// Whether the bundle brings the collection along.
    pub fn has_collection(&self, name: &str) -> bool {
        let Some((namespace, name)) = name.split_once('.') else { return false };
        let inner = Path::new("ansible_collections").join(namespace).join(name);
        let beside = [self.beside.join("collections"), "collections".into()];
        beside.iter().chain(&self.collections).any(|dir| self.is_dir(&dir.join(&inner)))
    }

    /// Whether the bundle has plugins of this kind (`library`, `filter_plugins`) of its own, anywhere that Ansible looks.
    pub fn has_plugins(&self, kind: &str, scope: &Scope) -> bool {
        self.is_dir(&self.beside.join(kind)) || scope.role.as_ref().is_some_and(|role| self.is_dir(&role.join(kind)))
    }

    /// Whether a module of this name is the bundle's own.
    pub fn has_module(&self, name: &str, scope: &Scope) -> bool {
        let starts = [Some(self.beside.as_path()), scope.role.as_deref()];
        let files =
            starts.into_iter().flatten().flat_map(|start| ["", ".py", ".sh"].map(|end| start.join("library").join(format!("{name}{end}"))));
        files.into_iter().any(|file| self.is_file(&file))
    }
}

/// Paths that the bundle's `ansible.cfg` gives under one of these keys, as written.
pub(super) fn configured(dir: &Path, keys: &[&str]) -> Vec<String> {
    let settings = reading::text(&dir.join("ansible.cfg"), MAX_SETTINGS).unwrap_or_default();
    let lines = settings.lines().filter_map(|line| line.split_once('='));
    let values = lines.filter(|(key, _)| keys.contains(&key.trim())).flat_map(|(_, value)| value.trim().split(':'));
    values.map(str::to_owned).collect()
}

/// Without `.` and `..`, as far as that goes.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => _ = out.pop(),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

//! Where Ansible looks for a file, a role or a directory of variables that is named.
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{SKIPPED, TRIALS, plain};

/// Whether directories of this name are left out where they are not named.
pub fn is_odd(name: &OsStr) -> bool {
    SKIPPED.iter().chain(&TRIALS).chain(&["templates"]).any(|odd| name == *odd)
}

/// Where a name stands, and what there is besides. Paths are relative to the bundle.
#[derive(Clone, Copy)]
pub struct From<'a> {
    /// The directory of the step's playbook.
    pub main: &'a Path,
    /// Of roles and collections, by ansible.cfg.
    pub roots: &'a BTreeSet<PathBuf>,
    /// The directory of the file that names it.
    pub beside: &'a Path,
}

impl From<'_> {
    fn up(&self, by: usize) -> PathBuf {
        self.beside.ancestors().nth(by).unwrap_or(Path::new("")).to_owned()
    }

    /// Files that a name may mean, of those that `is_there` knows. One beside hides what lies
    /// farther off than its role. Source: ansible-core, `path_dwim_relative_stack`.
    pub fn files(&self, name: &Path, is_there: impl Fn(&Path) -> bool) -> BTreeSet<PathBuf> {
        let (own, role) = (plain(&self.beside.join(name)), self.up(1));
        let starts = [
            self.beside.to_owned(),
            role.clone(),
            self.up(2),
            self.main.to_owned(),
            PathBuf::new(),
        ];
        let added = self.added_up(name);
        let inner = ["", "vars", "files", "tasks"];
        let all =
            starts.iter().flat_map(|start| inner.map(|inner| plain(&start.join(inner).join(name))));
        let mut found: BTreeSet<PathBuf> = all
            .chain(added.iter().cloned())
            .chain(self.collected(name, "playbooks"))
            .filter(|path| is_there(path))
            .collect();
        if found.contains(&own) {
            let near = |path: &PathBuf| {
                *path == own || (self.of_role() && path.starts_with(&role)) || added.contains(path)
            };
            found.retain(near);
        }
        found
    }

    fn of_role(&self) -> bool {
        self.beside.iter().any(|part| part == "roles")
            || self.roots.iter().any(|root| self.beside.starts_with(root))
    }

    /// Of a file that is included by one that is included: Ansible adds up the directories that
    /// were written, from the playbook's on, and looks there before it looks beside the file.
    /// Source: ansible-core, `IncludedFile.process_include_results`.
    fn added_up(&self, name: &Path) -> Vec<PathBuf> {
        let Ok(inner) = self.beside.strip_prefix(self.main) else { return Vec::new() };
        let parts: Vec<_> = inner.components().collect();
        if self.of_role() || parts.len() < 2 {
            return Vec::new();
        }
        (1..=parts.len())
            .map(|from| {
                plain(&self.main.join(parts[from..].iter().collect::<PathBuf>()).join(name))
            })
            .collect()
    }

    /// Directories of a role of this name: where roles lie, or else anywhere that Ansible looks.
    /// Source: ansible-core, `RoleDefinition._load_role_path`.
    pub fn roles(&self, name: &Path, is_there: impl Fn(&Path) -> bool) -> BTreeSet<PathBuf> {
        let first = [self.main.join("roles"), PathBuf::from("roles")]
            .into_iter()
            .chain(self.roots.iter().cloned());
        let then = [
            self.beside.join("roles"),
            self.up(2),
            self.up(3),
            self.main.to_owned(),
            PathBuf::new(),
        ];
        let below = |from: PathBuf| plain(&from.join(name));
        let found: BTreeSet<PathBuf> = first
            .map(below)
            .chain(self.collected(name, "roles"))
            .filter(|path| is_there(path))
            .collect();
        if found.is_empty() {
            then.into_iter().map(below).filter(|path| is_there(path)).collect()
        } else {
            found
        }
    }

    /// Directories of variables. Source: ansible-core, `include_vars`.
    pub fn variables(&self, name: &Path, is_there: impl Fn(&Path) -> bool) -> BTreeSet<PathBuf> {
        let starts = [self.beside.to_owned(), self.up(1), self.up(2), self.main.to_owned()];
        let all = starts
            .iter()
            .flat_map(|start| ["", "vars"].map(|inner| plain(&start.join(inner).join(name))));
        all.filter(|path| is_there(path)).collect()
    }

    /// `import_playbook: a.b.site`, `roles: [a.b.web]`
    fn collected(&self, name: &Path, kind: &str) -> Vec<PathBuf> {
        let [Some(space), Some(collection), Some(rest)] = &parts(name)[..] else {
            return Vec::new();
        };
        let starts = [self.main.join("collections"), PathBuf::from("collections")]
            .into_iter()
            .chain(self.roots.iter().cloned());
        let ends = ["", ".yml", ".yaml"];
        starts
            .flat_map(|start| {
                let of = start.join("ansible_collections").join(space).join(collection).join(kind);
                ends.map(|end| of.join(format!("{rest}{end}")))
            })
            .collect()
    }
}

fn parts(name: &Path) -> Vec<Option<String>> {
    let text = name.to_string_lossy();
    text.splitn(3, '.')
        .map(|part| (!part.is_empty() && !part.contains('/')).then(|| part.to_owned()))
        .collect()
}

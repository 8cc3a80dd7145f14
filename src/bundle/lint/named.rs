//! Where Ansible looks for a file, a role or a directory of variables that is named.
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{SKIPPED, TRIALS, plain};

/// Whether directories of this name are left out where they are not named.
pub fn is_odd(name: &OsStr) -> bool {
    SKIPPED.iter().chain(&TRIALS).chain(&["templates"]).any(|odd| name == *odd)
}

/// Paths in the bundle that a name in a file in `beside` may mean, whether they are there or not. `main`: the directory of the
/// step's playbook; `roots`: of roles and collections, by ansible.cfg. Source: ansible-core, `path_dwim_relative_stack`,
/// `RoleDefinition._load_role_path`.
pub fn places(main: &Path, roots: &BTreeSet<PathBuf>, beside: &Path, name: &Path) -> BTreeSet<PathBuf> {
    if name.is_absolute() {
        return BTreeSet::new();
    }
    let up = |from: &'_ Path, by: usize| from.ancestors().nth(by).unwrap_or(Path::new("")).to_owned();
    let mut from: Vec<PathBuf> = Vec::new();
    for start in [beside.to_owned(), up(beside, 1), main.to_owned(), PathBuf::new()] {
        from.extend(["vars", "files", "tasks", "roles"].map(|inner| start.join(inner)));
        from.push(start);
    }
    from.extend([up(beside, 2), up(beside, 3)]);
    from.extend(roots.iter().cloned());
    let mut found: BTreeSet<PathBuf> = from.iter().map(|from| plain(&from.join(name))).collect();
    if let [Some(space), Some(collection), Some(rest)] = &parts(name)[..] {
        // `import_playbook: a.b.site`
        for start in [main, Path::new("")].map(|start| start.join("collections")).iter().chain(roots) {
            let of = start.join("ansible_collections").join(space).join(collection);
            found.insert(of.join("roles").join(rest));
            found.extend(["yml", "yaml"].map(|end| of.join("playbooks").join(format!("{rest}.{end}"))));
        }
    }
    found
}

fn parts(name: &Path) -> Vec<Option<String>> {
    let text = name.to_string_lossy();
    text.splitn(3, '.').map(|part| (!part.is_empty() && !part.contains('/')).then(|| part.to_owned())).collect()
}

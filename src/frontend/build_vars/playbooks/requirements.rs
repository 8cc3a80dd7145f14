//! `requirements.yml`: roles and collections that a definition wants from elsewhere.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::keys;
use super::super::yaml::{self, Entry, Node, Position, Value};
use super::scalar;
use crate::frontend::build_vars::ansible_cfg::{COLLECTIONS, Config, Key, ROLES};
use crate::system::reading;

/// All that a list may have.
const KEYS: [&str; 2] = ["roles", "collections"];
/// Longer files are no lists of requirements.
const MAX_BYTES: u64 = 1 << 20;
/// Where lists lie: beside the playbook, and in the bundle's directory.
pub(in crate::frontend::build_vars) const PLACES: [&str; 6] = [
    "requirements.yml",
    "requirements.yaml",
    "roles/requirements.yml",
    "roles/requirements.yaml",
    "collections/requirements.yml",
    "collections/requirements.yaml",
];

/// What the lists of a playbook name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Lists that name roles, and lists that name collections; relative to the bundle's directory.
    pub role_files: Vec<PathBuf>,
    pub collection_files: Vec<PathBuf>,
    roles: BTreeSet<String>,
    collections: BTreeSet<String>,
    /// Something is named by an address or a path, which does not tell what is in it.
    any_role: bool,
    any_collection: bool,
}

impl Requirements {
    pub fn is_empty(&self) -> bool {
        self.role_files.is_empty() && self.collection_files.is_empty()
    }

    pub(super) fn has_role(&self, name: &str) -> bool {
        self.any_role || self.roles.contains(name)
    }

    pub(super) fn has_collection(&self, name: &str) -> bool {
        self.any_collection || self.collections.contains(name)
    }

    fn role(&mut self, node: &Node) {
        let (name, src) = match &node.value {
            // `SRC,VERSION,NAME`
            Value::Scalar { text, .. } => {
                let mut parts = text.split(',').map(|part| part.trim().to_owned());
                let src = parts.next();
                (parts.nth(1), src)
            }
            Value::Map(entries) => {
                let value = |key: &str| {
                    entries
                        .iter()
                        .find(|e| e.key == key)
                        .and_then(|e| scalar(&e.value))
                        .map(str::to_owned)
                };
                // A list that another one takes in.
                self.any_role |= entries.iter().any(|e| e.key == "include");
                (value("name"), value("src").or_else(|| value("role")))
            }
            _ => return,
        };
        let Some(name) = name.or_else(|| src.map(|src| of_source(&src))) else { return };
        self.roles.insert(name);
    }

    fn collection(&mut self, node: &Node) {
        let (name, kind) = match &node.value {
            Value::Scalar { text, .. } => (text.as_str(), None),
            Value::Map(entries) => {
                let value = |key: &str| {
                    entries.iter().find(|e| e.key == key).and_then(|e| scalar(&e.value))
                };
                (value("name").unwrap_or_default(), value("type"))
            }
            _ => return,
        };
        // `community.docker:1.2` is a name with a version.
        let name = name.split([':', ',']).next().unwrap_or_default().trim();
        let is_name = name.split('.').count() == 2
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
        match is_name && kind.is_none_or(|kind| kind == "galaxy") {
            true => _ = self.collections.insert(name.to_owned()),
            false => self.any_collection = true,
        }
    }

    fn list(&mut self, file: &Path, root: &Node, wrong: &mut Vec<Wrong>) {
        let (mut roles, mut collections) = (false, false);
        match &root.value {
            // Of old, a list has roles only.
            Value::List(items) => {
                roles = !items.is_empty();
                items.iter().for_each(|item| self.role(item));
            }
            Value::Map(entries) => {
                for entry in entries {
                    let ours = KEYS.contains(&entry.key.as_str());
                    let Value::List(items) = &entry.value.value else {
                        if ours && !matches!(entry.value.value, Value::Null) {
                            let message =
                                format!("`{}` is a list, not {}", entry.key, entry.value.what());
                            wrong.push(Wrong::new(
                                file,
                                entry.value.spot,
                                message,
                                format!("`{}: [NAME]`", entry.key),
                            ));
                        }
                        continue;
                    };
                    match entry.key.as_str() {
                        "roles" => items.iter().for_each(|item| self.role(item)),
                        "collections" => items.iter().for_each(|item| self.collection(item)),
                        _ => continue,
                    }
                    roles |= entry.key == "roles" && !items.is_empty();
                    collections |= entry.key == "collections" && !items.is_empty();
                }
            }
            Value::Null => {}
            Value::Scalar { .. } => {
                let message = format!("a list of requirements is a map, not {}", root.what());
                wrong.push(Wrong::new(
                    file,
                    root.spot,
                    message,
                    "`roles: [NAME]`, `collections: [NAME]`",
                ));
            }
        }
        if let Value::Map(entries) = &root.value {
            wrong.extend(other_keys(file, entries, roles || collections));
        }
        self.role_files.extend(roles.then(|| file.to_owned()));
        self.collection_files.extend(collections.then(|| file.to_owned()));
    }
}

/// Keys for which ansible-galaxy refuses a list. A file that has none of its keys is not for it,
/// unless it only seems so. `is_list`: the file has some.
fn other_keys(file: &Path, entries: &[Entry], is_list: bool) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for entry in entries.iter().filter(|e| !KEYS.contains(&e.key.as_str())) {
        let near = keys::nearest(&entry.key, KEYS.iter().copied());
        if is_list || near.is_some() {
            let message = format!(
                "`{}` is no key of a list of requirements: ansible-galaxy refuses the list",
                entry.key
            );
            let hint = near.map_or("there are `roles` and `collections`".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
            wrong.push(Wrong::new(file, entry.spot, message, hint));
        }
    }
    wrong
}

/// A list that is there, and cannot be used.
pub(super) struct Wrong {
    /// Relative to the bundle's directory.
    pub file: PathBuf,
    pub spot: Position,
    pub message: String,
    pub hint: String,
}

impl Wrong {
    fn new(
        file: &Path,
        spot: Position,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { file: file.to_owned(), spot, message: message.into(), hint: hint.into() }
    }
}

/// `nginx` of `https://example.org/nginx.git`, as ansible-galaxy names a role.
fn of_source(src: &str) -> String {
    if !src.contains("://") && !src.contains('@') && !src.contains('/') {
        return src.to_owned();
    }
    let src = src.split(',').next().unwrap_or_default();
    let name = src.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    name.trim_end_matches(".git").trim_end_matches(".tar.gz").to_owned()
}

/// The lists of a step's playbook, in `dir`, the bundle's directory.
pub(super) fn beside(dir: &Path, playbook: &Path) -> (Requirements, Vec<Wrong>) {
    let mut wrong = Vec::new();
    let own = playbook.parent().unwrap_or(Path::new(""));
    let starts: BTreeSet<&Path> = [own, Path::new("")].into();
    let mut required = Requirements::default();
    for file in starts.iter().flat_map(|start| PLACES.iter().map(|place| start.join(place))) {
        let full = dir.join(&file);
        if full.symlink_metadata().is_err() {
            continue;
        }
        let text = match reading::text(&full, MAX_BYTES) {
            Ok(text) => text,
            Err(e) => {
                let message = format!("this list of requirements cannot be read: {e}");
                wrong.push(Wrong::new(
                    &file,
                    Position { line: 0, column: 0 },
                    message,
                    "a run would install nothing of it",
                ));
                continue;
            }
        };
        match yaml::parse_leniently(&file, &text) {
            Ok(root) => required.list(&file, &root, &mut wrong),
            Err(bad) => {
                let message = format!("not valid YAML: {}", bad.message);
                wrong.push(Wrong::new(
                    &file,
                    bad.spot,
                    message,
                    bad.hint.unwrap_or("ansible-galaxy refuses the list"),
                ));
            }
        }
    }
    (required, wrong)
}

/// What the lists of a step's playbook want, for a run. `dir` is the bundle's directory.
pub fn requirements(dir: &Path, playbook: &Path) -> Requirements {
    beside(dir, playbook).0
}

/// Where Ansible looks for roles and for collections by the `env` of a step and its `ansible.cfg`,
/// or else by itself.
pub fn search_paths(dir: &Path, env: &BTreeMap<String, String>) -> (Vec<String>, Vec<String>) {
    let config = Config::of(dir, env);
    let of = |key: &Key, by_itself: &[&str]| -> Vec<String> {
        let named = config.paths(key);
        let absolute = |path: String| {
            if path.starts_with(['/', '~', '$']) {
                path
            } else {
                dir.join(path).display().to_string()
            }
        };
        match named.is_empty() {
            true => by_itself.iter().map(|path| (*path).to_owned()).collect(),
            false => named.into_iter().map(absolute).collect(),
        }
    };
    (
        of(&ROLES, &["~/.ansible/roles", "/usr/share/ansible/roles", "/etc/ansible/roles"]),
        of(&COLLECTIONS, &["~/.ansible/collections", "/usr/share/ansible/collections"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_both_forms_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let of = || beside(dir.path(), Path::new("ansible/site.yml")).0;
        assert!(of().is_empty());
        write(
            "ansible/roles/requirements.yml",
            "- geerlingguy.nginx\n- src: https://x/y/web.git\n- {src: a.b, name: c}\n",
        );
        write(
            "requirements.yml",
            "collections:\n- community.docker:1.0\n- {name: ansible.posix, version: 1.5}\nroles: \
                []\n",
        );
        let all = of();
        assert_eq!(all.role_files, [PathBuf::from("ansible/roles/requirements.yml")]);
        assert_eq!(all.collection_files, [PathBuf::from("requirements.yml")]);
        assert!(
            ["geerlingguy.nginx", "web", "c"].iter().all(|name| all.has_role(name))
                && !all.has_role("a.b")
        );
        assert!(
            all.has_collection("community.docker")
                && all.has_collection("ansible.posix")
                && !all.has_collection("a.b")
        );
        write("ansible/requirements.yml", "collections:\n- {name: ./c.tar.gz, type: file}\n");
        assert!(of().has_collection("a.b"), "what a file holds is not known");
    }
}

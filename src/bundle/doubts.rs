//! What does not follow from a definition that has errors: what may be wrong only because of another mistake is not told.
use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::decode::Reader;
use super::keys;
use super::yaml::{Entry, Node, Value};
use crate::diagnostic::{Diagnostic, Place};

/// Of a sound definition nothing is in doubt.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Doubts {
    /// Any variable of templates may be missing by mistake.
    pub all_names: bool,
    /// These may be: what was mistyped, what was meant by it, and what stands in it.
    pub names: BTreeSet<String>,
    /// `steps` or `source` may be there.
    pub work: bool,
    /// Roles and collections may lie where something leads that could not be read.
    pub needs: bool,
    /// What runs, and with which settings, is not known well enough to ask Ansible about it.
    pub playbooks: bool,
    /// The bundle's directory may be another. Then nothing in it can be judged.
    pub(super) home: bool,
}

/// A key that its map does not know.
pub(super) struct Unknown {
    pub key: String,
    pub is_scalar: bool,
    pub is_map: bool,
    /// Keys of its map.
    pub members: Vec<String>,
}

impl Unknown {
    pub fn of(entry: &Entry) -> Self {
        let members = match &entry.value.value {
            Value::Map(entries) => entries.iter().map(|e| e.key.clone()).collect(),
            _ => Vec::new(),
        };
        let (is_scalar, is_map) =
            (matches!(entry.value.value, Value::Scalar { .. } | Value::Null), matches!(entry.value.value, Value::Map(_)));
        Self { key: entry.key.clone(), is_scalar, is_map, members }
    }

    /// Whether `target`, a key of the top level, may have been meant: it is the nearest one, or none is near and it looks like it.
    fn may_be(&self, target: &str, parts: &[&[&str]], fits: bool) -> bool {
        match keys::nearest(&self.key, keys::TOP.iter().copied()) {
            Some(near) => near == target,
            None => fits || parts.iter().any(|keys| keys.contains(&self.key.as_str())),
        }
    }
}

impl Doubts {
    /// Nothing of the settings is known.
    pub(super) fn everything() -> Self {
        Self { all_names: true, names: BTreeSet::new(), work: true, needs: true, playbooks: true, home: false }
    }

    /// `path`, as `bundle.name`, may be undefined only because of another mistake. Empty: nobody knows what is.
    pub fn concern(&self, path: &str) -> bool {
        self.all_names || path.is_empty() && !self.names.is_empty() || path.split('.').any(|name| self.names.contains(name))
    }

    /// Of what was read from `root`, with what was found. `shown`: how places name the bundle's directory.
    pub(super) fn of(root: &Node, reader: &Reader, shown: &Path) -> Self {
        let mut doubts = Self::default();
        let Value::Map(entries) = &root.value else { return Self::everything() };
        let (own, elsewhere): (Vec<&Diagnostic>, Vec<&Diagnostic>) =
            reader.findings.iter().filter(|d| d.is_error()).partition(|d| d.place.as_ref().is_none_or(|p| p.file == reader.file));
        let Some(wrong) = wrong_keys(entries, &own, reader) else { return Self { home: reader.doubtful_home, ..Self::everything() } };
        doubts.of_keys(&wrong, entries);
        reader.unknown.iter().for_each(|one| doubts.of_unknown(one, &wrong, entries));
        for place in elsewhere.iter().filter_map(|d| d.place.as_ref()) {
            doubts.of_file(place, shown);
        }
        doubts.home |= reader.doubtful_home;
        doubts
    }

    fn of_keys(&mut self, wrong: &BTreeSet<String>, entries: &[Entry]) {
        self.all_names = wrong.contains("vars");
        self.names.extend(wrong.iter().cloned());
        self.work = ["steps", "source", "packer_file"].iter().any(|key| wrong.contains(*key));
        if wrong.contains("steps") {
            let steps = entries.iter().find(|e| e.key == "steps");
            let says = |word: &str| steps.is_some_and(|steps| holds(&steps.value, word));
            self.needs = says("ANSIBLE_");
            self.playbooks = self.needs || says("extra_vars");
        }
    }

    fn of_unknown(&mut self, one: &Unknown, wrong: &BTreeSet<String>, entries: &[Entry]) {
        let top = keys::nearest(&one.key, keys::TOP.iter().copied());
        let of_bundle = keys::nearest(&one.key, keys::BUNDLE.iter().copied());
        self.names.insert(one.key.clone());
        self.names.extend(top.map(str::to_owned));
        self.names.extend(of_bundle.map(|_| "bundle".to_owned()));
        self.names.extend(one.members.iter().cloned());
        self.all_names |= top == Some("vars") && !one.is_map;
        self.home |= of_bundle == Some("path") && one.is_scalar;
        let steps = one.may_be("steps", &[keys::STEP, keys::ANSIBLE], !one.is_scalar);
        self.work |= steps || one.may_be("source", &[keys::SOURCE], one.is_map);
        if steps && (wrong.contains("steps") || !entries.iter().any(|e| e.key == "steps")) {
            (self.needs, self.playbooks) = (true, true);
        }
    }

    /// Of an error in another file.
    fn of_file(&mut self, place: &Place, shown: &Path) {
        let inner = place.file.strip_prefix(shown).unwrap_or(&place.file);
        let first = inner.components().next();
        if ["output", "tests"].iter().any(|dir| first == Some(Component::Normal(dir.as_ref()))) {
            return;
        }
        self.playbooks = true;
        let has = |names: &[&str]| inner.iter().any(|part| names.iter().any(|name| part == *name));
        self.work |= place.line == 0 && has(&["ansible"]);
        // A directory may be what could not be read, and what lies in it is missed then.
        let list = has(&["requirements.yml", "requirements.yaml", "ansible.cfg", "roles", "collections", "ansible_collections"]);
        self.needs |= list || place.line == 0 && inner.extension().is_none();
    }
}

/// Keys of the top level in whose values something is wrong; `None`: nobody knows which.
fn wrong_keys(entries: &[Entry], own: &[&Diagnostic], reader: &Reader) -> Option<BTreeSet<String>> {
    let mut starts: Vec<(usize, usize, &str)> = entries.iter().map(|e| (e.spot.line, e.spot.column, e.key.as_str())).collect();
    starts.sort_unstable();
    let mut wrong: BTreeSet<String> = reader.wrong.iter().map(|key| (*key).to_owned()).collect();
    for finding in own {
        // Of a merge nobody knows what it would have brought.
        if finding.message.starts_with("`<<`") {
            return None;
        }
        // The second one is not in the tree.
        wrong.extend(finding.message.strip_prefix('`').and_then(|rest| rest.strip_suffix("` is given twice")).map(str::to_owned));
        match finding.place.as_ref().filter(|place| place.line > 0) {
            Some(place) => {
                let before = starts.iter().rev().find(|(line, column, _)| (*line, *column) <= (place.line, place.column));
                wrong.extend(before.map(|(.., key)| (*key).to_owned()));
            }
            // The file as a whole lacks it; what `--set` brings has no place either.
            None if finding.message.starts_with("`bundle` is missing") => _ = wrong.insert("bundle".into()),
            None => return None,
        }
    }
    Some(wrong)
}

/// Whether `word` begins a key somewhere in `node`.
fn holds(node: &Node, word: &str) -> bool {
    match &node.value {
        Value::Map(entries) => entries.iter().any(|e| e.key.starts_with(word) || holds(&e.value, word)),
        Value::List(items) => items.iter().any(|item| holds(item, word)),
        Value::Scalar { text, .. } => text.starts_with(word),
        Value::Null => false,
    }
}

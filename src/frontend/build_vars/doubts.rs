//! Suppresses findings that may only be consequences of another error in the definition.
use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::decode::{self, Reader};
use super::keys;
use super::playbooks::requirements;
use super::yaml::{Entry, Node, Position, Value};
use crate::model::diagnostic::{Diagnostic, Location};

mod unread;

use unread::Inside;
pub(super) use unread::Unknown;

/// Which conclusions are uncertain. None for a valid definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Doubts {
    /// Any template variable may be missing by mistake.
    pub all_names: bool,
    /// Only these variables may be: mistyped ones, their probable names, and names inside them.
    pub names: BTreeSet<String>,
    /// `steps` or `source` may be present.
    pub work: bool,
    /// Roles and collections may lie where an unreadable setting leads.
    pub needs: bool,
    /// Too little is known of playbooks and their settings to let Ansible check them.
    pub playbooks: bool,
    /// The bundle's directory may be another one. Then nothing in it can be judged.
    pub(super) home: bool,
}

/// What an error hides, besides the value that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The keys that `<<` would have merged.
    Merge,
    /// The later value of a duplicate key.
    Twice(String),
    /// A required key. Its error is located at the whole file.
    Missing(&'static str),
}

/// Top-level keys whose values are maps.
const MAPS: [&str; 8] =
    ["bundle", "source", "tests", "volume", "machine", "timeouts", "tidy", "vars"];

impl Doubts {
    /// No setting is known.
    pub(super) fn everything() -> Self {
        Self {
            all_names: true,
            names: BTreeSet::new(),
            work: true,
            needs: true,
            playbooks: true,
            home: false,
        }
    }

    /// Whether `path`, such as `bundle.name`, may be undefined only because of another error. An
    /// empty set means that nothing is known.
    pub fn concern(&self, path: &str) -> bool {
        self.all_names
            || path.is_empty() && !self.names.is_empty()
            || path.split('.').any(|name| self.names.contains(name))
    }

    /// Derives the doubts from `root` and the findings so far. `dir` is the bundle's directory,
    /// `shown` its name in locations.
    pub(super) fn of(root: &Node, reader: &Reader, dir: &Path, shown: &Path) -> Self {
        let mut doubts = Self::default();
        let Value::Map(entries) = &root.value else { return Self::everything() };
        let (own, elsewhere): (Vec<&Diagnostic>, Vec<&Diagnostic>) = reader
            .findings
            .iter()
            .filter(|d| d.is_error())
            .partition(|d| d.place.as_ref().is_none_or(|p| p.file == reader.file));
        let Some(wrong) = wrong_keys(entries, &own, reader) else {
            return Self { home: reader.doubtful_home, ..Self::everything() };
        };
        doubts.of_keys(&wrong, entries);
        let has_steps = entries.iter().any(|e| e.key == "steps") && !wrong.contains("steps");
        reader.unknown.iter().for_each(|one| doubts.of_unknown(one, has_steps));
        // Of still more unknown keys none was looked into.
        doubts.all_names |= reader.unknown.len() >= decode::ADVISED;
        for misplaced in
            entries.iter().filter(|e| wrong.contains(&e.key) && !MAPS.contains(&e.key.as_str()))
        {
            if matches!(misplaced.value.value, Value::Map(_)) {
                doubts.of_inside(&Inside::of(&misplaced.value), has_steps);
            }
        }
        for place in elsewhere.iter().filter_map(|d| d.place.as_ref()) {
            doubts.of_file(place, dir, shown);
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

    fn of_unknown(&mut self, one: &Unknown, has_steps: bool) {
        let top = keys::nearest(&one.key, keys::TOP.iter().copied());
        let of_bundle = keys::nearest(&one.key, keys::BUNDLE.iter().copied());
        self.names.insert(one.key.clone());
        self.names.extend(top.map(str::to_owned));
        self.names.extend(of_bundle.map(|_| "bundle".to_owned()));
        self.all_names |= top == Some("vars") && !one.is_map;
        self.home |= of_bundle == Some("path") && one.is_scalar;
        self.work |= one.may_be("source", &[keys::SOURCE], one.is_map);
        if one.may_be("steps", &[&keys::STEP, keys::ANSIBLE], !one.is_scalar) {
            self.of_steps(has_steps);
        }
        self.of_inside(&one.inside, has_steps);
    }

    fn of_inside(&mut self, inside: &Inside, has_steps: bool) {
        self.names.extend(inside.names.iter().cloned());
        self.all_names |= inside.vars;
        self.work |= inside.source;
        self.home |= inside.path;
        if inside.steps {
            self.of_steps(has_steps);
        }
    }

    /// Something that may be steps was not read.
    fn of_steps(&mut self, has_steps: bool) {
        self.work = true;
        self.needs |= !has_steps;
        self.playbooks |= !has_steps;
    }

    /// Considers an error in another file of `dir`.
    fn of_file(&mut self, place: &Location, dir: &Path, shown: &Path) {
        let inner = place.file.strip_prefix(shown).unwrap_or(&place.file);
        let first = inner.components().next();
        if ["output", "tests"].iter().any(|dir| first == Some(Component::Normal(dir.as_ref()))) {
            return;
        }
        self.playbooks = true;
        let is_list = requirements::PLACES.iter().any(|list| inner.ends_with(list));
        // A syntax error in one file hides nothing outside of that file.
        let whole = place.line == 0;
        self.work |= whole && inner.iter().any(|part| part == "ansible");
        // A directory may be what could not be read, and what lies in it is missed then.
        let is_file = dir.join(inner).symlink_metadata().is_ok_and(|meta| meta.is_file());
        let has = |extensions: &[&str]| {
            inner.extension().is_some_and(|own| extensions.iter().any(|one| own == *one))
        };
        self.needs |= is_list || whole && (has(&["cfg"]) || !is_file && !has(&["yml", "yaml"]));
    }
}

/// Top-level keys with errors in their values; `None` if not determinable.
fn wrong_keys(entries: &[Entry], own: &[&Diagnostic], reader: &Reader) -> Option<BTreeSet<String>> {
    let mut starts: Vec<(usize, usize, &str)> =
        entries.iter().map(|e| (e.spot.line, e.spot.column, e.key.as_str())).collect();
    starts.sort_unstable();
    let mut wrong: BTreeSet<String> = reader.wrong.iter().map(|key| (*key).to_owned()).collect();
    let mut missing = 0_usize;
    for lost in &reader.lost {
        match lost {
            Lost::Merge => return None,
            Lost::Twice(key) => _ = wrong.insert(key.clone()),
            Lost::Missing(key) => {
                missing += 1;
                wrong.insert((*key).to_owned());
            }
        }
    }
    for finding in own {
        match &finding.place {
            Some(place) if place.line > 0 => {
                let before = starts
                    .iter()
                    .rev()
                    .find(|(line, column, _)| (*line, *column) <= (place.line, place.column));
                wrong.extend(before.map(|(.., key)| (*key).to_owned()));
            }
            // Brought by `--set`.
            Some(place) if place.column > 0 => {
                let spot = Position { line: 0, column: place.column };
                wrong.insert(
                    entries
                        .iter()
                        .find(|e| e.spot == spot || stands_in(spot, &e.value))?
                        .key
                        .clone(),
                );
            }
            // On the file as a whole: what it lacks.
            _ => missing = missing.checked_sub(1)?,
        }
    }
    Some(wrong)
}

fn stands_in(spot: Position, node: &Node) -> bool {
    node.spot == spot
        || match &node.value {
            Value::Map(entries) => {
                entries.iter().any(|e| e.spot == spot || stands_in(spot, &e.value))
            }
            Value::List(items) => items.iter().any(|item| stands_in(spot, item)),
            Value::Scalar { .. } | Value::Null => false,
        }
}

/// Whether `word` begins a key anywhere in `node`.
fn holds(node: &Node, word: &str) -> bool {
    match &node.value {
        Value::Map(entries) => {
            entries.iter().any(|e| e.key.starts_with(word) || holds(&e.value, word))
        }
        Value::List(items) => items.iter().any(|item| holds(item, word)),
        Value::Scalar { text, .. } => text.starts_with(word),
        Value::Null => false,
    }
}

//! Maps of a definition, and their values with the names that messages give them.
use super::ADVISED;
use crate::frontend::build_vars::keys;
use crate::frontend::build_vars::yaml::{Entry, Node, Position};

/// A map whose keys are known to be known.
pub(crate) struct Fields<'n> {
    pub path: String,
    pub spot: Position,
    pub entries: &'n [Entry],
}

/// A value, and how messages call it.
pub(crate) struct Field<'n> {
    pub path: String,
    pub key: Position,
    pub node: &'n Node,
}

impl<'n> Fields<'n> {
    pub fn get(&self, key: &str) -> Option<Field<'n>> {
        self.entries.iter().find(|e| e.key == key).map(|e| Field {
            path: join(&self.path, key),
            key: e.spot,
            node: &e.value,
        })
    }

    /// Not there, and not mistyped either: then the unknown key has been reported, with what was
    /// meant.
    pub fn lacks(&self, key: &str, valid: &[&str]) -> bool {
        let meant = |e: &Entry| {
            !valid.contains(&e.key.as_str())
                && keys::nearest(&e.key, valid.iter().copied()) == Some(key)
        };
        !self.entries.iter().any(|e| e.key == key) && !self.entries.iter().take(ADVISED).any(meant)
    }

    /// Absent keys and wrong values both give `None`; the latter have been reported.
    pub fn read<T>(&self, key: &str, reader: impl FnOnce(&Field<'n>) -> Option<T>) -> Option<T> {
        self.get(key).and_then(|field| reader(&field))
    }

    pub fn all(&self) -> impl Iterator<Item = (&'n str, Field<'n>)> + use<'n> {
        let path = self.path.clone();
        self.entries.iter().map(move |e| {
            (e.key.as_str(), Field { path: join(&path, &e.key), key: e.spot, node: &e.value })
        })
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

//! Values that are not read: their key is unknown, or they are maps where no map belongs.
use std::collections::BTreeSet;

use super::super::keys;
use super::super::yaml::{Entry, Node, Value};

/// An unknown key of a map.
pub(in crate::frontend::build_vars) struct Unknown {
    pub key: String,
    pub is_scalar: bool,
    pub is_map: bool,
    pub inside: Inside,
}

impl Unknown {
    pub fn of(entry: &Entry) -> Self {
        let (is_scalar, is_map) =
            (is_scalar(&entry.value), matches!(entry.value.value, Value::Map(_)));
        Self { key: entry.key.clone(), is_scalar, is_map, inside: Inside::of(&entry.value) }
    }

    /// Whether the top-level key `target` may have been meant: it is the nearest key, or no key is
    /// near and the value fits.
    pub(super) fn may_be(&self, target: &str, parts: &[&[&str]], fits: bool) -> bool {
        match keys::nearest(&self.key, keys::TOP.iter().copied()) {
            Some(near) => near == target,
            None => fits || parts.iter().any(|keys| keys.contains(&self.key.as_str())),
        }
    }
}

/// Content at any depth, because settings moved under another key move as a whole.
#[derive(Default)]
pub(in crate::frontend::build_vars) struct Inside {
    /// All keys, any of which may be meant as a variable.
    pub names: BTreeSet<String>,
    /// A `vars` map that names no variable.
    pub vars: bool,
    pub source: bool,
    pub steps: bool,
    /// `path` beside another key of `bundle`.
    pub path: bool,
}

impl Inside {
    pub fn of(node: &Node) -> Self {
        let mut inside = Self::default();
        inside.take(node);
        inside
    }

    fn take(&mut self, node: &Node) {
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| self.take(item)),
            Value::Map(entries) => {
                let of_bundle = entries
                    .iter()
                    .any(|e| e.key != "path" && keys::BUNDLE.contains(&e.key.as_str()));
                entries.iter().for_each(|entry| self.take_entry(entry, of_bundle));
            }
            Value::Scalar { .. } | Value::Null => {}
        }
    }

    fn take_entry(&mut self, entry: &Entry, of_bundle: bool) {
        let is = |word: &str| keys::nearest(&entry.key, [word]).is_some();
        let scalar = is_scalar(&entry.value);
        self.names.insert(entry.key.clone());
        self.vars |= !matches!(entry.value.value, Value::Map(_)) && is("vars");
        self.source |= !scalar && is("source");
        self.steps |= !scalar && is("steps");
        self.path |= scalar && of_bundle && is("path");
        self.take(&entry.value);
    }
}

fn is_scalar(node: &Node) -> bool {
    matches!(node.value, Value::Scalar { .. } | Value::Null)
}

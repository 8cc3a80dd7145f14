//! Texts of a YAML tree as Ansible takes them.
use crate::frontend::build_vars::yaml::{Node, Position, Value};

pub(super) fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// Of a text, or of a list of texts.
pub(super) fn texts(node: &Node) -> Vec<(&str, Position)> {
    match &node.value {
        Value::Scalar { text, .. } => vec![(text, node.spot)],
        Value::List(items) => items.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// A word of Ansible's without the collection it may be given with.
pub(super) fn tail(key: &str) -> &str {
    key.strip_prefix("ansible.builtin.")
        .or_else(|| key.strip_prefix("ansible.legacy."))
        .unwrap_or(key)
}

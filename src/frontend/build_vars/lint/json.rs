//! Files that Ansible reads as JSON, which it tries before YAML.
use serde_json::Value as Json;

use super::super::yaml::{Entry, Node, Position, Value};

/// Whether Python may read this as JSON: it takes more than the standard says.
pub fn may_be(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// All of it stands at its beginning: the reader tells no places.
pub fn tree(text: &str) -> Option<Node> {
    Some(node(serde_json::from_str(text).ok()?))
}

fn node(json: Json) -> Node {
    let spot = Position { line: 1, column: 1 };
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Scalar { text: truth.to_string(), plain: true },
        Json::Number(number) => Value::Scalar { text: number.to_string(), plain: true },
        Json::String(text) => Value::Scalar { text, plain: false },
        Json::Array(items) => Value::List(items.into_iter().map(node).collect()),
        Json::Object(all) => Value::Map(
            all.into_iter().map(|(key, value)| Entry { key, spot, value: node(value) }).collect(),
        ),
    };
    Node { spot, value, raw: false }
}

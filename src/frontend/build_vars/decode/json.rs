//! Values of a definition as JSON, for `vars` and for templates.
use serde_json::{Map, Value as Json};

use super::{Field, Reader, decimal};
use crate::frontend::build_vars::keys::{self, Typing};
use crate::frontend::build_vars::scalar;
use crate::frontend::build_vars::yaml::{Node, Value};

impl Reader {
    /// A map of free values, typed as Ansible types them.
    pub fn free(&mut self, field: &Field) -> Option<Map<String, Json>> {
        let fields = self.map(field)?;
        Some(
            fields
                .all()
                .map(|(key, field)| (key.to_owned(), self.free_value(field.node)))
                .collect(),
        )
    }

    fn free_value(&mut self, node: &Node) -> Json {
        match &node.value {
            Value::Scalar { text, plain: true } => scalar::json(text).unwrap_or_else(|| {
                self.error(
                    node.spot,
                    format!("`{text}` is not a finite number"),
                    "put it in quotes if it is text",
                );
                Json::Null
            }),
            Value::List(items) => items.iter().map(|item| self.free_value(item)).collect(),
            Value::Map(entries) => Json::Object(
                entries.iter().map(|e| (e.key.clone(), self.free_value(&e.value))).collect(),
            ),
            _ => as_written(node, &mut vec!["vars"]),
        }
    }
}

/// The whole file as JSON, for templates: text stays text, typed keys have their types. `path`
/// holds the keys down to `node`.
pub(in crate::frontend::build_vars) fn as_written<'n>(
    node: &'n Node,
    path: &mut Vec<&'n str>,
) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::List(items) => items.iter().map(|item| as_written(item, path)).collect(),
        Value::Map(entries) => {
            let mut map = Map::new();
            for entry in entries {
                path.push(&entry.key);
                map.insert(entry.key.clone(), as_written(&entry.value, path));
                path.pop();
            }
            Json::Object(map)
        }
        Value::Scalar { text, plain: false } => text.as_str().into(),
        Value::Scalar { text, plain: true } => match (keys::typing(path), scalar::resolve(text)) {
            (Typing::Free, _) => scalar::json(text).unwrap_or_default(),
            (Typing::Typed, scalar::Plain::Bool(truth)) => truth.into(),
            (Typing::Typed, _) => decimal(text).map_or_else(|| text.as_str().into(), Json::from),
            (Typing::Text, _) => text.as_str().into(),
        },
    }
}

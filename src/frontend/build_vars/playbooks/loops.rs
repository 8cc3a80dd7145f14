//! Loops over items that are written out.
use std::sync::LazyLock;

use regex::Regex;

use super::{is_template, scalar};
use crate::frontend::build_vars::yaml::{Entry, Node, Value};

/// Items of a loop that are looked at one by one.
const MOST_ITEMS: usize = 50;

static ITEM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{-?\s*item\s*-?\}\}").expect("the pattern is fixed"));

pub(super) fn is_loop(key: &str) -> bool {
    ["loop", "with_items", "with_list"].contains(&key)
}

/// Items that are written out.
pub(super) fn literal(value: &Node) -> Option<Vec<&str>> {
    let Value::List(items) = &value.value else { return None };
    let items: Option<Vec<&str>> =
        items.iter().map(|item| scalar(item).filter(|text| !is_template(text))).collect();
    items.filter(|items| !items.is_empty() && items.len() <= MOST_ITEMS)
}

/// With an item in the place of `{{ item }}`.
pub(super) fn with_item(node: &Node, item: &str) -> Node {
    let value = match &node.value {
        Value::Scalar { text, plain } => Value::Scalar {
            text: ITEM.replace_all(text, regex::NoExpand(item)).into_owned(),
            plain: *plain,
        },
        Value::List(nodes) => Value::List(nodes.iter().map(|node| with_item(node, item)).collect()),
        Value::Map(entries) => {
            let entry = |e: &Entry| Entry {
                key: e.key.clone(),
                spot: e.spot,
                value: with_item(&e.value, item),
            };
            Value::Map(entries.iter().map(entry).collect())
        }
        Value::Null => Value::Null,
    };
    Node { spot: node.spot, value, raw: node.raw }
}

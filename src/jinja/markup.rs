//! HTML-safe texts (`safe`, `e`). Results of filters and methods are safe too, if they keep the
//! type.
use std::rc::Rc;

use super::args::Args;
use super::error::{Error, Result};
use super::iterate;
use super::text_methods;
use super::value::Value;

/// Filters that keep a text HTML-safe.
const KEPT: &[&str] = &[
    "basename",
    "capitalize",
    "center",
    "dirname",
    "format",
    "indent",
    "last",
    "lower",
    "path_join",
    "regex_escape",
    "reverse",
    "trim",
    "truncate",
    "upper",
    "urldecode",
    "win_basename",
];

/// Filters that would escape additions, or return parts.
const REFUSED: &[&str] = &["quote", "splitext", "win_dirname", "win_splitdrive"];

fn refused<T>(what: &str) -> Result<T> {
    Err(Error::refused(format!(
        "{what} of what `safe`, `e` or `tojson` gave is not supported: it would be escaped in \
            between"
    )))
}

fn special(value: &Value) -> bool {
    value.as_text().is_some_and(|text| text.contains(['&', '<', '>', '"', '\'']))
}

fn any_special(args: &Args) -> bool {
    args.positional.iter().chain(args.named.iter().map(|(_, v)| v)).any(special)
}

/// Fails if the filter treats an HTML-safe `value` differently.
pub fn check(filter: &str, value: &Value, args: &Args) -> Result<()> {
    let Value::Markup(_) = value else { return Ok(()) };
    let formats = filter == "format" && !(args.positional.is_empty() && args.named.is_empty());
    if REFUSED.contains(&filter) || formats || (filter == "truncate" && any_special(args)) {
        return refused(&format!("`{filter}`"));
    }
    Ok(())
}

/// The result of a filter on an HTML-safe text.
pub fn filtered(filter: &str, done: Value) -> Value {
    match done {
        Value::Str(text) if KEPT.contains(&filter) => Value::Markup(text),
        other => other,
    }
}

pub fn call(text: &Rc<str>, name: &str, args: &Args) -> Result<Value> {
    let listed = match (name, args.positional.first()) {
        ("join", Some(items)) => iterate::items(items)?.iter().any(special),
        _ => false,
    };
    let escapes = matches!(name, "replace" | "center" | "ljust" | "rjust") && any_special(args);
    if name.starts_with("format") || listed || escapes {
        return refused(&format!("the method `{name}`"));
    }
    Ok(marked(text_methods::call(text, name, args)?))
}

fn marked(value: Value) -> Value {
    match value {
        Value::Str(text) => Value::Markup(text),
        Value::List(items) => Value::list(items.borrow().iter().cloned().map(marked).collect()),
        Value::Tuple(items) => Value::tuple(items.iter().cloned().map(marked).collect()),
        other => other,
    }
}

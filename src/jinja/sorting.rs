//! Sorting and attribute lookup for `sort`, `map(attribute=…)` and similar.
use std::rc::Rc;

use super::error::{Error, Result};
use super::operators;
use super::run::Run;
use super::value::Value;

/// Stable sort by keys, optionally reversed.
pub fn sorted(
    items: Vec<Value>,
    reverse: bool,
    key: impl Fn(&Value) -> Result<Value>,
) -> Result<Vec<Value>> {
    let all = items.into_iter().map(|item| Ok((key(&item)?, item))).collect::<Result<Vec<_>>>()?;
    Ok(merged(all, reverse)?.into_iter().map(|(_, item)| item).collect())
}

/// Merge sort. Rust's own may panic without a total order; this fails at the first incomparable
/// pair.
fn merged(mut all: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<(Value, Value)>> {
    if all.len() < 2 {
        return Ok(all);
    }
    let right = merged(all.split_off(all.len() / 2), reverse)?;
    let mut left = merged(all, reverse)?.into_iter().peekable();
    let (mut right, mut out) = (right.into_iter().peekable(), Vec::new());
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let order = operators::order("<", a, b)?;
        let order = order.ok_or_else(|| {
            Error::refused("`nan` has no place in an order, and Python puts it anywhere")
        })?;
        let first = if reverse { order.is_ge() } else { order.is_le() };
        out.extend(if first { left.next() } else { right.next() });
    }
    out.extend(left);
    out.extend(right);
    Ok(out)
}

/// Lower-cases texts, and keeps other values.
pub fn ignoring_case(value: Value) -> Value {
    match value.as_text() {
        Some(text) => Value::from(text.to_lowercase()),
        None => value,
    }
}

/// Looks up `a.b.0` or an index; without a path returns the value itself.
pub fn member(
    run: &Run,
    value: &Value,
    attribute: Option<&Value>,
    default: Option<&Value>,
) -> Result<Value> {
    let parts: Vec<Value> = match attribute {
        None | Some(Value::None) => Vec::new(),
        Some(Value::Str(text)) => text.split('.').map(part).collect(),
        Some(other) => vec![other.clone()],
    };
    let mut found = value.clone();
    for part in &parts {
        let next = run.item(run.force(found)?, part)?;
        found = match next {
            Some(Value::Missing(_)) | None if default.is_some() => {
                default.expect("just seen").clone()
            }
            Some(next) => run.force(next)?,
            None => {
                let name: Rc<str> = super::show::text(part)?;
                // Without a location: its use adds one.
                Value::Missing(Error::undefined("", format!("there is no `{name}` in an item")))
            }
        };
    }
    Ok(found)
}

fn part(text: &str) -> Value {
    let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(n) if number => Value::Int(n),
        _ => Value::from(text),
    }
}

//! `combine`: merges mappings.
use super::items::flatten;
use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::operators;
use crate::jinja::value::{Dict, Value};

pub fn apply(value: &Value, args: &Args) -> Result<Value> {
    let mut args = args.clone();
    let recursive = args.take("recursive").map_or(Ok(false), |v| v.truth())?;
    let lists = args.take("list_merge").unwrap_or_else(|| Value::from("replace"));
    let list_merge = lists.as_text().cloned().unwrap_or_else(|| "?".into());
    if !args.named.is_empty() {
        return Err(Error::raised(
            "'recursive' and 'list_merge' are the only valid keyword arguments",
        ));
    }
    if !["replace", "keep", "append", "prepend", "append_rp", "prepend_rp"].contains(&&*list_merge)
    {
        return Err(Error::raised(format!(
            "merge_hash: 'list_merge' argument can only be equal to replace, keep, append, …, not \
                {list_merge}"
        )));
    }
    let all: Vec<Value> = [value].into_iter().chain(&args.positional).cloned().collect();
    let mut terms = Vec::new();
    flatten(&all, Some(1), true, &mut terms)?;
    let Some(mut result) = terms.pop() else { return Ok(Value::dict(Dict::new())) };
    while let Some(lower) = terms.pop() {
        result = merged(&lower, &result, recursive, &list_merge)?;
    }
    Ok(result)
}

/// Merges `high` over `low`.
fn merged(low: &Value, high: &Value, recursive: bool, lists: &str) -> Result<Value> {
    let (Value::Dict(low_dict), Value::Dict(high_dict)) = (low, high) else {
        return Err(Error::raised(format!(
            "failed to combine variables, expected dicts but got a '{}' and a '{}'",
            low.kind(),
            high.kind()
        )));
    };
    let (l, h) = (low_dict.borrow(), high_dict.borrow());
    if l.is_empty() || operators::equal(low, high)? {
        return Ok(Value::dict(h.clone()));
    }
    let mut out = l.clone();
    for (key, new) in h.iter() {
        let value = match (out.get(key), new) {
            (Some(old @ Value::Dict(_)), Value::Dict(_)) if recursive => {
                merged(old, new, recursive, lists)?
            }
            (Some(Value::List(old)), Value::List(new)) => {
                Value::list(list(&old.borrow(), &new.borrow(), lists)?)
            }
            _ => new.clone(),
        };
        let _ = out.set(key.clone(), value);
    }
    Ok(Value::dict(out))
}

fn list(old: &[Value], new: &[Value], list_merge: &str) -> Result<Vec<Value>> {
    let without = |items: &[Value], others: &[Value]| -> Result<Vec<Value>> {
        let others = Value::list(others.to_vec());
        let mut out = Vec::new();
        for item in items {
            if !operators::contains(&others, item)? {
                out.push(item.clone());
            }
        }
        Ok(out)
    };
    Ok(match list_merge {
        "replace" => new.to_vec(),
        "keep" => old.to_vec(),
        "append" => [old, new].concat(),
        "prepend" => [new, old].concat(),
        "append_rp" => [without(old, new)?, new.to_vec()].concat(),
        _ => [new.to_vec(), without(old, new)?].concat(),
    })
}

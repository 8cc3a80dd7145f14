//! `iter()`: the items of a value.
use super::error::{Error, Result};
use super::value::{Value, range_len};

/// Maximum length of a range that is expanded.
const LONGEST: usize = 5_000_000;

/// Items, including undefined ones.
pub fn items_even_missing(value: &Value) -> Result<Vec<Value>> {
    Ok(match value {
        Value::Missing(why) => return Err(why.clone()),
        Value::Guess => vec![Value::Guess],
        Value::Nothing => Vec::new(),
        Value::List(l) => l.borrow().clone(),
        Value::Tuple(t) => t.to_vec(),
        Value::Dict(d) => d.borrow().keys().cloned().collect(),
        Value::Str(s) | Value::Markup(s) => s.chars().map(|c| Value::from(c.to_string())).collect(),
        Value::Bytes(b) => b.iter().map(|b| Value::Int(i128::from(*b))).collect(),
        Value::Range(start, stop, step) => {
            let length = range_len(*start, *stop, *step);
            if length > LONGEST {
                return Err(Error::refused(format!("a range of more than {LONGEST} numbers")));
            }
            (0..length).map(|at| Value::Int(start + step * at as i128)).collect()
        }
        Value::Loop(l) => l.items[l.index()..].to_vec(),
        other => return Err(Error::raised(format!("'{}' object is not iterable", other.kind()))),
    })
}

/// Items; an undefined one is an error.
pub fn items(value: &Value) -> Result<Vec<Value>> {
    let all = items_even_missing(value)?;
    match all.iter().find_map(|item| if let Value::Missing(why) = item { Some(why) } else { None })
    {
        Some(why) => Err(why.clone()),
        None => Ok(all),
    }
}

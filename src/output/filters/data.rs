//! JSON and YAML in and out, spelled as Python's `json` and PyYAML spell them.
use std::fmt::Write;

use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error};
use serde_json::Value as Json;

use super::{defined, refuse, text_of, yaml};

const MAX_INDENT: usize = 64;

pub fn add(env: &mut Environment<'static>) {
    env.add_filter("to_json", |v: &Value, k: Kwargs| to_json(v, None, false, &k));
    env.add_filter("to_nice_json", |v: &Value, k: Kwargs| to_json(v, Some(4), true, &k));
    env.add_filter("to_yaml", |v: &Value, k: Kwargs| to_yaml(v, 2, false, &k));
    env.add_filter("to_nice_yaml", |v: &Value, k: Kwargs| to_yaml(v, 4, true, &k));
    env.add_filter("from_json", |v: &Value| {
        let read: Json = serde_json::from_str(&text_of(v)?).map_err(|e| refuse(format!("from_json: {e}")))?;
        Ok::<_, Error>(Value::from(Serde(read)))
    });
    env.add_filter("from_yaml", |v: &Value| {
        let read: serde_yaml::Value = serde_yaml::from_str(&text_of(v)?).map_err(|e| refuse(format!("from_yaml: {e}")))?;
        Ok::<_, Error>(Value::from(Serde(read)))
    });
}

fn plain(value: &Value) -> Result<Json, Error> {
    defined(value)?;
    serde_json::to_value(value).map_err(|e| refuse(format!("this value cannot be written as data: {e}")))
}

fn to_json(value: &Value, indent: Option<usize>, sorted: bool, kwargs: &Kwargs) -> Result<String, Error> {
    let indent = kwargs.get::<Option<usize>>("indent")?.or(indent);
    if indent.is_some_and(|n| n > MAX_INDENT) {
        return Err(refuse(format!("an indentation of more than {MAX_INDENT} columns")));
    }
    let sorted = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(sorted);
    let ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(true);
    kwargs.assert_all_used()?;
    let mut out = String::new();
    json(&plain(value)?, indent, 0, sorted, ascii, &mut out);
    Ok(out)
}

fn to_yaml(value: &Value, indent: usize, nice: bool, kwargs: &Kwargs) -> Result<String, Error> {
    let indent = kwargs.get::<Option<usize>>("indent")?.unwrap_or(indent).clamp(2, 9);
    let sorted = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(true);
    // Long lines are never folded here, which is what `width` is mostly set for.
    kwargs.get::<Option<usize>>("width")?;
    kwargs.assert_all_used()?;
    Ok(yaml::write(&plain(value)?, yaml::Style { indent, block: nice, sorted }))
}

/// Python's `json.dumps`: `", "` and `": "`, everything beyond ASCII as `\uXXXX`.
fn json(value: &Json, indent: Option<usize>, depth: usize, sorted: bool, ascii: bool, out: &mut String) {
    let break_line = |out: &mut String, depth: usize, last: bool| match indent {
        Some(n) => {
            out.push('\n');
            out.push_str(&" ".repeat(n * depth));
        }
        None if !last => out.push(' '),
        None => {}
    };
    match value {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                if at > 0 || indent.is_some() {
                    break_line(out, depth + 1, false);
                }
                json(item, indent, depth + 1, sorted, ascii, out);
            }
            break_line(out, depth, true);
            out.push(']');
        }
        Json::Object(map) if !map.is_empty() => {
            let mut entries: Vec<_> = map.iter().collect();
            if sorted {
                entries.sort_by_key(|(key, _)| *key);
            }
            out.push('{');
            for (at, (key, item)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                if at > 0 || indent.is_some() {
                    break_line(out, depth + 1, false);
                }
                quoted(key, ascii, out);
                out.push_str(": ");
                json(item, indent, depth + 1, sorted, ascii, out);
            }
            break_line(out, depth, true);
            out.push('}');
        }
        Json::String(text) => quoted(text, ascii, out),
        other => out.push_str(&other.to_string()),
    }
}

fn quoted(text: &str, ascii: bool, out: &mut String) {
    let plain = Json::from(text).to_string();
    if !ascii {
        return out.push_str(&plain);
    }
    for c in plain.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("a String takes everything");
            }
        }
    }
}

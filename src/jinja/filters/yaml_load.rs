//! `from_yaml`: YAML 1.1, as PyYAML reads it.
use saphyr_parser::{Event, Parser, ScalarStyle};

use super::yaml_types::{self, Plain};
use crate::jinja::args::Args;
use crate::jinja::collections;
use crate::jinja::error::{Error, Result};
use crate::jinja::value::{Dict, Value};

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    args.none("from_yaml")?;
    let text = match value {
        Value::Str(text) | Value::Markup(text) => text.clone(),
        Value::None if name == "from_yaml_all" => return Ok(Value::list(Vec::new())),
        other => return Ok(other.clone()),
    };
    let mut documents = documents(&text)?;
    if name == "from_yaml_all" {
        return Ok(Value::list(documents));
    }
    match documents.len() {
        0 => Ok(Value::None),
        1 => Ok(documents.remove(0)),
        _ => Err(Error::raised("expected a single document in the stream")),
    }
}

/// A collection being read.
enum Open {
    List(Vec<Value>),
    Dict(Dict, Option<Value>),
}

fn documents(text: &str) -> Result<Vec<Value>> {
    let (mut out, mut open, mut done): (Vec<Value>, Vec<Open>, Option<Value>) =
        (Vec::new(), Vec::new(), None);
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|e| Error::raised(format!("not YAML: {}", e.info())))?;
        let value = match event {
            Event::DocumentEnd => {
                out.push(done.take().unwrap_or(Value::None));
                continue;
            }
            Event::Alias(_) => {
                return Err(Error::refused("`from_yaml` of a text with anchors is not supported"));
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag)
                if anchor > 0 || tag.is_some() =>
            {
                return Err(Error::refused(
                    "`from_yaml` of a text with anchors or tags is not supported",
                ));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Dict(Dict::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::list(items),
                Some(Open::Dict(dict, _)) => Value::dict(dict),
                None => continue,
            },
            Event::Scalar(text, style, anchor, tag) => {
                if anchor > 0 || tag.is_some() {
                    return Err(Error::refused(
                        "`from_yaml` of a text with anchors or tags is not supported",
                    ));
                }
                scalar(&text, style)?
            }
            _ => continue,
        };
        match open.last_mut() {
            None => done = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Dict(dict, key)) => match key.take() {
                None => *key = Some(value),
                Some(key) if dict.set(key.clone(), value) => {}
                Some(key) => return Err(collections::unhashable(&key)),
            },
        }
    }
    Ok(out)
}

fn scalar(text: &str, style: ScalarStyle) -> Result<Value> {
    if style != ScalarStyle::Plain {
        return Ok(Value::from(text));
    }
    Ok(match yaml_types::plain(text) {
        Plain::Text => Value::from(text),
        Plain::Value => {
            return Err(Error::raised(
                "could not determine a constructor for `=`; put it in quotes",
            ));
        }
        Plain::Null => Value::None,
        Plain::Bool(b) => Value::Bool(b),
        Plain::Int(n) => Value::Int(n),
        Plain::Float(f) => Value::Float(f),
        Plain::Huge => return Err(crate::jinja::operators::too_large()),
        Plain::Timestamp => {
            return Err(Error::refused(format!(
                "`from_yaml` of a date is not supported: put `{text}` in quotes"
            )));
        }
        Plain::Merge => {
            return Err(Error::refused("`from_yaml` of a text with `<<` is not supported"));
        }
    })
}

//! Variables of a template: values of build-vars.yml, whose texts may contain Jinja.
use std::rc::Rc;

use serde_json::{Map, Value as Json};

use super::error::Result;
use super::value::{Dict, Lazy, Value};

/// Variables, prepared once for all templates of a bundle.
pub struct Variables(Dict);

impl Variables {
    pub fn new(all: &Map<String, Json>) -> Self {
        let mut dict = Dict::new();
        for (name, value) in all {
            dict.put(name, converted(name, value));
        }
        Self(dict)
    }

    pub(super) fn dict(&self) -> &Dict {
        &self.0
    }
}

fn converted(path: &str, json: &Json) -> Value {
    match json {
        Json::String(text) if ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) => {
            Value::Lazy(Rc::new(Lazy::Text(path.into(), text.as_str().into())))
        }
        Json::Array(items) => {
            let all: Vec<Value> = items
                .iter()
                .enumerate()
                .map(|(at, item)| converted(&format!("{path}.{at}"), item))
                .collect();
            if all.iter().any(is_lazy) {
                Value::Lazy(Rc::new(Lazy::List(all)))
            } else {
                Value::list(all)
            }
        }
        Json::Object(map) => {
            let mut dict = Dict::new();
            for (key, value) in map {
                dict.put(key, converted(&format!("{path}.{key}"), value));
            }
            if dict.values().any(is_lazy) {
                Value::Lazy(Rc::new(Lazy::Dict(dict)))
            } else {
                Value::dict(dict)
            }
        }
        other => plain(other).unwrap_or(Value::None),
    }
}

fn is_lazy(value: &Value) -> bool {
    matches!(value, Value::Lazy(_))
}

fn plain(json: &Json) -> Result<Value> {
    super::filters::from_json(json)
}

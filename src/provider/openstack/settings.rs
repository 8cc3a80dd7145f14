//! Values of clouds.yaml and `OS_*`: text as written, with origin, in order. No `Debug`, because
//! any value may be secret.
use std::fmt;
use std::rc::Rc;

use crate::frontend::build_vars::yaml::{Node, Position, Value as Yaml};

/// Origin of a value.
#[derive(Clone, PartialEq, Eq)]
pub enum Origin {
    File(Rc<str>, Position),
    Variable(Rc<str>),
    /// A built-in vendor profile.
    Vendor(&'static str),
    /// A default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, spot) => write!(f, "{file}:{}:{}", spot.line, spot.column),
            Self::Variable(name) => f.write_str(name),
            Self::Vendor(name) => write!(f, "profile {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

#[derive(Clone)]
pub enum Value {
    Null,
    /// `plain`: unquoted, so that `no` is a boolean.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Setting>),
    Map(Map),
}

#[derive(Clone)]
pub struct Setting {
    pub value: Value,
    pub origin: Origin,
}

impl Setting {
    pub fn text(text: impl Into<String>, origin: Origin) -> Self {
        Self { value: Value::Text { text: text.into(), plain: false }, origin }
    }

    pub fn from_yaml(node: Node, file: &Rc<str>) -> Self {
        let value = match node.value {
            Yaml::Null => Value::Null,
            Yaml::Scalar { text, plain } => Value::Text { text, plain },
            Yaml::List(items) => {
                Value::List(items.into_iter().map(|i| Self::from_yaml(i, file)).collect())
            }
            Yaml::Map(entries) => {
                let mut map = Map::default();
                entries.into_iter().for_each(|e| map.set(&e.key, Self::from_yaml(e.value, file)));
                Value::Map(map)
            }
        };
        Self { value, origin: Origin::File(file.clone(), node.spot) }
    }

    /// Non-empty text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text { text, .. } if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = &self.value { Some(map) } else { None }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// No value, or an empty text.
    pub fn is_nothing(&self) -> bool {
        matches!(&self.value, Value::Null)
            || matches!(&self.value, Value::Text { text, .. } if text.is_empty())
    }

    /// Boolean, as PyYAML reads it.
    pub fn as_bool(&self) -> Option<bool> {
        let Value::Text { text, plain: true } = &self.value else { return None };
        match text.as_str() {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        }
    }
}

/// In file order. A key that is set again keeps its position.
#[derive(Clone, Default)]
pub struct Map(Vec<(String, Setting)>);

impl Map {
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Setting> {
        self.0.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    pub fn set(&mut self, key: &str, value: Setting) {
        match self.get_mut(key) {
            Some(there) => *there = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    pub fn take(&mut self, key: &str) -> Option<Setting> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(k, _)| k.as_str())
    }

    /// Renames keys; if two become equal, the later value wins.
    pub fn renamed(self, name: impl Fn(&str) -> String) -> Self {
        let mut map = Self::default();
        self.0.into_iter().for_each(|(key, value)| map.set(&name(&key), value));
        map
    }

    /// Replaces `-` by `_` in keys, at every level.
    pub fn normalized(self) -> Self {
        let mut map = self.renamed(|key| key.replace('-', "_"));
        for (_, setting) in &mut map.0 {
            if let Value::Map(inner) = &mut setting.value {
                *inner = std::mem::take(inner).normalized();
            }
        }
        map
    }

    /// Merges `over` recursively, as secure.yaml into clouds.yaml.
    pub fn merge(&mut self, over: &Self) {
        for (key, value) in over.iter() {
            match (self.get_mut(key).map(|s| &mut s.value), &value.value) {
                (Some(Value::Map(below)), Value::Map(above)) => below.merge(above),
                _ => self.set(key, value.clone()),
            }
        }
    }

    /// Replaces keys by those of `over`; merges only `auth` key by key, as an entry over its
    /// profile.
    pub fn update(&mut self, over: &Self) {
        for (key, value) in over.iter() {
            match (self.get_mut(key).map(|s| &mut s.value), &value.value) {
                (Some(Value::Map(below)), Value::Map(above)) if key == "auth" => {
                    above.iter().for_each(|(k, v)| below.set(k, v.clone()));
                }
                _ => self.set(key, value.clone()),
            }
        }
    }
}

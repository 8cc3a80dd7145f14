//! The variables a template sees, as objects that remember what was asked of them and not there.
//!
//! minijinja stops at the first undefined variable. To report all of them, each one found is assumed to exist, and the
//! template is rendered again.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, Value};
use minijinja::{Error, ErrorKind, State};
use serde_json::{Map, Value as Json};

use super::jinja;

/// Text in build-vars.yml may itself be Jinja, as in Ansible; so deep it may go.
const DEPTH: usize = 20;
/// So many such texts may be rendered for one template: ten that name each other ten times each would be ten billion.
const EXPANSIONS: usize = 10_000;

#[derive(Debug, Default)]
struct Memory {
    /// Paths that were looked up in vain, oldest first.
    missing: Mutex<Vec<String>>,
    /// Paths that were found undefined, with the shape they are assumed to have.
    assumed: Mutex<BTreeMap<String, Shape>>,
    depth: AtomicUsize,
    expansions: AtomicUsize,
    root: OnceLock<Weak<Node>>,
}

/// What an undefined variable is taken for, so that the rest of the template can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Has every member, prints as text.
    Anything,
    Text,
    Number,
    List,
}

impl Shape {
    pub fn next(self) -> Option<Self> {
        match self {
            Shape::Anything => Some(Shape::Text),
            Shape::Text => Some(Shape::Number),
            Shape::Number => Some(Shape::List),
            Shape::List => None,
        }
    }

    fn value(self) -> Value {
        match self {
            Shape::Anything => Value::from_object(Anything),
            Shape::Text => Value::from("text"),
            Shape::Number => Value::from(1),
            Shape::List => Value::from(Vec::<Value>::new()),
        }
    }
}

#[derive(Debug)]
struct Anything;

impl Object for Anything {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_object(Anything))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
        Ok(Value::from_object(Anything))
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }
}

/// A mapping of the variables.
struct Node {
    /// `""`, `"vars"`, `"bundle.properties"`
    path: String,
    entries: Vec<(String, Value)>,
    memory: Arc<Memory>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|(k, v)| (k, v))).finish()
    }
}

impl Node {
    fn new(path: &str, map: &Map<String, Json>, memory: &Arc<Memory>) -> Arc<Self> {
        let entry = |(key, value): (&String, &Json)| {
            let value = match value {
                Json::Object(map) => Value::from_dyn_object(Self::new(&join(path, key), map, memory)),
                other => Value::from(Serde(other)),
            };
            (key.clone(), value)
        };
        Arc::new(Self { path: path.into(), entries: map.iter().map(entry).collect(), memory: memory.clone() })
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        let Some((_, value)) = self.entries.iter().find(|(k, _)| k == key) else {
            let path = join(&self.path, key);
            let assumed = self.memory.assumed.lock().expect("no panic while locked").get(&path).copied();
            if assumed.is_none() {
                self.memory.missing.lock().expect("no panic while locked").push(path);
            }
            return assumed.map(Shape::value);
        };
        match value.as_str() {
            Some(text) if text.contains("{{") || text.contains("{%") => {
                Some(self.memory.expand(&join(&self.path, key), text).map_or_else(Value::from, Value::from))
            }
            _ => Some(value.clone()),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.entries.iter().map(|(key, _)| Value::from(key.as_str())).collect())
    }
}

impl Memory {
    fn expand(&self, path: &str, text: &str) -> Result<String, Error> {
        let root = self.root.get().and_then(Weak::upgrade).expect("the root lives as long as a render");
        let depth = self.depth.fetch_add(1, Ordering::Relaxed);
        let out = if self.expansions.fetch_add(1, Ordering::Relaxed) >= EXPANSIONS {
            let why = format!("values of build-vars.yml name each other more than {EXPANSIONS} times, `{path}` among them");
            Err(Error::new(ErrorKind::OutOfFuel, why))
        } else if depth >= DEPTH {
            Err(Error::new(ErrorKind::InvalidOperation, format!("the value of `{path}` refers to itself")))
        } else {
            jinja::ANSIBLE.render_named_str(&format!("{EXPANDED}{path}"), text, Value::from_dyn_object(root))
        };
        self.depth.fetch_sub(1, Ordering::Relaxed);
        out
    }
}

/// Name of the template that the text of a variable is: this, then the variable's path.
pub const EXPANDED: &str = "build-vars.yml:";

/// All variables of one template.
pub struct Names {
    root: Arc<Node>,
}

impl Names {
    pub fn new(variables: &Map<String, Json>) -> Self {
        let memory = Arc::new(Memory::default());
        let root = Node::new("", variables, &memory);
        memory.root.set(Arc::downgrade(&root)).expect("just made");
        Self { root }
    }

    /// The context for one render. Forgets what earlier renders missed, keeps what is assumed.
    pub fn context(&self) -> Value {
        self.memory().expansions.store(0, Ordering::Relaxed);
        self.memory().missing.lock().expect("no panic while locked").clear();
        Value::from_dyn_object(self.root.clone())
    }

    /// What the last render looked up in vain, latest first. A name in it may be harmless (`x is defined`).
    pub fn missing(&self) -> Vec<String> {
        self.memory().missing.lock().expect("no panic while locked").iter().rev().cloned().collect()
    }

    pub fn assume(&self, path: &str, shape: Shape) {
        self.memory().assumed.lock().expect("no panic while locked").insert(path.into(), shape);
    }

    fn memory(&self) -> &Memory {
        &self.root.memory
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

//! Python values.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;

use super::error::{Error, Kind};
use super::run::{Block, Loop, Macro};
use super::scope::Scope;

/// A Python object. Lists and mappings are shared and mutable, as in Python.
#[derive(Clone)]
pub enum Value {
    /// Undefined, or a deferred failure; using it is an error.
    Missing(Rc<Error>),
    /// Placeholder after a reported error. Every operation on it succeeds.
    Guess,
    /// A text of build-vars.yml that contains Jinja, or a container of such.
    Lazy(Rc<Lazy>),
    None,
    /// `a if b` without `else`, for a false `b`: prints nothing.
    Nothing,
    /// Ansible's `omit`: removed from its container.
    Omit,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Rc<str>),
    /// An HTML-safe text.
    Markup(Rc<str>),
    Bytes(Rc<[u8]>),
    List(Rc<Shared<Vec<Value>>>),
    Tuple(Rc<Vec<Value>>),
    Dict(Rc<Shared<Dict>>),
    Range(i128, i128, i128),
    Namespace(Rc<RefCell<Dict>>),
    Loop(Rc<Loop>),
    Module(Rc<Module>),
    Function(Rc<Function>),
    Time(jiff::civil::DateTime),
    /// A duration, in microseconds.
    Span(i128),
}

/// A shared, mutable object.
pub struct Shared<T> {
    cell: RefCell<T>,
    /// A literal of the template. Ansible passes copies of those.
    plain: bool,
    /// A pair made by `groupby`.
    group: bool,
}

impl<T> Shared<T> {
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

impl<T> Deref for Shared<T> {
    type Target = RefCell<T>;

    fn deref(&self) -> &RefCell<T> {
        &self.cell
    }
}

/// A value evaluated on demand.
pub enum Lazy {
    /// Its location and text.
    Text(String, Rc<str>),
    List(Vec<Value>),
    Dict(Dict),
}

/// The result of `{% import %}`.
pub struct Module {
    pub name: Rc<str>,
    pub scope: Rc<Scope>,
    pub text: Rc<str>,
}

/// A callable.
pub enum Function {
    Macro(Macro),
    Global(&'static str),
    /// A method with its receiver.
    Method(Value, Rc<str>),
    /// `super` in a block: the block's definitions, and the current one's index.
    Block(usize, Rc<Vec<Rc<Block>>>),
    Cycler(Vec<Value>, Cell<usize>),
    Joiner(Value, Cell<bool>),
}

/// A mapping in insertion order.
#[derive(Clone, Default)]
pub struct Dict {
    entries: Vec<(Value, Value)>,
    places: HashMap<Key, usize>,
}

/// A hashable value. Equal in Python means equal here, including 1, 1.0 and true.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Key {
    None,
    Int(i128),
    Float(u64),
    Str(Rc<str>),
    Bytes(Rc<[u8]>),
    Tuple(Vec<Key>),
    Other(usize),
}

impl Key {
    /// `None` if unhashable (a list, a mapping).
    pub fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::None => Key::None,
            Value::Bool(b) => Key::Int(i128::from(*b)),
            Value::Int(n) => Key::Int(*n),
            Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e30 => Key::Int(*f as i128),
            Value::Float(f) => Key::Float(f.to_bits()),
            Value::Str(s) | Value::Markup(s) => Key::Str(s.clone()),
            Value::Bytes(b) => Key::Bytes(b.clone()),
            Value::Tuple(all) => Key::Tuple(all.iter().map(Key::of).collect::<Option<_>>()?),
            Value::Function(f) => Key::Other(Rc::as_ptr(f).cast::<()>() as usize),
            Value::Omit => Key::Other(1),
            _ => return None,
        })
    }
}

impl Dict {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn get(&self, key: &Value) -> Option<&Value> {
        self.places.get(&Key::of(key)?).map(|at| &self.entries[*at].1)
    }

    pub fn text(&self, key: &str) -> Option<&Value> {
        self.places.get(&Key::Str(key.into())).map(|at| &self.entries[*at].1)
    }

    pub fn has(&self, key: &Value) -> bool {
        Key::of(key).is_some_and(|key| self.places.contains_key(&key))
    }

    /// `false` if the key is unhashable.
    #[must_use]
    pub fn set(&mut self, key: Value, value: Value) -> bool {
        let Some(k) = Key::of(&key) else { return false };
        match self.places.get(&k) {
            Some(at) => self.entries[*at].1 = value,
            None => {
                self.places.insert(k, self.entries.len());
                self.entries.push((key, value));
            }
        }
        true
    }

    pub fn put(&mut self, key: &str, value: Value) {
        let _ = self.set(Value::from(key), value);
    }

    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        let at = self.places.remove(&Key::of(key)?)?;
        let (_, value) = self.entries.remove(at);
        self.places.values_mut().filter(|place| **place > at).for_each(|place| *place -= 1);
        Some(value)
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &(Value, Value)> {
        self.entries.iter()
    }

    pub fn keys(&self) -> impl Iterator<Item = &Value> {
        self.entries.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.entries.iter().map(|(_, value)| value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Value::Int(n as i128)
    }
}

impl Value {
    pub fn list(items: Vec<Value>) -> Self {
        Self::new_list(items, false)
    }

    /// A list; `plain` marks a literal.
    pub fn new_list(items: Vec<Value>, plain: bool) -> Self {
        Value::List(Rc::new(Shared { cell: RefCell::new(items), plain, group: false }))
    }

    /// A pair made by `groupby`.
    pub fn group(key: Value, items: Vec<Value>) -> Self {
        let items =
            Value::List(Rc::new(Shared { cell: RefCell::new(items), plain: false, group: true }));
        Value::tuple(vec![key, items])
    }

    /// Converts a pair made by `groupby` to an ordinary one.
    #[must_use]
    pub fn plain_pair(self) -> Self {
        match &self {
            Value::Tuple(t) => match &t[..] {
                [key, Value::List(items)] => {
                    Value::tuple(vec![key.clone(), Value::list(items.borrow().clone())])
                }
                _ => self,
            },
            _ => self,
        }
    }

    pub fn is_group(&self) -> bool {
        matches!(self, Value::Tuple(t) if matches!(&t[..], [_, Value::List(items)] if items.group))
    }

    pub fn new_dict(dict: Dict, plain: bool) -> Self {
        Value::Dict(Rc::new(Shared { cell: RefCell::new(dict), plain, group: false }))
    }

    /// Whether it is a container literal.
    pub fn is_plain(&self) -> bool {
        match self {
            Value::List(l) => l.is_plain(),
            Value::Dict(d) => d.is_plain(),
            _ => false,
        }
    }

    /// As passed on: copies literals.
    #[must_use]
    pub fn handed(self) -> Self {
        match &self {
            Value::List(l) if l.plain => Self::list(l.borrow().clone()),
            Value::Dict(d) if d.plain => Self::dict(d.borrow().clone()),
            _ => self,
        }
    }

    pub fn tuple(items: Vec<Value>) -> Self {
        Value::Tuple(Rc::new(items))
    }

    pub fn dict(dict: Dict) -> Self {
        Self::new_dict(dict, false)
    }

    pub fn function(function: Function) -> Self {
        Value::Function(Rc::new(function))
    }

    /// A text derived from this one; HTML-safe if this one is.
    pub fn same_text(&self, text: String) -> Self {
        if let Value::Markup(_) = self { Value::Markup(text.into()) } else { Value::from(text) }
    }

    /// Its text, if it is one.
    pub fn as_text(&self) -> Option<&Rc<str>> {
        match self {
            Value::Str(s) | Value::Markup(s) => Some(s),
            _ => None,
        }
    }

    /// Its integer value; true is 1.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Bool(b) => Some(i128::from(*b)),
            _ => None,
        }
    }

    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Float(f) => Some(*f),
            other => other.as_int().map(|n| n as f64),
        }
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }

    /// Name of its Python type.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Missing(why) if why.kind != Kind::Undefined => "CapturedExceptionMarker",
            Value::Missing(_) => "UndefinedMarker",
            Value::Guess | Value::Lazy(_) => "object",
            Value::None => "NoneType",
            Value::Omit => "_OmitType",
            Value::Nothing => "Undefined",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Markup(_) => "Markup",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Tuple(_) if self.is_group() => "GroupTuple",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Range(..) => "range",
            Value::Namespace(_) => "Namespace",
            Value::Loop(_) => "LoopContext",
            Value::Module(_) => "TemplateModule",
            Value::Function(f) => match **f {
                Function::Macro(_) => "Macro",
                Function::Cycler(..) | Function::Global("cycler") => "Cycler",
                Function::Joiner(..) | Function::Global("joiner") => "Joiner",
                Function::Global(name @ ("range" | "dict")) => name,
                Function::Global("namespace") => "Namespace",
                Function::Method(..) => "builtin_function_or_method",
                _ => "function",
            },
            Value::Time(_) => "datetime",
            Value::Span(_) => "timedelta",
        }
    }

    /// Python's `bool()`.
    pub fn truth(&self) -> Result<bool, Rc<Error>> {
        Ok(match self {
            Value::Missing(why) => return Err(why.clone()),
            Value::None | Value::Nothing => false,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Float(f) => *f != 0.0,
            Value::Str(s) | Value::Markup(s) => !s.is_empty(),
            Value::Bytes(b) => !b.is_empty(),
            Value::List(l) => !l.borrow().is_empty(),
            Value::Tuple(t) => !t.is_empty(),
            Value::Dict(d) => !d.borrow().is_empty(),
            Value::Range(a, b, s) => range_len(*a, *b, *s) > 0,
            Value::Span(us) => *us != 0,
            _ => true,
        })
    }
}

/// Length of a range.
pub fn range_len(start: i128, stop: i128, step: i128) -> usize {
    let (low, high, step) =
        if step > 0 { (start, stop, step) } else { (stop, start, step.saturating_neg()) };
    if low >= high {
        return 0;
    }
    high.checked_sub(low)
        .and_then(|width| usize::try_from((width - 1) / step + 1).ok())
        .unwrap_or(usize::MAX)
}

//! Values as Python has them: what names in a template stand for.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;

use super::error::{Error, Kind};
use super::run::{Block, Loop, Macro};
use super::scope::Scope;

/// A Python object. Lists and mappings are shared and can change, as in Python.
#[derive(Clone)]
pub enum Value {
    /// What is not there, or a failure that has not mattered yet; to use it is that error.
    Missing(Rc<Error>),
    /// Stands for what an error that is already on record would have been. Agrees to everything.
    Guess,
    /// A text of build-vars.yml that holds Jinja, or a container of such.
    Lazy(Rc<Lazy>),
    None,
    /// What `a if b` without `else` gives when `b` is false: it prints as nothing.
    Nothing,
    /// Ansible's `omit`: drops out of the container that it stands in.
    Omit,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Rc<str>),
    /// A text that counts as HTML.
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
    /// Microseconds.
    Span(i128),
}

/// What can be changed, and is shared by all that name it.
pub struct Shared<T> {
    cell: RefCell<T>,
    /// It was written down in the template itself. Ansible makes a copy of such when it is handed
    /// on.
    plain: bool,
    /// The entries of a pair that `groupby` made.
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

/// What is worked out when it is asked for.
pub enum Lazy {
    /// Where it stands, and what it says.
    Text(String, Rc<str>),
    List(Vec<Value>),
    Dict(Dict),
}

/// What an `{% import %}` gives.
pub struct Module {
    pub name: Rc<str>,
    pub scope: Rc<Scope>,
    pub text: Rc<str>,
}

/// What can be called.
pub enum Function {
    Macro(Macro),
    Global(&'static str),
    /// A method, and what it is a method of.
    Method(Value, Rc<str>),
    /// `super` in a block: the definitions of the block, and which of them it is.
    Block(usize, Rc<Vec<Rc<Block>>>),
    Cycler(Vec<Value>, Cell<usize>),
    Joiner(Value, Cell<bool>),
}

/// A mapping that keeps the order in which keys came.
#[derive(Clone, Default)]
pub struct Dict {
    entries: Vec<(Value, Value)>,
    places: HashMap<Key, usize>,
}

/// A value as a key: what is equal in Python is equal here, 1 and 1.0 and true among it.
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
    /// `None`: it cannot be a key (a list, a mapping).
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

    /// `false`: the key cannot be one.
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

    /// One that is `plain`, or is not.
    pub fn new_list(items: Vec<Value>, plain: bool) -> Self {
        Value::List(Rc::new(Shared { cell: RefCell::new(items), plain, group: false }))
    }

    /// A pair that `groupby` makes.
    pub fn group(key: Value, items: Vec<Value>) -> Self {
        let items =
            Value::List(Rc::new(Shared { cell: RefCell::new(items), plain: false, group: true }));
        Value::tuple(vec![key, items])
    }

    /// Of a pair that `groupby` made, a pair like any other.
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

    /// It is a container that was written down in the template.
    pub fn is_plain(&self) -> bool {
        match self {
            Value::List(l) => l.is_plain(),
            Value::Dict(d) => d.is_plain(),
            _ => false,
        }
    }

    /// As it is handed on: of what is plain a copy.
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

    /// A text that was made of this one: it counts as HTML if this one does.
    pub fn same_text(&self, text: String) -> Self {
        if let Value::Markup(_) = self { Value::Markup(text.into()) } else { Value::from(text) }
    }

    /// The text that it is, if it is one.
    pub fn as_text(&self) -> Option<&Rc<str>> {
        match self {
            Value::Str(s) | Value::Markup(s) => Some(s),
            _ => None,
        }
    }

    /// The whole number that it is; true is 1.
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

    /// Python's name of its type.
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

/// How many numbers a range has.
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

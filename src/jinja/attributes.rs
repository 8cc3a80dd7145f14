//! Attribute and item access of Python values.
use std::rc::Rc;

use super::error::{Error, Result};
use super::value::{Function, Value};

pub const TEXT: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
    "format_map",
    "maketrans",
];
const LIST: &[&str] = &[
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse",
    "sort",
];
const DICT: &[&str] = &[
    "clear",
    "copy",
    "fromkeys",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];
const INT: &[&str] =
    &["as_integer_ratio", "bit_count", "bit_length", "conjugate", "from_bytes", "to_bytes"];
const FLOAT: &[&str] = &["as_integer_ratio", "conjugate", "fromhex", "hex", "is_integer"];
const BYTES: &[&str] = &["decode", "hex"];
const TIME: &[&str] = &[
    "strftime",
    "isoformat",
    "date",
    "time",
    "timestamp",
    "weekday",
    "isoweekday",
    "replace",
    "timetuple",
];

pub fn of_dict(name: &str) -> bool {
    DICT.contains(&name)
}

/// Python's `getattr`.
pub fn find(value: &Value, name: &Rc<str>) -> Result<Option<Value>> {
    let method = || Some(Value::function(Function::Method(value.clone(), name.clone())));
    let among = |names: &[&str]| if names.contains(&&**name) { method() } else { None };
    Ok(match value {
        _ if name.starts_with('_') => None,
        Value::Str(_) | Value::Markup(_) => among(TEXT),
        Value::List(_) => among(LIST),
        Value::Tuple(_) => among(&["count", "index"]),
        Value::Dict(_) => among(DICT),
        Value::Bytes(_) => among(BYTES),
        Value::Bool(_) | Value::Int(_) => match &**name {
            "real" | "numerator" => value.as_int().map(Value::Int),
            "imag" => Some(Value::Int(0)),
            "denominator" => Some(Value::Int(1)),
            _ => among(INT),
        },
        Value::Float(f) => match &**name {
            "real" => Some(Value::Float(*f)),
            "imag" => Some(Value::Float(0.0)),
            _ => among(FLOAT),
        },
        Value::Range(start, stop, step) => match &**name {
            "start" => Some(Value::Int(*start)),
            "stop" => Some(Value::Int(*stop)),
            "step" => Some(Value::Int(*step)),
            _ => None,
        },
        Value::Time(_) | Value::Span(_) => match super::time::member(value, name) {
            Some(found) => Some(found),
            None if matches!(value, Value::Time(_)) => among(TIME),
            None => among(&["total_seconds"]),
        },
        Value::Namespace(members) => members.borrow().text(name).cloned(),
        Value::Module(m) => m.scope.own(name),
        Value::Loop(l) => return of_loop(l, name, method),
        Value::Function(f) => return of_function(f, name, method),
        _ => None,
    })
}

fn of_loop(
    l: &super::run::Loop,
    name: &str,
    method: impl Fn() -> Option<Value>,
) -> Result<Option<Value>> {
    let (at, length) = (l.index(), l.items.len());
    let neighbour = |item: Option<&Value>, which: &str| {
        let none = || {
            Value::Missing(Error::undefined(
                format!("loop.{which}"),
                format!("there is no {which} item"),
            ))
        };
        item.cloned().unwrap_or_else(none)
    };
    Ok(Some(match name {
        "index" => Value::from(at + 1),
        "index0" => Value::from(at),
        "revindex" => Value::from(length - at),
        "revindex0" => Value::from(length - at - 1),
        "first" => Value::Bool(at == 0),
        "last" => Value::Bool(at + 1 == length),
        "length" => Value::from(length),
        "depth" => Value::from(l.depth + 1),
        "depth0" => Value::from(l.depth),
        "previtem" => neighbour(at.checked_sub(1).and_then(|at| l.items.get(at)), "previtem"),
        "nextitem" => neighbour(l.items.get(at + 1), "nextitem"),
        "cycle" | "changed" => return Ok(method()),
        _ => return Ok(None),
    }))
}

fn of_function(
    f: &Rc<Function>,
    name: &Rc<str>,
    method: impl Fn() -> Option<Value>,
) -> Result<Option<Value>> {
    Ok(match (&**f, &**name) {
        (Function::Macro(m), "name") => Some(Value::Str(m.what.name.clone())),
        (Function::Macro(m), "arguments") => Some(Value::tuple(
            m.what.parameters.iter().map(|(name, _)| Value::Str(name.clone())).collect(),
        )),
        (Function::Macro(m), "catch_varargs") => Some(Value::Bool(m.what.uses[0])),
        (Function::Macro(m), "catch_kwargs") => Some(Value::Bool(m.what.uses[1])),
        (Function::Macro(m), "caller") => Some(Value::Bool(m.what.uses[2])),
        (Function::Cycler(items, at), "current") => Some(items[at.get()].clone()),
        (Function::Cycler(..), "next" | "reset") => method(),
        (Function::Global("dict"), "fromkeys") => method(),
        (Function::Global("self"), _) => method(),
        (Function::Block(at, all), "super") => {
            Some(Value::function(Function::Block(at + 1, all.clone())))
                .filter(|_| at + 1 < all.len())
        }
        _ => None,
    })
}

/// `value[index]`.
pub fn index(value: &Value, index: &Value) -> Result<Option<Value>> {
    Ok(match value {
        Value::Dict(d) => d.borrow().get(index).cloned(),
        Value::List(l) => {
            let l = l.borrow();
            position(l.len(), index).map(|at| l[at].clone())
        }
        Value::Tuple(t) => match index {
            Value::Str(name) if value.is_group() && **name == *"grouper" => t.first().cloned(),
            Value::Str(name) if value.is_group() && **name == *"list" => t.last().cloned(),
            _ => position(t.len(), index).map(|at| t[at].clone()),
        },
        Value::Str(s) | Value::Markup(s) => {
            let found = position(s.chars().count(), index).and_then(|at| s.chars().nth(at));
            found.map(|c| value.same_text(c.to_string()))
        }
        Value::Bytes(b) => position(b.len(), index).map(|at| Value::Int(i128::from(b[at]))),
        Value::Range(start, stop, step) => {
            position(super::value::range_len(*start, *stop, *step), index)
                .map(|at| Value::Int(start + step * at as i128))
        }
        _ => None,
    })
}

/// Resolves an index; negative ones count from the end.
pub fn position(length: usize, index: &Value) -> Option<usize> {
    let n = index.as_int()?;
    let at = if n < 0 { n + length as i128 } else { n };
    usize::try_from(at).ok().filter(|at| *at < length)
}

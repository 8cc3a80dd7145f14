//! The filters and tests Ansible users expect, where minijinja lacks them or means something else by the name.
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

mod data;
mod sets;
mod text;
pub mod yaml;

/// All names that can stand after `|`, for "did you mean".
pub const NAMES: &[&str] = &[
    "abs",
    "attr",
    "b64decode",
    "b64encode",
    "basename",
    "batch",
    "bool",
    "capitalize",
    "center",
    "combine",
    "count",
    "d",
    "default",
    "dict2items",
    "dictsort",
    "difference",
    "dirname",
    "first",
    "flatten",
    "float",
    "format",
    "from_json",
    "from_yaml",
    "groupby",
    "hash",
    "indent",
    "int",
    "intersect",
    "items",
    "items2dict",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "mandatory",
    "map",
    "max",
    "min",
    "quote",
    "regex_escape",
    "regex_findall",
    "regex_replace",
    "regex_search",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "splitext",
    "string",
    "sum",
    "symmetric_difference",
    "ternary",
    "title",
    "to_json",
    "to_nice_json",
    "to_nice_yaml",
    "to_yaml",
    "tojson",
    "trim",
    "union",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "zip",
];

pub fn add(env: &mut Environment<'static>) {
    data::add(env);
    sets::add(env);
    text::add(env);
    env.add_filter("bool", bool);
    env.add_filter("int", int);
    env.add_filter("float", float);
    env.add_filter("ternary", ternary);
    env.add_filter("mandatory", mandatory);
    env.add_test("version", version);
    env.add_function("lookup", lookup);
    env.add_function("query", lookup);
    // Ansible's full names mean the same.
    for name in NAMES {
        if let Some(filter) = filter(env, name) {
            env.add_filter(format!("ansible.builtin.{name}"), filter);
        }
    }
    for (name, why) in REFUSED {
        env.add_filter(*name, move |_: Value, _: Rest<Value>| -> Result<Value, Error> { Err(refuse(*why)) });
    }
}

/// Filters whose absence has a reason worth telling.
const REFUSED: &[(&str, &str)] = &[
    ("ipaddr", "`ipaddr` is not supported; write the address down in build-vars.yml, under `vars:`"),
    ("json_query", "`json_query` is not supported; use `selectattr` and `map(attribute=…)`"),
    ("password_hash", "`password_hash` is not supported: its salt would make every build different; put the hash under `vars:`"),
    ("vault", "`vault` is not supported; a rendered template is no place for secrets"),
    ("unvault", "`unvault` is not supported; a rendered template is no place for secrets"),
    ("random", "`random` is not supported: the same build would render differently each time"),
];

/// A filter that calls the filter `name`; `None` if there is none.
fn filter(env: &Environment<'static>, name: &'static str) -> Option<impl Fn(&mut State, Rest<Value>) -> Result<Value, Error> + use<>> {
    let known = env.empty_state().apply_filter(name, &[]).err().is_none_or(|e| e.kind() != ErrorKind::UnknownFilter);
    known.then_some(move |state: &mut State, args: Rest<Value>| state.apply_filter(name, &args))
}

/// An error whose message a user is to read.
fn refuse(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

/// Any value as text; an undefined one is an error.
fn text_of(value: &Value) -> Result<String, Error> {
    defined(value)?;
    Ok(value.as_str().map_or_else(|| value.to_string(), str::to_string))
}

fn defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(()) }
}

/// minijinja's `bool` is truthiness, which would make `"no"` true.
fn bool(value: &Value) -> Result<Value, Error> {
    defined(value)?;
    Ok(match value.kind() {
        ValueKind::None | ValueKind::Bool => value.clone(),
        ValueKind::String => Value::from(matches!(text_of(value)?.to_lowercase().as_str(), "yes" | "on" | "1" | "true" | "y" | "t")),
        _ => Value::from(*value == Value::from(1)),
    })
}

/// Jinja's `int`: what is no number is the default, 0.
fn int(value: &Value, default: Option<Value>, base: Option<u32>, kwargs: Kwargs) -> Result<Value, Error> {
    defined(value)?;
    let default = match default {
        Some(d) => d,
        None => kwargs.get::<Option<Value>>("default")?.unwrap_or_else(|| Value::from(0)),
    };
    let base = match base {
        Some(b) => b,
        None => kwargs.get::<Option<u32>>("base")?.unwrap_or(10),
    };
    kwargs.assert_all_used()?;
    if !(2..=36).contains(&base) {
        return Err(refuse(format!("`int` with base {base}: it must be between 2 and 36")));
    }
    Ok(match value.kind() {
        ValueKind::Bool => Value::from(i64::from(value.is_true())),
        ValueKind::Number if value.is_integer() => value.clone(),
        ValueKind::Number => f64::try_from(value.clone()).ok().and_then(whole).unwrap_or(default),
        ValueKind::String => {
            let text = text_of(value)?.trim().replace('_', "");
            let digits = match base {
                2 => text.trim_start_matches("0b"),
                8 => text.trim_start_matches("0o"),
                16 => text.trim_start_matches("0x"),
                _ => &text,
            };
            match i128::from_str_radix(digits, base) {
                Ok(n) => Value::from(n),
                Err(_) => text.parse().ok().and_then(whole).unwrap_or(default),
            }
        }
        _ => default,
    })
}

fn whole(number: f64) -> Option<Value> {
    number.is_finite().then(|| Value::from(number as i128))
}

fn float(value: &Value, default: Option<f64>) -> Result<f64, Error> {
    defined(value)?;
    let default = default.unwrap_or(0.0);
    Ok(match value.kind() {
        ValueKind::Bool => f64::from(u8::from(value.is_true())),
        ValueKind::Number => f64::try_from(value.clone()).unwrap_or(default),
        ValueKind::String => text_of(value)?.trim().parse().unwrap_or(default),
        _ => default,
    })
}

fn ternary(value: &Value, yes: Value, no: Value, none: Option<Value>) -> Result<Value, Error> {
    defined(value)?;
    match none {
        Some(none) if value.is_none() => Ok(none),
        _ if value.is_true() => Ok(yes),
        _ => Ok(no),
    }
}

fn mandatory(value: &Value, message: Option<String>) -> Result<Value, Error> {
    match message {
        Some(message) if value.is_undefined() => Err(refuse(message)),
        _ => defined(value).map(|()| value.clone()),
    }
}

/// `is version('1.10', '>=')`: numbers compare as numbers, the rest as text.
fn version(value: &Value, other: &Value, operator: Option<&str>, _: Kwargs) -> Result<bool, Error> {
    let parts = |v: &Value| -> Result<Vec<(u64, String)>, Error> {
        let part = |p: &str| (p.parse().unwrap_or(0), if p.parse::<u64>().is_ok() { String::new() } else { p.to_string() });
        Ok(text_of(v)?.trim_start_matches('v').split(['.', '-', '+', '_']).map(part).collect())
    };
    let order = parts(value)?.cmp(&parts(other)?);
    match operator.unwrap_or("==") {
        "==" | "=" | "eq" => Ok(order.is_eq()),
        "!=" | "<>" | "ne" => Ok(order.is_ne()),
        "<" | "lt" => Ok(order.is_lt()),
        "<=" | "le" => Ok(order.is_le()),
        ">" | "gt" => Ok(order.is_gt()),
        ">=" | "ge" => Ok(order.is_ge()),
        other => Err(refuse(format!("`version` does not know the operator `{other}`"))),
    }
}

/// What a template renders to must follow from the bundle and the image alone.
fn lookup(kind: &str, _: Rest<Value>) -> Result<Value, Error> {
    let instead = match kind {
        "env" => "put the value under `vars:` in build-vars.yml",
        "file" | "template" => "put the file under output/ and `{% include %}` it, or its text under `vars:`",
        _ => "put the value under `vars:` in build-vars.yml",
    };
    Err(refuse(format!("lookup('{kind}') is not supported, so that a bundle renders the same everywhere: {instead}")))
}

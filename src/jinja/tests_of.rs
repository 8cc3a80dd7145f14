//! The tests (`is …`) of Jinja and ansible-core.
use std::rc::Rc;

use super::args::Args;
use super::ast::{Comparison, Operator};
use super::error::{Error, Kind, Result};
use super::filters::{self, regex::Pattern};
use super::value::{Key, Value};
use super::{iterate, operators, show, versions};

pub const NAMES: &[&str] = &[
    "abs",
    "all",
    "any",
    "boolean",
    "callable",
    "change",
    "changed",
    "contains",
    "defined",
    "directory",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "exists",
    "failed",
    "failure",
    "false",
    "falsy",
    "file",
    "filter",
    "finished",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "is_abs",
    "is_dir",
    "is_file",
    "is_link",
    "is_mount",
    "is_same_file",
    "isnan",
    "issubset",
    "issuperset",
    "iterable",
    "le",
    "lessthan",
    "link",
    "link_exists",
    "lower",
    "lt",
    "mapping",
    "match",
    "mount",
    "nan",
    "ne",
    "none",
    "number",
    "odd",
    "reachable",
    "regex",
    "same_file",
    "sameas",
    "search",
    "sequence",
    "skip",
    "skipped",
    "started",
    "string",
    "subset",
    "succeeded",
    "success",
    "successful",
    "superset",
    "test",
    "timedout",
    "true",
    "truthy",
    "undefined",
    "unreachable",
    "upper",
    "uri",
    "url",
    "urn",
    "vault_encrypted",
    "vaulted_file",
    "version",
    "version_compare",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
];

pub fn known(name: &str) -> bool {
    NAMES.contains(&name)
}

pub fn unknown(name: &str) -> Rc<Error> {
    Error::new(Kind::UnknownTest, format!("test {name} is unknown"))
}

/// Whether it accepts an undefined value.
pub fn takes_missing(name: &str) -> bool {
    matches!(name, "defined" | "undefined" | "vault_encrypted")
}

pub fn apply(name: &str, value: Value, args: &Args) -> Result<bool> {
    applied(name, value, args).map_err(|e| e.called("this test", name))
}

fn applied(name: &str, value: Value, args: &Args) -> Result<bool> {
    if let Some(comparison) = comparison(name) {
        let bound = args.bind("this test", &["other"])?;
        return operators::compare(comparison, &value, bound.wanted("other")?);
    }
    match name {
        "defined" | "undefined" => {
            args.none("this test")?;
            Ok(missing(&value)? == (name == "undefined"))
        }
        "divisibleby" | "even" | "odd" => divisible(name, &value, args),
        "sameas" => same(&value, args.bind("sameas", &["other"])?.wanted("other")?),
        "filter" | "test" => {
            args.none("this test")?;
            let text = show::text(&value)?;
            let short = filters::short(&text);
            Ok(if name == "filter" { filters::NAMES.contains(&short) } else { known(short) })
        }
        "truthy" | "falsy" => {
            let convert = args.bind("this test", &["convert_bool"])?.truth("convert_bool")?;
            Ok(truthy(&value, convert)? == (name == "truthy"))
        }
        "match" | "search" | "regex" => matched(name, &value, args),
        "version" | "version_compare" => versions::test(&value, args),
        "contains" => {
            operators::contains(&value, args.bind("contains", &["value"])?.wanted("value")?)
        }
        "subset" | "issubset" | "superset" | "issuperset" => within(name, &value, args),
        "all" | "any" => {
            args.none("this test")?;
            all_or_any(name, &value)
        }
        "uri" | "url" | "urn" => uri(name, &value, args),
        "vault_encrypted" => {
            args.none("this test")?;
            if let Value::Missing(why) = value { Err(why) } else { Ok(false) }
        }
        "abs" | "is_abs" => {
            args.none("this test")?;
            absolute(&value)
        }
        "directory" | "is_dir" | "file" | "is_file" | "exists" | "link" | "is_link"
        | "link_exists" | "mount" | "is_mount" | "same_file" | "is_same_file" | "vaulted_file" => {
            Err(Error::refused(format!(
                "the test `{name}` is not supported: a template sees no files of the factory"
            )))
        }
        "failed" | "failure" | "success" | "succeeded" | "successful" | "changed" | "change"
        | "skipped" | "skip" | "unreachable" | "reachable" | "finished" | "started"
        | "timedout" => result(name, &value, args),
        name => {
            args.none("this test")?;
            kind(name, &value)
        }
    }
}

/// Whether the value is undefined. Fails if its evaluation failed for another reason.
fn missing(value: &Value) -> Result<bool> {
    match value {
        Value::Nothing => Ok(true),
        Value::Missing(why) if why.kind == Kind::Undefined => Ok(true),
        Value::Missing(why) => Err(why.clone()),
        _ => Ok(false),
    }
}

/// `divisibleby`, `even` and `odd`.
fn divisible(name: &str, value: &Value, args: &Args) -> Result<bool> {
    let by = if name == "divisibleby" {
        args.bind("divisibleby", &["num"])?.wanted("num")?.clone()
    } else {
        args.none("this test")?;
        Value::Int(2)
    };
    let rest = operators::calculate(Operator::Mod, value, &by)?.as_number();
    Ok(rest == Some(if name == "odd" { 1.0 } else { 0.0 }))
}

/// `subset` and `superset`.
fn within(name: &str, value: &Value, args: &Args) -> Result<bool> {
    let other = iterate::items(args.bind("this test", &["b"])?.wanted("b")?)?;
    let (a, b) = (keys(&iterate::items(value)?)?, keys(&other)?);
    Ok(if name.ends_with("subset") {
        a.iter().all(|k| b.contains(k))
    } else {
        b.iter().all(|k| a.contains(k))
    })
}

/// `all` and `any`. Evaluates no item after the first that decides.
fn all_or_any(name: &str, value: &Value) -> Result<bool> {
    for item in iterate::items_even_missing(value)? {
        if item.truth()? == (name == "any") {
            return Ok(name == "any");
        }
    }
    Ok(name == "all")
}

fn absolute(value: &Value) -> Result<bool> {
    let path = value.as_text().ok_or_else(|| {
        Error::raised(format!("expected str, bytes or os.PathLike object, not {}", value.kind()))
    })?;
    Ok(path.starts_with('/'))
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "eq" | "equalto" | "==" => Comparison::Eq,
        "ne" | "!=" => Comparison::Ne,
        "lt" | "lessthan" | "<" => Comparison::Lt,
        "le" | "<=" => Comparison::Le,
        "gt" | "greaterthan" | ">" => Comparison::Gt,
        "ge" | ">=" => Comparison::Ge,
        "in" => Comparison::In,
        _ => return None,
    })
}

/// Type tests.
fn kind(name: &str, value: &Value) -> Result<bool> {
    let text = |value: &Value| show::text(value);
    let number = matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_));
    let sized = matches!(
        value,
        Value::Str(_)
            | Value::Markup(_)
            | Value::Bytes(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Dict(_)
    );
    let sized = sized || matches!(value, Value::Range(..));
    let cased = |c: char| c.is_uppercase() || c.is_lowercase();
    Ok(match name {
        "boolean" => matches!(value, Value::Bool(_)),
        "callable" => matches!(value, Value::Function(_) | Value::Loop(_)),
        "escaped" => matches!(value, Value::Markup(_)),
        "false" => matches!(value, Value::Bool(false)),
        "true" => matches!(value, Value::Bool(true)),
        "float" => matches!(value, Value::Float(_)),
        "integer" => matches!(value, Value::Int(_)),
        "number" => number,
        "iterable" => sized || matches!(value, Value::Loop(_)),
        "sequence" => sized,
        "mapping" => matches!(value, Value::Dict(_)),
        "none" => value.is_none(),
        "string" => value.as_text().is_some(),
        "lower" => text(value)?.chars().any(cased) && !text(value)?.chars().any(char::is_uppercase),
        "upper" => text(value)?.chars().any(cased) && !text(value)?.chars().any(char::is_lowercase),
        _ => matches!(value, Value::Float(f) if f.is_nan()),
    })
}

/// `is`: equality for small values, identity for lists and mappings.
fn same(a: &Value, b: &Value) -> Result<bool> {
    Ok(match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Int(a), Value::Int(b)) if (-5..=256).contains(a) || a != b => a == b,
        _ if std::mem::discriminant(a) != std::mem::discriminant(b) => false,
        _ => {
            return Err(Error::refused(
                "`sameas` for texts and numbers is not supported; use `eq`",
            ));
        }
    })
}

fn truthy(value: &Value, convert: bool) -> Result<bool> {
    if convert {
        let text = show::text(value)?.to_lowercase();
        if ["y", "yes", "on", "1", "true", "t", "1.0"].contains(&text.trim()) {
            return Ok(true);
        }
        if ["n", "no", "off", "0", "false", "f", "0.0"].contains(&text.trim()) {
            return Ok(false);
        }
    }
    value.truth()
}

fn keys(items: &[Value]) -> Result<std::collections::HashSet<Key>> {
    items.iter().map(|v| Key::of(v).ok_or_else(|| super::collections::unhashable(v))).collect()
}

fn matched(name: &str, value: &Value, args: &Args) -> Result<bool> {
    let names: &[&str] = &["pattern", "ignorecase", "multiline", "match_type"];
    let b = args.bind(
        "this test",
        if name == "regex" { names } else { &["pattern", "ignorecase", "multiline"] },
    )?;
    let text = value.as_text().cloned();
    let text = match (text, value) {
        (Some(text), _) => text,
        (None, other) => show::text(other)?,
    };
    let pattern = Pattern::new(
        &b.text_or("pattern", "")?,
        b.truth("ignorecase")?,
        b.truth("multiline")?,
        &text,
    )?;
    let mode = if name == "regex" { b.text_or("match_type", "search")? } else { name.into() };
    match &*mode {
        "search" => Ok(pattern.regex.is_match(&text)),
        "match" => Ok(Pattern::new(
            &format!("\\A(?:{})", b.text_or("pattern", "")?),
            b.truth("ignorecase")?,
            b.truth("multiline")?,
            &text,
        )?
        .regex
        .is_match(&text)),
        "fullmatch" => {
            let whole = format!("\\A(?:{})\\Z", b.text_or("pattern", "")?);
            Ok(Pattern::new(&whole, b.truth("ignorecase")?, b.truth("multiline")?, &text)?
                .regex
                .is_match(&text))
        }
        other => Err(Error::raised(format!("there is no way `{other}` to match"))),
    }
}

fn uri(name: &str, value: &Value, args: &Args) -> Result<bool> {
    let schemes = if name == "urn" {
        args.none("urn")?;
        Some(vec![Value::from("urn")])
    } else {
        args.bind("this test", &["schemes"])?.some("schemes").map(iterate::items).transpose()?
    };
    let Some(Ok([scheme, netloc, ..])) = value.as_text().map(|t| filters::split_url(t)) else {
        return Ok(false);
    };
    let listed = |all: &Vec<Value>| {
        all.is_empty() || all.iter().any(|s| s.as_text().is_some_and(|s| *s == scheme))
    };
    let fits = schemes.as_ref().is_none_or(listed);
    Ok(fits && (name != "url" || !netloc.is_empty() || &*scheme == "file"))
}

/// Tests of task results.
fn result(name: &str, value: &Value, args: &Args) -> Result<bool> {
    args.none("this test")?;
    let Value::Dict(dict) = value else {
        return Err(Error::raised(format!("The '{name}' test expects a dictionary")));
    };
    let dict = dict.borrow();
    let holds = |key: &str| dict.text(key).map_or(Ok(false), Value::truth);
    match name {
        "failed" | "failure" => holds("failed"),
        "success" | "succeeded" | "successful" => holds("failed").map(|failed| !failed),
        "unreachable" => holds("unreachable"),
        "reachable" => holds("unreachable").map(|gone| !gone),
        "skipped" | "skip" => holds("skipped"),
        "finished" | "started" => dict.text(name).map_or(Ok(true), Value::truth),
        "timedout" => match dict.text("timedout") {
            Some(found) if found.truth()? => match found {
                Value::Dict(inner) => inner.borrow().text("period").map_or(Ok(false), Value::truth),
                other => {
                    Err(Error::raised(format!("'{}' object has no attribute 'get'", other.kind())))
                }
            },
            _ => Ok(false),
        },
        _ if dict.text("changed").is_some() => holds("changed"),
        _ => match dict.text("results") {
            Some(Value::List(results)) => {
                let changed = |r: &Value| match r {
                    Value::Dict(r) => r.borrow().text("changed").map_or(Ok(false), Value::truth),
                    _ => Ok(false),
                };
                Ok(results
                    .borrow()
                    .iter()
                    .map(changed)
                    .collect::<Result<Vec<_>>>()?
                    .contains(&true))
            }
            _ => Ok(false),
        },
    }
}

//! Calls of functions and methods.
use std::cell::Cell;
use std::rc::Rc;

use super::args::Args;
use super::error::{Error, Result};
use super::iterate;
use super::run::Run;
use super::scope::Scope;
use super::value::{Dict, Function, Value};
use super::{collections, markup, numbers, operators, text_methods, time};

pub fn call(run: &Run, function: &Function, args: &Args, scope: &Rc<Scope>) -> Result<Value> {
    match function {
        Function::Macro(_) => unreachable!("macros are called elsewhere"),
        Function::Global(name) => global(name, args),
        Function::Method(value, name) => {
            let result = match value {
                Value::Function(f) if matches!(**f, Function::Global("self")) => {
                    args.none("self").and_then(|()| run.named_block(name, scope))
                }
                _ => method(value, name, args),
            };
            result.map_err(|e| e.called("this method", name))
        }
        Function::Block(at, all) => {
            args.none("super")?;
            run.call_block(all, *at, scope)
        }
        Function::Cycler(..) => Err(Error::raised("'Cycler' object is not callable")),
        Function::Joiner(separator, used) => {
            args.none("joiner")?;
            Ok(if used.replace(true) { separator.clone() } else { Value::from("") })
        }
    }
}

fn global(name: &'static str, args: &Args) -> Result<Value> {
    match name {
        "range" => range(args),
        "dict" => collections::new_dict(args).map(Value::dict),
        "namespace" => {
            let dict = collections::new_dict(args)?;
            Ok(Value::Namespace(Rc::new(dict.into())))
        }
        "cycler" => {
            if args.positional.is_empty() {
                return Err(Error::raised("at least one item has to be provided"));
            }
            Ok(Value::function(Function::Cycler(args.positional.clone(), Cell::new(0))))
        }
        "joiner" => {
            let separator = args.bind("joiner", &["sep"])?.get("sep").cloned();
            Ok(Value::function(Function::Joiner(
                separator.unwrap_or_else(|| Value::from(", ")),
                Cell::new(false),
            )))
        }
        "undef" => {
            let hint = args.bind("undef", &["hint"])?.text_or("hint", "")?;
            let why =
                if hint.is_empty() { "Mandatory variable has not been overridden" } else { &*hint };
            Ok(Value::Missing(Error::undefined("", why)))
        }
        "lookup" | "query" | "q" => Err(lookup(args)),
        "lipsum" => {
            Err(Error::refused("`lipsum` is not supported: it would render differently each time"))
        }
        _ => {
            Err(Error::refused("`now` is not supported: `build_date` holds the time of the build"))
        }
    }
}

/// Refuses lookups: output must depend only on the bundle and the image.
fn lookup(args: &Args) -> Rc<Error> {
    let kind = args
        .positional
        .first()
        .and_then(Value::as_text)
        .map_or("?", |t| t.rsplit('.').next().unwrap_or(t));
    let instead = match kind {
        "file" | "template" => {
            "put the file under output/ and `{% include %}` it, or its text under `vars:`"
        }
        "vars" => "name the variable",
        _ => "put the value under `vars:` in build-vars.yml",
    };
    Error::refused(format!(
        "lookup('{kind}') is not supported, so that a bundle renders the same everywhere: {instead}"
    ))
}

fn range(args: &Args) -> Result<Value> {
    let numbers = args.positional.iter().map(|v| {
        v.as_int().ok_or_else(|| {
            Error::raised(format!("'{}' object cannot be interpreted as an integer", v.kind()))
        })
    });
    match numbers.collect::<Result<Vec<_>>>()?[..] {
        _ if !args.named.is_empty() => Err(Error::raised("range() takes no keyword arguments")),
        [stop] => Ok(Value::Range(0, stop, 1)),
        [start, stop] => Ok(Value::Range(start, stop, 1)),
        [_, _, 0] => Err(Error::raised("range() arg 3 must not be zero")),
        [start, stop, step] => Ok(Value::Range(start, stop, step)),
        _ => Err(Error::raised("range expected 1 to 3 arguments")),
    }
}

fn method(value: &Value, name: &str, args: &Args) -> Result<Value> {
    match value {
        Value::Str(text) => text_methods::call(text, name, args),
        Value::Markup(text) => markup::call(text, name, args),
        Value::List(list) => collections::of_list(list, name, args),
        Value::Tuple(items) => collections::of_tuple(items, name, args),
        Value::Dict(dict) => collections::of_dict(dict, name, args),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => numbers::call(value, name, args),
        Value::Bytes(bytes) => match name {
            "decode" => {
                let encoding =
                    args.bind("decode", &["encoding", "errors"])?.text_or("encoding", "utf-8")?;
                super::codec::decode(bytes, &encoding).map(Value::from)
            }
            _ => Ok(Value::from(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())),
        },
        Value::Time(_) | Value::Span(_) => time::call(value, name, args),
        Value::Loop(l) if name == "cycle" => {
            let count = args.positional.len();
            if count == 0 {
                return Err(Error::raised("no items for cycling given"));
            }
            Ok(args.positional[l.index() % count].clone())
        }
        Value::Loop(l) => {
            let mut last = l.changed.borrow_mut();
            let same = match &*last {
                Some(last) => operators::equal(
                    &Value::tuple(last.clone()),
                    &Value::tuple(args.positional.clone()),
                )?,
                None => false,
            };
            *last = Some(args.positional.clone());
            Ok(Value::Bool(!same))
        }
        Value::Function(f) => of_function(f, name, args),
        other => {
            Err(Error::refused(format!("the method `{name}` of {} is not supported", other.kind())))
        }
    }
}

/// Methods of a `cycler`, and `dict.fromkeys`.
fn of_function(f: &Function, name: &str, args: &Args) -> Result<Value> {
    match f {
        Function::Cycler(items, at) => {
            let current = items[at.get()].clone();
            at.set(if name == "reset" { 0 } else { (at.get() + 1) % items.len() });
            Ok(if name == "reset" { Value::None } else { current })
        }
        _ => {
            let b = args.bind("fromkeys", &["iterable", "value"])?;
            let mut dict = Dict::new();
            for key in iterate::items(b.wanted("iterable")?)? {
                if !dict.set(key, b.get("value").cloned().unwrap_or(Value::None)) {
                    return Err(Error::raised("unhashable type"));
                }
            }
            Ok(Value::dict(dict))
        }
    }
}

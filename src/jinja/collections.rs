//! Methods of lists, tuples and mappings. They modify their receiver, as in Python.
use std::rc::Rc;

use super::args::Args;
use super::error::{Error, Result};
use super::value::{Dict, Shared, Value};
use super::{iterate, operators, sorting};

pub fn unhashable(value: &Value) -> Rc<Error> {
    Error::raised(format!("unhashable type: '{}'", value.kind()))
}

fn set(dict: &mut Dict, key: Value, value: Value) -> Result<()> {
    let kind = key.clone();
    if dict.set(key, value) { Ok(()) } else { Err(unhashable(&kind)) }
}

/// `dict(…)`: from a mapping or pairs, then keyword arguments.
pub fn new_dict(args: &Args) -> Result<Dict> {
    let mut dict = Dict::new();
    match &args.positional[..] {
        [] => {}
        [from] => merge(&mut dict, from)?,
        _ => return Err(Error::raised("dict expected at most 1 argument")),
    }
    for (name, value) in &args.named {
        dict.put(name, value.clone());
    }
    Ok(dict)
}

fn merge(dict: &mut Dict, from: &Value) -> Result<()> {
    if let Value::Dict(other) = from {
        let all: Vec<(Value, Value)> = other.borrow().iter().cloned().collect();
        return all.into_iter().try_for_each(|(key, value)| set(dict, key, value));
    }
    for pair in iterate::items(from)? {
        let pair = iterate::items(&pair)?;
        let [key, value] = &pair[..] else {
            return Err(Error::raised("dictionary update sequence element has not length 2"));
        };
        set(dict, key.clone(), value.clone())?;
    }
    Ok(())
}

pub fn of_dict(dict: &Shared<Dict>, name: &str, args: &Args) -> Result<Value> {
    match name {
        "items" | "keys" | "values" | "copy" | "clear" | "popitem" => {
            args.none("this method")?;
            whole_dict(dict, name)
        }
        "get" | "setdefault" | "pop" => of_key(dict, name, args),
        "update" => {
            let new = new_dict(args)?;
            let mut dict = dict.borrow_mut();
            new.iter().try_for_each(|(key, value)| set(&mut dict, key.clone(), value.clone()))?;
            Ok(Value::None)
        }
        _ => Err(Error::raised(
            "`fromkeys` of a mapping does not work in Ansible; write `dict.fromkeys(…)`",
        )),
    }
}

/// Methods of a mapping that take no arguments.
fn whole_dict(dict: &Shared<Dict>, name: &str) -> Result<Value> {
    let pairs = || dict.borrow().iter().cloned().collect::<Vec<_>>();
    Ok(match name {
        // Ansible makes lists of what Python calls views.
        "items" => {
            Value::list(pairs().into_iter().map(|(k, v)| Value::tuple(vec![k, v])).collect())
        }
        "keys" => Value::list(dict.borrow().keys().cloned().collect()),
        "values" => Value::list(dict.borrow().values().cloned().collect()),
        "copy" => Value::dict(dict.borrow().clone()),
        "popitem" => {
            let last =
                pairs().pop().ok_or_else(|| Error::raised("popitem(): dictionary is empty"))?;
            dict.borrow_mut().remove(&last.0);
            Value::tuple(vec![last.0, last.1])
        }
        _ => {
            dict.borrow_mut().clear();
            Value::None
        }
    })
}

/// Methods of a mapping that take a key and a default.
fn of_key(dict: &Shared<Dict>, name: &str, args: &Args) -> Result<Value> {
    let b = args.bind("this method", &["key", "default"])?;
    let key = b.wanted("key")?;
    if super::value::Key::of(key).is_none() {
        return Err(unhashable(key));
    }
    let found =
        if name == "pop" { dict.borrow_mut().remove(key) } else { dict.borrow().get(key).cloned() };
    match (found, b.get("default")) {
        (Some(found), _) => Ok(found),
        (None, None) if name == "pop" => {
            Err(Error::raised(format!("KeyError: {}", super::show::repr(key)?)))
        }
        (None, default) => {
            let default = default.cloned().unwrap_or(Value::None);
            if name == "setdefault" {
                set(&mut dict.borrow_mut(), key.clone(), default.clone())?;
            }
            Ok(default)
        }
    }
}

pub fn of_tuple(items: &[Value], name: &str, args: &Args) -> Result<Value> {
    let b = args.bind("this method", &["value", "start", "stop"])?;
    let wanted = b.wanted("value")?;
    let mut places = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if operators::equal(item, wanted)? {
            places.push(at);
        }
    }
    if name == "count" {
        return Ok(Value::from(places.len()));
    }
    let bound = |name: &str, default: i128| -> Result<i128> {
        let n = b.int_or(name, default)?;
        Ok(if n < 0 { (n + items.len() as i128).max(0) } else { n })
    };
    let (start, stop) = (bound("start", 0)?, bound("stop", items.len() as i128)?);
    let found = places.into_iter().find(|at| (start..stop).contains(&(*at as i128)));
    found.map(Value::from).ok_or_else(|| Error::raised("the value is not in the list"))
}

pub fn of_list(list: &Shared<Vec<Value>>, name: &str, args: &Args) -> Result<Value> {
    let one = |what| -> Result<Value> { Ok(args.bind(what, &["value"])?.wanted("value")?.clone()) };
    match name {
        "count" | "index" => {
            let items = list.borrow().clone();
            let found = of_tuple(&items, name, args)?;
            if name == "count" && !list.is_plain() && found.as_int() != Some(0) {
                let why =
                    "Ansible's `count` of a list finds nothing; use `select('eq', …) | length`";
                return Err(Error::refused(why));
            }
            return Ok(found);
        }
        "copy" => return Ok(Value::list(list.borrow().clone())),
        "append" => list.borrow_mut().push(one("append")?),
        "clear" => list.borrow_mut().clear(),
        "extend" => {
            let more = iterate::items(&one("extend")?)?;
            list.borrow_mut().extend(more);
        }
        "insert" => {
            let b = args.bind("insert", &["index", "value"])?;
            let (at, length) = (b.int_or("index", 0)?, list.borrow().len() as i128);
            let at = if at < 0 { (at + length).max(0) } else { at.min(length) };
            list.borrow_mut().insert(at as usize, b.wanted("value")?.clone());
        }
        "pop" => {
            let at = args.bind("pop", &["index"])?.int_or("index", -1)?;
            let place = super::attributes::position(list.borrow().len(), &Value::Int(at));
            let place = place.ok_or_else(|| Error::raised("pop index out of range"))?;
            return Ok(list.borrow_mut().remove(place));
        }
        "remove" => {
            let items = list.borrow().clone();
            let place =
                of_tuple(&items, "index", &Args::of(vec![one("remove")?]))?.as_int().unwrap_or(0);
            list.borrow_mut().remove(place as usize);
        }
        "reverse" => list.borrow_mut().reverse(),
        _ => {
            let b = args.bind("sort", &["key", "reverse"])?;
            if b.some("key").is_some() {
                return Err(Error::refused(
                    "`sort(key=…)` is not supported; use the filter `sort(attribute=…)`",
                ));
            }
            let items = list.borrow().clone();
            *list.borrow_mut() = sorting::sorted(items, b.truth("reverse")?, |v| Ok(v.clone()))?;
        }
    }
    Ok(Value::None)
}

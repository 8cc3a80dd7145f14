//! Ansible's filters that combine lists and mappings.
use crate::jinja::args::{Args, size};
use crate::jinja::error::{Error, Result};
use crate::jinja::iterate;
use crate::jinja::run::Run;
use crate::jinja::value::{Dict, Value};
use crate::jinja::{collections, show};

/// Maximum number of combinations.
const MOST: usize = 1_000_000;

pub fn apply(run: &Run, name: &str, value: &Value, args: &Args) -> Result<Value> {
    match name {
        "combinations" => {
            let b = args.bind("combinations", &["r"])?;
            b.wanted("r")?;
            picked(
                run,
                &iterate::items(value)?,
                usize::try_from(b.int_or("r", 0)?).unwrap_or(0),
                false,
            )
        }
        "permutations" => {
            let items = iterate::items(value)?;
            let size = args.bind("permutations", &["r"])?.int_or("r", items.len() as i128)?;
            picked(run, &items, usize::try_from(size).unwrap_or(0), true)
        }
        "product" => product(run, value, args),
        "zip" | "zip_longest" => zip(name == "zip_longest", value, args),
        "flatten" => {
            let b = args.bind("flatten", &["levels", "skip_nulls"])?;
            let mut out = Vec::new();
            let skip = b.truth_or("skip_nulls", true)?;
            flatten(&iterate::items(value)?, b.int("levels")?, skip, &mut out)?;
            Ok(Value::list(out))
        }
        "subelements" => subelements(value, args),
        "dict2items" => dict2items(value, args),
        "items2dict" => items2dict(value, args),
        "items" => {
            args.none("items")?;
            let Value::Dict(dict) = value else {
                return Err(Error::raised("Can only get item pairs from a mapping."));
            };
            Ok(Value::list(
                dict.borrow()
                    .iter()
                    .map(|(k, v)| Value::tuple(vec![k.clone(), v.clone()]))
                    .collect(),
            ))
        }
        "rekey_on_member" => rekey(value, args),
        _ => extract(run, value, args),
    }
}

/// Combinations in positional order, or permutations, of positions below `length`.
struct Choices {
    length: usize,
    size: usize,
    all_orders: bool,
}

impl Choices {
    /// Calls `each` for every choice that begins with `chosen`.
    fn visit(
        &self,
        chosen: &mut Vec<usize>,
        each: &mut dyn FnMut(&[usize]) -> Result<()>,
    ) -> Result<()> {
        if chosen.len() == self.size {
            return each(chosen);
        }
        let start = if self.all_orders { 0 } else { chosen.last().map_or(0, |at| at + 1) };
        for at in start..self.length {
            if !chosen.contains(&at) {
                chosen.push(at);
                self.visit(chosen, each)?;
                chosen.pop();
            }
        }
        Ok(())
    }
}

fn picked(run: &Run, items: &[Value], size: usize, all_orders: bool) -> Result<Value> {
    let mut out = Vec::new();
    if size <= items.len() {
        let choices = Choices { length: items.len(), size, all_orders };
        choices.visit(&mut Vec::new(), &mut |chosen| {
            run.step(1)?;
            out.push(Value::tuple(chosen.iter().map(|at| items[*at].clone()).collect()));
            Ok(())
        })?;
    }
    Ok(Value::list(out))
}

fn product(run: &Run, value: &Value, args: &Args) -> Result<Value> {
    let mut args = args.clone();
    let repeat = args.take("repeat").and_then(|n| n.as_int()).unwrap_or(1);
    if let Some((name, _)) = args.named.first() {
        return Err(Error::raised(format!(
            "'{name}' is an invalid keyword argument for product()"
        )));
    }
    let lists = [value]
        .into_iter()
        .chain(&args.positional)
        .map(iterate::items)
        .collect::<Result<Vec<_>>>()?;
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for _ in 0..size(repeat)? {
        run.step(1)?;
        for list in &lists {
            if rows.len().saturating_mul(list.len()) > MOST {
                return Err(Error::refused(format!("a product of more than {MOST} entries")));
            }
            run.step((rows.len() * list.len()) as u64)?;
            let longer =
                |row: &Vec<Value>, item: &Value| row.iter().chain([item]).cloned().collect();
            rows = rows
                .iter()
                .flat_map(|row| list.iter().map(move |item| longer(row, item)))
                .collect();
        }
    }
    Ok(Value::list(rows.into_iter().map(Value::tuple).collect()))
}

fn zip(longest: bool, value: &Value, args: &Args) -> Result<Value> {
    let mut args = args.clone();
    let fill = if longest { args.take("fillvalue").unwrap_or(Value::None) } else { Value::None };
    let strict = if longest {
        false
    } else {
        args.take("strict").is_some_and(|v| v.truth().unwrap_or(false))
    };
    if let Some((name, _)) = args.named.first() {
        return Err(Error::raised(format!("zip() got an unexpected keyword argument '{name}'")));
    }
    let lists = [value]
        .into_iter()
        .chain(&args.positional)
        .map(iterate::items)
        .collect::<Result<Vec<_>>>()?;
    let lengths = || lists.iter().map(Vec::len);
    if strict && lengths().any(|n| n != lists[0].len()) {
        return Err(Error::raised("the lists that zip(strict=true) gets have different lengths"));
    }
    let length = if longest { lengths().max() } else { lengths().min() }.unwrap_or(0);
    let row = |at: usize| {
        Value::tuple(
            lists.iter().map(|l| l.get(at).cloned().unwrap_or_else(|| fill.clone())).collect(),
        )
    };
    Ok(Value::list((0..length).map(row).collect()))
}

pub fn flatten(
    items: &[Value],
    levels: Option<i128>,
    skip_nulls: bool,
    out: &mut Vec<Value>,
) -> Result<()> {
    for item in items {
        let null =
            item.is_none() || item.as_text().is_some_and(|t| ["None", "null"].contains(&&**t));
        match item {
            _ if skip_nulls && null => {}
            Value::List(_) | Value::Tuple(_) if levels.is_none_or(|n| n >= 1) => {
                flatten(&iterate::items(item)?, levels.map(|n| n - 1), skip_nulls, out)?;
            }
            _ => out.push(item.clone()),
        }
    }
    Ok(())
}

fn subelements(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("subelements", &["subelements", "skip_missing"])?;
    let elements = match value {
        Value::Dict(d) => d.borrow().values().cloned().collect(),
        Value::List(l) => l.borrow().clone(),
        _ => return Err(Error::raised("obj must be a list of dicts or a nested dict")),
    };
    let path = match b.wanted("subelements")? {
        Value::Str(s) => s.split('.').map(Value::from).collect(),
        Value::List(l) => l.borrow().clone(),
        _ => return Err(Error::raised("subelements must be a list or a string")),
    };
    let skip = b.truth("skip_missing")?;
    let mut out = Vec::new();
    for element in elements {
        let mut values = element.clone();
        for key in &path {
            let Value::Dict(dict) = &values else {
                return Err(Error::raised(format!(
                    "the key {} should point to a dictionary",
                    show::text(key)?
                )));
            };
            let found = dict.borrow().get(key).cloned();
            match found {
                Some(found) => values = found,
                None if skip => {
                    values = Value::list(Vec::new());
                    break;
                }
                None => {
                    return Err(Error::raised(format!(
                        "could not find {} key in iterated item",
                        show::repr(key)?
                    )));
                }
            }
        }
        let Value::List(values) = values else {
            return Err(Error::raised("the key should point to a list"));
        };
        out.extend(values.borrow().iter().map(|v| Value::tuple(vec![element.clone(), v.clone()])));
    }
    Ok(Value::list(out))
}

fn dict2items(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("dict2items", &["key_name", "value_name"])?;
    let (key, name) = (b.text_or("key_name", "key")?, b.text_or("value_name", "value")?);
    let Value::Dict(dict) = value else {
        return Err(Error::raised(format!(
            "dict2items requires a dictionary, got {} instead.",
            value.kind()
        )));
    };
    let one = |(k, v): &(Value, Value)| {
        let mut out = Dict::new();
        out.put(&key, k.clone());
        out.put(&name, v.clone());
        Value::dict(out)
    };
    Ok(Value::list(dict.borrow().iter().map(one).collect()))
}

fn items2dict(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("items2dict", &["key_name", "value_name"])?;
    let (key, name) = (b.text_or("key_name", "key")?, b.text_or("value_name", "value")?);
    if !matches!(value, Value::List(_) | Value::Tuple(_)) {
        return Err(Error::raised(format!(
            "items2dict requires a list, got {} instead.",
            value.kind()
        )));
    }
    let mut out = Dict::new();
    for item in iterate::items(value)? {
        let Value::Dict(item) = item else {
            return Err(Error::raised("items2dict requires a list of dictionaries"));
        };
        let item = item.borrow();
        let (Some(k), Some(v)) = (item.text(&key), item.text(&name)) else {
            return Err(Error::raised(format!(
                "items2dict requires each dictionary in the list to contain the keys '{key}' and \
                    '{name}'"
            )));
        };
        if !out.set(k.clone(), v.clone()) {
            return Err(collections::unhashable(k));
        }
    }
    Ok(Value::dict(out))
}

fn rekey(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("rekey_on_member", &["key", "duplicates"])?;
    let (key, duplicates) = (b.wanted("key")?, b.text_or("duplicates", "error")?);
    if !["error", "overwrite"].contains(&&*duplicates) {
        return Err(Error::raised("duplicates parameter to rekey_on_member has unknown value"));
    }
    let items = match value {
        Value::Dict(d) => d.borrow().values().cloned().collect(),
        Value::Str(_) | Value::Bytes(_) => {
            return Err(Error::raised("Type is not a valid list, set, or dict"));
        }
        other => iterate::items(other)?,
    };
    let mut out = Dict::new();
    for item in items {
        let Value::Dict(dict) = &item else {
            return Err(Error::raised("List item is not a valid dict"));
        };
        let found = dict.borrow().get(key).cloned();
        let found = found.ok_or_else(|| {
            Error::raised(format!("Key {} was not found.", show::repr(key).unwrap_or_default()))
        })?;
        if out.has(&found) && &*duplicates == "error" {
            return Err(Error::raised(format!(
                "Key {} is not unique, cannot convert to dict.",
                show::repr(&found)?
            )));
        }
        if !out.set(found.clone(), item) {
            return Err(collections::unhashable(&found));
        }
    }
    Ok(Value::dict(out))
}

fn extract(run: &Run, value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("extract", &["container", "morekeys"])?;
    let mut keys = vec![value.clone()];
    match b.some("morekeys") {
        None => {}
        Some(Value::List(more)) => keys.extend(more.borrow().iter().cloned()),
        Some(one) => keys.push(one.clone()),
    }
    let mut found = b.wanted("container")?.clone();
    for key in &keys {
        let missing = || Value::Missing(Error::undefined("", "`extract` finds nothing there"));
        found = run.item(found, key)?.unwrap_or_else(missing);
    }
    Ok(found)
}

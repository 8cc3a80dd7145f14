//! Jinja's own filters for sequences.
use crate::jinja::args::{Args, Bound};
use crate::jinja::ast::Operator;
use crate::jinja::error::{Error, Result};
use crate::jinja::run::Run;
use crate::jinja::sorting::{ignoring_case, member, sorted};
use crate::jinja::value::{Key, Value};
use crate::jinja::{attributes, collections, iterate, operators, show};

pub fn apply(run: &Run, name: &str, value: &Value, args: &Args) -> Result<Value> {
    match name {
        "attr" => {
            let name = args.bind("attr", &["name"])?.wanted_text("name")?;
            let missing =
                || Value::Missing(Error::undefined("", format!("there is no attribute `{name}`")));
            Ok(attributes::find(value, &name)?.unwrap_or_else(missing))
        }
        "batch" => batch(value, args),
        "slice" => slice(value, args),
        "first" | "last" => {
            args.none("this filter")?;
            let items = iterate::items_even_missing(value)?;
            let found = if name == "first" { items.first() } else { items.last() };
            if let Some(Value::Missing(why)) = found {
                return Err(why.clone());
            }
            let none = || {
                Value::Missing(Error::undefined("", format!("No {name} item, sequence was empty.")))
            };
            Ok(found.cloned().unwrap_or_else(none))
        }
        "join" => join(run, value, args),
        "list" => {
            args.none("list")?;
            Ok(Value::list(iterate::items(value)?))
        }
        "length" | "count" => {
            args.none("length")?;
            match value {
                Value::Str(s) | Value::Markup(s) => Ok(Value::from(s.chars().count())),
                Value::Bytes(b) => Ok(Value::from(b.len())),
                Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Range(..) => {
                    Ok(Value::from(iterate::items_even_missing(value)?.len()))
                }
                other => {
                    Err(Error::raised(format!("object of type '{}' has no len()", other.kind())))
                }
            }
        }
        "max" | "min" => extreme(run, name, value, args),
        "reverse" => {
            args.none("reverse")?;
            if let Value::Str(s) | Value::Markup(s) = value {
                return Ok(Value::from(s.chars().rev().collect::<String>()));
            }
            let mut items = iterate::items(value)?;
            items.reverse();
            Ok(Value::list(items))
        }
        "sort" => sort(run, value, args),
        "sum" => sum(run, value, args),
        "unique" => unique(run, value, args),
        "groupby" => groupby(run, value, args),
        _ => dictsort(value, args),
    }
}

fn counted(b: &Bound, name: &str) -> Result<usize> {
    let n = b.size(name, 0)?;
    Some(n).filter(|n| *n > 0).ok_or_else(|| Error::raised(format!("`{name}` must be more than 0")))
}

fn batch(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("batch", &["linecount", "fill_with"])?;
    let size = counted(&b, "linecount")?;
    let mut out = Vec::new();
    for row in iterate::items(value)?.chunks(size) {
        let mut row = row.to_vec();
        if let Some(fill) = b.some("fill_with") {
            row.resize(size, fill.clone());
        }
        out.push(Value::list(row));
    }
    Ok(Value::list(out))
}

fn slice(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("slice", &["slices", "fill_with"])?;
    let slices = counted(&b, "slices")?;
    let items = iterate::items(value)?;
    let (each, longer) = (items.len() / slices, items.len() % slices);
    let mut rest = items.into_iter();
    let mut out = Vec::new();
    for number in 0..slices {
        let mut part: Vec<Value> =
            rest.by_ref().take(each + usize::from(number < longer)).collect();
        if let Some(fill) = b.some("fill_with")
            && number >= longer
        {
            part.push(fill.clone());
        }
        out.push(Value::list(part));
    }
    Ok(Value::list(out))
}

fn join(run: &Run, value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("join", &["d", "attribute"])?;
    let separator = b.get("d").map_or_else(|| Ok("".into()), show::text)?;
    let mut out = String::new();
    for (at, item) in iterate::items(value)?.iter().enumerate() {
        if at > 0 {
            out.push_str(&separator);
        }
        out.push_str(&show::text(&member(run, item, b.some("attribute"), None)?)?);
    }
    run.step(out.len() as u64 >> 10)?;
    Ok(Value::from(out))
}

/// Sort key of an item.
fn key(run: &Run, item: &Value, attribute: Option<&Value>, case_sensitive: bool) -> Result<Value> {
    match member(run, item, attribute, None)? {
        Value::Missing(why) => Err(why),
        found if case_sensitive => Ok(found),
        found => Ok(ignoring_case(found)),
    }
}

fn extreme(run: &Run, name: &str, value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("this filter", &["case_sensitive", "attribute"])?;
    let case = b.truth("case_sensitive")?;
    let mut best: Option<(Value, Value)> = None;
    for item in iterate::items(value)? {
        let k = key(run, &item, b.some("attribute"), case)?;
        let better = match &best {
            None => true,
            Some((top, _)) if name == "max" => {
                operators::order(">", &k, top)?.is_some_and(|o| o.is_gt())
            }
            Some((top, _)) => operators::order("<", &k, top)?.is_some_and(|o| o.is_lt()),
        };
        if better {
            best = Some((k, item));
        }
    }
    let none = || Value::Missing(Error::undefined("", "No aggregated item, sequence was empty."));
    Ok(best.map_or_else(none, |(_, item)| item))
}

fn sort(run: &Run, value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("sort", &["reverse", "case_sensitive", "attribute"])?;
    let case = b.truth("case_sensitive")?;
    let attributes: Vec<Option<Value>> = match b.some("attribute") {
        None => vec![None],
        Some(Value::Str(names)) => names.split(',').map(|name| Some(Value::from(name))).collect(),
        Some(other) => vec![Some(other.clone())],
    };
    let keys = |item: &Value| -> Result<Value> {
        let all = attributes.iter().map(|attribute| key(run, item, attribute.as_ref(), case));
        Ok(Value::list(all.collect::<Result<_>>()?))
    };
    Ok(Value::list(sorted(iterate::items(value)?, b.truth("reverse")?, keys)?))
}

fn sum(run: &Run, value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("sum", &["attribute", "start"])?;
    let mut total = b.get("start").cloned().unwrap_or(Value::Int(0));
    if total.as_text().is_some() {
        return Err(Error::raised("sum() can't sum strings [use ''.join(seq) instead]"));
    }
    for item in iterate::items(value)? {
        let item = match member(run, &item, b.some("attribute"), None)? {
            Value::Missing(why) => return Err(why),
            item => item,
        };
        total = operators::calculate(Operator::Add, &total, &item)?;
    }
    Ok(total)
}

/// Ansible's `unique`: by keys, or by comparison for unhashable items.
fn unique(run: &Run, value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("unique", &["case_sensitive", "attribute"])?;
    let (case, attribute) = (b.truth("case_sensitive")?, b.some("attribute"));
    let items = iterate::items(value)?;
    let (mut seen, mut out) = (std::collections::HashSet::new(), Vec::new());
    for item in &items {
        let Some(k) = Key::of(&key(run, item, attribute, case)?) else {
            let strict =
                attribute.is_some() || matches!(b.get("case_sensitive"), Some(Value::Bool(false)));
            return if strict { Err(collections::unhashable(item)) } else { distinct(items) };
        };
        if seen.insert(k) {
            out.push(item.clone());
        }
    }
    Ok(Value::list(out))
}

/// Removes duplicates, by `==`.
pub fn distinct(items: Vec<Value>) -> Result<Value> {
    let mut out: Vec<Value> = Vec::new();
    for item in items {
        let known = out.iter().map(|o| operators::equal(o, &item)).collect::<Result<Vec<_>>>()?;
        if !known.contains(&true) {
            out.push(item);
        }
    }
    Ok(Value::list(out))
}

fn groupby(run: &Run, value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("groupby", &["attribute", "default", "case_sensitive"])?;
    let (attribute, case) = (b.wanted("attribute")?, b.truth("case_sensitive")?);
    // Ansible takes a `default`, and does not use it.
    let plain = |item: &Value| match member(run, item, Some(attribute), None)? {
        Value::Missing(why) => Err(why),
        found => Ok(found),
    };
    let keyed =
        |item: &Value| plain(item).map(|found| if case { found } else { ignoring_case(found) });
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in sorted(iterate::items(value)?, false, keyed)? {
        let k = keyed(&item)?;
        match groups.last_mut() {
            Some((last, group)) if operators::equal(last, &k)? => group.push(item),
            _ => groups.push((k, vec![item])),
        }
    }
    let pair = |(k, group): (Value, Vec<Value>)| -> Result<Value> {
        // The group is shown with the original case of its first item.
        let shown = if case { k } else { plain(&group[0])? };
        Ok(Value::group(shown, group))
    };
    Ok(Value::list(groups.into_iter().map(pair).collect::<Result<_>>()?))
}

fn dictsort(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("dictsort", &["case_sensitive", "by", "reverse"])?;
    let case = b.truth("case_sensitive")?;
    let at = match &*b.text_or("by", "key")? {
        "key" => 0,
        "value" => 1,
        _ => return Err(Error::raised("You can only sort by either \"key\" or \"value\"")),
    };
    let Value::Dict(dict) = value else { return Err(Error::raised("dictsort wants a mapping")) };
    let pairs =
        dict.borrow().iter().map(|(k, v)| Value::tuple(vec![k.clone(), v.clone()])).collect();
    let keyed = |pair: &Value| {
        let found = iterate::items(pair)?.swap_remove(at);
        Ok(if case { found } else { ignoring_case(found) })
    };
    Ok(Value::list(sorted(pairs, b.truth("reverse")?, keyed)?))
}

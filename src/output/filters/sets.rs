//! Filters on lists and mappings: Ansible's set theory, `combine`, `dict2items`, `flatten`.
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error};

use super::{defined, refuse};

pub fn add(env: &mut Environment<'static>) {
    env.add_filter("union", |a: &Value, b: &Value| Ok::<_, Error>(unique(list(a)?.into_iter().chain(list(b)?))));
    env.add_filter("intersect", |a: &Value, b: &Value| {
        let b = list(b)?;
        Ok::<_, Error>(unique(list(a)?.into_iter().filter(|v| b.contains(v))))
    });
    env.add_filter("difference", |a: &Value, b: &Value| {
        let b = list(b)?;
        Ok::<_, Error>(unique(list(a)?.into_iter().filter(|v| !b.contains(v))))
    });
    env.add_filter("symmetric_difference", |a: &Value, b: &Value| {
        let (a, b) = (list(a)?, list(b)?);
        let both = |v: &Value| a.contains(v) && b.contains(v);
        Ok::<_, Error>(unique(a.iter().chain(&b).filter(|v| !both(v)).cloned()))
    });
    env.add_filter("combine", combine);
    env.add_filter("flatten", flatten);
    env.add_filter("dict2items", |map: &Value| {
        let item = |(key, value)| Value::from_pairs([("key", key), ("value", value)]);
        Ok::<_, Error>(Value::from(pairs(map)?.into_iter().map(item).collect::<Vec<_>>()))
    });
    env.add_filter("items2dict", |items: &Value| {
        let pair = |v: Value| Ok((v.get_attr("key")?, v.get_attr("value")?));
        list(items)?.into_iter().map(pair).collect::<Result<Vec<_>, Error>>().map(Value::from_pairs)
    });
}

fn list(value: &Value) -> Result<Vec<Value>, Error> {
    defined(value)?;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => Ok(value.try_iter()?.collect()),
        other => Err(refuse(format!("a list is wanted here, not {other}"))),
    }
}

fn unique(values: impl Iterator<Item = Value>) -> Value {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    Value::from(seen)
}

fn pairs(map: &Value) -> Result<Vec<(Value, Value)>, Error> {
    defined(map)?;
    if map.kind() != ValueKind::Map {
        return Err(refuse(format!("a mapping is wanted here, not {}", map.kind())));
    }
    map.try_iter()?.map(|key| map.get_item(&key).map(|value| (key, value))).collect()
}

fn combine(first: &Value, others: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let recursive = kwargs.get::<Option<bool>>("recursive")?.unwrap_or(false);
    kwargs.assert_all_used().map_err(|_| refuse("`combine` knows `recursive=`, and no other option"))?;
    let mut merged = pairs(first)?;
    for other in others.iter() {
        // A list of mappings stands for its members.
        let maps = if other.kind() == ValueKind::Seq { list(other)? } else { vec![other.clone()] };
        for map in &maps {
            merge(&mut merged, pairs(map)?, recursive)?;
        }
    }
    Ok(Value::from_pairs(merged))
}

fn merge(into: &mut Vec<(Value, Value)>, from: Vec<(Value, Value)>, recursive: bool) -> Result<(), Error> {
    for (key, value) in from {
        match into.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) if recursive && old.kind() == ValueKind::Map && value.kind() == ValueKind::Map => {
                let mut both = pairs(old)?;
                merge(&mut both, pairs(&value)?, true)?;
                *old = Value::from_pairs(both);
            }
            Some((_, old)) => *old = value,
            None => into.push((key, value)),
        }
    }
    Ok(())
}

fn flatten(value: &Value, levels: Option<usize>, kwargs: Kwargs) -> Result<Value, Error> {
    let levels = match levels {
        Some(n) => Some(n),
        None => kwargs.get::<Option<usize>>("levels")?,
    };
    kwargs.assert_all_used()?;
    let mut out = Vec::new();
    spread(&list(value)?, levels.unwrap_or(usize::MAX), &mut out)?;
    Ok(Value::from(out))
}

fn spread(values: &[Value], levels: usize, out: &mut Vec<Value>) -> Result<(), Error> {
    for value in values {
        if value.kind() == ValueKind::Seq && levels > 0 {
            spread(&list(value)?, levels - 1, out)?;
        } else if !value.is_none() {
            out.push(value.clone());
        }
    }
    Ok(())
}

//! `map`, `select`, `reject`, `selectattr` and `rejectattr`.
use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::run::Run;
use crate::jinja::value::Value;
use crate::jinja::{iterate, sorting};

pub fn apply(run: &Run, name: &str, value: &Value, args: &Args) -> Result<Value> {
    if !value.truth()? {
        return Ok(Value::list(Vec::new()));
    }
    let items = iterate::items_even_missing(value)?;
    if name == "map" {
        return mapped(run, items, args);
    }
    let mut args = args.clone();
    let attribute = if name.ends_with("attr") {
        if args.positional.is_empty() {
            return Err(Error::raised("Missing parameter for attribute name"));
        }
        Some(args.positional.remove(0))
    } else {
        None
    };
    let test = if args.positional.is_empty() { None } else { Some(args.positional.remove(0)) };
    let wanted = name.starts_with("select");
    let mut kept = Vec::new();
    for item in items {
        run.step(1)?;
        let tested = match &attribute {
            Some(attribute) => sorting::member(run, &item, Some(attribute), None)?,
            None => item.clone(),
        };
        let found = match &test {
            None => tested.truth()?,
            Some(test) => {
                let Some(test) = test.as_text() else {
                    return Err(Error::raised("the name of a test must be a text"));
                };
                run.test(test, tested, &args)?.truth()?
            }
        };
        if found == wanted {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn mapped(run: &Run, items: Vec<Value>, args: &Args) -> Result<Value> {
    let mut args = args.clone();
    if args.positional.is_empty()
        && let Some(attribute) = args.take("attribute")
    {
        let default = args.take("default").filter(|d| !d.is_none());
        if let Some((name, _)) = args.named.first() {
            return Err(Error::raised(format!("Unexpected keyword argument {name}")));
        }
        let one = |item: &Value| sorting::member(run, item, Some(&attribute), default.as_ref());
        return Ok(Value::list(items.iter().map(one).collect::<Result<_>>()?));
    }
    if args.positional.is_empty() {
        return Err(Error::raised("map requires a filter argument"));
    }
    let name = args.positional.remove(0);
    let Some(name) = name.as_text() else {
        return Err(Error::raised("the name of a filter must be a text"));
    };
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        out.push(run.filter(name, item, &args)?);
    }
    Ok(Value::list(out))
}

//! Text filters.
use std::rc::Rc;

use crate::jinja::args::{Args, size};
use crate::jinja::error::{Error, Result};
use crate::jinja::text_methods as methods;
use crate::jinja::value::{Dict, Value};
use crate::jinja::{chars, operators, percent, show, time};

/// The filter's input as text.
fn soft(value: &Value) -> Result<Rc<str>> {
    show::text(value)
}

fn strict(name: &str, value: &Value) -> Result<Rc<str>> {
    value
        .as_text()
        .cloned()
        .ok_or_else(|| Error::raised(format!("`{name}` wants a text, not {}", value.kind())))
}

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    match name {
        "center" => {
            let width = args.bind("center", &["width"])?.size("width", 80)?;
            Ok(Value::from(chars::centred(&soft(value)?, width, ' ')))
        }
        "format" => format(value, args),
        "indent" => indent(value, args),
        "quote" => {
            args.none("quote")?;
            let text = if value.is_none() { "".into() } else { soft(value)? };
            Ok(Value::from(shell(&text)))
        }
        "replace" => {
            let b = args.bind("replace", &["old", "new", "count"])?;
            let (old, new) = (soft(b.wanted("old")?)?, soft(b.wanted("new")?)?);
            Ok(Value::from(methods::replace(&soft(value)?, &old, &new, b.int_or("count", -1)?)))
        }
        "split" => methods::split(&strict(name, value)?, false, args),
        "strftime" => {
            let b = args.bind("strftime", &["second", "utc"])?;
            let format = strict(name, value)?;
            let second = b.some("second").ok_or_else(|| {
                Error::refused(
                    "`strftime` of the present is not supported: \
                    `build_date` holds the time of the build",
                )
            })?;
            if !b.truth("utc")? {
                return Err(Error::refused(
                    "`strftime` without `utc=true` is not supported: it would go by the factory's \
                        time zone",
                ));
            }
            let second = second
                .as_number()
                .or_else(|| crate::jinja::numbers::parsed_float(second.as_text()?));
            let second = second.ok_or_else(|| Error::raised("Invalid value for epoch value"))?;
            time::strftime(&time::since_epoch(second)?, &format).map(Value::from)
        }
        "to_datetime" => {
            let format =
                args.bind("to_datetime", &["format"])?.text_or("format", "%Y-%m-%d %H:%M:%S")?;
            time::strptime(&strict(name, value)?, &format)
        }
        "trim" => {
            let text = soft(value)?;
            match args.bind("trim", &["chars"])?.text("chars")? {
                Some(all) => Ok(Value::from(text.trim_matches(|c| all.contains(c)))),
                None => Ok(Value::from(text.trim_matches(chars::space))),
            }
        }
        "truncate" => truncate(value, args),
        "xmlattr" => attributes(value, args),
        name => {
            args.none("this filter")?;
            plain(name, value)
        }
    }
}

/// Filters without arguments.
fn plain(name: &str, value: &Value) -> Result<Value> {
    let text = soft(value)?;
    Ok(match name {
        "upper" => Value::from(text.to_uppercase()),
        "lower" => Value::from(text.to_lowercase()),
        "capitalize" => Value::from(chars::capitalized(&text)),
        "title" => Value::from(titled(&text)),
        "e" | "escape" => match value {
            Value::Markup(_) => value.clone(),
            _ => Value::Markup(operators::escape(&text).into()),
        },
        "forceescape" => Value::Markup(operators::escape(&text).into()),
        "safe" => Value::Markup(text),
        "striptags" => Value::from(without_tags(&text)?),
        _ => {
            let word = |c: char| c == '_' || c.is_alphanumeric();
            Value::from(text.split(|c| !word(c)).filter(|w| !w.is_empty()).count())
        }
    })
}

/// Jinja's `title`: a word starts after blanks, hyphens and opening brackets.
fn titled(text: &str) -> String {
    let starts = |c: char| chars::space(c) || "-({[<".contains(c);
    let (mut out, mut first) = (String::new(), true);
    for c in text.chars() {
        if starts(c) {
            out.push(c);
            first = true;
        } else if first {
            out.extend(c.to_uppercase());
            first = false;
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}

fn without_tags(text: &str) -> Result<String> {
    let cut = |text: &str, open: &str, close: &str| {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(open) {
            let Some(end) = rest[at..].find(close) else { break };
            out.push_str(&rest[..at]);
            rest = &rest[at + end + close.len()..];
        }
        out + rest
    };
    let text = cut(&cut(text, "<!--", "-->"), "<", ">");
    let text = text.split(chars::space).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    let known = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", "\u{a0}"),
    ];
    let text = known.iter().fold(text, |text, (name, c)| text.replace(name, c));
    let others = text.replace("&amp;", "").contains('&');
    if others && text.contains(';') {
        return Err(Error::refused("`striptags` of a text with unusual entities is not supported"));
    }
    Ok(text.replace("&amp;", "&"))
}

fn format(value: &Value, args: &Args) -> Result<Value> {
    if !args.positional.is_empty() && !args.named.is_empty() {
        return Err(Error::raised(
            "can't handle positional and keyword arguments at the same time",
        ));
    }
    let values = if args.named.is_empty() {
        Value::tuple(args.positional.clone())
    } else {
        let mut dict = Dict::new();
        args.named.iter().for_each(|(name, value)| dict.put(name, value.clone()));
        Value::dict(dict)
    };
    percent::format(&soft(value)?, &values).map(Value::from)
}

fn indent(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("indent", &["width", "first", "blank"])?;
    let width = match b.get("width") {
        None => "    ".into(),
        Some(value) => match (value.as_text(), value.as_int()) {
            (Some(text), _) => text.clone(),
            (None, Some(n)) => " ".repeat(size(n)?).into(),
            _ => return Err(Error::raised("`indent` wants a number or a text as width")),
        },
    };
    let text = strict("indent", value)?.to_string() + "\n";
    let mut out = String::new();
    for (at, line) in chars::lines(&text, false).into_iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let first = at == 0;
        if if first { b.truth("first")? } else { b.truth("blank")? || !line.is_empty() } {
            out.push_str(&width);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

/// `shlex.quote`
fn shell(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

fn truncate(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("truncate", &["length", "killwords", "end", "leeway"])?;
    let text = strict("truncate", value)?;
    let end = b.text_or("end", "...")?;
    let (length, leeway) = (b.size("length", 255)?, b.size("leeway", 5)?);
    let marks = end.chars().count();
    if length < marks {
        return Err(Error::raised(format!("expected length >= {marks}, got {length}")));
    }
    if text.chars().count() <= length + leeway {
        return Ok(value.clone());
    }
    let kept = chars::part(&text, 0, length - marks);
    let kept = if b.truth("killwords")? {
        kept
    } else {
        kept.rsplit_once(' ').map_or(kept, |(before, _)| before)
    };
    Ok(Value::from(format!("{kept}{end}")))
}

fn attributes(value: &Value, args: &Args) -> Result<Value> {
    let space = args.bind("xmlattr", &["autospace"])?.truth_or("autospace", true)?;
    let Value::Dict(dict) = value else { return Err(Error::raised("`xmlattr` wants a mapping")) };
    let mut parts = Vec::new();
    for (key, value) in dict.borrow().iter().filter(|(_, v)| !v.is_none()) {
        let key = strict("xmlattr", key)?;
        if key.contains(|c: char| c.is_ascii_whitespace() || "/>=".contains(c)) {
            return Err(Error::raised(format!("Invalid character in attribute name: {key}")));
        }
        let escaped = if let Value::Markup(m) = value {
            m.to_string()
        } else {
            operators::escape(&show::text(value)?)
        };
        parts.push(format!("{}=\"{escaped}\"", operators::escape(&key)));
    }
    let text = parts.join(" ");
    Ok(Value::from(if space && !text.is_empty() { format!(" {text}") } else { text }))
}

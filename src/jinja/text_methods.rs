//! Methods of `str`.
use std::rc::Rc;

use super::args::{Args, Bound};
use super::chars::{self, space};
use super::error::{Error, Result};
use super::value::Value;
use super::{codec, format, iterate, show};

fn texts<'a>(all: impl IntoIterator<Item = &'a str>) -> Value {
    Value::list(all.into_iter().map(Value::from).collect())
}

pub fn call(text: &Rc<str>, name: &str, args: &Args) -> Result<Value> {
    match name {
        "format" => return format::format(text, args).map(Value::from),
        "format_map" | "translate" | "maketrans" => {
            return Err(Error::refused(format!("the method `{name}` of str is not supported")));
        }
        "join" => return joined(text, args),
        "split" | "rsplit" => return split(text, name == "rsplit", args),
        "replace" => return replaced(text, args),
        "encode" => {
            let encoding =
                args.bind("encode", &["encoding", "errors"])?.text_or("encoding", "utf-8")?;
            return codec::encode(text, &encoding).map(|bytes| Value::Bytes(bytes.into()));
        }
        "splitlines" => {
            let keep = args.bind("splitlines", &["keepends"])?.truth("keepends")?;
            return Ok(texts(chars::lines(text, keep)));
        }
        "expandtabs" => {
            let size = args.bind("expandtabs", &["tabsize"])?.size("tabsize", 8)?;
            return Ok(Value::from(expanded(text, size)));
        }
        "partition" | "rpartition" => return parted(text, name == "rpartition", args),
        "strip" | "lstrip" | "rstrip" => return stripped(text, name, args),
        "startswith" | "endswith" => return edge(text, name == "startswith", args),
        "find" | "rfind" | "index" | "rindex" | "count" => return sought(text, name, args),
        "center" | "ljust" | "rjust" => return justified(text, name, args),
        "removeprefix" | "removesuffix" => {
            let part = args.bind("this method", &["part"])?.wanted_text("part")?;
            let rest = if name == "removeprefix" {
                text.strip_prefix(&*part)
            } else {
                text.strip_suffix(&*part)
            };
            return Ok(Value::from(rest.unwrap_or(text)));
        }
        "zfill" => {
            let width = args.bind("zfill", &["width"])?.size("width", 0)?;
            return Ok(Value::from(zero_filled(text, width)));
        }
        _ => {}
    }
    args.none("this method")?;
    Ok(match name {
        "upper" => Value::from(text.to_uppercase()),
        "lower" => Value::from(text.to_lowercase()),
        "casefold" => Value::from(text.to_lowercase().replace('ß', "ss")),
        "capitalize" => Value::from(chars::capitalized(text)),
        "title" => Value::from(chars::titled(text)),
        "swapcase" => Value::from(text.chars().map(swapped).collect::<String>()),
        _ => Value::Bool(is(text, name)),
    })
}

fn swapped(c: char) -> String {
    if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
}

/// `isdigit` and similar.
fn is(text: &str, name: &str) -> bool {
    let all = |fits: fn(char) -> bool| !text.is_empty() && text.chars().all(fits);
    let cased = |c: char| c.is_uppercase() || c.is_lowercase();
    match name {
        "isascii" => text.is_ascii(),
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        // Beyond ASCII these three differ among numbers; all decimal digits of Unicode are numeric.
        "isdecimal" => all(|c| c.is_numeric() && super::numbers::decimal(c)),
        "isdigit" => all(|c| {
            c.is_numeric() && (super::numbers::decimal(c) || "⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉".contains(c))
        }),
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(space),
        "isprintable" => text.chars().all(show::printable),
        "islower" => text.chars().any(cased) && !text.chars().any(char::is_uppercase),
        "isupper" => text.chars().any(cased) && !text.chars().any(char::is_lowercase),
        "istitle" => text.chars().any(cased) && chars::titled(text) == text,
        _ => {
            let mut all = text.chars();
            all.next().is_some_and(|c| c == '_' || c.is_alphabetic())
                && all.all(|c| c == '_' || c.is_alphanumeric())
        }
    }
}

fn joined(text: &str, args: &Args) -> Result<Value> {
    let b = args.bind("join", &["iterable"])?;
    let items = iterate::items(b.wanted("iterable")?)?;
    let mut parts = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match item.as_text() {
            Some(part) => parts.push(part.clone()),
            None => {
                return Err(Error::raised(format!(
                    "sequence item {at}: expected str instance, {} found",
                    item.kind()
                )));
            }
        }
    }
    Ok(Value::from(parts.join(text)))
}

pub fn split(text: &str, from_right: bool, args: &Args) -> Result<Value> {
    let b = args.bind("split", &["sep", "maxsplit"])?;
    let most = usize::try_from(b.int_or("maxsplit", -1)?).ok();
    let Some(separator) = b.text("sep")? else {
        return Ok(Value::list(
            words(text, most, from_right).into_iter().map(Value::from).collect(),
        ));
    };
    if separator.is_empty() {
        return Err(Error::raised("empty separator"));
    }
    let pieces = most.map_or(usize::MAX, |n| n.saturating_add(1));
    if from_right {
        let mut all: Vec<&str> = text.rsplitn(pieces, &*separator).collect();
        all.reverse();
        return Ok(texts(all));
    }
    Ok(texts(text.splitn(pieces, &*separator)))
}

/// Splits at white space, at most `most` times.
fn words(text: &str, most: Option<usize>, from_right: bool) -> Vec<&str> {
    let Some(most) = most else { return text.split(space).filter(|w| !w.is_empty()).collect() };
    // The remainder keeps the blanks at its far end.
    let (mut out, mut rest) = (
        Vec::new(),
        if from_right { text.trim_end_matches(space) } else { text.trim_start_matches(space) },
    );
    while out.len() < most && !rest.is_empty() {
        let cut = if from_right { rest.rfind(space) } else { rest.find(space) };
        let Some(at) = cut else { break };
        let end = at + rest[at..].chars().next().map_or(1, char::len_utf8);
        if from_right {
            out.push(&rest[end..]);
            rest = rest[..at].trim_end_matches(space);
        } else {
            out.push(&rest[..at]);
            rest = rest[end..].trim_start_matches(space);
        }
    }
    if !rest.is_empty() {
        out.push(rest);
    }
    if from_right {
        out.reverse();
    }
    out
}

fn replaced(text: &str, args: &Args) -> Result<Value> {
    let b = args.bind("replace", &["old", "new", "count"])?;
    let (old, new) = (b.wanted_text("old")?, b.wanted_text("new")?);
    Ok(Value::from(replace(text, &old, &new, b.int_or("count", -1)?)))
}

/// `str.replace`
pub fn replace(text: &str, old: &str, new: &str, count: i128) -> String {
    match usize::try_from(count) {
        Ok(count) => text.replacen(old, new, count),
        Err(_) => text.replace(old, new),
    }
}

fn expanded(text: &str, size: usize) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let blanks = size - column % size;
                out.push_str(&" ".repeat(blanks));
                column += blanks;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

fn parted(text: &str, from_right: bool, args: &Args) -> Result<Value> {
    let separator = args.bind("partition", &["sep"])?.wanted_text("sep")?;
    if separator.is_empty() {
        return Err(Error::raised("empty separator"));
    }
    let found =
        if from_right { text.rsplit_once(&*separator) } else { text.split_once(&*separator) };
    let parts = match found {
        Some((before, after)) => [before, &*separator, after],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::tuple(parts.map(Value::from).to_vec()))
}

fn stripped(text: &str, name: &str, args: &Args) -> Result<Value> {
    let chars = args.bind("strip", &["chars"])?.text("chars")?;
    let fits = |c: char| chars.as_ref().map_or_else(|| space(c), |all| all.contains(c));
    Ok(Value::from(match name {
        "strip" => text.trim_matches(fits),
        "lstrip" => text.trim_start_matches(fits),
        _ => text.trim_end_matches(fits),
    }))
}

/// The part between `start` and `end`, with the number of characters before it; `None` if `start`
/// is beyond the end.
fn bounded<'a>(text: &'a str, b: &Bound) -> Result<Option<(&'a str, usize)>> {
    let length = text.chars().count() as i128;
    let place = |name: &str, default: i128| -> Result<i128> {
        let n = b.int_or(name, default)?;
        Ok(if n < 0 { (n + length).max(0) } else { n })
    };
    let (start, end) = (place("start", 0)?, place("end", length)?.min(length));
    if start > length || start > end {
        return Ok(None);
    }
    Ok(Some((chars::part(text, start as usize, end as usize), start as usize)))
}

fn edge(text: &str, start: bool, args: &Args) -> Result<Value> {
    let b = args.bind("this method", &["part", "start", "end"])?;
    let all = match b.wanted("part")? {
        Value::Tuple(all) => all.to_vec(),
        one => vec![one.clone()],
    };
    let Some((part, _)) = bounded(text, &b)? else { return Ok(Value::Bool(false)) };
    for one in &all {
        let Some(one) = one.as_text() else {
            return Err(Error::raised(format!(
                "first arg must be str or a tuple of str, not {}",
                one.kind()
            )));
        };
        if if start { part.starts_with(&**one) } else { part.ends_with(&**one) } {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn sought(text: &str, name: &str, args: &Args) -> Result<Value> {
    let b = args.bind("this method", &["part", "start", "end"])?;
    let wanted = b.wanted_text("part")?;
    let Some((part, before)) = bounded(text, &b)? else {
        return match name {
            "count" => Ok(Value::Int(0)),
            "find" | "rfind" => Ok(Value::Int(-1)),
            _ => Err(Error::raised("substring not found")),
        };
    };
    if name == "count" {
        let count = if wanted.is_empty() {
            part.chars().count() + 1
        } else {
            part.matches(&*wanted).count()
        };
        return Ok(Value::from(count));
    }
    let found = if name.starts_with('r') { part.rfind(&*wanted) } else { part.find(&*wanted) };
    match found {
        Some(at) => Ok(Value::from(before + part[..at].chars().count())),
        None if name.ends_with("index") => Err(Error::raised("substring not found")),
        None => Ok(Value::Int(-1)),
    }
}

fn justified(text: &str, name: &str, args: &Args) -> Result<Value> {
    let b = args.bind("this method", &["width", "fillchar"])?;
    b.wanted("width")?;
    let width = b.size("width", 0)?;
    let fill = b.text_or("fillchar", " ")?;
    let mut all = fill.chars();
    let (Some(fill), None) = (all.next(), all.next()) else {
        return Err(Error::raised("The fill character must be exactly one character long"));
    };
    let pad = || fill.to_string().repeat(width.saturating_sub(text.chars().count()));
    Ok(Value::from(match name {
        "center" => chars::centred(text, width, fill),
        "ljust" => text.to_owned() + &pad(),
        _ => pad() + text,
    }))
}

fn zero_filled(text: &str, width: usize) -> String {
    let zeros = "0".repeat(width.saturating_sub(text.chars().count()));
    match text.strip_prefix(['-', '+']) {
        Some(rest) => text[..1].to_owned() + &zeros + rest,
        None => zeros + text,
    }
}

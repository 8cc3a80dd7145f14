//! JSON in the format of Python's `json.dumps`.
use std::fmt::Write;

use crate::jinja::args::{Args, Bound, size};
use crate::jinja::error::{Error, Result};
use crate::jinja::value::{Dict, Value};
use crate::jinja::{operators, show, sorting};

struct Style {
    /// Indentation per level; `None`: all in one line.
    indent: Option<String>,
    comma: String,
    colon: String,
    ascii: bool,
    sorted: bool,
    /// Converts keys to text before sorting, as Ansible does and Jinja's `tojson` does not.
    texts: bool,
}

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    if name == "from_json" {
        let b = args.bind("from_json", &["profile"])?;
        b.text("profile")?;
        return load(value);
    }
    if name == "tojson" {
        let indent =
            args.bind("tojson", &["indent"])?.some("indent").map(indentation).transpose()?;
        let style = Style {
            comma: comma(&indent),
            indent,
            colon: ": ".into(),
            ascii: true,
            sorted: true,
            texts: false,
        };
        let text = written(value, &style)?;
        let safe = text
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
            .replace('\'', "\\u0027");
        return Ok(Value::Markup(safe.into()));
    }
    let nice = name == "to_nice_json";
    if args.named.iter().any(|(n, _)| {
        ["profile", "cls", "default", "vault_to_text", "preprocess_unsafe"].contains(&&**n)
    }) {
        return Err(Error::refused(format!(
            "an argument of `{name}` that Ansible keeps for itself is not supported"
        )));
    }
    let names: &[&str] = &[
        "indent",
        "sort_keys",
        "separators",
        "ensure_ascii",
        "skipkeys",
        "check_circular",
        "allow_nan",
    ];
    let b = args.bind(if nice { "to_nice_json" } else { "to_json" }, names)?;
    if !nice && !args.positional.is_empty() {
        return Err(Error::raised("`to_json` takes its arguments by name"));
    }
    Ok(Value::from(written(value, &style(&b, nice)?)?))
}

fn style(b: &Bound, nice: bool) -> Result<Style> {
    let four = Value::Int(4);
    let indent = match b.get("indent") {
        None if nice => Some(&four),
        given => given,
    };
    let indent = indent.filter(|v| !v.is_none()).map(indentation).transpose()?;
    let (mut comma, mut colon) = (comma(&indent), ": ".to_owned());
    if let Some(given) = b.some("separators").filter(|_| !nice) {
        let given = crate::jinja::iterate::items(given)?;
        let [a, z] = &given[..] else {
            return Err(Error::raised("`separators` must be two texts"));
        };
        (comma, colon) = (show::text(a)?.to_string(), show::text(z)?.to_string());
    }
    if nice {
        comma = ",".into();
    }
    Ok(Style {
        indent,
        comma,
        colon,
        ascii: b.truth_or("ensure_ascii", true)?,
        sorted: b.truth_or("sort_keys", nice)?,
        texts: true,
    })
}

fn comma(indent: &Option<String>) -> String {
    if indent.is_some() { ",".into() } else { ", ".into() }
}

fn indentation(value: &Value) -> Result<String> {
    match (value.as_text(), value.as_int()) {
        (Some(text), _) => Ok(text.to_string()),
        (None, Some(n)) => Ok(" ".repeat(size(n)?)),
        _ => Err(Error::raised("`indent` must be a number")),
    }
}

fn written(value: &Value, style: &Style) -> Result<String> {
    let mut out = String::new();
    write(value, style, 0, &mut out)?;
    Ok(out)
}

fn write(value: &Value, style: &Style, level: usize, out: &mut String) -> Result<()> {
    match value {
        Value::Missing(why) => return Err(why.clone()),
        Value::None => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Float(f) => out.push_str(&float(*f)),
        Value::Str(s) | Value::Markup(s) => quoted(s, style.ascii, out),
        Value::List(l) => list(&l.borrow(), style, level, out)?,
        Value::Tuple(t) => list(t, style, level, out)?,
        Value::Dict(d) => mapping(&d.borrow(), style, level, out)?,
        other => {
            return Err(Error::raised(format!(
                "Object of type {} is not JSON serializable",
                other.kind()
            )));
        }
    }
    Ok(())
}

fn float(f: f64) -> String {
    match f {
        f if f.is_nan() => "NaN".into(),
        f if f.is_infinite() => {
            if f > 0.0 {
                "Infinity".into()
            } else {
                "-Infinity".into()
            }
        }
        f => show::float(f),
    }
}

fn line(style: &Style, level: usize, out: &mut String) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        out.push_str(&indent.repeat(level));
    }
}

fn list(items: &[Value], style: &Style, level: usize, out: &mut String) -> Result<()> {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(&style.comma);
        }
        line(style, level + 1, out);
        write(item, style, level + 1, out)?;
    }
    if !items.is_empty() {
        line(style, level, out);
    }
    out.push(']');
    Ok(())
}

fn mapping(dict: &Dict, style: &Style, level: usize, out: &mut String) -> Result<()> {
    let texts;
    let dict = if style.texts {
        texts = with_text_keys(dict)?;
        &texts
    } else {
        dict
    };
    let mut keys: Vec<Value> = dict.keys().cloned().collect();
    if style.sorted {
        keys = sorting::sorted(keys, false, |key| Ok(key.clone()))?;
    }
    out.push('{');
    for (at, key) in keys.iter().enumerate() {
        if at > 0 {
            out.push_str(&style.comma);
        }
        line(style, level + 1, out);
        quoted(&key_text(key)?, style.ascii, out);
        out.push_str(&style.colon);
        write(dict.get(key).expect("its own key"), style, level + 1, out)?;
    }
    if !keys.is_empty() {
        line(style, level, out);
    }
    out.push('}');
    Ok(())
}

fn with_text_keys(dict: &Dict) -> Result<Dict> {
    let mut out = Dict::new();
    for (key, value) in dict.iter() {
        out.put(&key_text(key)?, value.clone());
    }
    Ok(out)
}

fn key_text(key: &Value) -> Result<String> {
    Ok(match key {
        Value::Str(s) | Value::Markup(s) => s.to_string(),
        Value::None => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Float(f) => float(*f),
        Value::Int(n) => n.to_string(),
        other => {
            return Err(Error::raised(format!(
                "keys must be str, int, float, bool or None, not {}",
                other.kind()
            )));
        }
    })
}

fn quoted(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (ascii && (c as u32) > 0x7e) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn load(value: &Value) -> Result<Value> {
    let Some(text) = value.as_text() else {
        return Err(Error::raised(format!(
            "the JSON object must be str, bytes or bytearray, not {}",
            value.kind()
        )));
    };
    whole_numbers(text)?;
    let found: serde_json::Value = serde_json::from_str(text).map_err(|e| {
        if text.contains("NaN") || text.contains("Infinity") {
            return Error::refused("`NaN` and `Infinity` in JSON are not supported");
        }
        Error::raised(e.to_string())
    })?;
    from(&found)
}

/// Fails on integers that would become floats.
fn whole_numbers(text: &str) -> Result<()> {
    let (mut quoted, mut escaped, mut number) = (false, false, String::new());
    for c in text.chars().chain([' ']) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '0'..='9' | '-' | '+' | '.' | 'e' | 'E' if !quoted => {
                number.push(c);
                continue;
            }
            _ => {}
        }
        if number == "-0"
            || number
                .parse::<i128>()
                .is_ok_and(|n| i64::try_from(n).is_err() && u64::try_from(n).is_err())
        {
            return Err(Error::refused(format!("the number {number} in JSON is not supported")));
        }
        if number.len() > 38 && number.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) {
            return Err(operators::too_large());
        }
        number.clear();
    }
    Ok(())
}

/// Converts a JSON value.
pub fn from(json: &serde_json::Value) -> Result<Value> {
    use serde_json::Value as Json;
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), ..) => Value::Int(n.into()),
            (_, Some(n), _) => Value::Int(n.into()),
            // A whole number that is larger came as a float.
            (.., Some(f)) if f.fract() == 0.0 && !n.to_string().contains(['.', 'e', 'E']) => {
                return Err(operators::too_large());
            }
            (.., Some(f)) => Value::Float(f),
            _ => return Err(operators::too_large()),
        },
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(items) => Value::list(items.iter().map(from).collect::<Result<_>>()?),
        Json::Object(map) => {
            let mut out = Dict::new();
            for (key, value) in map {
                out.put(key, from(value)?);
            }
            Value::dict(out)
        }
    })
}

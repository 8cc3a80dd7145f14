//! `str()` and `repr()` of values.
use std::fmt::Write;
use std::rc::Rc;

use super::error::{Error, Result};
use super::value::{Function, Value};

/// Python's `str()`.
pub fn text(value: &Value) -> Result<Rc<str>> {
    Ok(match value {
        Value::Str(s) | Value::Markup(s) => s.clone(),
        Value::Module(m) => m.text.clone(),
        Value::Nothing => "".into(),
        Value::Time(_) | Value::Span(_) => super::time::text(value).into(),
        other => {
            let mut out = String::new();
            repr_to(other, &mut out)?;
            out.into()
        }
    })
}

/// Python's `repr()`.
pub fn repr(value: &Value) -> Result<String> {
    let mut out = String::new();
    repr_to(value, &mut out)?;
    Ok(out)
}

fn repr_to(value: &Value, out: &mut String) -> Result<()> {
    match value {
        Value::Missing(why) => return Err(why.clone()),
        Value::Guess => out.push_str("anything"),
        Value::None => out.push_str("None"),
        Value::Bool(b) => out.push_str(if *b { "True" } else { "False" }),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Float(f) => out.push_str(&float(*f)),
        Value::Str(s) => quoted(s, out),
        Value::Markup(s) => {
            out.push_str("Markup(");
            quoted(s, out);
            out.push(')');
        }
        Value::Bytes(b) => bytes(b, out),
        Value::List(l) => sequence(&l.borrow(), ("[", "]"), out)?,
        Value::Tuple(t) if t.len() == 1 => sequence(t, ("(", ",)"), out)?,
        Value::Tuple(t) => sequence(t, ("(", ")"), out)?,
        Value::Dict(d) => mapping(&d.borrow(), out)?,
        Value::Namespace(d) => {
            out.push_str("<Namespace ");
            mapping(&d.borrow(), out)?;
            out.push('>');
        }
        Value::Range(a, b, 1) => out.push_str(&format!("range({a}, {b})")),
        Value::Range(a, b, s) => out.push_str(&format!("range({a}, {b}, {s})")),
        Value::Time(_) | Value::Span(_) => out.push_str(&super::time::repr(value)),
        Value::Loop(l) => {
            out.push_str(&format!("<LoopContext {}/{}>", l.index() + 1, l.items.len()))
        }
        other => return Err(unprintable(other)),
    }
    Ok(())
}

/// Refuses values that Python shows with a memory address or internal details.
fn unprintable(value: &Value) -> Rc<Error> {
    let what = match value {
        Value::Function(f) => match &**f {
            Function::Macro(m) => format!("the macro `{}`", m.what.name),
            Function::Global(name) => format!("the function `{name}`"),
            Function::Method(_, name) => format!("the method `{name}`"),
            _ => "a function".into(),
        },
        other => format!("a value of type {}", other.kind()),
    };
    Error::refused(format!("{what} has no text of its own; call it with `()`, or name a member"))
}

fn sequence(items: &[Value], (open, close): (&str, &str), out: &mut String) -> Result<()> {
    out.push_str(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        repr_to(item, out)?;
    }
    out.push_str(close);
    Ok(())
}

fn mapping(dict: &super::value::Dict, out: &mut String) -> Result<()> {
    out.push('{');
    for (at, (key, value)) in dict.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        repr_to(key, out)?;
        out.push_str(": ");
        repr_to(value, out)?;
    }
    out.push('}');
    Ok(())
}

/// Quotes a text like Python.
pub fn quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if printable(c) => out.push(c),
            c => escaped(c, out),
        }
    }
    out.push(quote);
}

/// `\\xe4`, `\\u20ac`
pub fn escaped(c: char, out: &mut String) {
    let _ = match c as u32 {
        n @ 0..=0xff => write!(out, "\\x{n:02x}"),
        n @ 0x100..=0xffff => write!(out, "\\u{n:04x}"),
        n => write!(out, "\\U{n:08x}"),
    };
}

/// Python's `str.isprintable` of one character.
pub fn printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\u{a0}' | '\u{ad}' => false,
        // Rust escapes for debugging by the same categories, and combining characters besides.
        c => c.escape_debug().len() == 1 || super::chars::combining(c),
    }
}

fn bytes(bytes: &[u8], out: &mut String) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    out.push('b');
    out.push(quote);
    for b in bytes {
        match *b {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b if char::from(b) == quote => {
                out.push('\\');
                out.push(quote);
            }
            b @ b' '..=b'~' => out.push(char::from(b)),
            b => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
    }
    out.push(quote);
}

/// A float like Python: the shortest digits that parse to the same value.
pub fn float(f: f64) -> String {
    if f.is_nan() {
        return "nan".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let shortest = format!("{f:e}");
    let places = shortest
        .split_once('e')
        .map_or(0, |(digits, _)| digits.trim_start_matches('-').len().saturating_sub(2));
    // Of several texts that are as short, the one that is nearest.
    let nearest = format!("{f:.places$e}");
    let scientific = if nearest.parse() == Ok(f) { nearest } else { shortest };
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("it is a number");
    if f != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{f:.*}", usize::try_from(places as i32 - exponent).unwrap_or(0));
    if plain.contains('.') { plain } else { plain + ".0" }
}

//! `'{}'.format(…)`
use super::args::Args;
use super::error::{Error, Result};
use super::number_format as numbers;
use super::value::Value;
use super::{attributes, show};

/// Nesting limit of fields in format specifications.
const NESTED: usize = 2;

pub fn format(text: &str, args: &Args) -> Result<String> {
    let mut next = 0;
    expanded(text, args, &mut next, NESTED)
}

fn expanded(text: &str, args: &Args, next: &mut usize, depth: usize) -> Result<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let mark = &rest[at..=at];
        rest = &rest[at + 1..];
        if rest.starts_with(mark) && depth == NESTED {
            out.push_str(mark);
            rest = &rest[1..];
            continue;
        }
        if mark == "}" {
            return Err(Error::raised("Single '}' encountered in format string"));
        }
        let end =
            closing(rest).ok_or_else(|| Error::raised("expected '}' before end of string"))?;
        out.push_str(&field(&rest[..end], args, next, depth)?);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn closing(text: &str) -> Option<usize> {
    let mut open = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn field(text: &str, args: &Args, next: &mut usize, depth: usize) -> Result<String> {
    if depth == 0 {
        return Err(Error::raised("Max string recursion exceeded"));
    }
    let brackets = text.find('[').map_or(0, |at| text[at..].find(']').map_or(at, |end| at + end));
    let cut = text[brackets..].find([':', '!']).map_or(text.len(), |at| at + brackets);
    let (name, rest) = text.split_at(cut);
    let (conversion, spec) = match rest.strip_prefix('!') {
        Some(rest) => (rest.chars().next(), rest.get(1..).unwrap_or_default()),
        None => (None, rest),
    };
    let spec = spec.strip_prefix(':').unwrap_or(spec);
    let value = named(name, args, next)?;
    let spec = expanded(spec, args, next, depth - 1)?;
    let value = match conversion {
        None => value,
        Some('s') => Value::Str(show::text(&value)?),
        Some('r' | 'a') => Value::from(show::repr(&value)?),
        Some(c) => return Err(Error::raised(format!("Unknown conversion specifier '{c}'"))),
    };
    one(&value, &spec)
}

/// `0`, `name`, `name.member[index]`
fn named(name: &str, args: &Args, next: &mut usize) -> Result<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut rest) = name.split_at(end);
    let missing = || Error::raised("Replacement index out of range for positional args tuple");
    let mut value = if first.is_empty() {
        *next += 1;
        args.positional.get(*next - 1).cloned().ok_or_else(missing)?
    } else if let Ok(at) = first.parse::<usize>() {
        args.positional.get(at).cloned().ok_or_else(missing)?
    } else {
        let found = args.named.iter().find(|(n, _)| **n == *first).map(|(_, v)| v.clone());
        found.ok_or_else(|| Error::raised(format!("KeyError: '{first}'")))?
    };
    while !rest.is_empty() {
        let found = if let Some(inner) = rest.strip_prefix('[') {
            let end =
                inner.find(']').ok_or_else(|| Error::raised("Missing ']' in format string"))?;
            let key = inner[..end].parse().map_or_else(|_| Value::from(&inner[..end]), Value::Int);
            rest = &inner[end + 1..];
            attributes::index(&value, &key)?
        } else {
            let inner = rest
                .strip_prefix('.')
                .ok_or_else(|| Error::raised("Only '.' or '[' may follow ']'"))?;
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            let member = &inner[..end];
            rest = &inner[end..];
            attributes::find(&value, &member.into())?
        };
        value = found.ok_or_else(|| Error::raised(format!("there is nothing at `{name}`")))?;
    }
    Ok(value)
}

#[derive(Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zeros: bool,
    width: usize,
    group: Option<char>,
    digits: Option<usize>,
    letter: Option<char>,
}

fn parsed(text: &str) -> Result<Spec> {
    let invalid = || Error::raised("Invalid format specifier");
    let mut spec = Spec::default();
    let mut all: Vec<char> = text.chars().collect();
    all.reverse();
    let is_align = |c: &char| "<>=^".contains(*c);
    if all.len() > 1 && is_align(&all[all.len() - 2]) {
        (spec.fill, spec.align) = (all.pop(), all.pop());
    } else if all.last().is_some_and(is_align) {
        spec.align = all.pop();
    }
    let next_is = |all: &Vec<char>, which: &str| all.last().is_some_and(|c| which.contains(*c));
    if next_is(&all, "+- ") {
        spec.sign = all.pop();
    }
    if next_is(&all, "#") {
        spec.alternate = all.pop().is_some();
    }
    if next_is(&all, "0") {
        spec.zeros = all.pop().is_some();
    }
    let number = |all: &mut Vec<char>| -> Result<Option<usize>> {
        let mut digits = String::new();
        while all.last().is_some_and(char::is_ascii_digit) {
            digits.extend(all.pop());
        }
        if digits.is_empty() {
            Ok(None)
        } else {
            digits.parse().ok().filter(|n| *n < 1 << 24).map(Some).ok_or_else(invalid)
        }
    };
    spec.width = number(&mut all)?.unwrap_or(0);
    if next_is(&all, ",_") {
        spec.group = all.pop();
    }
    if next_is(&all, ".") {
        all.pop();
        spec.digits = Some(number(&mut all)?.filter(|n| *n < 1 << 16).ok_or_else(invalid)?);
    }
    spec.letter = all.pop();
    if all.is_empty() { Ok(spec) } else { Err(invalid()) }
}

/// `format(value, spec)`
fn one(value: &Value, text: &str) -> Result<String> {
    if text.is_empty() {
        return Ok(show::text(value)?.to_string());
    }
    if let Value::Time(_) = value {
        return super::time::strftime(value, text);
    }
    let spec = parsed(text)?;
    let unknown = |letter: char| {
        Err(Error::raised(format!(
            "Unknown format code '{letter}' for object of type '{}'",
            value.kind()
        )))
    };
    match (value, spec.letter) {
        (Value::Str(s) | Value::Markup(s), None | Some('s')) => {
            let text: String = s.chars().take(spec.digits.unwrap_or(usize::MAX)).collect();
            if spec.sign.is_some() || spec.align == Some('=') || spec.group.is_some() {
                return Err(Error::raised("this is not allowed in a string format specifier"));
            }
            Ok(padded(&spec, "", &text, '<'))
        }
        (Value::Int(_) | Value::Bool(_), None | Some('d' | 'n' | 'x' | 'X' | 'o' | 'b' | 'c')) => {
            let n = value.as_int().unwrap_or(0);
            let letter = spec.letter.unwrap_or('d');
            if spec.digits.is_some() || letter == 'c' {
                return Err(Error::raised("Precision not allowed in integer format specifier"));
            }
            let (mut body, mark) = numbers::whole(n.unsigned_abs(), letter, spec.alternate);
            if let Some(group) = spec.group {
                body = numbers::grouped(&body, group, if "xXob".contains(letter) { 4 } else { 3 });
            }
            Ok(padded(&spec, &format!("{}{mark}", sign(&spec, n < 0)), &body, '>'))
        }
        (Value::Int(_) | Value::Bool(_) | Value::Float(_), letter)
            if letter.is_none_or(|c| "eEfFgGn%".contains(c)) =>
        {
            let f = value.as_number().unwrap_or(0.0);
            let mut body = match (letter, spec.digits) {
                (None, None) => show::float(f.abs()),
                (None, Some(digits)) => repr_like(f, digits),
                (Some(letter), digits) => {
                    numbers::float(f, letter, digits.unwrap_or(6), spec.alternate)
                }
            };
            if let Some(group) = spec.group {
                body = numbers::grouped(&body, group, 3);
            }
            Ok(padded(&spec, sign(&spec, f.is_sign_negative() && !f.is_nan()), &body, '>'))
        }
        (
            Value::Str(_) | Value::Markup(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_),
            letter,
        ) => unknown(letter.unwrap_or(' ')),
        _ => Err(Error::raised(format!(
            "unsupported format string passed to {}.__format__",
            value.kind()
        ))),
    }
}

/// As `g`, with at least one digit after the point.
fn repr_like(f: f64, digits: usize) -> String {
    let text = numbers::general(f.abs(), digits, false, false);
    if text.contains(['.', 'e', 'n']) { text } else { text + ".0" }
}

fn sign(spec: &Spec, negative: bool) -> &'static str {
    match (negative, spec.sign) {
        (true, _) => "-",
        (_, Some('+')) => "+",
        (_, Some(' ')) => " ",
        _ => "",
    }
}

fn padded(spec: &Spec, sign: &str, body: &str, default: char) -> String {
    let pad = spec.width.saturating_sub(sign.chars().count() + body.chars().count());
    let numeric = default == '>';
    let fill = spec.fill.unwrap_or(if spec.zeros { '0' } else { ' ' });
    let align = spec.align.unwrap_or(if spec.zeros && numeric { '=' } else { default });
    let some = |n: usize| fill.to_string().repeat(n);
    match align {
        '<' => format!("{sign}{body}{}", some(pad)),
        '^' => format!("{}{sign}{body}{}", some(pad / 2), some(pad - pad / 2)),
        '=' => format!("{sign}{}{body}", some(pad)),
        _ => format!("{}{sign}{body}", some(pad)),
    }
}

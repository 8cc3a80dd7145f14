//! `'%s' % values`
use super::error::{Error, Result};
use super::number_format as numbers;
use super::show;
use super::value::Value;

struct Spec {
    flags: String,
    width: usize,
    digits: Option<usize>,
}

impl Spec {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    fn padded(&self, sign: &str, mark: &str, body: &str, zeros: bool) -> String {
        let length = sign.chars().count() + mark.len() + body.chars().count();
        let pad = self.width.saturating_sub(length);
        if self.has('-') {
            format!("{sign}{mark}{body}{}", " ".repeat(pad))
        } else if zeros && self.has('0') {
            format!("{sign}{mark}{}{body}", "0".repeat(pad))
        } else {
            format!("{}{sign}{mark}{body}", " ".repeat(pad))
        }
    }

    fn sign(&self, negative: bool) -> &'static str {
        match () {
            () if negative => "-",
            () if self.has('+') => "+",
            () if self.has(' ') => " ",
            () => "",
        }
    }
}

/// The values to insert, in order.
struct Values<'a> {
    all: Vec<Value>,
    at: usize,
    whole: &'a Value,
}

impl Values<'_> {
    fn next(&mut self) -> Result<Value> {
        let value = self
            .all
            .get(self.at)
            .cloned()
            .ok_or_else(|| Error::raised("not enough arguments for format string"))?;
        self.at += 1;
        Ok(value)
    }

    fn number(&mut self) -> Result<i128> {
        self.next()?.as_int().ok_or_else(|| Error::raised("* wants int"))
    }

    fn named(&self, key: &str) -> Result<Value> {
        let Value::Dict(dict) = self.whole else {
            return Err(Error::raised("format requires a mapping"));
        };
        dict.borrow().text(key).cloned().ok_or_else(|| Error::raised(format!("KeyError: '{key}'")))
    }
}

pub fn format(text: &str, value: &Value) -> Result<String> {
    let all = match value {
        Value::Tuple(items) => items.to_vec(),
        other => vec![other.clone()],
    };
    let mut values = Values { all, at: 0, whole: value };
    let (mut out, mut rest, mut by_name) = (String::new(), text, false);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut key = None;
        if let Some(inner) = rest.strip_prefix('(') {
            let end = inner.find(')').ok_or_else(|| Error::raised("incomplete format key"))?;
            key = Some(values.named(&inner[..end])?);
            by_name = true;
            rest = &inner[end + 1..];
        }
        let spec = spec(&mut rest, &mut values)?;
        let letter = rest.chars().next().ok_or_else(|| Error::raised("incomplete format"))?;
        rest = &rest[letter.len_utf8()..];
        if letter == '%' {
            out.push('%');
            continue;
        }
        let value = match key {
            Some(value) => value,
            None => values.next()?,
        };
        out.push_str(&one(&spec, letter, &value)?);
    }
    out.push_str(rest);
    let spare = values.at < values.all.len()
        && !by_name
        && !matches!(value, Value::Dict(_) | Value::List(_) | Value::Range(..) | Value::Bytes(_));
    if spare {
        Err(Error::raised("not all arguments converted during string formatting"))
    } else {
        Ok(out)
    }
}

fn spec(rest: &mut &str, values: &mut Values) -> Result<Spec> {
    let cut = |rest: &mut &str, fits: fn(char) -> bool| {
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let (part, left) = rest.split_at(end);
        *rest = left;
        part.to_owned()
    };
    let mut flags = cut(rest, |c| "#0- +".contains(c));
    let too_wide = || Error::raised("width too big");
    let mut size = |rest: &mut &str| -> Result<Option<i128>> {
        if let Some(left) = rest.strip_prefix('*') {
            *rest = left;
            return values.number().map(Some);
        }
        let digits = cut(rest, |c| c.is_ascii_digit());
        if digits.is_empty() { Ok(None) } else { digits.parse().map(Some).map_err(|_| too_wide()) }
    };
    let mut width = size(rest)?.unwrap_or(0);
    if width < 0 {
        flags.push('-');
        width = width.saturating_neg();
    }
    let mut digits = None;
    if let Some(left) = rest.strip_prefix('.') {
        *rest = left;
        digits = Some(usize::try_from(size(rest)?.unwrap_or(0)).unwrap_or(0));
    }
    cut(rest, |c| "hlL".contains(c));
    if width > 1 << 24 || digits.is_some_and(|d| d > 1 << 16) {
        return Err(too_wide());
    }
    Ok(Spec { flags, width: width as usize, digits })
}

fn one(spec: &Spec, letter: char, value: &Value) -> Result<String> {
    let short = |text: String| match spec.digits {
        Some(most) => text.chars().take(most).collect(),
        None => text,
    };
    match letter {
        's' => Ok(spec.padded("", "", &short(show::text(value)?.to_string()), false)),
        'r' | 'a' => Ok(spec.padded("", "", &short(show::repr(value)?), false)),
        'c' => {
            let text = match (value.as_text(), value.as_int()) {
                (Some(text), _) if text.chars().count() == 1 => text.to_string(),
                (None, Some(n)) => u32::try_from(n)
                    .ok()
                    .and_then(char::from_u32)
                    .map(String::from)
                    .unwrap_or_default(),
                _ => String::new(),
            };
            if text.is_empty() {
                Err(Error::raised("%c requires int or char"))
            } else {
                Ok(spec.padded("", "", &text, false))
            }
        }
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
            let n = match value {
                Value::Float(f) if "diu".contains(letter) && f.abs() >= 1e38 => {
                    return Err(super::operators::too_large());
                }
                Value::Float(f) if "diu".contains(letter) && f.is_finite() => f.trunc() as i128,
                other => other.as_int().ok_or_else(|| {
                    Error::raised(format!(
                        "%{letter} format: an integer is required, not {}",
                        other.kind()
                    ))
                })?,
            };
            let (mut body, mark) = numbers::whole(n.unsigned_abs(), letter, spec.has('#'));
            if let Some(digits) = spec.digits {
                body = "0".repeat(digits.saturating_sub(body.len())) + &body;
            }
            Ok(spec.padded(spec.sign(n < 0), mark, &body, true))
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let f = value.as_number().ok_or_else(|| {
                Error::raised(format!("must be real number, not {}", value.kind()))
            })?;
            let body = numbers::float(f, letter, spec.digits.unwrap_or(6), spec.has('#'));
            Ok(spec.padded(spec.sign(f.is_sign_negative() && !f.is_nan()), "", &body, true))
        }
        other => Err(Error::raised(format!("unsupported format character '{other}'"))),
    }
}

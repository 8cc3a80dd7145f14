//! Types of plain scalars in Ansible (PyYAML, YAML 1.1). The factory keeps text as text; this
//! module tells where Ansible would print something else, and types free variables like Ansible.
//! Source: PyYAML 6.0 `resolver.py`, `constructor.py`.
use serde_json::{Number, Value};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// A timestamp. Python prints it differently unless it is written in Python's format.
    Time {
        same: bool,
    },
    Text,
}

pub(super) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Plain::Bool(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Plain::Bool(false);
        }
        _ => {}
    }
    if let Some(int) = int(text) {
        return Plain::Int(int);
    }
    if let Some(float) = float(text) {
        return Plain::Float(float);
    }
    time(text).map_or(Plain::Text, |same| Plain::Time { same })
}

/// How Ansible prints the scalar, if different from its text.
pub(super) fn printed(text: &str) -> Option<String> {
    let printed = match resolve(text) {
        Plain::Null | Plain::Text | Plain::Time { same: true } => return None,
        Plain::Bool(true) => "True".into(),
        Plain::Bool(false) => "False".into(),
        Plain::Int(int) => int.to_string(),
        Plain::Float(float) => python_float(float),
        Plain::Time { same: false } => "a date and time".into(),
    };
    (printed != text).then_some(printed)
}

/// The value with Ansible's type; `None` if JSON cannot express it (`.inf`, `.nan`). Dates stay
/// text.
pub(super) fn json(text: &str) -> Option<Value> {
    Some(match resolve(text) {
        Plain::Null => Value::Null,
        Plain::Bool(b) => Value::Bool(b),
        Plain::Int(int) => match (i64::try_from(int), u64::try_from(int)) {
            (Ok(int), _) => int.into(),
            (_, Ok(int)) => int.into(),
            _ => Value::Number(Number::from_f64(int as f64)?),
        },
        Plain::Float(float) => Value::Number(Number::from_f64(float)?),
        Plain::Time { .. } | Plain::Text => Value::String(text.to_owned()),
    })
}

fn sign(text: &str) -> (i128, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn only(text: &str, digit: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '_' || digit(c))
}

fn int(text: &str) -> Option<i128> {
    let (sign, body) = sign(text);
    let digits = body.replace('_', "");
    let value = if let Some(bits) = body.strip_prefix("0b") {
        only(bits, |c| matches!(c, '0' | '1'))
            .then(|| i128::from_str_radix(&digits[2..], 2).ok())??
    } else if let Some(hex) = body.strip_prefix("0x") {
        only(hex, |c| c.is_ascii_hexdigit())
            .then(|| i128::from_str_radix(&digits[2..], 16).ok())??
    } else if body.len() > 1 && body.starts_with('0') {
        only(body, |c| matches!(c, '0'..='7')).then(|| i128::from_str_radix(&digits, 8).ok())??
    } else if body.contains(':') {
        let (head, parts) = sixty(body)?;
        if head.starts_with(['0', '_']) {
            return None;
        }
        parts.into_iter().try_fold(head.replace('_', "").parse().ok()?, |sum: i128, part| {
            sum.checked_mul(60)?.checked_add(part)
        })?
    } else {
        (body.starts_with(|c: char| c.is_ascii_digit()) && only(body, |c| c.is_ascii_digit()))
            .then(|| digits.parse().ok())??
    };
    Some(sign * value)
}

/// `1:30:00`: the head, and the base-60 parts.
fn sixty(body: &str) -> Option<(&str, Vec<i128>)> {
    let mut parts = body.split(':');
    let head = parts.next()?;
    let parts: Vec<&str> = parts.collect();
    let fits = |p: &&str| matches!(p.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    let sound = only(head, |c| c.is_ascii_digit()) && !parts.is_empty() && parts.iter().all(fits);
    sound
        .then(|| parts.iter().map(|p| p.parse().ok()).collect::<Option<Vec<i128>>>())
        .flatten()
        .map(|parts| (head, parts))
}

fn float(text: &str) -> Option<f64> {
    let (sign, body) = sign(text);
    match body {
        ".inf" | ".Inf" | ".INF" => return Some(sign as f64 * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    let (whole, fraction) = body.split_once('.')?;
    if whole.contains(':') {
        let (head, parts) = sixty(whole)?;
        if !(fraction.is_empty() || only(fraction, |c| c.is_ascii_digit())) {
            return None;
        }
        let whole = parts.iter().fold(head.replace('_', "").parse::<f64>().ok()?, |sum, part| {
            sum * 60.0 + *part as f64
        });
        let fraction: f64 = format!("0.{}0", fraction.replace('_', "")).parse().ok()?;
        return Some(sign as f64 * (whole + fraction));
    }
    let (digits, exponent) = match fraction.find(['e', 'E']) {
        Some(at) => (&fraction[..at], Some(&fraction[at + 1..])),
        None => (fraction, None),
    };
    // YAML 1.1 wants a sign in the exponent: `1.0e3` is text.
    let exponent_fits = exponent.is_none_or(|e| {
        e.strip_prefix(['+', '-'])
            .is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
    });
    let digits_fit = digits.is_empty() || only(digits, |c| c.is_ascii_digit());
    let whole_fits = if whole.is_empty() {
        body.len() == text.len() && digits.starts_with(|c: char| c.is_ascii_digit())
    } else {
        whole.starts_with(|c: char| c.is_ascii_digit()) && only(whole, |c| c.is_ascii_digit())
    };
    (exponent_fits && digits_fit && whole_fits)
        .then(|| text.replace('_', "").parse().ok())
        .flatten()
}

/// A date (printed as written), or a timestamp; `true` if Python prints the same.
fn time(text: &str) -> Option<bool> {
    let bytes = text.as_bytes();
    let shape = |pattern: &str, bytes: &[u8]| {
        bytes.len() == pattern.len()
            && pattern
                .bytes()
                .zip(bytes)
                .all(|(p, b)| if p == b'0' { b.is_ascii_digit() } else { p == *b })
    };
    if shape("0000-00-00", bytes) {
        return Some(true);
    }
    if shape("0000-00-00 00:00:00", bytes) || shape("0000-00-00 00:00:00.000000", bytes) {
        return Some(true);
    }
    let (date, clock) = text.split_once(['T', 't', ' ', '\t'])?;
    let mut date =
        date.split('-').map(|part| (part.len(), part.bytes().all(|b| b.is_ascii_digit())));
    let date_fits = matches!(
        (date.next(), date.next(), date.next(), date.next()),
        (Some((4, true)), Some((1 | 2, true)), Some((1 | 2, true)), None)
    );
    let clock = clock.trim_start().as_bytes();
    let clock_fits = clock.len() > 6
        && (shape("00:00:00", clock.get(..8).unwrap_or_default()) || shape("0:00:00", &clock[..7]));
    (date_fits && clock_fits).then_some(false)
}

/// Python's `repr(float)`: shortest digits; exponent below 1e-4 and from 1e16.
fn python_float(float: f64) -> String {
    if float.is_nan() || float.is_infinite() {
        return format!("{float}").to_lowercase();
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(e) if float != 0.0 && !(-4..16).contains(&e) => {
            format!("{mantissa}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs())
        }
        _ => {
            let plain = float.to_string();
            if plain.contains('.') { plain } else { format!("{plain}.0") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written down from PyYAML 6.0.3: `str(yaml.safe_load(text))`.
    #[test]
    fn prints_as_python_does() {
        let cases = [
            ("yes", "True"),
            ("Off", "False"),
            ("true", "True"),
            ("1.10", "1.1"),
            ("0755", "493"),
            ("016", "14"),
            ("1_000", "1000"),
            ("1:30", "90"),
            ("-1:30", "-90"),
            ("1:30.5", "90.5"),
            ("0x1F", "31"),
            ("0b101", "5"),
            ("+5", "5"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("1.5e+3", "1500.0"),
            ("1.0e+20", "1e+20"),
            ("0.00001", "1e-05"),
            (".inf", "inf"),
            ("-.INF", "-inf"),
            (".nan", "nan"),
            ("2018-02-26T10:00:00Z", "a date and time"),
            ("08.5", "8.5"),
            ("12:30:45", "45045"),
            ("1__0", "10"),
        ];
        for (text, expected) in cases {
            assert_eq!(printed(text).as_deref(), Some(expected), "{text}");
        }
        let same = [
            "y",
            "n",
            "08",
            "0o755",
            "1e3",
            "12e03",
            "1.0e3",
            "2018-02-26",
            "2018-02-26 10:00:00",
            "virtio",
            "1",
            "-7",
            "0",
            "1.5",
            "1:60",
            "1.2.3",
            "0b",
            "0x",
            "_1",
            "-",
            "+",
            ".",
            "..",
            "1:",
            ":1",
            "",
            "~",
            "null",
            "22.04-lts",
            "0.5",
            "01:30",
            "+.5",
            "1-2",
            "tRue",
            "é",
            "10.0.0.1",
            "aa:bb:cc",
            "-.5",
            "+.nan",
        ];
        for text in same {
            assert_eq!(printed(text), None, "{text}");
        }
    }

    #[test]
    fn free_values_have_the_types_of_ansible() {
        assert_eq!(json("yes"), Some(true.into()));
        assert_eq!(json("0755"), Some(493.into()));
        assert_eq!(json("1.5"), Some(1.5.into()));
        assert_eq!(json("18446744073709551615"), Some(u64::MAX.into()));
        assert_eq!(json("2018-02-26"), Some("2018-02-26".into()));
        assert_eq!(json("~"), Some(Value::Null));
        assert_eq!(json(".inf"), None);
    }
}

//! Types of plain scalars in YAML 1.1, as in PyYAML.
use std::sync::LazyLock;

use regex::Regex;

#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    Text,
    Null,
    Bool(bool),
    Int(i128),
    /// An integer that does not fit.
    Huge,
    Float(f64),
    Timestamp,
    /// `<<`
    Merge,
    /// `=`
    Value,
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("it is a constant")
}

static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?",
        r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ))
});
static INT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+",
        r"|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$"
    ))
});
static TIMESTAMP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}",
        r"|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?",
        r":[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?)$"
    ))
});

pub fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "<<" => return Plain::Merge,
        "=" => return Plain::Value,
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    let cased = text == lower || text == lower.to_ascii_uppercase() || is_capitalized(text);
    match &*lower {
        "yes" | "true" | "on" if cased => return Plain::Bool(true),
        "no" | "false" | "off" if cased => return Plain::Bool(false),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Plain::Text;
    }
    if INT.is_match(text) {
        return int(text).map_or(Plain::Huge, Plain::Int);
    }
    if FLOAT.is_match(text) {
        return Plain::Float(float(&lower));
    }
    if TIMESTAMP.is_match(text) { Plain::Timestamp } else { Plain::Text }
}

fn is_capitalized(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text[1..].bytes().all(|b| b.is_ascii_lowercase())
}

fn int(text: &str) -> Option<i128> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let n = if let Some(rest) = digits.strip_prefix("0b") {
        i128::from_str_radix(rest, 2)
    } else if let Some(rest) = digits.strip_prefix("0x") {
        i128::from_str_radix(rest, 16)
    } else if digits.contains(':') {
        return sixties(digits.split(':').map(|part| part.parse::<i128>().ok()))
            .map(|n| if negative { -n } else { n });
    } else if digits.len() > 1 && digits.starts_with('0') {
        i128::from_str_radix(&digits[1..], 8)
    } else {
        digits.parse()
    };
    n.ok().map(|n| if negative { -n } else { n })
}

/// `1:30`: base 60.
fn sixties(parts: impl Iterator<Item = Option<i128>>) -> Option<i128> {
    parts.into_iter().try_fold(0_i128, |sum, part| sum.checked_mul(60)?.checked_add(part?))
}

fn float(lower: &str) -> f64 {
    let plain = lower.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let value = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        other => {
            other.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap_or(0.0))
        }
    };
    sign * value
}

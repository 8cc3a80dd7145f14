//! Methods of numbers.
use super::args::Args;
use super::error::{Error, Result};
use super::value::Value;

pub fn call(value: &Value, name: &str, args: &Args) -> Result<Value> {
    match (value, name) {
        (Value::Float(f), "is_integer") => {
            args.none("is_integer")?;
            Ok(Value::Bool(f.is_finite() && f.fract() == 0.0))
        }
        (_, "bit_length") => {
            args.none("bit_length")?;
            Ok(Value::Int(i128::from(
                128 - value.as_int().unwrap_or(0).unsigned_abs().leading_zeros(),
            )))
        }
        (_, "bit_count") => {
            args.none("bit_count")?;
            Ok(Value::Int(i128::from(value.as_int().unwrap_or(0).unsigned_abs().count_ones())))
        }
        (_, "conjugate") => Ok(value.clone()),
        _ => {
            Err(Error::refused(format!("the method `{name}` of {} is not supported", value.kind())))
        }
    }
}

/// Python's `int(text, base)`; `None` if invalid.
pub fn parsed(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(super::chars::space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix =
        |mark: &str| digits.get(..2).filter(|p| p.eq_ignore_ascii_case(mark)).map(|_| &digits[2..]);
    let (base, digits, prefixed) = match base {
        0 => match (prefix("0x"), prefix("0o"), prefix("0b")) {
            (Some(rest), ..) => (16, rest, true),
            (_, Some(rest), _) => (8, rest, true),
            (.., Some(rest)) => (2, rest, true),
            _ if digits.starts_with('0') && digits.bytes().any(|b| (b'1'..=b'9').contains(&b)) => {
                return None;
            }
            _ => (10, digits, false),
        },
        16 => prefix("0x").map_or((16, digits, false), |rest| (16, rest, true)),
        8 => prefix("0o").map_or((8, digits, false), |rest| (8, rest, true)),
        2 => prefix("0b").map_or((2, digits, false), |rest| (2, rest, true)),
        base => (base, digits, false),
    };
    let digits = if prefixed { digits.strip_prefix('_').unwrap_or(digits) } else { digits };
    if digits.is_empty()
        || digits.starts_with('_')
        || digits.ends_with('_')
        || digits.contains("__")
    {
        return None;
    }
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    if !plain.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let number = i128::from_str_radix(&plain, base).ok()?;
    Some(if negative { -number } else { number })
}

/// Python's `float(text)`.
pub fn parsed_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(super::chars::space).to_ascii_lowercase();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    if ["inf", "infinity", "nan"].contains(&unsigned) {
        let value = if unsigned == "nan" { f64::NAN } else { f64::INFINITY };
        return Some(if text.starts_with('-') { -value } else { value });
    }
    let fine = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let underlines = text.contains("__")
        || text.starts_with('_')
        || text.ends_with('_')
        || text.contains("._")
        || text.contains("_.");
    if !fine || underlines {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// A decimal digit of any script.
pub fn decimal(c: char) -> bool {
    const ZEROS: [u32; 12] =
        [0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xff10];
    ZEROS.iter().any(|zero| (*zero..zero + 10).contains(&(c as u32)))
}

//! Conversion filters.
use crate::jinja::args::Args;
use crate::jinja::error::{Error, Kind, Result};
use crate::jinja::value::Value;
use crate::jinja::{numbers, operators, show};

pub fn apply(name: &str, value: Value, args: &Args) -> Result<Value> {
    match name {
        "default" | "d" => default(value, args),
        "mandatory" => mandatory(value, args),
        "ternary" => ternary(&value, args),
        "type_debug" => {
            args.none("type_debug")?;
            if let Value::Missing(why) = &value
                && !why.can_wait()
            {
                return Err(why.clone());
            }
            Ok(Value::from(value.kind()))
        }
        "bool" => {
            args.none("bool")?;
            Ok(Value::Bool(boolean(&value)))
        }
        "int" => int(&value, args),
        "float" => float(&value, args),
        "string" => {
            args.none("string")?;
            Ok(if let Value::Markup(_) = value { value } else { Value::Str(show::text(&value)?) })
        }
        "abs" => {
            args.none("abs")?;
            match value {
                Value::Float(f) => Ok(Value::Float(f.abs())),
                Value::Span(us) => Ok(Value::Span(us.abs())),
                other => match other.as_int() {
                    Some(n) => n.checked_abs().map(Value::Int).ok_or_else(operators::too_large),
                    None => Err(Error::raised(format!(
                        "bad operand type for abs(): '{}'",
                        other.kind()
                    ))),
                },
            }
        }
        "round" => round(&value, args),
        _ => power(name, &value, args),
    }
}

fn default(value: Value, args: &Args) -> Result<Value> {
    let b = args.bind("default", &["default_value", "boolean"])?;
    let default = b.get("default_value").cloned().unwrap_or_else(|| Value::from(""));
    let boolean = match b.get("boolean") {
        None => false,
        Some(Value::Bool(on)) => *on,
        Some(other) => {
            return Err(Error::raised(format!(
                "The 'boolean' argument must be of type 'bool', not '{}'.",
                other.kind()
            )));
        }
    };
    match &value {
        Value::Missing(why) if why.kind == Kind::Undefined => Ok(default),
        Value::Missing(_) => Ok(value),
        _ if boolean && !value.truth()? => Ok(default),
        _ => Ok(value),
    }
}

fn mandatory(value: Value, args: &Args) -> Result<Value> {
    let b = args.bind("mandatory", &["msg"])?;
    match &value {
        Value::Missing(why) if why.kind == Kind::Undefined => match b.text("msg")? {
            Some(message) => Err(Error::raised(&*message)),
            None => Ok(value),
        },
        _ => Ok(value),
    }
}

fn ternary(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("ternary", &["true_val", "false_val", "none_val"])?;
    let (yes, no) = (b.wanted("true_val")?, b.wanted("false_val")?);
    match b.some("none_val") {
        Some(none) if value.is_none() => Ok(none.clone()),
        _ => Ok(if value.truth()? { yes.clone() } else { no.clone() }),
    }
}

/// Ansible's filter `bool`.
fn boolean(value: &Value) -> bool {
    match value {
        Value::Str(s) | Value::Markup(s) => {
            ["yes", "on", "true", "1"].contains(&&*s.to_lowercase())
        }
        other => other.as_number().is_some_and(|n| n == 1.0),
    }
}

fn int(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("int", &["default", "base"])?;
    let default = b.get("default").cloned().unwrap_or(Value::Int(0));
    let base = b.int_or("base", 10)?;
    let truncated =
        |f: f64| if f.is_finite() && f.abs() < 1e38 { Some(f.trunc() as i128) } else { None };
    let found = match value {
        Value::Str(s) | Value::Markup(s) => {
            let base = u32::try_from(base).ok().filter(|b| *b == 0 || (2..=36).contains(b));
            let Some(base) = base else { return Ok(default) };
            let digits = s.trim().trim_start_matches(['+', '-']);
            if digits.len() > 38 && digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(operators::too_large());
            }
            numbers::parsed(s, base).or_else(|| numbers::parsed_float(s).and_then(truncated))
        }
        Value::Float(f) => {
            if f.is_finite() && f.abs() >= 1e38 {
                return Err(operators::too_large());
            }
            truncated(*f)
        }
        other => other.as_int(),
    };
    Ok(found.map_or(default, Value::Int))
}

fn float(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("float", &["default"])?;
    let found = match value {
        Value::Str(s) | Value::Markup(s) => numbers::parsed_float(s),
        other => other.as_number(),
    };
    Ok(found.map_or_else(|| b.get("default").cloned().unwrap_or(Value::Float(0.0)), Value::Float))
}

/// Python rounds halves to even, and decimals by their stored value.
fn round(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("round", &["precision", "method"])?;
    let places = b.int_or("precision", 0)?.clamp(-300, 300);
    let method = b.text_or("method", "common")?;
    let number = value.as_number().ok_or_else(|| {
        Error::raised(format!("type {} doesn't define __round__ method", value.kind()))
    })?;
    if &*method == "common" {
        if let (Some(n), false) = (value.as_int(), matches!(value, Value::Float(_))) {
            return Ok(Value::Int(if places >= 0 { n } else { whole_round(n, places) }));
        }
        let rounded = if places >= 0 {
            format!("{number:.*}", places as usize).parse().unwrap_or(number)
        } else {
            let unit = 10f64.powi(-places as i32);
            (number / unit).round_ties_even() * unit
        };
        return Ok(Value::Float(rounded));
    }
    let unit = 10f64.powi(places as i32);
    let scaled = number * unit;
    match &*method {
        "ceil" => Ok(Value::Float(scaled.ceil() / unit)),
        "floor" => Ok(Value::Float(scaled.floor() / unit)),
        _ => Err(Error::raised("method must be common, ceil or floor")),
    }
}

fn whole_round(n: i128, places: i128) -> i128 {
    let Some(unit) = 10i128.checked_pow(-places as u32) else { return 0 };
    let (quotient, rest) = (n.div_euclid(unit), n.rem_euclid(unit));
    let up = rest * 2 > unit || (rest * 2 == unit && quotient % 2 != 0);
    (quotient + i128::from(up)) * unit
}

fn power(name: &str, value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("this filter", &["base"])?;
    let number = |v: &Value| {
        v.as_number().ok_or_else(|| Error::raised(format!("{name}() can only be used on numbers")))
    };
    let x = number(value)?;
    let base = b.get("base").map(number).transpose()?;
    let domain = || Error::raised("math domain error");
    if matches!((name, base), ("log", Some(1.0)) | ("root", Some(0.0))) {
        return Err(Error::raised("float division by zero"));
    }
    let done = match (name, base) {
        ("log", _) if x <= 0.0 || base.is_some_and(|b| b <= 0.0) => return Err(domain()),
        ("log", None) => x.ln(),
        ("log", Some(10.0)) => x.log10(),
        ("log", Some(base)) => x.ln() / base.ln(),
        ("pow", Some(y)) if x < 0.0 && y.fract() != 0.0 => return Err(domain()),
        ("pow", Some(y)) => x.powf(y),
        ("pow", None) => return Err(Error::raised("`pow` wants an argument")),
        (_, None) if x < 0.0 => return Err(domain()),
        (_, None) => x.sqrt(),
        (_, Some(2.0)) => x.sqrt(),
        (_, Some(base)) => x.powf(1.0 / base),
    };
    let known = x.is_finite() && base.is_none_or(f64::is_finite);
    match done {
        f if known && (f.is_nan() || (f.is_infinite() && x == 0.0)) => Err(domain()),
        f if known && f.is_infinite() => Err(Error::raised("math range error")),
        f => Ok(Value::Float(f)),
    }
}

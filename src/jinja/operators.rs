//! Python's operators.
use std::cmp::Ordering;
use std::rc::Rc;

use super::ast::{Comparison, Operator};
use super::error::{Error, Result};
use super::value::{Key, Value};

fn unsupported(operator: Operator, a: &Value, b: &Value) -> Rc<Error> {
    let (a, b) = (a.kind(), b.kind());
    Error::raised(format!("unsupported operand type(s) for {}: '{a}' and '{b}'", operator.sign()))
}

pub fn too_large() -> Rc<Error> {
    Error::refused("a number with more than 38 digits is not supported")
}

pub fn calculate(operator: Operator, a: &Value, b: &Value) -> Result<Value> {
    if let (Some(x), Some(y)) = (a.as_int(), b.as_int()) {
        return whole(operator, x, y);
    }
    if let (Some(x), Some(y)) = (a.as_number(), b.as_number()) {
        return fraction(operator, x, y).map(Value::Float);
    }
    match (operator, a, b) {
        (Operator::Add, Value::Str(x) | Value::Markup(x), Value::Str(y) | Value::Markup(y)) => {
            Ok(joined(a, b, x, y))
        }
        (Operator::Add, Value::List(x), Value::List(y)) => {
            let all = x.borrow().iter().chain(y.borrow().iter()).cloned().collect();
            Ok(Value::new_list(all, a.is_plain() && b.is_plain()))
        }
        (Operator::Add, Value::Tuple(x), Value::Tuple(y)) => {
            Ok(Value::tuple(x.iter().chain(y.iter()).cloned().collect()))
        }
        (Operator::Add, Value::Bytes(x), Value::Bytes(y)) => {
            Ok(Value::Bytes([&**x, &**y].concat().into()))
        }
        (Operator::Mod, Value::Markup(_), _) => {
            Err(Error::refused("`%` for what `safe` or `e` gave is not supported; use `~`"))
        }
        (Operator::Mod, Value::Str(format), _) => {
            super::percent::format(format, b).map(Value::from)
        }
        (Operator::Mul, _, Value::Int(_) | Value::Bool(_)) if b.as_int().is_some() => {
            repeated(a, b)
        }
        (Operator::Mul, Value::Int(_) | Value::Bool(_), _) => repeated(b, a),
        (_, Value::Time(_) | Value::Span(_), _) | (_, _, Value::Time(_) | Value::Span(_)) => {
            super::time::calculate(operator, a, b)
                .unwrap_or_else(|| Err(unsupported(operator, a, b)))
        }
        _ => Err(unsupported(operator, a, b)),
    }
}

fn joined(a: &Value, b: &Value, x: &str, y: &str) -> Value {
    match (a, b) {
        (Value::Str(_), Value::Str(_)) => Value::from([x, y].concat()),
        (Value::Markup(_), Value::Markup(_)) => Value::Markup([x, y].concat().into()),
        (Value::Markup(_), _) => Value::Markup([x, &escape(y)].concat().into()),
        _ => Value::Markup([&escape(x), y].concat().into()),
    }
}

/// Escapes HTML's special characters.
pub fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&#34;").replace('\'', "&#39;")
}

fn repeated(what: &Value, times: &Value) -> Result<Value> {
    let times = usize::try_from(times.as_int().unwrap_or(0).max(0)).unwrap_or(usize::MAX);
    let fits = |length: usize| match length.checked_mul(times) {
        Some(n) if n <= 64 << 20 => Ok(()),
        _ => Err(Error::refused("a repetition that takes more than 64 MiB")),
    };
    match what {
        Value::Str(s) | Value::Markup(s) => {
            fits(s.len())?;
            Ok(what.same_text(s.repeat(times)))
        }
        Value::List(l) => {
            fits(l.borrow().len() * size_of::<Value>())?;
            let all = l.borrow().iter().cloned().cycle().take(l.borrow().len() * times).collect();
            Ok(Value::new_list(all, what.is_plain()))
        }
        Value::Tuple(t) => {
            fits(t.len() * size_of::<Value>())?;
            Ok(Value::tuple(t.iter().cloned().cycle().take(t.len() * times).collect()))
        }
        other => Err(unsupported(Operator::Mul, other, &Value::Int(0))),
    }
}

fn whole(operator: Operator, x: i128, y: i128) -> Result<Value> {
    let zero = || Error::raised("division by zero");
    let done = match operator {
        Operator::Add => x.checked_add(y),
        Operator::Sub => x.checked_sub(y),
        Operator::Mul => x.checked_mul(y),
        Operator::Div if y == 0 => return Err(zero()),
        Operator::Div => return Ok(Value::Float(x as f64 / y as f64)),
        Operator::FloorDiv | Operator::Mod if y == 0 => return Err(zero()),
        Operator::FloorDiv => x.checked_div(y).map(|q| {
            let r = x - q * y;
            q - i128::from(r != 0 && (r < 0) != (y < 0))
        }),
        Operator::Mod => {
            x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r })
        }
        Operator::Pow if y < 0 && x == 0 => {
            return Err(Error::raised("0.0 cannot be raised to a negative power"));
        }
        Operator::Pow if y < 0 => return Ok(Value::Float((x as f64).powf(y as f64))),
        Operator::Pow => match x {
            0 | 1 if y > 0 => Some(x),
            -1 => Some(if y % 2 == 0 { 1 } else { -1 }),
            _ => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
        },
    };
    done.map(Value::Int).ok_or_else(too_large)
}

fn fraction(operator: Operator, x: f64, y: f64) -> Result<f64> {
    Ok(match operator {
        Operator::Add => x + y,
        Operator::Sub => x - y,
        Operator::Mul => x * y,
        Operator::Div | Operator::FloorDiv | Operator::Mod if y == 0.0 => {
            return Err(Error::raised("float division by zero"));
        }
        Operator::Div => x / y,
        Operator::FloorDiv => floor_div(x, y).0,
        Operator::Mod => floor_div(x, y).1,
        Operator::Pow if x == 0.0 && y < 0.0 => {
            return Err(Error::raised("0.0 cannot be raised to a negative power"));
        }
        Operator::Pow if x < 0.0 && y.fract() != 0.0 => {
            return Err(Error::refused("complex numbers are not supported"));
        }
        Operator::Pow => {
            let power = x.powf(y);
            if power.is_infinite() && x.is_finite() && y.is_finite() {
                return Err(Error::raised("Numerical result out of range"));
            }
            power
        }
    })
}

/// Python's `divmod` of floats.
fn floor_div(x: f64, y: f64) -> (f64, f64) {
    let mut rest = x % y;
    let mut quotient = (x - rest) / y;
    if rest != 0.0 && (y < 0.0) != (rest < 0.0) {
        rest += y;
        quotient -= 1.0;
    } else if rest == 0.0 {
        rest = 0.0_f64.copysign(y);
    }
    if quotient == 0.0 {
        return (0.0_f64.copysign(x / y), rest);
    }
    let floor = quotient.floor();
    (if quotient - floor > 0.5 { floor + 1.0 } else { floor }, rest)
}

pub fn negative(value: &Value) -> Result<Value> {
    match value {
        Value::Guess => Ok(Value::Guess),
        Value::Float(f) => Ok(Value::Float(-f)),
        Value::Span(us) => Ok(Value::Span(-us)),
        other => match other.as_int() {
            Some(n) => n.checked_neg().map(Value::Int).ok_or_else(too_large),
            None => Err(Error::raised(format!("bad operand type for unary -: '{}'", other.kind()))),
        },
    }
}

pub fn positive(value: &Value) -> Result<Value> {
    match value {
        Value::Guess | Value::Float(_) | Value::Span(_) => Ok(value.clone()),
        other => match other.as_int() {
            Some(n) => Ok(Value::Int(n)),
            None => Err(Error::raised(format!("bad operand type for unary +: '{}'", other.kind()))),
        },
    }
}

/// `==`
pub fn equal(a: &Value, b: &Value) -> Result<bool> {
    Ok(match (a, b) {
        (Value::Missing(why), _) | (_, Value::Missing(why)) => return Err(why.clone()),
        (Value::None, Value::None) | (Value::Omit, Value::Omit) => true,
        (Value::Str(x) | Value::Markup(x), Value::Str(y) | Value::Markup(y)) => x == y,
        (Value::Bytes(x), Value::Bytes(y)) => x == y,
        (Value::List(x), Value::List(y)) => all_equal(&x.borrow(), &y.borrow())?,
        (Value::Tuple(x), Value::Tuple(y)) => all_equal(x, y)?,
        (Value::Dict(x), Value::Dict(y)) => {
            let (x, y) = (x.borrow(), y.borrow());
            if x.len() != y.len() {
                return Ok(false);
            }
            for (key, value) in x.iter() {
                match y.get(key) {
                    Some(other) if equal(value, other)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Range(a, b, c), Value::Range(x, y, z)) => {
            super::value::range_len(*a, *b, *c) == super::value::range_len(*x, *y, *z)
                && a == x
                && c == z
        }
        (Value::Time(x), Value::Time(y)) => x == y,
        (Value::Span(x), Value::Span(y)) => x == y,
        (Value::Function(x), Value::Function(y)) => Rc::ptr_eq(x, y),
        _ => match (a.as_int(), b.as_int()) {
            (Some(x), Some(y)) => x == y,
            _ => matches!((a.as_number(), b.as_number()), (Some(x), Some(y)) if x == y),
        },
    })
}

fn all_equal(x: &[Value], y: &[Value]) -> Result<bool> {
    if x.len() != y.len() {
        return Ok(false);
    }
    for (a, b) in x.iter().zip(y) {
        if !equal(a, b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Order of two values; `None` if one is NaN.
pub fn order(sign: &str, a: &Value, b: &Value) -> Result<Option<Ordering>> {
    Ok(match (a, b) {
        (Value::Missing(why), _) | (_, Value::Missing(why)) => return Err(why.clone()),
        (Value::Str(x) | Value::Markup(x), Value::Str(y) | Value::Markup(y)) => Some(x.cmp(y)),
        (Value::Bytes(x), Value::Bytes(y)) => Some(x.cmp(y)),
        (Value::List(x), Value::List(y)) => sequences(sign, &x.borrow(), &y.borrow())?,
        (Value::Tuple(x), Value::Tuple(y)) => sequences(sign, x, y)?,
        (Value::Time(x), Value::Time(y)) => Some(x.cmp(y)),
        (Value::Span(x), Value::Span(y)) => Some(x.cmp(y)),
        _ => match (a.as_int(), b.as_int(), a.as_number(), b.as_number()) {
            (Some(x), Some(y), ..) => Some(x.cmp(&y)),
            (_, _, Some(x), Some(y)) => x.partial_cmp(&y),
            _ => {
                let (a, b) = (a.kind(), b.kind());
                return Err(Error::raised(format!(
                    "'{sign}' not supported between instances of '{a}' and '{b}'"
                )));
            }
        },
    })
}

fn sequences(sign: &str, x: &[Value], y: &[Value]) -> Result<Option<Ordering>> {
    for (a, b) in x.iter().zip(y) {
        if !equal(a, b)? {
            return order(sign, a, b);
        }
    }
    Ok(Some(x.len().cmp(&y.len())))
}

pub fn compare(comparison: Comparison, a: &Value, b: &Value) -> Result<bool> {
    let ordered = |sign: &str, fits: fn(Ordering) -> bool| Ok(order(sign, a, b)?.is_some_and(fits));
    match comparison {
        Comparison::Eq => equal(a, b),
        Comparison::Ne => equal(a, b).map(|same| !same),
        Comparison::Lt => ordered("<", Ordering::is_lt),
        Comparison::Le => ordered("<=", Ordering::is_le),
        Comparison::Gt => ordered(">", Ordering::is_gt),
        Comparison::Ge => ordered(">=", Ordering::is_ge),
        Comparison::In => contains(b, a),
        Comparison::NotIn => contains(b, a).map(|inside| !inside),
    }
}

/// `item in container`
pub fn contains(container: &Value, item: &Value) -> Result<bool> {
    let among = |items: &[Value]| -> Result<bool> {
        for other in items {
            if equal(item, other)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match container {
        Value::Missing(why) => Err(why.clone()),
        Value::Str(s) | Value::Markup(s) => match item.as_text() {
            Some(part) => Ok(s.contains(&**part)),
            None => Err(Error::raised(format!(
                "'in <string>' requires string as left operand, not {}",
                item.kind()
            ))),
        },
        Value::List(l) => among(&l.borrow()),
        Value::Tuple(t) => among(t),
        Value::Dict(_) if Key::of(item).is_none() => {
            Err(Error::raised(format!("unhashable type: '{}'", item.kind())))
        }
        Value::Dict(d) => Ok(d.borrow().has(item)),
        Value::Range(start, stop, step) => Ok(item.as_int().is_some_and(|n| {
            let inside =
                if *step > 0 { *start <= n && n < *stop } else { *stop < n && n <= *start };
            inside && n.wrapping_sub(*start).unsigned_abs() % step.unsigned_abs() == 0
        })),
        other => Err(Error::raised(format!("argument of type '{}' is not iterable", other.kind()))),
    }
}

/// `value[a:b:c]`
pub fn slice(value: &Value, parts: [Option<Value>; 3]) -> Result<Value> {
    let mut bounds = [None; 3];
    for (bound, part) in bounds.iter_mut().zip(&parts) {
        *bound = match part {
            None | Some(Value::None) => None,
            Some(part) => match part.as_int() {
                Some(n) => Some(n),
                None => {
                    return Err(Error::raised(
                        "slice indices must be integers or None or have an __index__ method",
                    ));
                }
            },
        };
    }
    let picked = |length: usize| picks(length, bounds);
    Ok(match value {
        Value::Guess => Value::Guess,
        Value::Str(s) | Value::Markup(s) => {
            let chars: Vec<char> = s.chars().collect();
            let text: String = picked(chars.len())?.into_iter().map(|at| chars[at]).collect();
            value.same_text(text)
        }
        Value::List(l) => {
            let l = l.borrow();
            Value::new_list(
                picked(l.len())?.into_iter().map(|at| l[at].clone()).collect(),
                value.is_plain(),
            )
        }
        Value::Tuple(t) => {
            Value::tuple(picked(t.len())?.into_iter().map(|at| t[at].clone()).collect())
        }
        Value::Bytes(b) => Value::Bytes(picked(b.len())?.into_iter().map(|at| b[at]).collect()),
        Value::Range(start, stop, step) => {
            let length = super::value::range_len(*start, *stop, *step);
            if length > 1 << 22 {
                return Err(Error::refused("a slice of a range of more than four million numbers"));
            }
            let at = picked(length)?;
            let each = step * at.get(1).map_or(1, |second| *second as i128 - at[0] as i128);
            match (at.first(), at.last()) {
                (Some(first), Some(last)) => Value::Range(
                    start + step * *first as i128,
                    start + step * *last as i128 + each,
                    each,
                ),
                _ => Value::Range(*start, *start, *step),
            }
        }
        other => {
            return Err(Error::raised(format!("'{}' object is not subscriptable", other.kind())));
        }
    })
}

fn picks(length: usize, [start, stop, step]: [Option<i128>; 3]) -> Result<Vec<usize>> {
    let (length, step) = (length as i128, step.unwrap_or(1));
    if step == 0 {
        return Err(Error::raised("slice step cannot be zero"));
    }
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let place = |n: i128| if n < 0 { (n + length).max(low) } else { n.min(high) };
    let start = start.map_or(if step > 0 { low } else { high }, place);
    let stop = stop.map_or(if step > 0 { high } else { low }, place);
    let mut out = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        out.push(at as usize);
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(out)
}

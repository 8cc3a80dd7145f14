//! Number formats of `%` and `format`.
use super::show;

/// `%e`
pub fn exponent(f: f64, digits: usize, upper: bool) -> String {
    let text = format!("{f:.digits$e}");
    let (number, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    let text = format!("{number}e{sign}{:02}", power.abs());
    if upper { text.to_uppercase() } else { text }
}

/// `%g`; `alternate` keeps trailing zeros.
pub fn general(f: f64, digits: usize, upper: bool, alternate: bool) -> String {
    let digits = digits.max(1);
    if f == 0.0 {
        return if f.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    let scientific = exponent(f, digits - 1, false);
    let power: i32 = scientific.split_once('e').and_then(|(_, p)| p.parse().ok()).unwrap_or(0);
    let trimmed = |text: &str| {
        if alternate {
            return pointed(text);
        }
        if !text.contains('.') {
            return text.to_owned();
        }
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let text = if power < -4 || power >= digits as i32 {
        let (number, power) = scientific.split_once('e').unwrap_or((&scientific, "+00"));
        format!("{}e{power}", trimmed(number))
    } else {
        trimmed(&format!("{f:.*}", (digits as i32 - 1 - power).max(0) as usize))
    };
    if upper { text.to_uppercase() } else { text }
}

/// With a decimal point, as `#` requires.
fn pointed(text: &str) -> String {
    let end = text.find(['e', 'E']).unwrap_or(text.len());
    if text.contains('.') { text.to_owned() } else { format!("{}.{}", &text[..end], &text[end..]) }
}

/// A float without sign, by a format letter.
pub fn float(f: f64, letter: char, digits: usize, alternate: bool) -> String {
    let (f, upper) = (f.abs(), letter.is_uppercase());
    if !f.is_finite() {
        let text = show::float(f);
        return if upper { text.to_uppercase() } else { text };
    }
    let pointed = |text: String| if alternate { pointed(&text) } else { text };
    match letter.to_ascii_lowercase() {
        'e' => pointed(exponent(f, digits, upper)),
        'g' | 'n' => general(f, digits, upper, alternate),
        '%' => pointed(format!("{:.digits$}", f * 100.0)) + "%",
        _ => pointed(format!("{f:.digits$}")),
    }
}

/// An integer without sign in the base of a format letter, with the base's prefix if requested.
pub fn whole(n: u128, letter: char, alternate: bool) -> (String, &'static str) {
    let (text, mark) = match letter {
        'x' => (format!("{n:x}"), "0x"),
        'X' => (format!("{n:X}"), "0X"),
        'o' => (format!("{n:o}"), "0o"),
        'b' => (format!("{n:b}"), "0b"),
        _ => return (n.to_string(), ""),
    };
    (text, if alternate { mark } else { "" })
}

/// Inserts separators between groups of digits before the point.
pub fn grouped(text: &str, mark: char, size: usize) -> String {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() || (c == 'e' && size == 3))
        .unwrap_or(text.len());
    let mut out = String::new();
    for (at, c) in text[..end].chars().enumerate() {
        if at > 0 && (end - at) % size == 0 {
            out.push(mark);
        }
        out.push(c);
    }
    out + &text[end..]
}

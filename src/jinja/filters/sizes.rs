//! Human-readable sizes.
use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::value::Value;
use crate::jinja::{numbers, show};

const RANGES: [(char, u32, &str); 9] = [
    ('Y', 80, "yotta"),
    ('Z', 70, "zeta"),
    ('E', 60, "exa"),
    ('P', 50, "peta"),
    ('T', 40, "tera"),
    ('G', 30, "giga"),
    ('M', 20, "mega"),
    ('K', 10, "kilo"),
    ('B', 0, ""),
];

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    match name {
        "human_readable" => readable(value, args),
        "human_to_bytes" => bytes(value, args),
        _ => {
            let binary = args.bind("filesizeformat", &["binary"])?.truth("binary")?;
            let size = match value {
                Value::Str(s) | Value::Markup(s) => numbers::parsed_float(s),
                other => other.as_number(),
            };
            let size = size.ok_or_else(|| Error::raised("`filesizeformat` wants a number"))?;
            Ok(Value::from(file_size(size, binary)))
        }
    }
}

fn file_size(size: f64, binary: bool) -> String {
    let (base, mark) = if binary { (1024.0, "iB") } else { (1000.0, "B") };
    if size == 1.0 {
        return "1 Byte".into();
    }
    if size < base {
        return format!("{} Bytes", size as i128);
    }
    let mut unit = base;
    let letters = [if binary { "K" } else { "k" }, "M", "G", "T", "P", "E", "Z", "Y"];
    for (at, letter) in letters.iter().enumerate() {
        unit *= base;
        if size < unit || at + 1 == letters.len() {
            return format!("{:.1} {letter}{mark}", base * size / unit);
        }
    }
    unreachable!("the last letter takes all")
}

fn readable(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("human_readable", &["isbits", "unit"])?;
    let (bits, unit) = (b.truth("isbits")?, b.text("unit")?.map(|u| u.to_uppercase()));
    let size =
        value.as_number().ok_or_else(|| Error::raised("human_readable() failed on bad input"))?;
    let fits = |letter: char, power: u32| match &unit {
        Some(unit) => unit.starts_with(letter) && unit.len() == 1,
        None => size >= 2_f64.powi(power as i32),
    };
    let (letter, power, _) =
        *RANGES.iter().find(|(letter, power, _)| fits(*letter, *power)).unwrap_or(&RANGES[8]);
    let base = if bits { "bits" } else { "Bytes" };
    let suffix = if power > 0 { format!("{letter}{}", &base[..1]) } else { base.to_owned() };
    Ok(Value::from(format!("{:.2} {suffix}", size / 2_f64.powi(power as i32))))
}

fn bytes(value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("human_to_bytes", &["default_unit", "isbits"])?;
    let bits = b.truth("isbits")?;
    let text = show::text(value)?;
    let invalid =
        || Error::raised(format!("human_to_bytes() can't interpret following string: {text}"));
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let digits = &text[..end];
    let fine = digits.matches('.').count() <= 1 && digits.ends_with(|c: char| c.is_ascii_digit());
    let number: f64 = digits.parse().ok().filter(|_| fine).ok_or_else(invalid)?;
    let unit = text[end..].trim();
    if !unit.bytes().all(|b| b.is_ascii_alphabetic())
        || (unit.is_empty() && text[end..].contains(|c: char| !c.is_whitespace()))
    {
        return Err(invalid());
    }
    let default = b.text("default_unit")?;
    let unit = if unit.is_empty() { default.as_deref().unwrap_or("") } else { unit };
    let Some(first) = unit.chars().next() else {
        return Ok(Value::Int(number.round_ties_even() as i128));
    };
    let letter = first.to_ascii_uppercase();
    let (_, power, prefix) = RANGES.iter().find(|(l, ..)| *l == letter).ok_or_else(invalid)?;
    if unit.len() > 1 {
        let (word, mark) = if bits { ("bit", 'b') } else { ("byte", 'B') };
        let short = if *power == 0 { mark.to_string() } else { format!("{letter}{mark}") };
        if unit.to_lowercase() != format!("{prefix}{word}") && unit != short {
            return Err(Error::raised(format!(
                "human_to_bytes() failed to convert {text}. Value is not a valid string"
            )));
        }
    }
    Ok(Value::Int((number * 2_f64.powi(*power as i32)).round_ties_even() as i128))
}

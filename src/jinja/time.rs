//! Dates and durations: `to_datetime`, `strftime`, and their attributes.
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

use super::args::Args;
use super::ast::Operator;
use super::error::{Error, Result};
use super::value::Value;

const DAY: i128 = 86_400_000_000;

/// `str()` of a date or duration.
pub fn text(value: &Value) -> String {
    match value {
        Value::Time(t) => t.strftime("%Y-%m-%d %H:%M:%S").to_string() + &fraction(micros(*t)),
        Value::Span(us) => {
            let (days, rest) = (us.div_euclid(DAY), us.rem_euclid(DAY));
            let seconds = rest / 1_000_000;
            let clock = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            let plural = if days.abs() == 1 { "" } else { "s" };
            let days = if days == 0 { String::new() } else { format!("{days} day{plural}, ") };
            days + &clock + &fraction((rest % 1_000_000) as i32)
        }
        _ => String::new(),
    }
}

fn micros(t: DateTime) -> i32 {
    t.subsec_nanosecond() / 1000
}

fn fraction(micros: i32) -> String {
    if micros == 0 { String::new() } else { format!(".{micros:06}") }
}

/// `repr()` of a date or duration.
pub fn repr(value: &Value) -> String {
    match value {
        Value::Time(t) => {
            let mut parts = vec![
                i32::from(t.year()),
                t.month().into(),
                t.day().into(),
                t.hour().into(),
                t.minute().into(),
            ];
            if t.second() != 0 || micros(*t) != 0 {
                parts.push(t.second().into());
            }
            if micros(*t) != 0 {
                parts.push(micros(*t));
            }
            format!(
                "datetime.datetime({})",
                parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Span(us) => {
            let (days, rest) = (us.div_euclid(DAY), us.rem_euclid(DAY));
            let parts =
                [("days", days), ("seconds", rest / 1_000_000), ("microseconds", rest % 1_000_000)];
            let shown: Vec<String> = parts
                .iter()
                .filter(|(_, n)| *n != 0)
                .map(|(name, n)| format!("{name}={n}"))
                .collect();
            format!(
                "datetime.timedelta({})",
                if shown.is_empty() { "0".into() } else { shown.join(", ") }
            )
        }
        _ => String::new(),
    }
}

pub fn member(value: &Value, name: &str) -> Option<Value> {
    let n = |n: i32| Some(Value::Int(i128::from(n)));
    match (value, name) {
        (Value::Time(t), "year") => n(t.year().into()),
        (Value::Time(t), "month") => n(t.month().into()),
        (Value::Time(t), "day") => n(t.day().into()),
        (Value::Time(t), "hour") => n(t.hour().into()),
        (Value::Time(t), "minute") => n(t.minute().into()),
        (Value::Time(t), "second") => n(t.second().into()),
        (Value::Time(t), "microsecond") => n(micros(*t)),
        (Value::Span(us), "days") => Some(Value::Int(us.div_euclid(DAY))),
        (Value::Span(us), "seconds") => Some(Value::Int(us.rem_euclid(DAY) / 1_000_000)),
        (Value::Span(us), "microseconds") => Some(Value::Int(us.rem_euclid(1_000_000))),
        _ => None,
    }
}

pub fn calculate(operator: Operator, a: &Value, b: &Value) -> Option<Result<Value>> {
    let far = || Error::raised("date value out of range");
    let moved = |t: &DateTime, us: i128| {
        let by = i64::try_from(us).map(SignedDuration::from_micros);
        by.ok().and_then(|by| t.checked_add(by).ok()).map(Value::Time).ok_or_else(far)
    };
    Some(match (operator, a, b) {
        (Operator::Sub, Value::Time(x), Value::Time(y)) => {
            Ok(Value::Span(x.duration_since(*y).as_micros()))
        }
        (Operator::Add, Value::Time(t), Value::Span(us))
        | (Operator::Add, Value::Span(us), Value::Time(t)) => moved(t, *us),
        (Operator::Sub, Value::Time(t), Value::Span(us)) => moved(t, -us),
        (Operator::Add, Value::Span(x), Value::Span(y)) => Ok(Value::Span(x + y)),
        (Operator::Sub, Value::Span(x), Value::Span(y)) => Ok(Value::Span(x - y)),
        (Operator::Mul, Value::Span(x), n) | (Operator::Mul, n, Value::Span(x))
            if n.as_int().is_some() =>
        {
            x.checked_mul(n.as_int()?).map(Value::Span).ok_or_else(far)
        }
        _ => return None,
    })
}

pub fn call(value: &Value, name: &str, args: &Args) -> Result<Value> {
    match (value, name) {
        (Value::Time(_), "strftime") => {
            let format = args.bind("strftime", &["format"])?.wanted_text("format")?;
            strftime(value, &format).map(Value::from)
        }
        (Value::Time(t), "isoformat") => {
            let separator = args.bind("isoformat", &["sep", "timespec"])?.text_or("sep", "T")?;
            let day = t.strftime("%Y-%m-%d").to_string();
            Ok(Value::from(
                day + &separator + &t.strftime("%H:%M:%S").to_string() + &fraction(micros(*t)),
            ))
        }
        (Value::Time(t), "weekday") => {
            Ok(Value::Int(i128::from(t.weekday().to_monday_zero_offset())))
        }
        (Value::Time(t), "isoweekday") => {
            Ok(Value::Int(i128::from(t.weekday().to_monday_one_offset())))
        }
        (Value::Span(us), "total_seconds") => Ok(Value::Float(*us as f64 / 1e6)),
        _ => {
            Err(Error::refused(format!("the method `{name}` of {} is not supported", value.kind())))
        }
    }
}

/// The filter `strftime`: seconds since 1970, as UTC.
pub fn since_epoch(seconds: f64) -> Result<Value> {
    let far = || Error::raised("timestamp out of range for platform time_t");
    let at = Timestamp::from_second(seconds.floor() as i64).map_err(|_| far())?;
    Ok(Value::Time(at.to_zoned(jiff::tz::TimeZone::UTC).datetime()))
}

pub fn strftime(value: &Value, format: &str) -> Result<String> {
    let Value::Time(t) = value else { return Err(Error::raised("not a time")) };
    let (mut out, mut rest) = (String::new(), format.chars());
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let code = rest.next();
        match code {
            Some('%') => out.push('%'),
            Some('f') => out.push_str(&format!("{:06}", micros(*t))),
            Some('c') => out.push_str(&t.strftime("%a %b %e %H:%M:%S %Y").to_string()),
            Some('x') => out.push_str(&t.strftime("%m/%d/%y").to_string()),
            Some('X') => out.push_str(&t.strftime("%H:%M:%S").to_string()),
            Some('h') => out.push_str(&t.strftime("%b").to_string()),
            Some('D') => out.push_str(&t.strftime("%m/%d/%y").to_string()),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some(code) if "aAbBdeFGHIjklmMpPRSTuUVwWyYCg".contains(code) => {
                out.push_str(&t.strftime(&format!("%{code}")).to_string());
            }
            Some('r') => out.push_str(&t.strftime("%I:%M:%S %p").to_string()),
            other => {
                let shown = other.map_or_else(String::new, String::from);
                return Err(Error::refused(format!(
                    "`%{shown}` in the format of a time is not supported"
                )));
            }
        }
    }
    Ok(out)
}

/// Python's `datetime.strptime`, for numeric fields and names of months and days.
pub fn strptime(text: &str, format: &str) -> Result<Value> {
    let mismatch = || Error::raised(format!("time data '{text}' does not match format '{format}'"));
    let (mut fields, mut rest) = (Fields::default(), text);
    let mut codes = format.chars();
    while let Some(c) = codes.next() {
        if c.is_whitespace() {
            let after = rest.trim_start();
            if after.len() == rest.len() {
                return Err(mismatch());
            }
            rest = after;
        } else if c != '%' {
            rest = rest.strip_prefix(c).ok_or_else(mismatch)?;
        } else {
            rest = fields.take(codes.next().unwrap_or(' '), rest)?.ok_or_else(mismatch)?;
        }
    }
    if !rest.is_empty() {
        return Err(Error::raised(format!("unconverted data remains: {rest}")));
    }
    fields.time().ok_or_else(mismatch)
}

struct Fields {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            year: 1900,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            afternoon: None,
        }
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Fields {
    /// Reads the field `code`; `None` if it does not match.
    fn take<'a>(&mut self, code: char, text: &'a str) -> Result<Option<&'a str>> {
        let digits = |most: usize| text.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let number = |most: usize| {
            let n = digits(most);
            text[..n].parse::<i32>().ok().map(|value| (value, &text[n..]))
        };
        let Some((value, rest)) = (match code {
            'Y' => number(4).filter(|_| digits(4) == 4),
            'm' | 'd' | 'H' | 'I' | 'M' | 'S' | 'y' => number(2),
            'f' => {
                let n = digits(6);
                text[..n].parse::<i32>().ok().map(|v| (v * 10_i32.pow(9 - n as u32), &text[n..]))
            }
            'b' | 'B' => {
                let lower = text.to_ascii_lowercase();
                let full = MONTHS
                    .iter()
                    .position(|m| lower.starts_with(m))
                    .map(|at| (at, MONTHS[at].len()));
                let short =
                    || MONTHS.iter().position(|m| lower.starts_with(&m[..3])).map(|at| (at, 3));
                let found = if code == 'B' { full } else { short() };
                found.map(|(at, length)| (at as i32 + 1, &text[length..]))
            }
            'p' => match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
                Some("am") => Some((0, &text[2..])),
                Some("pm") => Some((1, &text[2..])),
                _ => None,
            },
            '%' => text.strip_prefix('%').map(|rest| (0, rest)),
            other => {
                return Err(Error::refused(format!(
                    "`%{other}` in the format of a time is not supported"
                )));
            }
        }) else {
            return Ok(None);
        };
        let small = i8::try_from(value).unwrap_or(-1);
        match code {
            'Y' => self.year = value as i16,
            'y' => self.year = (value + if value < 69 { 2000 } else { 1900 }) as i16,
            'm' | 'b' | 'B' => self.month = small,
            'd' => self.day = small,
            'H' | 'I' => self.hour = small,
            'M' => self.minute = small,
            'S' => self.second = small,
            'f' => self.nanos = value,
            'p' => self.afternoon = Some(value == 1),
            _ => {}
        }
        Ok(Some(rest))
    }

    fn time(&self) -> Option<Value> {
        let hour = match self.afternoon {
            Some(after) => self.hour % 12 + if after { 12 } else { 0 },
            None => self.hour,
        };
        let date = Date::new(self.year, self.month, self.day).ok()?;
        let time = jiff::civil::Time::new(hour, self.minute, self.second, self.nanos).ok()?;
        Some(Value::Time(DateTime::from_parts(date, time)))
    }
}

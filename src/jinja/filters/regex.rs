//! The `regex_*` filters: Python patterns on the `regex` crate.
use std::rc::Rc;

use regex::{Captures, Regex, RegexBuilder};

use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::show;
use crate::jinja::value::Value;

/// Size limit of a compiled pattern, in bytes.
const SIZE: usize = 4 << 20;

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    let text = show::text(value)?;
    match name {
        "regex_escape" => {
            let kind = args.bind("regex_escape", &["re_type"])?.text_or("re_type", "python")?;
            match &*kind {
                "python" => Ok(Value::from(escaped(&text, "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}"))),
                "posix_basic" => Ok(Value::from(escaped(&text, "].[^$*\\"))),
                other => Err(Error::raised(format!("Invalid regex type ({other})"))),
            }
        }
        "regex_findall" => {
            let b = args.bind("regex_findall", &["regex", "multiline", "ignorecase"])?;
            let pattern = Pattern::new(
                &b.wanted_text("regex")?,
                b.truth("ignorecase")?,
                b.truth("multiline")?,
                &text,
            )?;
            Ok(Value::list(pattern.all(&text, usize::MAX).iter().map(found).collect()))
        }
        "regex_replace" => replace(&text, args),
        _ => search(&text, args),
    }
}

fn escaped(text: &str, special: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A result of `re.findall`: the match, its only group, or a tuple of groups.
fn found(captures: &Captures<'_>) -> Value {
    let group = |at: usize| Value::from(captures.get(at).map_or("", |m| m.as_str()));
    match captures.len() {
        1 => group(0),
        2 => group(1),
        n => Value::tuple((1..n).map(group).collect()),
    }
}

fn replace(text: &str, args: &Args) -> Result<Value> {
    let b = args.bind(
        "regex_replace",
        &["pattern", "replacement", "ignorecase", "multiline", "count", "mandatory_count"],
    )?;
    let pattern = Pattern::new(
        &b.text_or("pattern", "")?,
        b.truth("ignorecase")?,
        b.truth("multiline")?,
        text,
    )?;
    let parts = replacement(&b.text_or("replacement", "")?, &pattern.regex)?;
    let count = usize::try_from(b.int_or("count", 0)?).unwrap_or(0);
    let all = pattern.all(text, if count == 0 { usize::MAX } else { count });
    let wanted = b.int_or("mandatory_count", 0)?;
    if wanted != 0 && wanted != all.len() as i128 {
        return Err(Error::raised(format!(
            "the pattern should match {wanted} times, but matches {} times",
            all.len()
        )));
    }
    let (mut out, mut last) = (String::new(), 0);
    for captures in &all {
        let whole = captures.get(0).expect("a match has a whole");
        out.push_str(&text[last..whole.start()]);
        for part in &parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(at) => out.push_str(captures.get(*at).map_or("", |m| m.as_str())),
            }
        }
        last = whole.end();
        if out.len() > 64 << 20 {
            return Err(Error::refused("a replacement that takes more than 64 MiB"));
        }
    }
    out.push_str(&text[last..]);
    Ok(Value::from(out))
}

fn search(text: &str, args: &Args) -> Result<Value> {
    let mut args = args.clone();
    let flag = |v: Option<Value>| v.map_or(Ok(false), |v| v.truth());
    let (ignorecase, multiline) = (flag(args.take("ignorecase"))?, flag(args.take("multiline"))?);
    let regex = args
        .take("regex")
        .or_else(|| (!args.positional.is_empty()).then(|| args.positional.remove(0)));
    let regex = regex
        .and_then(|r| r.as_text().cloned())
        .ok_or_else(|| Error::raised("`regex_search` wants a pattern"))?;
    let pattern = Pattern::new(&regex, ignorecase, multiline, text)?;
    let mut groups: Vec<Rc<str>> = Vec::new();
    for arg in &args.positional {
        let text = arg.as_text().cloned().unwrap_or_else(|| "".into());
        let named = text.strip_prefix("\\g<").and_then(|t| t.split_once('>')).map(|(name, _)| name);
        let digits = || {
            text.strip_prefix('\\')
                .map(|t| t.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default())
        };
        match named.or_else(digits).filter(|name| !name.is_empty()) {
            Some(name) => groups.push(name.into()),
            None => return Err(Error::raised("Unknown argument")),
        }
    }
    let all = pattern.all(text, 1);
    let Some(captures) = all.first() else { return Ok(Value::None) };
    if groups.is_empty() {
        return Ok(Value::from(&captures[0]));
    }
    let group = |name: &Rc<str>| -> Result<Value> {
        let at = number(name, &pattern.regex).ok_or_else(|| Error::raised("no such group"))?;
        Ok(captures.get(at).map_or(Value::None, |m| Value::from(m.as_str())))
    };
    Ok(Value::list(groups.iter().map(group).collect::<Result<_>>()?))
}

/// Index of a group, by number or name.
fn number(name: &str, regex: &Regex) -> Option<usize> {
    match name.parse::<usize>() {
        Ok(at) => Some(at).filter(|at| *at < regex.captures_len()),
        Err(_) => regex.capture_names().position(|n| n == Some(name)),
    }
}

enum Part {
    Text(String),
    Group(usize),
}

/// Parses a replacement in Python's syntax.
fn replacement(text: &str, regex: &Regex) -> Result<Vec<Part>> {
    let error = |what: &str| Error::raised(format!("{what} in the replacement `{text}`"));
    let octal =
        || Error::refused(format!("octal escapes in the replacement `{text}` are not supported"));
    let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find('\\') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let c = rest.chars().next().ok_or_else(|| error("bad escape (end of pattern)"))?;
        let group = if c == 'g' {
            let (name, after) = rest[1..]
                .strip_prefix('<')
                .and_then(|r| r.split_once('>'))
                .ok_or_else(|| error("missing <"))?;
            rest = after;
            number(name, regex).ok_or_else(|| error("unknown group"))?
        } else if ('1'..='9').contains(&c) {
            if rest.len() >= 3 && rest.bytes().take(3).all(|b| (b'0'..=b'7').contains(&b)) {
                return Err(octal());
            }
            let length = 1 + usize::from(rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit));
            let name = &rest[..length];
            rest = &rest[length..];
            number(name, regex).ok_or_else(|| error("invalid group reference"))?
        } else {
            rest = &rest[c.len_utf8()..];
            match c {
                '0' => return Err(octal()),
                c => match control(c) {
                    Some(control) => literal.push(control),
                    None if c.is_ascii_alphabetic() => {
                        return Err(error(&format!("bad escape \\{c}")));
                    }
                    None => literal.extend(['\\', c]),
                },
            }
            continue;
        };
        parts.push(Part::Text(std::mem::take(&mut literal)));
        parts.push(Part::Group(group));
    }
    literal.push_str(rest);
    parts.push(Part::Text(literal));
    Ok(parts)
}

/// Meaning of a backslash and `c` in a replacement.
fn control(c: char) -> Option<char> {
    Some(match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '\\' => '\\',
        _ => return None,
    })
}

/// A compiled Python pattern.
pub struct Pattern {
    pub regex: Regex,
}

impl Pattern {
    /// Compiles for this text: `$` differs in Python if the text ends with a line end.
    pub fn new(pattern: &str, ignorecase: bool, multiline: bool, text: &str) -> Result<Self> {
        let translated = translated(pattern, multiline, text)?;
        let built = RegexBuilder::new(&translated)
            .case_insensitive(ignorecase)
            .multi_line(multiline)
            .size_limit(SIZE)
            .build();
        built.map(|regex| Self { regex }).map_err(|e| {
            let why = e.to_string();
            let why =
                why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Error::refused(format!("pattern `{pattern}` is not supported: {why}"))
        })
    }

    /// Matches as in Python's `re`, at most `most`.
    pub fn all<'t>(&self, text: &'t str, most: usize) -> Vec<Captures<'t>> {
        let (mut out, mut at, mut advance): (Vec<Captures<'t>>, usize, bool) =
            (Vec::new(), 0, false);
        while out.len() < most && at <= text.len() {
            let Some(captures) = self.regex.captures_at(text, at) else { break };
            let whole = captures.get(0).expect("a match has a whole");
            if whole.is_empty() && advance && whole.start() == at {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                advance = false;
                continue;
            }
            (at, advance) = (whole.end(), whole.is_empty());
            out.push(captures);
        }
        out
    }
}

/// Translates a pattern to the `regex` crate's syntax.
fn translated(pattern: &str, multiline: bool, text: &str) -> Result<String> {
    let (mut out, mut rest, mut class) = (String::new(), pattern.chars().peekable(), 0);
    let refused =
        |what: &str| Error::refused(format!("pattern `{pattern}` is not supported: {what}"));
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('Z') => out.push_str("\\z"),
                Some('z' | 'K' | 'h' | 'R' | 'X' | 'Q' | 'p' | 'P' | 'C' | 'G') => {
                    return Err(refused("an escape that Python has not"));
                }
                Some('b') if class > 0 => out.push_str("\\x08"),
                Some(
                    c @ ('<' | '>' | '"' | '\'' | '/' | '@' | '%' | ',' | ';' | ':' | '!' | '='
                    | '_' | '`' | ' '),
                ) => {
                    out.push_str(&regex::escape(&c.to_string()));
                }
                Some(c) if !c.is_ascii() => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            '[' if class == 0 => {
                class = 1;
                out.push('[');
                if rest.peek() == Some(&'^') {
                    out.extend(rest.next());
                }
                if rest.peek() == Some(&']') {
                    rest.next();
                    out.push_str("\\]");
                }
            }
            ']' if class > 0 => {
                class = 0;
                out.push(']');
            }
            '[' | '&' | '~' if class > 0 => out.extend(['\\', c]),
            '$' if class == 0 && !multiline && text.ends_with('\n') => {
                return Err(refused(
                    "`$` for a text that ends in a line end; use `\\Z`, or trim the text",
                ));
            }
            '(' if class == 0 && rest.peek() == Some(&'?') => {
                let ahead: String = rest.clone().take(2).collect();
                if ahead == "?<" && !matches!(rest.clone().nth(2), Some('=' | '!')) {
                    return Err(refused("`(?<name>…)`; Python writes `(?P<name>…)`"));
                }
                out.push('(');
            }
            '{' if class == 0 && rest.peek() == Some(&',') => out.push_str("{0"),
            '{' if class == 0 && !rest.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("\\{")
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

//! Filters on text: regular expressions, paths, encodings, quoting.
use base64ct::{Base64, Encoding};
use minijinja::value::{Kwargs, Rest, Tuple, Value};
use minijinja::{Environment, Error};
use regex::{Captures, Regex, RegexBuilder};
use sha2::Digest;

use super::{defined, refuse, text_of};

pub fn add(env: &mut Environment<'static>) {
    env.add_filter("b64encode", |v: &Value| text_of(v).map(|t| Base64::encode_string(t.as_bytes())));
    env.add_filter("b64decode", b64decode);
    env.add_filter("hash", hash);
    env.add_filter("quote", |v: &Value| text_of(v).map(|t| quote(&t)));
    env.add_filter("basename", |v: &Value| text_of(v).map(|p| p.rsplit('/').next().unwrap_or_default().to_string()));
    env.add_filter("dirname", |v: &Value| text_of(v).map(|p| dirname(&p).to_string()));
    env.add_filter("splitext", |v: &Value| text_of(v).map(|p| splitext(&p)));
    env.add_filter("center", center);
    env.add_filter("wordcount", |v: &Value| text_of(v).map(|t| t.split_whitespace().count()));
    env.add_filter("regex_escape", |v: &Value| text_of(v).map(|t| regex::escape(&t)));
    env.add_filter("regex_replace", regex_replace);
    env.add_filter("regex_search", regex_search);
    env.add_filter("regex_findall", regex_findall);
    env.add_test("match", |v: &Value, pattern: &str, k: Kwargs| tested(v, &format!("^(?:{pattern})"), &k));
    env.add_test("search", |v: &Value, pattern: &str, k: Kwargs| tested(v, pattern, &k));
    env.add_test("regex", |v: &Value, pattern: &str, k: Kwargs| tested(v, pattern, &k));
}

fn b64decode(value: &Value) -> Result<String, Error> {
    // Python skips line ends, which long encoded texts have.
    let packed: String = text_of(value)?.split_whitespace().collect();
    let bytes = Base64::decode_vec(&packed).map_err(|_| refuse("b64decode: this is not base64"))?;
    String::from_utf8(bytes).map_err(|_| refuse("b64decode: what was encoded is not UTF-8 text"))
}

fn hash(value: &Value, kind: Option<&str>) -> Result<String, Error> {
    let text = text_of(value)?;
    match kind.unwrap_or("sha1") {
        "sha224" => Ok(super::super::hex(&sha2::Sha224::digest(text))),
        "sha256" => Ok(super::super::hex(&sha2::Sha256::digest(text))),
        "sha384" => Ok(super::super::hex(&sha2::Sha384::digest(text))),
        "sha512" => Ok(super::super::hex(&sha2::Sha512::digest(text))),
        other => Err(refuse(format!("hash('{other}') is not supported; use hash('sha256') or hash('sha512')"))),
    }
}

/// As Python's `shlex.quote`.
fn quote(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// As Python's `os.path.dirname`: the slashes before the last part go, unless they are all there is.
fn dirname(path: &str) -> &str {
    let head = path.rfind('/').map_or("", |at| &path[..=at]);
    let cut = head.trim_end_matches('/');
    if cut.is_empty() { head } else { cut }
}

/// As Python's `os.path.splitext`: dots at the start of the name are no extension.
fn splitext(path: &str) -> Value {
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let body = name + path[name..].len() - path[name..].trim_start_matches('.').len();
    let dot = path[body..].rfind('.').map_or(path.len(), |at| body + at);
    Tuple::from([Value::from(&path[..dot]), Value::from(&path[dot..])]).into()
}

fn center(value: &Value, width: Option<usize>) -> Result<String, Error> {
    let text = text_of(value)?;
    let room = width.unwrap_or(80).min(1000).saturating_sub(text.chars().count());
    let left = room / 2;
    Ok(format!("{}{text}{}", " ".repeat(left), " ".repeat(room - left)))
}

/// A Python pattern; what the two dialects do not share (look-around, back-references) is refused with the reason.
fn pattern(text: &str, kwargs: &Kwargs) -> Result<Regex, Error> {
    let python = text.replace("\\Z", "\\z");
    RegexBuilder::new(&python)
        .case_insensitive(kwargs.get::<Option<bool>>("ignorecase")?.unwrap_or(false))
        .multi_line(kwargs.get::<Option<bool>>("multiline")?.unwrap_or(false))
        .size_limit(1 << 20)
        .build()
        .map_err(|e| {
            let reason = e.to_string();
            let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
            refuse(format!("pattern `{text}` is not supported: {last}"))
        })
}

fn tested(value: &Value, wanted: &str, kwargs: &Kwargs) -> Result<bool, Error> {
    Ok(pattern(wanted, kwargs)?.is_match(&text_of(value)?))
}

fn regex_replace(value: &Value, wanted: Option<&str>, with: Option<&str>, kwargs: Kwargs) -> Result<String, Error> {
    let text = text_of(value)?;
    let wanted = wanted.map_or_else(|| kwargs.get::<Option<String>>("pattern"), |p| Ok(Some(p.into())))?.unwrap_or_default();
    let with = with.map_or_else(|| kwargs.get::<Option<String>>("replacement"), |p| Ok(Some(p.into())))?.unwrap_or_default();
    let count = kwargs.get::<Option<usize>>("count")?.unwrap_or(0);
    let regex = pattern(&wanted, &kwargs)?;
    kwargs.assert_all_used()?;
    Ok(regex.replacen(&text, count, |found: &Captures| filled(&with, found)).into_owned())
}

/// A Python replacement: `\1`, `\g<1>`, `\g<name>`, `\n`, `\t`, `\\`.
fn filled(with: &str, found: &Captures) -> String {
    let mut out = String::new();
    let mut rest = with;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            let group = rest[..digits.min(2)].parse().unwrap_or(usize::MAX);
            out.push_str(found.get(group).map_or("", |m| m.as_str()));
            rest = &rest[digits.min(2)..];
        } else if let Some((name, after)) = rest.strip_prefix("g<").and_then(|r| r.split_once('>')) {
            let group = name.parse().map_or_else(|_| found.name(name), |n: usize| found.get(n));
            out.push_str(group.map_or("", |m| m.as_str()));
            rest = after;
        } else if let Some(c) = rest.chars().next() {
            match c {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                '\\' => out.push('\\'),
                other => out.extend(['\\', other]),
            }
            rest = &rest[c.len_utf8()..];
        } else {
            out.push('\\');
        }
    }
    out + rest
}

/// The first match; with `'\\1'` or `'\\g<name>'` after the pattern, the list of those groups. No match: None.
fn regex_search(value: &Value, wanted: &str, groups: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let text = text_of(value)?;
    let regex = pattern(wanted, &kwargs)?;
    kwargs.assert_all_used()?;
    let Some(found) = regex.captures(&text) else { return Ok(Value::from(())) };
    if groups.is_empty() {
        return Ok(Value::from(&found[0]));
    }
    let group = |g: &Value| text_of(g).map(|g| Value::from(filled(&g, &found)));
    groups.iter().map(group).collect::<Result<Vec<_>, _>>().map(Value::from)
}

/// As Python's `re.findall`: matches, or the group, or lists of the groups.
fn regex_findall(value: &Value, wanted: &str, kwargs: Kwargs) -> Result<Value, Error> {
    defined(value)?;
    let text = text_of(value)?;
    let regex = pattern(wanted, &kwargs)?;
    kwargs.assert_all_used()?;
    let group = |c: &Captures, n: usize| Value::from(c.get(n).map_or("", |m| m.as_str()));
    let found = regex.captures_iter(&text).map(|c| match c.len() {
        1 => group(&c, 0),
        2 => group(&c, 1),
        n => Tuple::from((1..n).map(|i| group(&c, i)).collect::<Vec<_>>()).into(),
    });
    Ok(Value::from(found.collect::<Vec<_>>()))
}

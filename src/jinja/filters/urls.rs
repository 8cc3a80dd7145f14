//! URLs: components and percent-encoding.
use std::rc::Rc;

use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::value::{Dict, Value};
use crate::jinja::{iterate, show};

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    match name {
        "urlencode" => {
            args.none("urlencode")?;
            encode(value).map(Value::from)
        }
        "urldecode" => {
            args.none("urldecode")?;
            Ok(Value::from(decode(&show::text(value)?)))
        }
        _ => {
            let query = args.bind("urlsplit", &["query", "alias"])?.text_or("query", "")?;
            let text = value.as_text().ok_or_else(|| Error::raised("`urlsplit` wants a text"))?;
            let parts = parts(text)?;
            if query.is_empty() {
                return Ok(Value::dict(parts));
            }
            parts
                .text(&query)
                .cloned()
                .ok_or_else(|| Error::raised(format!("urlsplit: unknown URL component: {query}")))
        }
    }
}

fn quoted(text: &str, form: bool) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b' ' if form => out.push('+'),
            b'/' if !form => out.push('/'),
            b if b.is_ascii_alphanumeric() || b"_.-~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn encode(value: &Value) -> Result<String> {
    let pairs = match value {
        Value::Dict(d) => d.borrow().iter().cloned().collect(),
        Value::List(_) | Value::Tuple(_) => {
            let mut pairs = Vec::new();
            for pair in iterate::items(value)? {
                match &iterate::items(&pair)?[..] {
                    [key, value] => pairs.push((key.clone(), value.clone())),
                    _ => return Err(Error::raised("`urlencode` wants pairs")),
                }
            }
            pairs
        }
        other => return Ok(quoted(&show::text(other)?, false)),
    };
    let one = |(k, v): &(Value, Value)| -> Result<String> {
        Ok(format!("{}={}", quoted(&show::text(k)?, true), quoted(&show::text(v)?, true)))
    };
    Ok(pairs.iter().map(one).collect::<Result<Vec<_>>>()?.join("&"))
}

/// `urllib.parse.unquote_plus`
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|h| std::str::from_utf8(h).ok())
            .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        match (bytes[at], hex) {
            (b'%', Some(hex)) => {
                out.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (b, _) => out.push(b),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Scheme, netloc, path, query, fragment, like `urllib.parse.urlsplit`.
pub fn split(text: &str) -> Result<[Rc<str>; 5]> {
    let text: String = text
        .trim_start_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !"\t\r\n".contains(*c))
        .collect();
    let (mut scheme, mut rest) = (String::new(), text.as_str());
    if let Some((before, after)) = rest.split_once(':')
        && before.starts_with(|c: char| c.is_ascii_alphabetic())
        && before.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    {
        (scheme, rest) = (before.to_ascii_lowercase(), after);
    }
    let mut netloc = "";
    if let Some(after) = rest.strip_prefix("//") {
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        (netloc, rest) = after.split_at(end);
        if netloc.contains('[') != netloc.contains(']') {
            return Err(Error::raised("Invalid IPv6 URL"));
        }
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok([scheme.into(), netloc.into(), path.into(), query.into(), fragment.into()])
}

/// All components, in Ansible's order.
fn parts(text: &str) -> Result<Dict> {
    let [scheme, netloc, path, query, fragment] = split(text)?;
    let (user, host) =
        netloc.rsplit_once('@').map_or((None, &*netloc), |(user, host)| (Some(user), host));
    let (name, password) = match user {
        Some(user) => {
            user.split_once(':').map_or((Some(user), None), |(name, word)| (Some(name), Some(word)))
        }
        None => (None, None),
    };
    let (hostname, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((inside, after)) => (inside, after.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    let port = match port.filter(|p| !p.is_empty()) {
        None => Value::None,
        Some(port) => match port.parse::<u16>() {
            Ok(port) => Value::Int(port.into()),
            Err(_) => {
                return Err(Error::raised(format!(
                    "Port could not be cast to integer value as '{port}'"
                )));
            }
        },
    };
    let optional = |text: Option<&str>| text.map_or(Value::None, Value::from);
    let hostname = hostname.to_lowercase();
    let mut out = Dict::new();
    out.put("fragment", Value::Str(fragment));
    out.put("hostname", optional(Some(hostname.as_str()).filter(|h| !h.is_empty())));
    out.put("netloc", Value::Str(netloc.clone()));
    out.put("password", optional(password));
    out.put("path", Value::Str(path));
    out.put("port", port);
    out.put("query", Value::Str(query));
    out.put("scheme", Value::Str(scheme));
    out.put("username", optional(name));
    Ok(out)
}

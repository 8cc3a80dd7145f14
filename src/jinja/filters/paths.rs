//! File paths as text; the file system is not accessed.
use std::rc::Rc;

use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::value::Value;
use crate::jinja::{iterate, show};

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    match name {
        "path_join" => joined(&parts(name, value, args)?).map(Value::from),
        "commonpath" => common(&parts(name, value, args)?).map(Value::from),
        "relpath" => {
            let path = path(value)?;
            let start = args.bind("relpath", &["start"])?.text("start")?.ok_or_else(|| {
                Error::refused(
                    "`relpath` without a start is not supported: it would go by the directory of \
                        the run",
                )
            })?;
            relative(&path, &start).map(Value::from)
        }
        _ => {
            let path = path(value)?;
            args.none("this filter")?;
            cut(name, &path)
        }
    }
}

/// The paths that `path_join` and `commonpath` combine.
fn parts(name: &str, value: &Value, args: &Args) -> Result<Vec<String>> {
    args.none("this filter")?;
    match value {
        Value::Str(one) if name == "path_join" => Ok(vec![one.to_string()]),
        Value::List(_) | Value::Tuple(_) => {
            let items = iterate::items(value)?;
            if items.iter().any(|v| matches!(v, Value::Markup(_))) {
                return Err(Error::refused(format!(
                    "`{name}` of what `safe` or `e` gave is not supported"
                )));
            }
            let text = |v: &Value| {
                v.as_text()
                    .map(ToString::to_string)
                    .ok_or_else(|| Error::raised("expected str, bytes or os.PathLike object"))
            };
            items.iter().map(text).collect()
        }
        other => {
            Err(Error::raised(format!("|{name} expects a sequence, got {} instead.", other.kind())))
        }
    }
}

fn path(value: &Value) -> Result<Rc<str>> {
    value
        .as_text()
        .cloned()
        .ok_or_else(|| Error::raised(format!("expected str, not {}", value.kind())))
}

/// Filters of one path.
fn cut(name: &str, path: &str) -> Result<Value> {
    Ok(match name {
        "basename" => Value::from(path.rsplit('/').next().unwrap_or_default()),
        "dirname" => Value::from(dirname(path)),
        "normpath" => Value::from(normal(path)),
        "splitext" => {
            let (root, ext) = extension(path);
            Value::tuple(vec![Value::from(root), Value::from(ext)])
        }
        "win_basename" => Value::from(windows(path).2),
        "win_dirname" => {
            let (drive, head, _) = windows(path);
            let trimmed = head.trim_end_matches(['/', '\\']);
            Value::from(format!("{drive}{}", if trimmed.is_empty() { head } else { trimmed }))
        }
        _ => {
            let (drive, head, tail) = windows(path);
            Value::tuple(vec![
                Value::from(drive),
                Value::from(show::text(&Value::from(format!("{head}{tail}")))?.to_string()),
            ])
        }
    })
}

fn dirname(path: &str) -> &str {
    let head = path.rfind('/').map_or("", |at| &path[..=at]);
    let trimmed = head.trim_end_matches('/');
    if trimmed.is_empty() { head } else { trimmed }
}

fn extension(path: &str) -> (&str, &str) {
    let start = path.rfind('/').map_or(0, |at| at + 1);
    let name = &path[start..];
    let dots = name.len() - name.trim_start_matches('.').len();
    match name[dots..].rfind('.') {
        Some(at) => path.split_at(start + dots + at),
        None => (path, ""),
    }
}

pub fn normal(path: &str) -> String {
    if path.is_empty() {
        return ".".into();
    }
    let root = if path.starts_with("//") && !path.starts_with("///") {
        "//"
    } else if path.starts_with('/') {
        "/"
    } else {
        ""
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|p| !p.is_empty() && *p != ".") {
        match part {
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let out = root.to_owned() + &parts.join("/");
    if out.is_empty() { ".".into() } else { out }
}

fn joined(parts: &[String]) -> Result<String> {
    let mut all = parts.iter();
    let mut out = all
        .next()
        .cloned()
        .ok_or_else(|| Error::raised("join() missing 1 required positional argument: 'a'"))?;
    for part in all {
        if part.starts_with('/') {
            out.clone_from(part);
        } else if out.is_empty() || out.ends_with('/') {
            out.push_str(part);
        } else {
            out = out + "/" + part;
        }
    }
    Ok(out)
}

fn common(paths: &[String]) -> Result<String> {
    let first =
        paths.first().ok_or_else(|| Error::raised("commonpath() arg is an empty sequence"))?;
    let absolute = first.starts_with('/');
    if paths.iter().any(|p| p.starts_with('/') != absolute) {
        return Err(Error::raised("Can't mix absolute and relative paths"));
    }
    let split = |p: &String| {
        p.split('/').filter(|c| !c.is_empty() && *c != ".").map(str::to_owned).collect::<Vec<_>>()
    };
    let mut shared = split(first);
    for path in &paths[1..] {
        let parts = split(path);
        let same = shared.iter().zip(&parts).take_while(|(a, b)| a == b).count();
        shared.truncate(same);
    }
    Ok(if absolute { "/" } else { "" }.to_owned() + &shared.join("/"))
}

fn relative(path: &str, start: &str) -> Result<String> {
    if path.is_empty() {
        return Err(Error::raised("no path specified"));
    }
    if !path.starts_with('/') || !start.starts_with('/') {
        return Err(Error::refused(
            "`relpath` of a path that is not absolute is not supported: it would go by the \
                directory of the run",
        ));
    }
    let split = |p: &str| {
        normal(p).split('/').filter(|c| !c.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let (path, start) = (split(path), split(start));
    let same = path.iter().zip(&start).take_while(|(a, b)| a == b).count();
    let parts: Vec<&str> =
        start[same..].iter().map(|_| "..").chain(path[same..].iter().map(String::as_str)).collect();
    Ok(if parts.is_empty() { ".".into() } else { parts.join("/") })
}

/// Drive, directory with its last separator, and the rest.
fn windows(path: &str) -> (&str, &str, &str) {
    let drive = if path.as_bytes().get(1) == Some(&b':') { 2 } else { 0 };
    let (drive, rest) = path.split_at(drive);
    let cut = rest.rfind(['/', '\\']).map_or(0, |at| at + 1);
    (drive, &rest[..cut], &rest[cut..])
}

//! `is version(…)`.
use std::cmp::Ordering;

use super::args::Args;
use super::error::{Error, Result};
use super::show;
use super::value::Value;

pub fn test(value: &Value, args: &Args) -> Result<bool> {
    let b = args.bind("version", &["version", "operator", "strict", "version_type"])?;
    let other = b.wanted("version")?;
    let failed = |why: &str| Error::raised(format!("Version comparison failed: {why}"));
    if b.some("strict").is_some() && b.some("version_type").is_some() {
        return Err(Error::raised("Cannot specify both 'strict' and 'version_type'"));
    }
    if !value.truth()? || !other.truth()? {
        return Err(Error::raised("a version to compare cannot be empty"));
    }
    let kind = match b.text("version_type")? {
        Some(kind) => kind,
        None if b.truth("strict")? => "strict".into(),
        None => "loose".into(),
    };
    let operator = b.text_or("operator", "eq")?;
    let (x, y) = (show::text(value)?, show::text(other)?);
    let order = match &*kind {
        "loose" => loose(&x, &y)
            .ok_or_else(|| failed("'<' not supported between instances of 'str' and 'int'"))?,
        "strict" => strict(&x)
            .zip(strict(&y))
            .map(|(x, y)| x.cmp(&y))
            .ok_or_else(|| failed("invalid version number"))?,
        "semver" | "semantic" => semantic(&x)
            .zip(semantic(&y))
            .map(|(x, y)| x.cmp(&y))
            .ok_or_else(|| failed("invalid semantic version"))?,
        "pep440" => {
            return Err(Error::refused(
                "`version` with version_type='pep440' is not supported; 'loose', 'strict' and \
                    'semver' are",
            ));
        }
        other => return Err(Error::raised(format!("Invalid version type ({other})"))),
    };
    match &*operator {
        "==" | "=" | "eq" => Ok(order.is_eq()),
        "!=" | "<>" | "ne" => Ok(order.is_ne()),
        "<" | "lt" => Ok(order.is_lt()),
        "<=" | "le" => Ok(order.is_le()),
        ">" | "gt" => Ok(order.is_gt()),
        ">=" | "ge" => Ok(order.is_ge()),
        other => Err(Error::raised(format!("Invalid operator type ({other})"))),
    }
}

#[derive(PartialEq)]
enum Part {
    Number(u128),
    Text(String),
}

/// Numbers and runs of lower-case letters; drops points between them, keeps everything else.
fn parts(text: &str) -> Vec<Part> {
    let class = |c: char| match c {
        '0'..='9' => 0,
        'a'..='z' => 1,
        '.' => 2,
        _ => 3,
    };
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let same = class(first);
        let end = if same == 2 { 1 } else { rest.find(|c| class(c) != same).unwrap_or(rest.len()) };
        let (part, after) = rest.split_at(end);
        rest = after;
        match same {
            0 => out.push(part.parse().map_or_else(|_| Part::Text(part.into()), Part::Number)),
            2 => {}
            _ => out.push(Part::Text(part.into())),
        }
    }
    out
}

/// `None` for a number and a text, which Python does not compare.
fn loose(x: &str, y: &str) -> Option<Ordering> {
    let (x, y) = (parts(x), parts(y));
    if x == y {
        return Some(Ordering::Equal);
    }
    for (a, b) in x.iter().zip(&y) {
        match (a, b) {
            (Part::Number(a), Part::Number(b)) if a != b => return Some(a.cmp(b)),
            (Part::Text(a), Part::Text(b)) if a != b => return Some(a.cmp(b)),
            (Part::Number(_), Part::Text(_)) | (Part::Text(_), Part::Number(_)) => return None,
            _ => {}
        }
    }
    Some(x.len().cmp(&y.len()))
}

/// Numbers, then letter and number of the pre-release.
type Strict = ([u64; 3], (char, u64));

/// `1.2`, `1.2.3`, with an optional `a1` or `b2`, which sorts before the release.
fn strict(text: &str) -> Option<Strict> {
    let (numbers, early) = match text.find(['a', 'b']) {
        Some(at) => (&text[..at], Some((text[at..].chars().next()?, text[at + 1..].parse().ok()?))),
        None => (text, None),
    };
    let all: Vec<u64> = numbers.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    if !(2..=3).contains(&all.len()) {
        return None;
    }
    // No letter is more than any letter.
    let early = early.unwrap_or(('z', 0));
    Some(([all[0], all[1], all.get(2).copied().unwrap_or(0)], early))
}

/// Numbers, then pre-release parts: numbers before texts, a release last.
type Semantic = ([u64; 3], bool, Vec<(bool, u64, String)>);

fn semantic(text: &str) -> Option<Semantic> {
    let text = text.split('+').next()?;
    let (numbers, early) = text.split_once('-').map_or((text, None), |(n, e)| (n, Some(e)));
    let all: Vec<u64> = numbers.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let [major, minor, patch] = all[..] else { return None };
    let part = |part: &str| match part.parse::<u64>() {
        Ok(n) => (false, n, String::new()),
        Err(_) => (true, 0, part.to_owned()),
    };
    Some((
        [major, minor, patch],
        early.is_none(),
        early.map(|e| e.split('.').map(part).collect()).unwrap_or_default(),
    ))
}

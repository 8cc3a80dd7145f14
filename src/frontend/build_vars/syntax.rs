//! Explains YAML syntax errors in the author's terms, and repairs obvious ones in memory, so that
//! one slip does not hide the other errors of a file.
use std::path::Path;

use super::doubts::Lost;
use super::yaml::{self, Bad, Node};
use crate::model::diagnostic::{Diagnostic, Location};

/// The tree as far as it could be parsed, and the errors.
pub(crate) struct Read {
    pub root: Option<Node>,
    pub findings: Vec<Diagnostic>,
    pub lost: Vec<Lost>,
}

/// `key :value`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MisplacedColon<'l> {
    key: &'l str,
    /// Text between key and colon.
    gap: &'l str,
    value: &'l str,
    /// Column of the key, from 0, in characters.
    indent: usize,
}

/// Maximum number of repairs. Each one parses the whole text again.
const MOST_MENDED: usize = 50;

/// Parses `text`. Reports lines with a misplaced colon, repairs them and parses again. A repaired
/// line keeps its length, so that locations stay valid.
pub(crate) fn read(file: &Path, text: &str) -> Read {
    let mut text = text.to_owned();
    let mut findings = Vec::new();
    let mut mended: Vec<usize> = Vec::new();
    loop {
        let lines = match yaml::parse(file, &text) {
            Ok(tree) if tree.suspects.iter().all(|line| mended.contains(line)) => {
                findings.extend(tree.findings);
                return Read { root: Some(tree.root), findings, lost: tree.lost };
            }
            Ok(tree) => tree.suspects,
            // The repaired line still does not parse (because of its indentation, say); its error
            // is already reported.
            Err(bad) if mended.contains(&bad.spot.line) => {
                return Read { root: None, findings, lost: Vec::new() };
            }
            Err(bad) => match culprits(file, &text, &bad) {
                lines if lines.is_empty() => {
                    findings.push(explain(file, &text, &bad));
                    return Read { root: None, findings, lost: Vec::new() };
                }
                lines => lines,
            },
        };
        let lines: Vec<usize> = lines.into_iter().filter(|line| !mended.contains(line)).collect();
        if mended.len() + lines.len() > MOST_MENDED {
            findings.push(Diagnostic::error(
                Location { file: file.to_owned(), line: lines[0], column: 1 },
                "and more of the kind",
            ));
            return Read { root: None, findings, lost: Vec::new() };
        }
        for line in lines {
            if let Some(colon) = text.lines().nth(line - 1).and_then(misplaced_colon) {
                findings.push(colon.diagnostic(Location {
                    file: file.to_owned(),
                    line,
                    column: colon.indent + 1,
                }));
            }
            text = mend(&text, line);
            mended.push(line);
        }
    }
}

/// `hw_rng_model :virtio`, optionally after `- `. Excludes quoted keys and `key : value` (valid
/// YAML).
pub(super) fn misplaced_colon(line: &str) -> Option<MisplacedColon<'_>> {
    let body = line.trim_start();
    let body = body.strip_prefix("- ").map_or(body, str::trim_start);
    let indent = line[..line.len() - body.len()].chars().count();
    let end = body.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))?;
    let (key, rest) = body.split_at(end);
    let after = rest.trim_start_matches(' ');
    let gap = &rest[..rest.len() - after.len()];
    let value = after.strip_prefix(':')?;
    let starts_value = value.chars().next().is_some_and(|c| !c.is_whitespace() && c != ':');
    (!key.is_empty() && !gap.is_empty() && starts_value).then_some(MisplacedColon {
        key,
        gap,
        value,
        indent,
    })
}

impl MisplacedColon<'_> {
    pub fn diagnostic(&self, place: Location) -> Diagnostic {
        let value = self.value.split(" #").next().unwrap_or_default().trim_end();
        let (key, gap) = (self.key, self.gap);
        Diagnostic::error(
            place,
            format!("`{key}{gap}:{value}` has its colon on the wrong side of the space"),
        )
        .hint(format!("write `{key}: {value}`"))
    }
}

fn mend(text: &str, number: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match (index + 1 == number).then(|| misplaced_colon(line)).flatten() {
            Some(MisplacedColon { key, gap, value, .. }) => {
                let head = &line[..line.len() - key.len() - gap.len() - 1 - value.len()];
                out.extend([head, key, ":", gap, value]);
            }
            None => out.push_str(line),
        }
    }
    out
}

/// Lines with a misplaced colon that cause the error. The parser stumbles at the next token, so
/// earlier lines count if nothing else is between. Lines whose repair does not change the error are
/// not the cause (they may be in a block of text).
fn culprits(file: &Path, text: &str, bad: &Bad) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let first = bad.spot.line.min(lines.len());
    let mut found = Vec::new();
    for number in (1..=first).rev() {
        let line = lines[number - 1].trim_start();
        if misplaced_colon(line).is_some() && found.len() <= MOST_MENDED {
            found.push(number);
        } else if number < first && !line.is_empty() && !line.starts_with('#') {
            break;
        }
    }
    let mended = found.iter().fold(text.to_owned(), |text, number| mend(&text, *number));
    match yaml::parse(file, &mended) {
        Err(again) if again == *bad => Vec::new(),
        _ => found,
    }
}

fn explain(file: &Path, text: &str, bad: &Bad) -> Diagnostic {
    let at = |line, column| Location { file: file.to_owned(), line, column };
    if let Some((line, column)) = tab(text, bad) {
        return Diagnostic::error(at(line, column), "a tab in the indentation").hint(SPACES);
    }
    if let Some((line, column, message)) = tabbed(text, &bad.message, bad.spot.line) {
        return Diagnostic::error(at(line, column), message).hint(SPACES);
    }
    let keyless = bad.message == "simple key expect ':'";
    let no_place_for_key = bad.message == NO_PLACE_FOR_KEY;
    if (keyless || no_place_for_key)
        && let Some((line, column, key, value)) = tight_colon(text, bad.spot.line)
    {
        return Diagnostic::error(
            at(line, column),
            format!("`{key}:{value}` has no space after its colon"),
        )
        .hint(format!("write `{key}: {value}`"));
    }
    if keyless {
        let hint =
            "every line of a map is `key: value`; a long value goes on with deeper indentation";
        return Diagnostic::error(
            last_written(text, bad.spot).place(file),
            "this line has no `key: `",
        )
        .hint(hint);
    }
    let place = bad.spot.place(file);
    let message = bad.message.as_str();
    match (known(message), bad.hint) {
        (Some((message, hint)), _) => Diagnostic::error(place, message).hint(hint),
        (None, Some(hint)) => Diagnostic::error(place, message).hint(hint),
        (None, None) => Diagnostic::error(place, format!("not valid YAML: {message}")),
    }
}

const NO_PLACE_FOR_KEY: &str = "mapping values are not allowed in this context";

/// What the parser's message means, and a hint.
fn known(message: &str) -> Option<(&'static str, &'static str)> {
    Some(match message {
        NO_PLACE_FOR_KEY => (
            "a `: ` where no key can stand",
            "put a value that holds `: ` in quotes, and check the indentation of this line and the \
                one above",
        ),
        "while parsing a block mapping, did not find expected key" => (
            "this line does not fit the map above it",
            "check its indentation, and the quotes in the line above",
        ),
        "while parsing a block collection, did not find expected '-' indicator" => (
            "this line does not fit the list above it",
            "check its indentation; every item starts with `- `",
        ),
        "while parsing a flow mapping, did not find expected ',' or '}'" => {
            ("a `{` is not closed, or a comma is missing", "before this place")
        }
        "while parsing a flow sequence, expected ',' or ']'" => {
            ("a `[` is not closed, or a comma is missing", "before this place")
        }
        "while parsing node, found unknown anchor" => {
            ("this alias names no anchor", "`&name` must stand before `*name`")
        }
        "invalid trailing content after double-quoted scalar" => {
            ("something stands after the closing quote", "quotes go around the whole value")
        }
        message if message.contains("quoted scalar") && message.contains("end of stream") => {
            ("a quote is opened and never closed", "a value that holds `'` goes in `\"`")
        }
        message if message.starts_with("unexpected character") => {
            ("a value cannot start with this character", "put it in quotes")
        }
        _ => return None,
    })
}

/// Hint for tabs.
pub(super) const SPACES: &str = "YAML is indented with spaces only";

/// The tab behind a parser error, by message and line: line, column, description.
pub(super) fn tabbed(
    text: &str,
    message: &str,
    number: usize,
) -> Option<(usize, usize, &'static str)> {
    if !message.contains("tab") && !message.contains("cannot start any token") {
        return None;
    }
    [number, number + 1, number.saturating_sub(1)].into_iter().filter(|n| *n > 0).find_map(|n| {
        let line = text.lines().nth(n - 1)?;
        let at = line.find('\t')?;
        let what = if line[..at].trim().is_empty() {
            "a tab in the indentation"
        } else {
            "a tab between a key and its value"
        };
        Some((n, line[..at].chars().count() + 1, what))
    })
}

/// A tab in the indentation of the line or its neighbours, because the parser may report another
/// line.
fn tab(text: &str, bad: &Bad) -> Option<(usize, usize)> {
    let number = bad.spot.line;
    let next = if bad.message.contains("tab") { number + 1 } else { number };
    [number, next, number.saturating_sub(1)].into_iter().filter(|n| *n > 0).find_map(|n| {
        let line = text.lines().nth(n - 1)?;
        let indent = &line[..line.len() - line.trim_start().len()];
        indent.find('\t').map(|at| (n, indent[..at].chars().count() + 1))
    })
}

/// `key:value` in this line or the previous one (whose value then includes this line's key): line,
/// column, key, value.
fn tight_colon(text: &str, number: usize) -> Option<(usize, usize, &str, &str)> {
    [number, number.saturating_sub(1)].into_iter().filter(|n| *n > 0).find_map(|n| {
        let line = text.lines().nth(n - 1)?;
        let body = line.trim_start();
        let (key, value) = body.split_once(':')?;
        let named = !key.is_empty()
            && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        let tight =
            value.starts_with(|c: char| !c.is_whitespace() && c != '/') && !value.contains(": ");
        (named && tight).then(|| {
            (
                n,
                line.chars().count() - body.chars().count() + 1,
                key,
                value.split(" #").next().unwrap_or_default().trim_end(),
            )
        })
    })
}

/// For a key without colon, the parser reports where it stopped; the key is the last non-blank line
/// up to there.
fn last_written(text: &str, at: yaml::Position) -> yaml::Position {
    let lines: Vec<&str> = text.lines().collect();
    let here = lines
        .get(at.line.wrapping_sub(1))
        .is_some_and(|l| l.chars().take(at.column - 1).any(|c| !c.is_whitespace()));
    let last = if here { at.line } else { at.line.saturating_sub(1) };
    let written = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let found = (1..=last.min(lines.len())).rev().find(|number| written(lines[number - 1]));
    found.map_or(at, |line| yaml::Position {
        line,
        column: lines[line - 1].chars().take_while(|c| c.is_whitespace()).count() + 1,
    })
}

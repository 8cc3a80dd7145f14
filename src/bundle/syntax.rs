//! Bad YAML in the words of the person who wrote it, and mended in memory where the meaning is plain, so that one slip does not
//! hide the other mistakes of a file.
use std::path::Path;

use super::yaml::{self, Bad, Node};
use crate::diagnostic::{Diagnostic, Place};

/// A tree as far as there is one, and what is wrong with the text.
pub(super) struct Read {
    pub root: Option<Node>,
    pub findings: Vec<Diagnostic>,
}

/// `key :value`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MisplacedColon<'l> {
    key: &'l str,
    /// As written between key and colon.
    gap: &'l str,
    value: &'l str,
    /// From 0, in characters: where the key starts.
    indent: usize,
}

/// Reads `text`; lines with a misplaced colon are reported, mended and read again (the mended line is as long as the old one,
/// so every place stays true).
pub(super) fn read(file: &Path, text: &str) -> Read {
    let mut text = text.to_owned();
    let mut findings = Vec::new();
    let mut mended: Vec<usize> = Vec::new();
    loop {
        let culprits = match yaml::parse(file, &text) {
            Ok(tree) if tree.suspects.iter().all(|line| mended.contains(line)) => {
                findings.extend(tree.findings);
                return Read { root: Some(tree.root), findings };
            }
            Ok(tree) => tree.suspects,
            // Mended, the line still does not fit (its indentation, say): what is wrong with it has been said.
            Err(bad) if mended.contains(&bad.spot.line) => return Read { root: None, findings },
            Err(bad) => match culprit(file, &text, &bad) {
                Some(line) => vec![line],
                None => {
                    findings.push(explain(file, &text, &bad));
                    return Read { root: None, findings };
                }
            },
        };
        for line in culprits.into_iter().filter(|line| !mended.contains(line)).collect::<Vec<_>>() {
            if let Some(colon) = text.lines().nth(line - 1).and_then(misplaced_colon) {
                findings.push(colon.diagnostic(Place { file: file.to_owned(), line, column: colon.indent + 1 }));
            }
            text = mend(&text, line);
            mended.push(line);
        }
    }
}

/// `hw_rng_model :virtio`, maybe after `- `. Quoted keys and `key : value` (which is YAML) are not meant.
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
    (!key.is_empty() && !gap.is_empty() && starts_value).then_some(MisplacedColon { key, gap, value, indent })
}

impl MisplacedColon<'_> {
    pub fn diagnostic(&self, place: Place) -> Diagnostic {
        let value = self.value.split(" #").next().unwrap_or_default().trim_end();
        let (key, gap) = (self.key, self.gap);
        Diagnostic::error(place, format!("`{key}{gap}:{value}` has its colon on the wrong side of the space")).hint(format!("write `{key}: {value}`"))
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

/// The line with a misplaced colon that makes the parser stumble. The parser notices at the next token, so the lines before
/// count too; a line which, mended, leaves the error as it is was innocent (it may belong to a block of text).
fn culprit(file: &Path, text: &str, bad: &Bad) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut number = bad.spot.line.min(lines.len());
    let first = number;
    while number > 0 {
        let line = lines[number - 1].trim_start();
        if misplaced_colon(lines[number - 1]).is_some() {
            return match yaml::parse(file, &mend(text, number)) {
                Err(again) if again == *bad => None,
                _ => Some(number),
            };
        }
        if number < first && !line.is_empty() && !line.starts_with('#') {
            return None;
        }
        number -= 1;
    }
    None
}

fn explain(file: &Path, text: &str, bad: &Bad) -> Diagnostic {
    let mut spot = bad.spot;
    if let Some((line, column)) = tab(text, spot.line) {
        let place = Place { file: file.to_owned(), line, column };
        return Diagnostic::error(place, "a tab in the indentation").hint("YAML is indented with spaces only");
    }
    if bad.message == "simple key expect ':'" {
        spot = keyless(text, spot);
        let line = text.lines().nth(spot.line.saturating_sub(1)).unwrap_or_default().trim();
        let hint = match line.split_once(':') {
            Some((key, value)) if !key.contains(' ') && !value.is_empty() => format!("write `{key}: {value}`"),
            _ => "every line of a map is `key: value`; a long value goes on with deeper indentation".into(),
        };
        return Diagnostic::error(spot.place(file), "this line has no `key: `").hint(hint);
    }
    let (message, hint) = match bad.message.as_str() {
        "mapping values are not allowed in this context" => {
            ("a `: ` where no key can stand", Some("put a value that holds `: ` in quotes, and check the indentation of this line and the one above"))
        }
        "while parsing a block mapping, did not find expected key" => {
            ("this line does not fit the map above it", Some("check its indentation, and the quotes in the line above"))
        }
        "while parsing node, found unknown anchor" => ("this alias names no anchor", Some("`&name` must stand before `*name`")),
        message if message.contains("quoted scalar") && message.contains("end of stream") => ("a quote is opened and never closed", None),
        message => (message, bad.hint),
    };
    let known = message != bad.message || bad.hint.is_some();
    let message = if known { message.to_owned() } else { format!("not valid YAML: {message}") };
    let finding = Diagnostic::error(spot.place(file), message);
    match hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// A tab in the indentation of the line or of the one before it (where a parser may have read on).
fn tab(text: &str, number: usize) -> Option<(usize, usize)> {
    [number, number.saturating_sub(1)].into_iter().filter(|n| *n > 0).find_map(|n| {
        let line = text.lines().nth(n - 1)?;
        let indent = &line[..line.len() - line.trim_start().len()];
        indent.find('\t').map(|at| (n, indent[..at].chars().count() + 1))
    })
}

/// The parser reports a key without colon where it gave up; the key is the last line with something on it before that.
fn keyless(text: &str, at: yaml::Spot) -> yaml::Spot {
    let lines: Vec<&str> = text.lines().collect();
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let here = lines.get(at.line.wrapping_sub(1)).map(|l| l.chars().take(at.column - 1).any(|c| !c.is_whitespace()));
    let last = if here == Some(true) { at.line } else { at.line.saturating_sub(1) };
    for number in (1..=last.min(lines.len())).rev() {
        let line = lines[number - 1];
        if !blank(line) {
            return yaml::Spot { line: number, column: line.chars().take_while(|c| c.is_whitespace()).count() + 1 };
        }
    }
    at
}

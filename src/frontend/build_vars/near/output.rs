//! Finds unused files of `output/`: neither templates nor included by one.
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::named::Words;
use super::within::Within;
use super::{Definition, is_aside};

/// Limits: bytes per template, bytes in total, number of files.
const TEMPLATE: u64 = 1 << 20;
const BYTES: usize = 2 << 20;
const FILES: usize = 2000;
/// Depth limit of nested includes.
const ROUNDS: usize = 20;

/// A file that is neither a template nor included; relative to `output/`.
pub(super) struct Idle {
    pub path: PathBuf,
    pub is_template: bool,
}

/// Reads only what templates reach. Returns nothing if a template computes its includes, or a limit
/// is exceeded.
pub(super) fn idle(bundle: &Definition, within: &Within) -> Vec<Idle> {
    let root = bundle.dir.join("output");
    let Some(mut left) = files(&root, within) else { return Vec::new() };
    let is_root = |file: &PathBuf| file.components().count() == 1 && is_template(file);
    let (mut queue, mut words, mut bytes, mut rounds) = (VecDeque::new(), Words::default(), 0, 0);
    take(&mut left, &mut queue, is_root);
    while let Some(file) = queue.pop_front() {
        let Some(text) =
            within.text(&root.join(&file), TEMPLATE).filter(|text| bytes + text.len() <= BYTES)
        else {
            return Vec::new();
        };
        bytes += text.len();
        // Jinja reads what is a comment to others.
        words.read_all(&text);
        if text.starts_with("#jinja2:") || works_out(&text) || words.have("lookup") {
            return Vec::new();
        }
        if queue.is_empty() {
            rounds += 1;
            if rounds > ROUNDS {
                return Vec::new();
            }
            take(&mut left, &mut queue, |file| names(&words, file));
        }
    }
    let idle = left.into_iter().filter(|file| !is_aside(&name(file)));
    idle.map(|file| Idle { is_template: is_template(&file), path: file }).collect()
}

fn take(
    left: &mut Vec<PathBuf>,
    queue: &mut VecDeque<PathBuf>,
    is_taken: impl Fn(&PathBuf) -> bool,
) {
    let (taken, rest) = std::mem::take(left).into_iter().partition(is_taken);
    *left = rest;
    queue.extend::<Vec<_>>(taken);
}

fn names(words: &Words, file: &Path) -> bool {
    words.name_file(&name(file))
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_template(file: &Path) -> bool {
    name(file).ends_with(".j2")
}

/// Regular files, relative to `root`; `None` if there are too many.
fn files(root: &Path, within: &Within) -> Option<Vec<PathBuf>> {
    if !within.is_dir(root) {
        return None;
    }
    let entries =
        walkdir::WalkDir::new(root).min_depth(1).max_depth(4).sort_by_file_name().into_iter();
    let (mut files, mut count) = (Vec::new(), 0);
    for entry in entries.flatten() {
        count += 1;
        if count > FILES {
            return None;
        }
        if entry.file_type().is_file() {
            files.extend(entry.path().strip_prefix(root).map(Path::to_path_buf));
        }
    }
    Some(files)
}

/// Start of a tag that includes another template.
static TAKES_IN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{%[-+]?\s*(?:include|import|extends|from)\b").expect("it is a constant")
});
/// Words besides string literals that keep the included name one of those literals.
const SAYS_HOW: [&str; 13] = [
    "ignore", "missing", "with", "without", "context", "if", "else", "not", "and", "or", "true",
    "false", "none",
];

/// Whether a tag's operand is more than string literals.
fn works_out(text: &str) -> bool {
    TAKES_IN.find_iter(text).any(|head| !is_of_texts(&text[head.end()..]))
}

/// Whether the text before `%}`, `as` or `import` consists of string literals and choices among
/// them.
fn is_of_texts(mut rest: &str) -> bool {
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "[](),".contains(c));
        let word =
            &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())];
        let first = rest.chars().next();
        match (first, word) {
            (Some(quote @ ('\'' | '"')), _) => match rest[1..].find(quote) {
                Some(end) if !rest[1..=end].contains('\\') => rest = &rest[end + 2..],
                _ => return false,
            },
            (_, "as" | "import") => return true,
            (_, word) if SAYS_HOW.contains(&word.to_lowercase().as_str()) => {
                rest = &rest[word.len()..]
            }
            _ => return rest.trim_start_matches(['-', '+']).starts_with("%}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worked_out_is_known() {
        let plain = [
            "{% include 'x' %}",
            "{%- include\n \"x\" -%}",
            "{% include ['x', 'y'] ignore missing with context %}",
            "{% include ('x') %}",
            "{% include 'x' if true else 'y' %}",
            "{% from 'x' import a as b, c with context %}",
            "{% import 'x' as m %}",
            "{% includes %}",
            "{% extends 'a%b' %}",
        ];
        for text in plain {
            assert!(!works_out(text), "{text}");
        }
        let odd = [
            "{% include f %}",
            "{% include (f) %}",
            "{% include f ~ '.txt' %}",
            "{% include 'x' ~ f %}",
            "{% include ['x', f] %}",
            "{% include 'a' + '.txt' %}",
            "{% include '%s.txt' % f %}",
            "{% include 'x' | replace('x', 'y') %}",
            "{% import m.x as m %}",
            "{% from f import x %}",
            "{% extends 'a' if b else c %}",
            r"{% include 'a\x62' %}",
            "{% include 'a",
        ];
        for text in odd {
            assert!(works_out(text), "{text}");
        }
    }
}

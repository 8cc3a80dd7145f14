//! YAML as PyYAML writes it, for `to_yaml` and `to_nice_yaml`. Two things differ in bytes and not in meaning: long lines are
//! not folded, and text with line ends is written in double quotes.
use std::fmt::Write;

use serde_json::{Map, Value as Json};

#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub indent: usize,
    /// Always one entry per line; otherwise lists and mappings of plain values stand on one line.
    pub block: bool,
    pub sorted: bool,
}

pub fn write(value: &Json, style: Style) -> String {
    let mut out = String::new();
    match value {
        Json::Array(_) | Json::Object(_) => node(value, style, 0, &mut out),
        // PyYAML ends a document that is one plain word with a mark of its own.
        Json::String(text) if scalar(text) != *text => out.push_str(&scalar(text)),
        other => {
            inline(other, style, &mut out);
            out.push_str("\n...");
        }
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn is_leaf(value: &Json) -> bool {
    match value {
        Json::Array(items) => items.is_empty() || items.iter().all(|v| !v.is_array() && !v.is_object()),
        Json::Object(map) => map.is_empty() || map.values().all(|v| !v.is_array() && !v.is_object()),
        _ => true,
    }
}

fn on_one_line(value: &Json, style: Style) -> bool {
    match value {
        Json::Array(items) if style.block => items.is_empty(),
        Json::Object(map) if style.block => map.is_empty(),
        _ => is_leaf(value),
    }
}

fn entries(map: &Map<String, Json>, style: Style) -> Vec<(&String, &Json)> {
    let mut entries: Vec<_> = map.iter().collect();
    if style.sorted {
        entries.sort_by_key(|(key, _)| *key);
    }
    entries
}

/// Writes lines; the first one starts where the cursor stands, the others are indented by `depth` columns.
fn node(value: &Json, style: Style, depth: usize, out: &mut String) {
    if on_one_line(value, style) {
        inline(value, style, out);
        out.push('\n');
        return;
    }
    let pad = " ".repeat(depth);
    match value {
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(&pad);
                }
                if on_one_line(item, style) {
                    out.push_str("- ");
                    inline(item, style, out);
                    out.push('\n');
                } else {
                    write!(out, "-{}", " ".repeat(style.indent - 1)).expect("a String takes everything");
                    node(item, style, depth + style.indent, out);
                }
            }
        }
        Json::Object(map) => {
            for (at, (key, item)) in entries(map, style).into_iter().enumerate() {
                if at > 0 {
                    out.push_str(&pad);
                }
                write!(out, "{}:", scalar(key)).expect("a String takes everything");
                if on_one_line(item, style) {
                    out.push(' ');
                    inline(item, style, out);
                    out.push('\n');
                    continue;
                }
                // PyYAML does not indent a list under its key.
                let under = depth + if item.is_array() { 0 } else { style.indent };
                write!(out, "\n{}", " ".repeat(under)).expect("a String takes everything");
                node(item, style, under, out);
            }
        }
        _ => unreachable!("a scalar stands on one line"),
    }
}

fn inline(value: &Json, style: Style, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Json::Number(n) => write!(out, "{n}").expect("a String takes everything"),
        Json::String(text) => out.push_str(&scalar(text)),
        Json::Array(items) => {
            let parts: Vec<String> = items.iter().map(|v| piece(v, style)).collect();
            write!(out, "[{}]", parts.join(", ")).expect("a String takes everything");
        }
        Json::Object(map) => {
            let parts: Vec<String> = entries(map, style).into_iter().map(|(k, v)| format!("{}: {}", scalar(k), piece(v, style))).collect();
            write!(out, "{{{}}}", parts.join(", ")).expect("a String takes everything");
        }
    }
}

fn piece(value: &Json, style: Style) -> String {
    let mut out = String::new();
    inline(value, style, &mut out);
    out
}

/// Text, plain where every reader of YAML 1.1 and 1.2 takes it for that same text.
pub fn scalar(text: &str) -> String {
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')) {
        return Json::from(text).to_string();
    }
    if is_plain(text) { text.into() } else { format!("'{}'", text.replace('\'', "''")) }
}

fn is_plain(text: &str) -> bool {
    let first = text.chars().next();
    let starts_badly = match first {
        None => true,
        Some('-' | '?' | ':') => text[1..].starts_with(' ') || text.len() == 1 || text.starts_with("---"),
        Some(c) => ",[]{}#&*!|>'\"%@`=".contains(c) || c == ' ' || text.starts_with("..."),
    };
    let flow = text.contains([',', '[', ']', '{', '}', '?']);
    !starts_badly && !flow && !text.ends_with([' ', ':']) && !text.contains(": ") && !text.contains(" #") && !means_something(text)
}

/// YAML 1.1, which Ansible and Heat read, takes this plain word for a truth value, a number, a time or nothing.
fn means_something(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "" | "~" | "null" | "yes" | "no" | "on" | "off" | "true" | "false" | "y" | "n" | "<<" | "=") {
        return !matches!(text, "y" | "n" | "Y" | "N");
    }
    let body = lower.trim_start_matches(['-', '+']);
    let numeric = body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && body.chars().all(|c| c.is_ascii_hexdigit() || "._:xobet+- ".contains(c));
    numeric && (body.contains(|c: char| c.is_ascii_digit()) || matches!(body, ".inf" | ".nan")) && !uuid_like(body) && !is_version(body)
        || matches!(body, ".inf" | ".nan")
}

/// `1.2.3`: two dots or more are no number.
fn is_version(text: &str) -> bool {
    text.matches('.').count() > 1 && text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

fn uuid_like(text: &str) -> bool {
    text.len() == 36 && text.matches('-').count() == 4
}

//! The paths that a token stream names: imports, expressions, types, attributes and macros alike.
use proc_macro2::{Delimiter, LineColumn, TokenStream, TokenTree};
use std::ops::Range;

pub struct Token {
    pub text: String,
    pub at: LineColumn,
    pub end: LineColumn,
}

/// `a::{b, c::d}` is two of these.
#[derive(Debug)]
pub struct Named {
    pub segments: Vec<String>,
    /// Imported under another name.
    pub renamed: bool,
    /// What stands before it: `(` of `pub(crate)`, `extern` of `extern crate`.
    pub before: String,
    pub at: LineColumn,
}

/// Groups become their brackets, and `::` becomes one token. Doc comments are left out.
pub fn flatten(stream: TokenStream) -> Vec<Token> {
    let mut out = Vec::new();
    push(stream, &mut out);
    out
}

fn push(stream: TokenStream, out: &mut Vec<Token>) {
    for tree in stream {
        let (at, end) = (tree.span().start(), tree.span().end());
        match tree {
            TokenTree::Group(group) if is_doc(&group, out) => {}
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                let attribute = open == "[" && is_attribute(out);
                out.push(Token { text: open.to_owned(), at, end: group.span_open().end() });
                let first = out.len();
                push(group.stream(), out);
                if attribute {
                    unquote(out, first);
                }
                let at = group.span_close().start();
                out.push(Token { text: close.to_owned(), at, end });
            }
            TokenTree::Punct(punct) => {
                let doubled = out
                    .last_mut()
                    .filter(|last| punct.as_char() == ':' && last.text == ":" && last.end == at);
                match doubled {
                    Some(last) => (last.text, last.end) = ("::".to_owned(), end),
                    None => out.push(Token { text: punct.as_char().to_string(), at, end }),
                }
            }
            other => out.push(Token { text: other.to_string(), at, end }),
        }
    }
}

fn is_attribute(before: &[Token]) -> bool {
    let last = before.iter().rev().find(|t| t.text != "!");
    last.is_some_and(|t| t.text == "#")
}

fn is_doc(group: &proc_macro2::Group, before: &[Token]) -> bool {
    let first = group.stream().into_iter().next();
    is_attribute(before) && matches!(first, Some(TokenTree::Ident(name)) if name == "doc")
}

/// Attributes name functions in strings: `#[serde(with = "crate::x")]`.
fn unquote(out: &mut Vec<Token>, first: usize) {
    for i in first..out.len() {
        let (text, at) = (out[i].text.clone(), out[i].at);
        let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
            continue;
        };
        if !inner.contains("::") || inner.contains(char::is_whitespace) {
            continue;
        }
        let Ok(stream) = inner.parse::<TokenStream>() else { continue };
        out.extend(flatten(stream).into_iter().map(|t| Token { text: t.text, at, end: at }));
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphabetic())
}

/// A word alone is a path of one segment.
pub fn paths(tokens: &[Token]) -> Vec<Named> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if !is_word(&tokens[i].text) {
            i += 1;
            continue;
        }
        let before = i.checked_sub(1).map_or("", |b| &tokens[b].text);
        i = path(tokens, i, &[], before, &mut out);
    }
    out
}

/// Returns the place after the path that begins at `i`.
fn path(t: &[Token], mut i: usize, root: &[String], before: &str, out: &mut Vec<Named>) -> usize {
    let at = t[i].at;
    let mut segments = root.to_vec();
    let text = |i: usize| t.get(i).map_or("", |t| t.text.as_str());
    loop {
        match text(i) {
            "{" => {
                i += 1;
                while i < t.len() && text(i) != "}" {
                    let begins = is_word(text(i)) || ["{", "*"].contains(&text(i));
                    i = if begins { path(t, i, &segments, before, out) } else { i + 1 };
                }
                return i + 1;
            }
            word => segments.push(word.trim_start_matches("r#").to_owned()),
        }
        i += 1;
        let more = is_word(text(i + 1)) || ["{", "*"].contains(&text(i + 1));
        if text(i) != "::" || !more {
            break;
        }
        i += 1;
    }
    let renamed = text(i) == "as";
    // `crate as x` is left out by nobody; the name itself is no path.
    let next = if renamed && !root.is_empty() { i + 2 } else { i };
    out.push(Named { segments, renamed, before: before.to_owned(), at });
    next
}

/// `name!`, each with its place. `a != b` is none: its two signs have no space between them.
pub fn macros(tokens: &[Token]) -> Vec<(String, LineColumn)> {
    let calls = |pair: &&[Token]| {
        is_word(&pair[0].text) && pair[1].text == "!" && pair[0].end == pair[1].at
    };
    tokens.windows(2).filter(calls).map(|pair| (pair[0].text.clone(), pair[0].at)).collect()
}

/// First and last lines of raw strings, which nobody can break.
pub fn raw_strings(tokens: &[Token]) -> Vec<Range<usize>> {
    let is_raw = |text: &str| {
        ["r\"", "r#", "br\"", "br#", "cr\"", "cr#"].iter().any(|p| text.starts_with(p))
            && text.ends_with(['"', '#'])
    };
    tokens
        .iter()
        .filter(|t| is_raw(&t.text) && t.text.contains('"'))
        .map(|t| t.at.line..t.end.line + 1)
        .collect()
}

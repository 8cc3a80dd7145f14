//! Jinja as Ansible renders it, on minijinja: syntax, strictness, what prints how. What Ansible adds is in `filters`.
use std::borrow::Cow;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, escape_formatter};

use super::filters;

/// Instructions of minijinja's in one render: a list of ten thousand entries takes a tenth of it.
pub const FUEL: u64 = 2_000_000;

/// The environment all templates start from. It is cloned, which is cheap, when one needs a loader or other whitespace rules.
pub static ANSIBLE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_syntax(syntax(Whitespace::default()));
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(200);
    // The default goes by the name: in `x.yml.j2` it would put JSON quotes around everything.
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    // Ansible prints None as nothing.
    env.set_formatter(|out, state, value| if value.is_none() { Ok(()) } else { escape_formatter(out, state, value) });
    filters::add(&mut env);
    env
});

/// What a first line `#jinja2: …` can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whitespace {
    trim_blocks: bool,
    lstrip_blocks: bool,
    keep_trailing_newline: bool,
}

impl Default for Whitespace {
    fn default() -> Self {
        Self { trim_blocks: true, lstrip_blocks: false, keep_trailing_newline: true }
    }
}

pub fn syntax(w: Whitespace) -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(w.trim_blocks)
        .lstrip_blocks(w.lstrip_blocks)
        .keep_trailing_newline(w.keep_trailing_newline)
        .build()
        .expect("the delimiters are Jinja's own")
}

/// A template's text, made ready for minijinja.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    pub text: String,
    /// Lines taken off the top, to be added to every line number.
    pub skipped_lines: usize,
    pub whitespace: Whitespace,
}

/// Does what Jinja and Ansible do before parsing: line ends, the `#jinja2:` line, no-break spaces.
///
/// Characters are replaced one for one, so that columns stay true.
pub fn prepare(written: &str) -> Result<Source, String> {
    let mut text: Cow<str> = Cow::Borrowed(written.strip_prefix('\u{feff}').unwrap_or(written));
    if text.contains('\r') {
        text = text.replace("\r\n", "\n").replace('\r', "\n").into();
    }
    let (mut whitespace, mut skipped_lines) = (Whitespace::default(), 0);
    if let Some(rest) = text.strip_prefix("#jinja2:") {
        let (header, body) = rest.split_once('\n').unwrap_or((rest, ""));
        whitespace = overrides(header)?;
        skipped_lines = 1;
        text = body.to_string().into();
    }
    if text.contains('\u{a0}') {
        text = plain_spaces_in_tags(&text).into();
    }
    Ok(Source { text: text.into_owned(), skipped_lines, whitespace })
}

fn overrides(header: &str) -> Result<Whitespace, String> {
    let mut w = Whitespace::default();
    for pair in header.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once(':').ok_or_else(|| format!("`{pair}` in the `#jinja2:` line is not `option: value`"))?;
        let key = key.trim();
        if !["trim_blocks", "lstrip_blocks", "keep_trailing_newline"].contains(&key) {
            return Err(format!(
                "the `#jinja2:` line sets `{key}`, which is not supported; trim_blocks, lstrip_blocks and keep_trailing_newline are"
            ));
        }
        let on = match value.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => true,
            "false" | "no" | "0" => false,
            other => return Err(format!("`{other}` in the `#jinja2:` line is neither True nor False")),
        };
        match key {
            "trim_blocks" => w.trim_blocks = on,
            "lstrip_blocks" => w.lstrip_blocks = on,
            _ => w.keep_trailing_newline = on,
        }
    }
    Ok(w)
}

/// Editors put U+00A0 where AltGr was held a little long; Jinja takes it for white space, minijinja for an error.
fn plain_spaces_in_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let close = if tag.starts_with("{{") { "}}" } else { "%}" };
        let end = tag_end(tag, close);
        let mut quote = None;
        for c in tag[..end].chars() {
            match quote {
                Some(q) if c == q => quote = None,
                None if c == '"' || c == '\'' => quote = Some(c),
                _ => {}
            }
            out.push(if c == '\u{a0}' && quote.is_none() { ' ' } else { c });
        }
        rest = &tag[end..];
        if tag[2..end].trim_matches(['-', '+', '%', '}', ' ', '\u{a0}']) == "raw" {
            let raw = rest.find("endraw").unwrap_or(rest.len());
            out.push_str(&rest[..raw]);
            rest = &rest[raw..];
        }
    }
    out.push_str(rest);
    out
}

/// Length of the tag at the start of `tag`, its end mark included; end marks in quotes do not count.
fn tag_end(tag: &str, close: &str) -> usize {
    let mut quote = None;
    for (at, c) in tag.char_indices().skip(2) {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if tag[at..].starts_with(close) => return at + close.len(),
            None => {}
        }
    }
    tag.len()
}

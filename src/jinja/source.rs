//! What Ansible does to a template's text before Jinja sees it: the `#jinja2:` line, line ends.
use std::borrow::Cow;

/// What a first line `#jinja2: …` can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    pub variable: (String, String),
    pub block: (String, String),
    pub comment: (String, String),
    pub trim_blocks: bool,
    pub lstrip_blocks: bool,
    pub keep_trailing_newline: bool,
    /// Backslashes in quotes stand for themselves: so Ansible reads the values of variables.
    pub literal_backslashes: bool,
}

impl Default for Syntax {
    fn default() -> Self {
        let marks = |open: &str, close: &str| (open.to_owned(), close.to_owned());
        Self {
            variable: marks("{{", "}}"),
            block: marks("{%", "%}"),
            comment: marks("{#", "#}"),
            trim_blocks: true,
            lstrip_blocks: false,
            keep_trailing_newline: false,
            literal_backslashes: false,
        }
    }
}

/// A template's text, made ready to be parsed.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// What Jinja gets.
    pub text: String,
    /// All of it, for the line ends that it has at its end.
    pub written: String,
    /// Lines taken off the top, to be added to every line number.
    pub skipped_lines: usize,
    pub syntax: Syntax,
}

impl Source {
    /// Ansible copies what has no tags byte for byte: its line ends stay as they are.
    pub fn is_template(&self) -> bool {
        self.written.starts_with(HEADER)
            || ["{{", "{%", "{#"].iter().any(|mark| self.written.contains(mark))
    }
}

const HEADER: &str = "#jinja2:";

/// `Err`: what is wrong with the `#jinja2:` line.
pub fn prepare(written: &str) -> Result<Source, String> {
    let mut text: Cow<str> = Cow::Borrowed(written);
    let (mut syntax, mut skipped_lines) = (Syntax::default(), 0);
    if let Some(rest) = text.strip_prefix(HEADER) {
        let (header, body) = rest.split_once('\n').ok_or("the `#jinja2:` line has no end")?;
        overrides(header.trim_end_matches('\r'), &mut syntax)?;
        skipped_lines = 1;
        text = body.to_string().into();
    }
    let text = with_line_ends(&text, &syntax);
    Ok(Source { text, written: written.to_owned(), skipped_lines, syntax })
}

/// Line ends as Jinja makes them, the last one by `keep_trailing_newline`.
pub fn with_line_ends(text: &str, syntax: &Syntax) -> String {
    let mut text = text.replace("\r\n", "\n").replace('\r', "\n");
    if !syntax.keep_trailing_newline && text.ends_with('\n') {
        text.pop();
    }
    text
}

/// With at least as many line ends at its end as the template has: Jinja takes one away, and
/// Ansible puts them back.
pub fn with_ends_of(text: &str, template: &str) -> String {
    let ends = |text: &str| text.len() - text.trim_end_matches('\n').len();
    text.to_owned() + &"\n".repeat(ends(template).saturating_sub(ends(text)))
}

fn overrides(header: &str, syntax: &mut Syntax) -> Result<(), String> {
    for pair in header.split(',') {
        let pair = pair.trim();
        let (key, value) = pair
            .split_once(':')
            .ok_or_else(|| format!("`{pair}` in the `#jinja2:` line is not `option: value`"))?;
        let (key, value) = (key.trim(), value.trim());
        let text = || {
            let inner = value.strip_prefix(['\'', '"']).and_then(|v| v.strip_suffix(['\'', '"']));
            let fine =
                inner.filter(|inner| !inner.is_empty() && !inner.contains(['\\', '\'', '"']));
            fine.map(str::to_owned)
                .ok_or_else(|| format!("`{key}` in the `#jinja2:` line wants a text in quotes"))
        };
        let flag = || match value {
            "True" => Ok(true),
            "False" => Ok(false),
            other => Err(format!("`{other}` in the `#jinja2:` line is neither True nor False")),
        };
        match key {
            "trim_blocks" => syntax.trim_blocks = flag()?,
            "lstrip_blocks" => syntax.lstrip_blocks = flag()?,
            "keep_trailing_newline" => syntax.keep_trailing_newline = flag()?,
            "variable_start_string" => syntax.variable.0 = text()?,
            "variable_end_string" => syntax.variable.1 = text()?,
            "block_start_string" => syntax.block.0 = text()?,
            "block_end_string" => syntax.block.1 = text()?,
            "comment_start_string" => syntax.comment.0 = text()?,
            "comment_end_string" => syntax.comment.1 = text()?,
            _ => {
                return Err(format!(
                    "the `#jinja2:` line sets `{key}`, which is not supported; trim_blocks, \
                        lstrip_blocks, keep_trailing_newline \
                     and the marks of tags are"
                ));
            }
        }
    }
    Ok(())
}

//! Ansible's preprocessing of template text: the `#jinja2:` line and line ends.
use std::borrow::Cow;

/// Settings of a first line `#jinja2: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    pub variable: (String, String),
    pub block: (String, String),
    pub comment: (String, String),
    pub trim_blocks: bool,
    pub lstrip_blocks: bool,
    pub keep_trailing_newline: bool,
    /// Backslashes in quotes are literal, as Ansible reads values of variables.
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

/// A preprocessed template.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Input of the parser.
    pub text: String,
    /// The original text, for its trailing line ends.
    pub written: String,
    /// Number of lines removed at the top, to be added to line numbers.
    pub skipped_lines: usize,
    pub syntax: Syntax,
}

impl Source {
    /// Whether it has tags. Ansible copies other files byte for byte, with their line ends.
    pub fn is_template(&self) -> bool {
        self.written.starts_with(HEADER)
            || ["{{", "{%", "{#"].iter().any(|mark| self.written.contains(mark))
    }
}

const HEADER: &str = "#jinja2:";

/// `Err` is the error in the `#jinja2:` line.
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

/// Normalises line ends like Jinja; `keep_trailing_newline` decides on the last.
pub fn with_line_ends(text: &str, syntax: &Syntax) -> String {
    let mut text = text.replace("\r\n", "\n").replace('\r', "\n");
    if !syntax.keep_trailing_newline && text.ends_with('\n') {
        text.pop();
    }
    text
}

/// Restores at least the template's trailing line ends: Jinja removes one, Ansible restores them.
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

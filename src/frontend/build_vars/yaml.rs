//! A YAML tree that remembers where every key and value stands and how it was written.
//!
//! serde would tell of the first mistake only, and without its place; a bundle is to be checked
//! whole. So the tree is built from parser events, and what can be said without knowing the keys (a
//! key given twice, a tag) is said here.
use std::path::Path;

use saphyr_parser::Marker;

use super::doubts::Lost;
use crate::model::diagnostic::{Diagnostic, Location};

mod builder;
mod line_ends;
mod tags;

use builder::Builder;
use line_ends::foreign_break;

/// Deeper than any sane bundle; keeps the recursion here and in the readers well inside a thread's
/// stack.
pub(super) const MAX_DEPTH: usize = 64;

/// `msg: {{ x }}` is a map with a map for its key.
pub(super) const NO_KEY: &str = "a key must be text";

/// Line and column, both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Node {
    pub spot: Position,
    pub value: Value,
    /// Its tag keeps Ansible from rendering it: `!unsafe`, `!vault`.
    pub raw: bool,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) enum Value {
    /// Nothing at all, `~` or `null`.
    Null,
    /// `plain` is false for quoted and block scalars, which are text whatever they look like.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Entry {
    pub key: String,
    pub spot: Position,
    pub value: Node,
}

/// What one pass over the text gave. `suspects` are lines whose colon stands on the wrong side of
/// the space, though the text parses.
pub(super) struct Tree {
    pub root: Node,
    pub findings: Vec<Diagnostic>,
    /// What findings keep from being in the tree.
    pub lost: Vec<Lost>,
    pub suspects: Vec<usize>,
}

/// Why the text is no YAML at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub spot: Position,
    pub message: String,
    pub hint: Option<&'static str>,
    /// It may be YAML, and is more than is read here.
    pub limit: bool,
}

impl Bad {
    fn too_deep(spot: Position) -> Self {
        Self {
            spot,
            message: format!("nested deeper than {MAX_DEPTH} levels"),
            hint: Some("no bundle needs that"),
            limit: true,
        }
    }
}

impl Position {
    pub fn place(self, file: &Path) -> Location {
        Location { file: file.to_owned(), line: self.line, column: self.column }
    }
}

impl From<Marker> for Position {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

impl Node {
    /// The text of a scalar.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// For messages: what stands here instead of what should.
    pub fn what(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
            Value::Scalar { text, .. } if text.chars().count() > 40 || text.contains('\n') => {
                "a long text".into()
            }
            Value::Scalar { text, plain: true } => format!("`{text}`"),
            Value::Scalar { text, plain: false } => format!("the text {text:?}"),
        }
    }

    /// In values; a long text weighs as many short ones.
    fn weight(&self) -> usize {
        1 + match &self.value {
            Value::Null => 0,
            Value::Scalar { text, .. } => text.len() / 64,
            Value::List(items) => items.iter().map(Self::weight).sum(),
            Value::Map(entries) => {
                entries.iter().map(|e| e.key.len() / 64 + e.value.weight()).sum()
            }
        }
    }
}

/// One document. `lines` are the source lines, for what the events do not tell.
pub(super) fn parse(file: &Path, text: &str) -> Result<Tree, Bad> {
    let mut builder = Builder::new(file, text);
    builder.lines = text.lines().collect();
    let root = builder.document()?;
    Ok(Tree { root, findings: builder.findings, lost: builder.lost, suspects: builder.suspects })
}

/// A file of settings that PyYAML reads elsewhere: of a key that is given twice the last counts,
/// what is merged comes before what is the map's own, `!!str` makes text. What is not understood is
/// an error at its place; its words quote nothing of the file.
pub(crate) fn parse_settings(text: &str) -> Result<Node, Bad> {
    let mut builder = Builder::new(Path::new(""), text);
    builder.lenient = true;
    builder.merged_first = true;
    let root = builder.document()?;
    match builder.findings.first() {
        None => Ok(root),
        Some(finding) => Err(Bad {
            spot: finding.place.as_ref().map_or(Position { line: 1, column: 1 }, |p| Position {
                line: p.line,
                column: p.column,
            }),
            message: "a tag, a key that is no text, or a `<<` of something else than maps".into(),
            hint: None,
            limit: false,
        }),
    }
}

/// A file of Ansible's, which may have tags and keys that are given twice; of those every value is
/// in the tree. A byte order mark before it counts for nothing.
pub(super) fn parse_leniently(file: &Path, text: &str) -> Result<Node, Bad> {
    let mut builder = Builder::new(file, text.strip_prefix('\u{feff}').unwrap_or(text));
    builder.lenient = true;
    let root = builder.document()?;
    match foreign_break(text, &builder.quoted) {
        Some(spot) => Err(Bad {
            spot,
            message: "U+0085, U+2028 or U+2029 outside of quotes: Ansible takes it for the end of \
                the line"
                .into(),
            hint: Some("a line ends with a plain line feed"),
            limit: true,
        }),
        None => Ok(root),
    }
}

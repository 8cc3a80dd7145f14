//! A YAML tree that remembers where every key and value stands and how it was written.
//!
//! serde would tell of the first mistake only, and without its place; a bundle is to be checked
//! whole. So the tree is built from parser events, and what can be said without knowing the keys (a
//! key given twice, a tag) is said here.
use std::collections::{HashMap, HashSet};
use std::path::Path;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};

use super::doubts::Lost;
use super::syntax;
use crate::diagnostic::{Diagnostic, Location};

/// Deeper than any sane bundle; keeps the recursion here and in the readers well inside a thread's
/// stack.
pub(super) const MAX_DEPTH: usize = 64;
/// Nodes that aliases and merges may add: a few lines of "billion laughs" must not fill the memory.
const MAX_ALIASED: usize = 20_000;

/// Lines with a colon on the wrong side; of more than this nobody reads.
const MOST_SUSPECTS: usize = 100;
/// Nodes that anchors hold, one inside the other counted as often.
const MAX_ANCHORED: usize = 200_000;

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
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        lines: text.lines().collect(),
        file,
        lenient: false,
        merged_first: false,
        anchors: HashMap::new(),
        aliased: 0,
        anchored: 0,
        quoted: Vec::new(),
        findings: Vec::new(),
        lost: Vec::new(),
        suspects: Vec::new(),
    };
    let root = builder.document()?;
    Ok(Tree { root, findings: builder.findings, lost: builder.lost, suspects: builder.suspects })
}

/// A file of settings that PyYAML reads elsewhere: of a key that is given twice the last counts,
/// what is merged comes before what is the map's own, `!!str` makes text. What is not understood is
/// an error at its place; its words quote nothing of the file.
pub(crate) fn parse_settings(text: &str) -> Result<Node, Bad> {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        lines: Vec::new(),
        file: Path::new(""),
        lenient: true,
        merged_first: true,
        anchors: HashMap::new(),
        aliased: 0,
        anchored: 0,
        quoted: Vec::new(),
        findings: Vec::new(),
        lost: Vec::new(),
        suspects: Vec::new(),
    };
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
    let mut builder = Builder {
        parser: Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)),
        lines: Vec::new(),
        file,
        lenient: true,
        merged_first: false,
        anchors: HashMap::new(),
        aliased: 0,
        anchored: 0,
        quoted: Vec::new(),
        findings: Vec::new(),
        lost: Vec::new(),
        suspects: Vec::new(),
    };
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

fn is_raw(event: &Event<'_>) -> bool {
    let (Event::Scalar(.., tag) | Event::SequenceStart(_, tag) | Event::MappingStart(_, tag)) =
        event
    else {
        return false;
    };
    tag.as_deref().is_some_and(|tag| {
        ["unsafe", "vault", "vault-encrypted"].contains(&tag.suffix.trim_start_matches('!'))
    })
}

/// The tag of a value that Ansible (YAML 1.1) reads as something else than what is written.
fn misleading(event: &Event<'_>) -> Option<String> {
    let (tag, kind) = match event {
        Event::Scalar(_, _, _, Some(tag)) => (tag, None),
        Event::SequenceStart(_, Some(tag)) => (tag, Some("seq")),
        Event::MappingStart(_, Some(tag)) => (tag, Some("map")),
        _ => return None,
    };
    let full = format!("{}{}", tag.handle, tag.suffix);
    let Some(name) = full.strip_prefix("tag:yaml.org,2002:") else {
        return full.contains('%').then_some(full);
    };
    // A scalar's tag on a map stands for the map's `=`.
    let wrong = match kind {
        None => ["merge", "binary", "value"].contains(&name),
        Some(kind) => name != kind,
    };
    (wrong || name.contains('%')).then(|| format!("!!{name}"))
}

/// The first end of a line that only YAML 1.1 knows, outside of quotes. Both readers agree on what
/// stands before it.
fn foreign_break(text: &str, quoted: &[(usize, char)]) -> Option<Position> {
    let is_break = |c: char| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    if !text.contains(is_break) {
        return None;
    }
    let (mut begins, mut inside) = (quoted.iter().peekable(), None);
    let (mut waiting, mut escaped, mut closed) = (None, false, None);
    let (mut spot, mut last) = (Position { line: 1, column: 1 }, ' ');
    for (index, c) in text.chars().enumerate() {
        if inside.is_none() && begins.peek().is_some_and(|(start, _)| *start <= index) {
            waiting = begins.next().map(|(_, quote)| *quote);
        }
        match inside {
            Some(quote) => {
                let end = c == quote && !escaped;
                escaped = c == '\\' && quote == '"' && !escaped;
                (inside, closed) = if end { (None, Some(index + 1)) } else { (inside, None) };
            }
            // `''` is one quote.
            None if c == '\'' && closed == Some(index) && last == c => inside = Some(c),
            // Its tag may come before it.
            None if waiting == Some(c) => inside = waiting.take(),
            None if is_break(c) => return Some(spot),
            None => {}
        }
        last = c;
        spot = if c == '\n' {
            Position { line: spot.line + 1, column: 1 }
        } else {
            Position { column: spot.column + 1, ..spot }
        };
    }
    None
}

struct Builder<'s> {
    parser: Parser<'s, StrInput<'s>>,
    lines: Vec<&'s str>,
    file: &'s Path,
    lenient: bool,
    /// As PyYAML orders a map.
    merged_first: bool,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    anchored: usize,
    /// Where texts in quotes begin, in characters, and with which; of a file of Ansible's only.
    quoted: Vec<(usize, char)>,
    findings: Vec<Diagnostic>,
    lost: Vec<Lost>,
    suspects: Vec<usize>,
}

impl<'s> Builder<'s> {
    fn next(&mut self) -> Result<(Event<'s>, Span), Bad> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            // Its own bound on depth: it reads ahead, so that it may meet it before we count ours.
            Some(Err(error)) if error.info() == "recursion limit exceeded" => {
                Err(Bad::too_deep((*error.marker()).into()))
            }
            Some(Err(error)) => Err(Bad {
                spot: (*error.marker()).into(),
                message: error.info().to_owned(),
                hint: None,
                limit: false,
            }),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Node, Bad> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::Nothing
                | Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    let message = "a second YAML document starts here".into();
                    return Err(Bad {
                        spot: span.start.into(),
                        message,
                        hint: Some("one file describes one bundle: drop the `---` between"),
                        limit: false,
                    });
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        Ok(root.unwrap_or(Node {
            spot: Position { line: 0, column: 0 },
            value: Value::Null,
            raw: false,
        }))
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Node, Bad> {
        let spot: Position = span.start.into();
        if depth > MAX_DEPTH {
            return Err(Bad::too_deep(spot));
        }
        if self.lenient {
            if let Some(tag) = misleading(&event) {
                let message = format!("`{tag}` hides what it says");
                return Err(Bad { spot, message, hint: Some("write it out"), limit: true });
            }
            if let Event::Scalar(
                _,
                style @ (ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted),
                ..,
            ) = &event
            {
                let quote = if *style == ScalarStyle::SingleQuoted { '\'' } else { '"' };
                self.quoted.push((span.start.index(), quote));
            }
        }
        let raw = is_raw(&event);
        let (anchor, value) = match event {
            Event::Alias(id) => return self.alias(id, spot),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = self.merged_first
                    && tag.as_deref().is_some_and(|t| t.is_yaml_core_schema() && t.suffix == "str");
                if !is_text {
                    self.refuse_tag(tag.as_deref(), spot);
                }
                let plain = style == ScalarStyle::Plain && !is_text;
                if plain {
                    self.suspect(span);
                }
                let null = plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                (
                    anchor,
                    if null {
                        Value::Null
                    } else {
                        Value::Scalar { text: text.into_owned(), plain }
                    },
                )
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), spot);
                (anchor, self.list(depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), spot);
                (anchor, self.map(depth)?)
            }
            _ => {
                return Err(Bad {
                    spot,
                    message: "unexpected end of the document".into(),
                    hint: None,
                    limit: false,
                });
            }
        };
        let node = Node { spot, value, raw };
        if anchor > 0 {
            self.anchored += node.weight();
            if self.anchored > MAX_ANCHORED {
                return Err(Bad {
                    spot,
                    message: format!(
                        "anchors, one inside the other, hold more than {MAX_ANCHORED} values"
                    ),
                    hint: Some("an anchor stands at what is repeated"),
                    limit: true,
                });
            }
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, Bad> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Bad> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let nothing = value_span.is_empty();
            let mut value = self.node(event, value_span, depth + 1)?;
            if nothing && matches!(value.value, Value::Null) {
                value.spot = key.spot; // the parser puts "nothing" where the next thing starts
            }
            let (name, plain) = match key.value {
                Value::Scalar { text, plain } => (text, plain),
                Value::Null => ("null".into(), true),
                Value::List(_) | Value::Map(_) => {
                    let hint = "a value that starts with `{` or `[` needs quotes";
                    if self.lenient && !self.merged_first {
                        // Python takes no list and no map for a key.
                        return Err(Bad {
                            spot: key.spot,
                            message: NO_KEY.into(),
                            hint: Some(hint),
                            limit: false,
                        });
                    }
                    self.findings
                        .push(Diagnostic::error(key.spot.place(self.file), NO_KEY).hint(hint));
                    continue;
                }
            };
            if plain
                && !self.merged_first
                && let Some(colon) = syntax::misplaced_colon(&name)
                && matches!(value.value, Value::Null)
            {
                // `{hw_rng_model :virtio}`: in a flow map the whole becomes a key.
                self.findings.push(colon.diagnostic(key.spot.place(self.file)));
            } else if plain && name == "<<" {
                merges.push(value);
            } else if let Some(first) = seen.get(&name).filter(|_| !self.lenient) {
                let place = key.spot.place(self.file);
                self.lost.push(Lost::Twice(name.clone()));
                self.findings.push(
                    Diagnostic::error(place, format!("`{name}` is given twice"))
                        .hint(format!("first given in line {first}")),
                );
            } else {
                seen.insert(name.clone(), key.spot.line);
                entries.push(Entry { key: name, spot: key.spot, value });
            }
        }
        let mut own: HashSet<String> =
            entries.iter().filter(|_| !merges.is_empty()).map(|e| e.key.clone()).collect();
        let own_entries = entries.len();
        if self.merged_first {
            merges.reverse(); // of two `<<` in one map the later counts, there
        }
        for merge in merges {
            self.merge(&mut entries, &mut own, merge);
        }
        if self.merged_first {
            entries.rotate_left(own_entries);
        }
        Ok(Value::Map(entries))
    }

    /// `<<`: keys of other maps, where the map has none of its own (`own`); the first of several
    /// maps wins.
    fn merge(&mut self, entries: &mut Vec<Entry>, own: &mut HashSet<String>, from: Node) {
        let maps = match from.value {
            Value::List(items) => items,
            _ => vec![from],
        };
        for map in maps {
            let Value::Map(more) = map.value else {
                let message = format!("`<<` takes a map or a list of maps, not {}", map.what());
                self.findings.push(
                    Diagnostic::error(map.spot.place(self.file), message).hint("`<<: *anchor`"),
                );
                self.lost.push(Lost::Merge);
                continue;
            };
            entries.extend(more.into_iter().filter(|e| own.insert(e.key.clone())));
        }
    }

    fn alias(&mut self, id: usize, spot: Position) -> Result<Node, Bad> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(Bad {
                spot,
                message: "this alias stands inside the thing it names".into(),
                hint: Some("an alias repeats something that ends before it"),
                limit: true,
            });
        };
        self.aliased += node.weight();
        if self.aliased > MAX_ALIASED {
            return Err(Bad {
                spot,
                message: format!("aliases blow the file up to more than {MAX_ALIASED} values"),
                hint: Some("write the values out"),
                limit: true,
            });
        }
        Ok(node.clone())
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, spot: Position) {
        let Some(tag) = tag else { return };
        let core = tag.is_yaml_core_schema();
        let name = format!("{}{}", if core { "!!" } else { tag.handle.as_str() }, tag.suffix);
        let hint = match name.as_str() {
            "!!str" => "a value in quotes is text",
            "!vault" => "secrets come from the environment, not from build-vars.yml",
            _ => "leave it out",
        };
        self.findings.push(
            Diagnostic::error(
                spot.place(self.file),
                format!("YAML tags are not supported here: `{name}`"),
            )
            .hint(hint),
        );
    }

    /// A plain scalar swallows `hw_rng_model :virtio` when the line continues a value, or opens a
    /// block of its own.
    fn suspect(&mut self, span: Span) {
        let (first, last) = (span.start.line(), span.end.line());
        if self.suspects.len() > MOST_SUSPECTS {
            return;
        }
        for number in (first..=last).take(MOST_SUSPECTS) {
            let Some(line) = self.lines.get(number.wrapping_sub(1)) else { continue };
            // What follows a key on its own line is a value (`shell: echo :x`).
            let opens =
                number > first || line.chars().take(span.start.col()).all(char::is_whitespace);
            let inside = number < last || span.end.col() > 0;
            if opens
                && inside
                && syntax::misplaced_colon(line).is_some()
                && !self.suspects.contains(&number)
            {
                self.suspects.push(number);
            }
        }
    }
}

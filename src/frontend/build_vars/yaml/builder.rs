//! The tree, built from the parser's events.
use std::collections::{HashMap, HashSet};
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::tags::{is_raw, misleading};
use super::{Bad, Entry, MAX_DEPTH, NO_KEY, Node, Position, Value};
use crate::frontend::build_vars::doubts::Lost;
use crate::frontend::build_vars::syntax;
use crate::model::diagnostic::Diagnostic;

/// Nodes that aliases and merges may add: a few lines of "billion laughs" must not fill the memory.
const MAX_ALIASED: usize = 20_000;

/// Lines with a colon on the wrong side; of more than this nobody reads.
const MOST_SUSPECTS: usize = 100;

/// Nodes that anchors hold, one inside the other counted as often.
const MAX_ANCHORED: usize = 200_000;

pub(super) struct Builder<'s> {
    parser: Parser<'s, StrInput<'s>>,
    pub(super) lines: Vec<&'s str>,
    file: &'s Path,
    pub(super) lenient: bool,
    /// As PyYAML orders a map.
    pub(super) merged_first: bool,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    anchored: usize,
    /// Where texts in quotes begin, in characters, and with which; of a file of Ansible's only.
    pub(super) quoted: Vec<(usize, char)>,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) lost: Vec<Lost>,
    pub(super) suspects: Vec<usize>,
}

impl<'s> Builder<'s> {
    /// For a definition's settings: strict, and without the source's lines.
    pub fn new(file: &'s Path, text: &'s str) -> Self {
        Self {
            parser: Parser::new_from_str(text),
            lines: Vec::new(),
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
        }
    }

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

    pub(super) fn document(&mut self) -> Result<Node, Bad> {
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
            self.look_at_foreign(&event, span)?;
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
            self.anchor(anchor, &node)?;
        }
        Ok(node)
    }

    /// Keeps what later aliases name.
    fn anchor(&mut self, id: usize, node: &Node) -> Result<(), Bad> {
        self.anchored += node.weight();
        if self.anchored > MAX_ANCHORED {
            return Err(Bad {
                spot: node.spot,
                message: format!(
                    "anchors, one inside the other, hold more than {MAX_ANCHORED} values"
                ),
                hint: Some("an anchor stands at what is repeated"),
                limit: true,
            });
        }
        self.anchors.insert(id, node.clone());
        Ok(())
    }

    /// A tag that hides what a value says is refused; where texts in quotes begin is kept.
    fn look_at_foreign(&mut self, event: &Event<'s>, span: Span) -> Result<(), Bad> {
        let spot: Position = span.start.into();
        if let Some(tag) = misleading(event) {
            let message = format!("`{tag}` hides what it says");
            return Err(Bad { spot, message, hint: Some("write it out"), limit: true });
        }
        if let Event::Scalar(
            _,
            style @ (ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted),
            ..,
        ) = event
        {
            let quote = if *style == ScalarStyle::SingleQuoted { '\'' } else { '"' };
            self.quoted.push((span.start.index(), quote));
        }
        Ok(())
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
        self.merge_all(&mut entries, merges);
        Ok(Value::Map(entries))
    }

    fn merge_all(&mut self, entries: &mut Vec<Entry>, mut merges: Vec<Node>) {
        let mut own: HashSet<String> =
            entries.iter().filter(|_| !merges.is_empty()).map(|e| e.key.clone()).collect();
        let own_entries = entries.len();
        if self.merged_first {
            merges.reverse(); // of two `<<` in one map the later counts, there
        }
        for merge in merges {
            self.merge(entries, &mut own, merge);
        }
        if self.merged_first {
            entries.rotate_left(own_entries);
        }
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

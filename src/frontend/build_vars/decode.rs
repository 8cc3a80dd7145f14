//! Typed values out of the YAML tree. Every reader says what is wrong and goes on, so that one pass
//! finds everything.
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::doubts::{Lost, Unknown};
use super::keys::{self};
use super::scripts::Told;
use super::yaml::{Node, Position, Value};
use super::{Need, bounds, files, lint, quantity, scalar, syntax};
use crate::model::diagnostic::{Diagnostic, Location};

mod fields;
mod json;

pub(crate) use fields::{Field, Fields};
pub(super) use json::as_written;

/// Glance keeps names, tags and property keys in columns of this width (characters).
pub(super) const GLANCE_WIDTH: usize = 255;
const A_MAP: &str = "a map";

/// What has been found so far in one file.
pub(crate) struct Reader {
    pub file: PathBuf,
    pub findings: Vec<Diagnostic>,
    pub places: BTreeMap<String, Location>,
    /// Keys that no map of their place knows; at most [`ADVISED`].
    pub(super) unknown: Vec<Unknown>,
    /// Keys of the top level whose values were found wrong while they were read, wherever those
    /// stand.
    pub(super) wrong: BTreeSet<&'static str>,
    /// What errors keep from being read.
    pub(super) lost: Vec<Lost>,
    /// Of the findings those on files that the settings name.
    of_files: Vec<usize>,
    /// `bundle.path` could not be read.
    pub(super) doubtful_home: bool,
    /// What playbooks take from outside of the definition.
    pub needs: Vec<Need>,
    /// Playbooks whose review these are of: several steps may run one.
    pub(super) reviewed: BTreeSet<(PathBuf, String)>,
    /// Playbooks and roles that were looked into.
    pub(super) lint: lint::Cache,
}

/// Unknown keys of one map for which the nearest known one is looked up.
pub(super) const ADVISED: usize = 500;

impl Reader {
    pub fn new(file: PathBuf, findings: Vec<Diagnostic>) -> Self {
        Self {
            file,
            findings,
            places: BTreeMap::new(),
            unknown: Vec::new(),
            wrong: BTreeSet::new(),
            lost: Vec::new(),
            of_files: Vec::new(),
            doubtful_home: false,
            needs: Vec::new(),
            reviewed: BTreeSet::new(),
            lint: lint::Cache::default(),
        }
    }

    /// Reads the value of `key`, and remembers whether something of the file was found wrong in
    /// doing so.
    pub(super) fn watched<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        let errors = |reader: &Self| {
            let own = |d: &&Diagnostic| {
                d.is_error() && d.place.as_ref().is_none_or(|p| p.file == reader.file)
            };
            reader.findings.iter().filter(own).count()
        };
        let before = errors(self);
        let value = read(self);
        if errors(self) > before {
            self.wrong.insert(key);
        }
        value
    }

    pub fn error(&mut self, spot: Position, message: impl Into<String>, hint: &str) {
        let finding = Diagnostic::error(spot.place(&self.file), message);
        self.findings.push(if hint.is_empty() { finding } else { finding.hint(hint) });
    }

    /// `key` of the top level has to be there, and is not; an error on the file as a whole.
    pub(super) fn missing(&mut self, key: &'static str, hint: &str) {
        self.error(Position { line: 0, column: 0 }, format!("`{key}` is missing"), hint);
        self.lost.push(Lost::Missing(key));
    }

    pub fn warn(&mut self, spot: Position, message: impl Into<String>, hint: &str) {
        self.findings.push(Diagnostic::warning(spot.place(&self.file), message).hint(hint));
    }

    /// What the settings name is not in the bundle's directory, or cannot be what it is named for.
    pub(super) fn lost_file(&mut self, spot: Position, trouble: files::Trouble) {
        self.of_files.push(self.findings.len());
        self.error(spot, trouble.message, &trouble.hint);
    }

    /// What is told whichever directory is the bundle's.
    pub(super) fn forget_files(&mut self) {
        let of_files = std::mem::take(&mut self.of_files);
        let own = |d: &Diagnostic| d.place.as_ref().is_none_or(|place| place.file == self.file);
        let all = std::mem::take(&mut self.findings).into_iter().enumerate();
        self.findings = all
            .filter(|(at, finding)| own(finding) && !of_files.contains(at))
            .map(|(_, finding)| finding)
            .collect();
    }

    /// In another file of the bundle; line 0 stands for the whole file.
    pub(super) fn file_error(
        &mut self,
        file: PathBuf,
        (line, column): (usize, usize),
        trouble: files::Trouble,
    ) {
        let finding = Diagnostic::error(Location { file, line, column }, trouble.message);
        self.findings.push(if trouble.hint.is_empty() {
            finding
        } else {
            finding.hint(trouble.hint)
        });
    }

    /// Findings on a script.
    pub(super) fn told(&mut self, file: &Path, told: Vec<Told>) {
        for Told { trouble, line, error } in told {
            let place = Location { file: file.to_owned(), line, column: usize::from(line > 0) };
            let finding = if error {
                Diagnostic::error(place, trouble.message)
            } else {
                Diagnostic::warning(place, trouble.message)
            };
            self.findings.push(if trouble.hint.is_empty() {
                finding
            } else {
                finding.hint(trouble.hint)
            });
        }
    }

    fn wrong(&mut self, field: &Field, wanted: &str, hint: &str) {
        if wanted == A_MAP
            && let Value::Scalar { text, plain: true } = &field.node.value
            && let Some(colon) = syntax::misplaced_colon(text)
        {
            self.findings.push(colon.diagnostic(field.node.spot.place(&self.file)));
            return;
        }
        let message = match field.node.value {
            Value::Null => format!("`{}` has no value", field.path),
            _ => format!("`{}` must be {wanted}, not {}", field.path, field.node.what()),
        };
        self.error(field.node.spot, message, hint);
    }

    /// A map with any keys.
    pub fn map<'n>(&mut self, field: &Field<'n>) -> Option<Fields<'n>> {
        let Value::Map(entries) = &field.node.value else {
            self.wrong(field, A_MAP, "");
            return None;
        };
        let fields = Fields { path: field.path.clone(), spot: field.key, entries };
        for (_, inner) in fields.all() {
            self.places.insert(inner.path, inner.key.place(&self.file));
        }
        Some(fields)
    }

    /// A map with these keys only.
    pub fn fields<'n>(&mut self, field: &Field<'n>, valid: &[&str]) -> Option<Fields<'n>> {
        let fields = self.map(field)?;
        for (index, entry) in
            fields.entries.iter().filter(|e| !valid.contains(&e.key.as_str())).enumerate()
        {
            // More findings than are printed need no advice, which costs more than all else.
            let advice = if index < ADVISED {
                keys::advice(&field.path, &entry.key, valid)
            } else {
                String::new()
            };
            let whose =
                if field.path.is_empty() { String::new() } else { format!(" in `{}`", field.path) };
            if index < ADVISED {
                self.unknown.push(Unknown::of(entry));
            }
            self.error(entry.spot, format!("unknown key `{}`{whose}", entry.key), &advice);
        }
        Some(fields)
    }

    /// Text as written: commands and the like, where `true` is the program of that name. May span
    /// lines, is not blank.
    pub fn source_text(&mut self, field: &Field) -> Option<String> {
        match &field.node.value {
            Value::Scalar { text, .. } if text.contains('\0') => {
                self.error(field.node.spot, format!("`{}` holds a NUL character", field.path), "")
            }
            Value::Scalar { text, .. } if text.trim().is_empty() => {
                self.error(field.node.spot, format!("`{}` is empty", field.path), "")
            }
            Value::Scalar { text, .. } => return Some(text.clone()),
            _ => self.wrong(field, "text", ""),
        }
        None
    }

    /// Text as written, maybe empty; draws a warning where Ansible would have read something else.
    pub fn text(&mut self, field: &Field) -> Option<String> {
        let Value::Scalar { text, plain } = &field.node.value else {
            let hint = if matches!(field.node.value, Value::Null) {
                "give it one, or leave the key out; `\"\"` is the empty text"
            } else {
                ""
            };
            self.wrong(field, "text", hint);
            return None;
        };
        if text.contains('\0') {
            self.error(field.node.spot, format!("`{}` holds a NUL character", field.path), "");
            return None;
        }
        if let Some(printed) = plain.then(|| scalar::printed(text)).flatten() {
            let message = format!(
                "`{}` stays the text `{text}`; Ansible would have made `{printed}` of it",
                field.path
            );
            self.warn(field.node.spot, message, &format!("quotes make it plain: \"{text}\""));
        }
        if text.contains("{{") || text.contains("{%") {
            let message =
                format!("`{}` is taken as it stands: build-vars.yml is not a template", field.path);
            self.warn(field.node.spot, message, "write the value itself");
        }
        Some(text.clone())
    }

    /// Text on one line that is not empty and at most `GLANCE_WIDTH` characters long.
    pub fn word(&mut self, field: &Field) -> Option<String> {
        let text = self.text(field)?;
        let length = text.chars().count();
        let trouble = if text.trim().is_empty() {
            "is empty".into()
        } else if text.chars().any(char::is_control) {
            "must be one line without control characters".into()
        } else if length > GLANCE_WIDTH {
            format!("has {length} characters; at most {GLANCE_WIDTH} are possible")
        } else {
            return Some(text);
        };
        self.error(field.node.spot, format!("`{}` {trouble}", field.path), "");
        None
    }

    /// One of `words`; gives its index.
    pub fn one_of(&mut self, field: &Field, words: &[&str]) -> Option<usize> {
        let text = self.word(field)?;
        let found = words.iter().position(|w| *w == text);
        if found.is_none() {
            let hint = match keys::nearest(&text, words.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => String::new(),
            };
            self.error(
                field.node.spot,
                format!("`{}` must be one of {}, not `{text}`", field.path, words.join(", ")),
                &hint,
            );
        }
        found
    }

    /// A whole number of at least `least`, decimal, unquoted.
    pub fn whole<T: TryFrom<u64>>(&mut self, field: &Field, least: u64) -> Option<T> {
        let found = match &field.node.value {
            Value::Scalar { text, plain: true } => {
                decimal(text).filter(|n| *n >= least).and_then(|n| T::try_from(n).ok())
            }
            _ => None,
        };
        if found.is_none() {
            let wanted = if least == 0 {
                "a whole number".to_owned()
            } else {
                format!("a whole number from {least} up")
            };
            self.wrong(field, &wanted, number_hint(field.node));
        }
        let value = field.node.scalar().and_then(decimal).filter(|_| found.is_some());
        if value.is_some_and(|value| self.is_beyond(field, value)) { None } else { found }
    }

    /// Tells of a quantity that cannot be meant; `value` is in the key's own unit.
    fn is_beyond(&mut self, field: &Field, value: u64) -> bool {
        let written = field.node.scalar().unwrap_or_default();
        let beyond = bounds::check(&field.path, value, written);
        if let Some(bounds::Beyond { message, hint }) = &beyond {
            self.error(field.node.spot, message, hint);
        }
        beyond.is_some()
    }

    pub fn truth(&mut self, field: &Field) -> Option<bool> {
        if let Value::Scalar { text, plain: true } = &field.node.value
            && let scalar::Plain::Bool(truth) = scalar::resolve(text)
        {
            return Some(truth);
        }
        self.wrong(field, "true or false", "");
        None
    }

    pub fn duration(&mut self, field: &Field) -> Option<Duration> {
        let found = match &field.node.value {
            Value::Scalar { text, .. } => quantity::duration(text),
            _ => None,
        };
        if found.is_none() {
            self.wrong(field, "a duration", "like 90s, 10m, 1h30m, 1d, or whole seconds");
        }
        found.filter(|time| !self.is_beyond(field, time.as_secs()))
    }

    /// In units of `unit` MiB.
    pub fn size(&mut self, field: &Field, unit: u64) -> Option<u64> {
        let found = match &field.node.value {
            Value::Scalar { text, .. } => quantity::size_in(unit, text),
            _ => None,
        };
        if found.is_none() {
            self.wrong(
                field,
                "a size",
                if unit == 1 { "like 512M, 2G, or whole MiB" } else { "like 10G, or whole GiB" },
            );
        }
        found.filter(|size| !self.is_beyond(field, *size))
    }

    pub fn list<'n>(&mut self, field: &Field<'n>) -> Option<Vec<Field<'n>>> {
        let Value::List(items) = &field.node.value else {
            self.wrong(field, "a list", "");
            return None;
        };
        Some(
            items
                .iter()
                .enumerate()
                .map(|(i, node)| Field {
                    path: format!("{}[{}]", field.path, i + 1),
                    key: node.spot,
                    node,
                })
                .collect(),
        )
    }

    /// A list of words, none of them twice.
    pub fn words(&mut self, field: &Field) -> Option<Vec<String>> {
        let (mut words, mut seen) = (Vec::new(), HashSet::new());
        for item in self.list(field)? {
            let Some(word) = self.word(&item) else { continue };
            if !seen.insert(word.clone()) {
                self.error(item.node.spot, format!("`{word}` is twice in `{}`", field.path), "");
            } else {
                words.push(word);
            }
        }
        Some(words)
    }

    pub fn word_or_words(&mut self, field: &Field) -> Option<Vec<String>> {
        match &field.node.value {
            Value::Scalar { .. } => self.word(field).map(|word| vec![word]),
            Value::List(_) => self.words(field),
            _ => {
                self.wrong(field, "text or a list", "");
                None
            }
        }
    }
}

fn decimal(text: &str) -> Option<u64> {
    let sound = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    sound.then(|| text.parse().ok()).flatten()
}

fn number_hint(node: &Node) -> &'static str {
    match &node.value {
        Value::Scalar { text, plain: false } if decimal(text).is_some() => "without the quotes",
        Value::Scalar { text, plain: true } if text.starts_with('0') && text.len() > 1 => {
            "without the leading 0"
        }
        _ => "",
    }
}

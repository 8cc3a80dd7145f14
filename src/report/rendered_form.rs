//! Checks that a rendered `*.yml` is YAML and a `*.json` JSON, before Heat sees it.
use std::cell::Cell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Formatter};
use std::path::Path;

use saphyr_parser::{Event, Parser};
use serde::de::{
    DeserializeSeed, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, Deserializer};

/// A syntax error; `line` counts from 1 in the rendered text, 0 if unknown.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    form: &'static str,
    pub line: usize,
    reason: String,
}

/// `None` if valid for its file name.
pub fn problem(path: &Path, text: &str) -> Option<Problem> {
    match path.extension()?.to_str()? {
        "yml" | "yaml" => serde_yaml::Deserializer::from_str(text)
            .find_map(|document| IgnoredAny::deserialize(document).err())
            .map(|e| Problem {
                form: "YAML",
                line: e.location().map_or(0, |l| l.line()),
                reason: e.to_string(),
            }),
        "json" => serde_json::from_str::<IgnoredAny>(text).err().map(|e| Problem {
            form: "JSON",
            line: e.line(),
            reason: e.to_string(),
        }),
        _ => None,
    }
}

impl Problem {
    pub fn message(&self, text: &str) -> String {
        let shown = self.culprit(text).trim();
        // Removes the parser's position in the rendered text, which the author does not have.
        let reason = self.reason.split(" at line ").next().unwrap_or_default();
        if shown.is_empty() {
            return format!("renders to something that is not {}: {reason}", self.form);
        }
        let short: String = shown.chars().take(80).collect();
        format!(
            "renders to something that is not {}: {reason}, in line {} of the result: `{short}`",
            self.form, self.line
        )
    }

    pub fn hint(&self) -> String {
        format!(
            "the file's name says {}; quote values that may hold `:` or `#`, and look at the \
                indentation",
            self.form
        )
    }

    fn culprit<'a>(&self, text: &'a str) -> &'a str {
        text.lines().nth(self.line.wrapping_sub(1)).unwrap_or_default()
    }
}

/// The template line that produced `line`, if determinable: the only line equal up to a tag, or
/// among several lines without tags, the one at the same position.
pub fn template_line(line: usize, text: &str, template: &str) -> Option<usize> {
    let made = text.lines().nth(line.wrapping_sub(1))?;
    let agrees = |line: &str| {
        let fixed = line.split("{{").next().unwrap_or(line);
        !fixed.trim().is_empty()
            && !fixed.contains("{%")
            && if fixed.len() == line.len() { made == line } else { made.starts_with(fixed) }
    };
    let lines: Vec<(usize, &str)> =
        template.lines().enumerate().filter(|(_, line)| agrees(line)).collect();
    match lines[..] {
        [(at, _)] => Some(at + 1),
        _ => {
            let same: Vec<usize> = text
                .lines()
                .enumerate()
                .filter(|(_, l)| *l == made)
                .map(|(at, _)| at + 1)
                .collect();
            let turn = same.iter().position(|at| *at == line)?;
            let fits = same.len() == lines.len() && lines.iter().all(|(_, l)| *l == made);
            fits.then(|| lines[turn].0 + 1)
        }
    }
}

/// A duplicate key of a mapping.
#[derive(Debug, PartialEq, Eq)]
pub struct Twice {
    key: String,
    first: usize,
    /// Line of the second occurrence, from 1.
    pub line: usize,
}

/// Maximum number reported.
const MOST: usize = 20;

/// Duplicate keys in mappings of rendered YAML or JSON.
pub fn keys_twice(path: &Path, text: &str) -> Vec<Twice> {
    if !path
        .extension()
        .is_some_and(|e| ["yml", "yaml", "json", "template"].iter().any(|known| e == *known))
        || !Keys::any_twice(text)
    {
        return Vec::new();
    }
    let (mut open, mut found): (Vec<Option<Mapping>>, Vec<Twice>) = (Vec::new(), Vec::new());
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        let key = match &event {
            Event::Scalar(text, ..) => Some(text.to_string()),
            _ => None,
        };
        let starts = match event {
            Event::MappingStart(..) => Some(Some(Mapping::default())),
            Event::SequenceStart(..) => Some(None),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                continue;
            }
            Event::Scalar(..) | Event::Alias(..) => None,
            _ => continue,
        };
        if let Some(Some(mapping)) = open.last_mut()
            && let Some(first) = mapping.next(key.clone(), span.start.line())
            && found.len() < MOST
        {
            found.push(Twice { key: key.unwrap_or_default(), first, line: span.start.line() });
        }
        open.extend(starts);
    }
    found
}

/// Detects duplicate keys. libyaml is several times faster than the reader that tracks lines.
struct Keys<'a>(&'a Cell<bool>);

impl Keys<'_> {
    /// Unreadable text may have some.
    fn any_twice(text: &str) -> bool {
        let found = Cell::new(false);
        let all = serde_yaml::Deserializer::from_str(text)
            .try_for_each(|document| Keys(&found).deserialize(document));
        all.is_err() || found.get()
    }
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Keys(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<serde_yaml::Value>()? {
            if !seen.insert(key) {
                self.0.set(true);
            }
            entries.next_value_seed(Keys(self.0))?;
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_, content) = tagged.variant::<IgnoredAny>()?;
        content.newtype_variant_seed(self)
    }
}

/// A mapping being read: its keys with their lines.
#[derive(Default)]
struct Mapping {
    keys: HashMap<String, usize>,
    /// The next scalar is a value.
    value: bool,
}

impl Mapping {
    /// Consumes a key or a value. Returns the earlier line of a duplicate key.
    fn next(&mut self, scalar: Option<String>, line: usize) -> Option<usize> {
        let key = !self.value;
        self.value = key;
        let scalar = scalar.filter(|s| key && s != "<<")?;
        match self.keys.entry(scalar) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(new) => {
                new.insert(line);
                None
            }
        }
    }
}

impl Twice {
    /// `path` is the rendered file's. Heat reads YAML; other consumers of JSON may differ.
    pub fn message(&self, path: &Path) -> String {
        let who = if path.extension().is_some_and(|e| e == "json") {
            "most readers take"
        } else {
            "Heat takes"
        };
        let key: String = self.key.chars().take(80).collect();
        let lines = if self.first == self.line {
            format!("line {}", self.line)
        } else {
            format!("lines {} and {}", self.first, self.line)
        };
        format!(
            "renders to a mapping with `{key}` twice, in {lines} of the result: {who} the later one"
        )
    }

    pub fn hint(&self) -> &'static str {
        "put what belongs together under one of them; what stands under the first is lost"
    }
}

//! `--set machine.ram=2G`: a value of build-vars.yml given on the command line, which wins.
use std::path::Path;

use super::syntax;
use super::yaml::{self, Entry, Node, Spot, Value};
use crate::diagnostic::{Diagnostic, Place};

/// A key and its value, not yet known to fit any bundle.
///
/// From process to process it passes as it was written: a value of many levels would be too deep for the text that it passes as.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Override {
    written: String,
    keys: Vec<String>,
    value: Node,
}

impl From<Override> for String {
    fn from(one: Override) -> Self {
        one.written
    }
}

impl TryFrom<String> for Override {
    type Error = Diagnostic;

    fn try_from(text: String) -> Result<Self, Diagnostic> {
        Self::parse(&text)
    }
}

/// Line 0 is not in the file; the column is the number of the override, from 1.
fn spot(number: usize) -> Spot {
    Spot { line: 0, column: number }
}

/// Puts the values in, the last one last.
pub(super) fn apply(all: &[Override], root: &mut Node) {
    all.iter().enumerate().for_each(|(at, one)| one.apply(root, spot(at + 1)));
}

/// A place that one of them made in `file` is on the command line.
pub(super) fn place(all: &[Override], file: &Path, place: &mut Place) {
    if place.line > 0 || place.file != file {
        return;
    }
    if let Some(one) = place.column.checked_sub(1).and_then(|at| all.get(at)) {
        *place = Place { file: one.shown().into(), line: 0, column: 0 };
    }
}

/// Characters of a value that are shown; it may be a whole file.
const SHOWN: usize = 60;

impl Override {
    /// Reads `key.key=value`; the value is YAML (`[a, b]` is a list).
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        let wrong = |what: &str| Diagnostic::error(None, format!("--set {text}: {what}")).hint("for example --set machine.ram=2G");
        let (keys, value) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        let keys: Vec<String> = keys.split('.').map(|k| k.trim().to_owned()).collect();
        if keys.iter().any(String::is_empty) {
            return Err(wrong("a key is empty"));
        }
        let read = syntax::read(Path::new("--set"), value);
        if keys.len() + read.root.as_ref().map_or(0, depth) > yaml::MAX_DEPTH {
            return Err(wrong(&format!("nested deeper than {} levels", yaml::MAX_DEPTH)));
        }
        match read.root {
            Some(value) if read.findings.is_empty() => Ok(Self { written: text.to_owned(), keys, value }),
            _ => Err(read.findings.into_iter().next().unwrap_or_else(|| wrong("the value is no YAML"))),
        }
    }

    /// Puts the value in; maps on the way are made where they are missing, and replace what is no map.
    fn apply(&self, root: &mut Node, spot: Spot) {
        let mut node = root;
        for (depth, key) in self.keys.iter().enumerate() {
            if !matches!(node.value, Value::Map(_)) {
                node.value = Value::Map(Vec::new());
                node.spot = if depth == 0 { node.spot } else { spot };
            }
            let Value::Map(entries) = &mut node.value else { unreachable!("made a map above") };
            let index = entries.iter().position(|e| e.key == *key).unwrap_or_else(|| {
                entries.push(Entry { key: key.clone(), spot, value: Node { spot, value: Value::Null, raw: false } });
                entries.len() - 1
            });
            if depth + 1 == self.keys.len() {
                entries[index].spot = spot;
            }
            node = &mut entries[index].value;
        }
        *node = self.value.clone();
        stand_at(node, spot);
    }

    /// As places name it. What is free may be a secret, and is told by its key.
    fn shown(&self) -> String {
        let keys = self.keys.join(".");
        let value = self.written.split_once('=').map_or("", |(_, value)| value);
        let free = ["vars", "steps"].contains(&self.keys[0].as_str());
        let value = if free || value.chars().count() > SHOWN { "…" } else { value };
        format!("--set {keys}={value}")
    }
}

/// Levels of lists and maps.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(nodes) => 1 + nodes.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
        Value::Null | Value::Scalar { .. } => 0,
    }
}

/// Places in the value mean nothing in the file.
fn stand_at(node: &mut Node, spot: Spot) {
    node.spot = spot;
    match &mut node.value {
        Value::List(nodes) => nodes.iter_mut().for_each(|node| stand_at(node, spot)),
        Value::Map(entries) => entries.iter_mut().for_each(|e| {
            e.spot = spot;
            stand_at(&mut e.value, spot);
        }),
        Value::Null | Value::Scalar { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(sets: &[&str]) -> Result<super::super::Bundle, Vec<String>> {
        let tree = tempfile::tempdir().unwrap();
        let dir = tree.path().join("images/x");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("build-vars.yml"), "bundle: {name: x, img_base: b}\nmachine: {ram: 1G}\nsteps:\n  - shell: true\n")
            .unwrap();
        let sets: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
        let told = |ds: Vec<Diagnostic>| ds.iter().map(ToString::to_string).collect();
        super::super::load_with(tree.path(), &dir, &sets).map(|l| l.bundle).map_err(told)
    }

    #[test]
    fn a_set_value_wins_and_is_checked_like_any_other() {
        let bundle = load(&["machine.ram=2G", "machine.cpus=1", "tags=[a, b]", "bundle.properties.v=1.10"]).unwrap();
        assert_eq!((bundle.machine.ram_mb, bundle.machine.cpus), (Some(2048), Some(1)));
        assert_eq!((bundle.tags.len(), bundle.properties["v"].as_str()), (2, "1.10"));
        let told = load(&["machine.rum=2G"]).unwrap_err();
        assert!(told[0].contains("rum") && told[0].contains("ram"), "{told:?}");
    }

    /// They were told of build-vars.yml as a whole, or of the line whose value was replaced.
    #[test]
    fn what_is_wrong_with_a_value_is_told_of_the_command_line() {
        let cases = [
            ("machine.rm=2G", "--set machine.rm=2G: error: unknown key `rm`"),
            ("machine.ram=2", "--set machine.ram=2: error: `machine.ram` is 2 MiB"),
            ("machine=4", "--set machine=4: error: `machine` must be a map"),
            ("nope=1", "--set nope=1: error: unknown key `nope`"),
            ("tags.a=1", "--set tags.a=1: error: `tags` must be a list"),
            ("steps=[{shel: a}]", "--set steps=…: error: unknown key `shel`"),
            ("tests.skip=[dns, dn]", "--set tests.skip=[dns, dn]: error: there is no check `dn`"),
            ("bundle.name=a b", "--set bundle.name=a b: error: "),
        ];
        for (set, wanted) in cases {
            let told = load(&["keep=3", set, "visibility=private"]).unwrap_err();
            assert!(told.iter().any(|line| line.starts_with(wanted)), "{set}: {told:?}");
        }
        let bundle = load(&["machine.ram=2G", "network=[a]"]).unwrap();
        assert_eq!(bundle.places["machine.ram"].to_string(), "--set machine.ram=2G");
        assert_eq!(bundle.places["network"].to_string(), "--set network=[a]");
        assert!(bundle.places["machine"].to_string().ends_with("build-vars.yml:2:1"), "{}", bundle.places["machine"]);
    }

    /// As deep as build-vars.yml itself may be; it ended "without a result".
    #[test]
    fn a_deep_value_passes_to_the_process_that_loads() {
        let passed = |text: &str| {
            let text = serde_json::to_string(&Override::parse(text).unwrap()).unwrap();
            serde_json::from_str::<Override>(&text).unwrap()
        };
        let deep = |levels: usize| format!("vars.a={}1{}", "[".repeat(levels), "]".repeat(levels));
        let keys = |levels: usize| format!("vars.{}=1", vec!["a"; levels].join("."));
        for text in [deep(50), keys(60)] {
            assert_eq!(passed(&text).written, text);
            let bundle = load(&[&text]).unwrap();
            assert!(serde_json::from_str::<super::super::Bundle>(&serde_json::to_string(&bundle).unwrap()).is_ok());
        }
        for text in [deep(70), keys(70)] {
            assert!(Override::parse(&text).unwrap_err().to_string().contains("deeper than 64 levels"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for bad in ["x", "=1", "a..b=1", "a=[1"] {
            assert!(Override::parse(bad).is_err(), "{bad}");
        }
    }
}

//! `--set machine.ram=2G`: overrides of build-vars.yml from the command line.
use std::path::Path;

use super::keys;
use super::syntax;
use super::yaml::{self, Entry, Node, Position, Value};
use crate::model::diagnostic::{Diagnostic, Location};

/// A key and its value, not yet checked against a bundle.
///
/// Serialised as written, because a deeply nested value would be too deep for JSON.
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

/// Line 0 means that it is not in the file; the column is the number of the override, from 1.
fn spot(number: usize) -> Position {
    Position { line: 0, column: number }
}

/// Applies all overrides in order.
pub(super) fn apply(all: &[Override], root: &mut Node) {
    all.iter().enumerate().for_each(|(at, one)| one.apply(root, spot(at + 1)));
}

/// Relocates a finding that an override caused in `file` to the command line, by the key. Values
/// from the command line may be secret.
pub(super) fn tell(all: &[Override], file: &Path, finding: &mut Diagnostic) {
    let Some(one) = finding.place.as_ref().and_then(|place| of(all, file, place)) else { return };
    finding.place = Some(one.place());
    if one.is_free() {
        let mut secrets = Vec::new();
        texts(&one.value, &mut secrets);
        secrets.sort_by_key(|text| std::cmp::Reverse(text.len()));
        finding.message = hidden(&finding.message, &secrets);
        finding.hint = finding.hint.take().map(|hint| hidden(&hint, &secrets));
    }
}

/// Relocates a location alone.
pub(super) fn place(all: &[Override], file: &Path, place: &mut Location) {
    if let Some(one) = of(all, file, place) {
        *place = one.place();
    }
}

fn of<'o>(all: &'o [Override], file: &Path, place: &Location) -> Option<&'o Override> {
    let ours = place.line == 0 && place.file == file;
    place.column.checked_sub(1).filter(|_| ours).and_then(|at| all.get(at))
}

/// Texts of at least this length are also masked inside other texts.
const LONG: usize = 4;
/// Maximum number of a key's characters that are shown.
const SHOWN: usize = 60;

impl Override {
    /// Parses `key.key=value`; the value is YAML (`[a, b]` is a list). Errors do not show the
    /// value.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        let wrong =
            |what: &str| Diagnostic::error(None, what).hint("for example --set machine.ram=2G");
        let (keys, value) =
            text.split_once('=').ok_or_else(|| wrong("--set: there is no `=` in what is given"))?;
        let keys: Vec<String> = keys.split('.').map(|k| k.trim().to_owned()).collect();
        if keys.iter().any(String::is_empty) {
            return Err(wrong("--set: a key is empty"));
        }
        // It may be a value, whose key was left out.
        if !is_plain(&keys[0]) {
            return Err(wrong("--set: what stands before the `=` is no key of build-vars.yml"));
        }
        let shown = shown(&keys);
        let read = syntax::read(Path::new("--set"), value);
        if keys.len() + read.root.as_ref().map_or(0, depth) > yaml::MAX_DEPTH {
            return Err(wrong(&format!(
                "--set {shown}: nested deeper than {} levels",
                yaml::MAX_DEPTH
            )));
        }
        match read.root {
            Some(value) if read.findings.is_empty() => {
                Ok(Self { written: text.to_owned(), keys, value })
            }
            _ => {
                // The words of a finding quote what it is on.
                let at = read.findings.first().and_then(|finding| finding.place.as_ref());
                let at =
                    at.filter(|place| place.line > 0).map_or_else(String::new, |place| match place
                        .line
                    {
                        1 => format!(", from its character {} on", place.column),
                        line => format!(", from line {line}, character {} on", place.column),
                    });
                let finding = Diagnostic::error(
                    None,
                    format!("--set {shown}: the value cannot be taken as YAML{at}"),
                );
                Err(finding.hint(format!(
                    "quotes make text of it: --set '{shown}=\"...\"'; tags, a key given twice and \
                        more than 64 levels are refused"
                )))
            }
        }
    }

    /// Sets the value. Creates missing maps on the way, and replaces values that are not maps.
    fn apply(&self, root: &mut Node, spot: Position) {
        let mut node = root;
        for (depth, key) in self.keys.iter().enumerate() {
            if !matches!(node.value, Value::Map(_)) {
                node.value = Value::Map(Vec::new());
                node.spot = if depth == 0 { node.spot } else { spot };
            }
            let Value::Map(entries) = &mut node.value else { unreachable!("made a map above") };
            let index = entries.iter().position(|e| e.key == *key).unwrap_or_else(|| {
                entries.push(Entry {
                    key: key.clone(),
                    spot,
                    value: Node { spot, value: Value::Null, raw: false },
                });
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

    /// Location of the override: its key alone.
    fn place(&self) -> Location {
        Location { file: format!("--set {}", shown(&self.keys)).into(), line: 0, column: 0 }
    }

    /// Whether the value may be anything, or its type is unknown.
    pub fn is_free(&self) -> bool {
        let first = self.keys[0].as_str();
        ["vars", "steps", "source"].contains(&first) || !keys::TOP.contains(&first)
    }
}

/// Keys for display; a part that cannot be a key is masked.
fn shown(keys: &[String]) -> String {
    let free = ["vars", "steps"].contains(&keys[0].as_str());
    let part = |key: &String| if free && !is_plain(key) { "…".to_owned() } else { key.clone() };
    let whole = keys.iter().map(part).collect::<Vec<_>>().join(".");
    match whole.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

fn is_plain(key: &str) -> bool {
    key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// All texts in a value.
fn texts<'n>(node: &'n Node, all: &mut Vec<&'n str>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| texts(item, all)),
        Value::Map(entries) => entries.iter().for_each(|entry| texts(&entry.value, all)),
        Value::Scalar { text, .. } => all.push(text),
        Value::Null => {}
    }
}

/// `message` without `secrets`; masks the longest first.
fn hidden(message: &str, secrets: &[&str]) -> String {
    secrets.iter().filter(|text| !text.trim().is_empty()).fold(
        message.to_owned(),
        |message, text| {
            let quoted = [format!("`{text}`"), format!("{text:?}")];
            let message = quoted
                .iter()
                .fold(message, |message, quoted| message.replace(quoted.as_str(), "`…`"));
            if text.chars().count() < LONG { message } else { message.replace(text, "…") }
        },
    )
}

/// Nesting depth of lists and maps.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(nodes) => 1 + nodes.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
        Value::Null | Value::Scalar { .. } => 0,
    }
}

/// Replaces positions in the value, which have no meaning in the file.
fn stand_at(node: &mut Node, spot: Position) {
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

    fn load(sets: &[&str]) -> Result<super::super::Definition, Vec<String>> {
        let tree = tempfile::tempdir().unwrap();
        let dir = tree.path().join("images/x");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(
            dir.join("build-vars.yml"),
            "bundle: {name: x, img_base: b}\nmachine: {ram: 1G}\nsteps:\n  - shell: true\n",
        )
        .unwrap();
        let sets: Vec<Override> = sets.iter().map(|s| Override::parse(s).unwrap()).collect();
        let told = |ds: Vec<Diagnostic>| ds.iter().map(ToString::to_string).collect();
        crate::frontend::load_with(tree.path(), &dir, &sets).map(|l| l.bundle).map_err(told)
    }

    #[test]
    fn a_set_value_wins_and_is_checked_like_any_other() {
        let bundle =
            load(&["machine.ram=2G", "machine.cpus=1", "tags=[a, b]", "bundle.properties.v=1.10"])
                .unwrap();
        assert_eq!((bundle.machine.ram_mib, bundle.machine.cpus), (Some(2048), Some(1)));
        assert_eq!((bundle.tags.len(), bundle.properties["v"].as_str()), (2, "1.10"));
        let told = load(&["machine.rum=2G"]).unwrap_err();
        assert!(told[0].contains("rum") && told[0].contains("ram"), "{told:?}");
    }

    /// They were told of build-vars.yml as a whole, or of the line whose value was replaced.
    #[test]
    fn what_is_wrong_with_a_value_is_told_of_the_command_line() {
        let cases = [
            ("machine.rm=2G", "--set machine.rm: error: unknown key `rm`"),
            ("machine.ram=2", "--set machine.ram: error: `machine.ram` is 2 MiB"),
            ("machine=4", "--set machine: error: `machine` must be a map"),
            ("nope=1", "--set nope: error: unknown key `nope`"),
            ("tags.a=1", "--set tags.a: error: `tags` must be a list"),
            ("steps=[{shel: a}]", "--set steps: error: unknown key `shel`"),
            ("tests.skip=[dns, dn]", "--set tests.skip: error: there is no check `dn`"),
            ("bundle.name=a b", "--set bundle.name: error: "),
        ];
        for (set, wanted) in cases {
            let told = load(&["keep=3", set, "visibility=private"]).unwrap_err();
            assert!(told.iter().any(|line| line.starts_with(wanted)), "{set}: {told:?}");
        }
        let bundle = load(&["machine.ram=2G", "network=[a]"]).unwrap();
        let place = |key: &str| bundle.locations.of_key(key).unwrap();
        assert_eq!(place("machine.ram").to_string(), "--set machine.ram");
        assert_eq!(place("network").to_string(), "--set network");
        assert!(
            place("machine").to_string().ends_with("build-vars.yml:2:1"),
            "{}",
            place("machine")
        );
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
            assert!(
                serde_json::from_str::<super::super::Definition>(
                    &serde_json::to_string(&bundle).unwrap()
                )
                .is_ok()
            );
        }
        for text in [deep(70), keys(70)] {
            assert!(
                Override::parse(&text).unwrap_err().to_string().contains("than 64 levels"),
                "{text}"
            );
        }
    }

    /// A place told the value of each key but `vars` and `steps`, an error of YAML that of any.
    #[test]
    fn what_may_be_a_secret_is_never_shown() {
        for set in [
            "password=hunter2",
            "var.password=hunter2",
            "variables.password=hunter2",
            "bundle.password=hunter2",
            "machine.password=hunter2",
            "vars.password.x=[hunter2, .inf]",
            "vars=hunter2",
            "vars=[hunter2, hunter2]",
            "vars.password=87e4567",
            "steps=[{shell: hunter2, env: {PIN: hunter2, retries: x}}]",
            "steps=[{script: hunter2}]",
            "steps=[{ansible: a.yml, extra_vars: hunter2, timeout: hunter2}]",
            "steps=hunter2",
            "source=hunter2",
            "source.url='https://me:hunter2@127.0.0.1/x'",
            "source.url='https://me:hunter2 hunter2@[/x'",
        ] {
            let told = match load(&[set]) {
                Ok(bundle) => bundle.locations.keys().map(|(_, place)| place.to_string()).collect(),
                Err(told) => told,
            };
            let key = set.split('=').next().unwrap();
            assert!(
                told.iter().any(|line| line.starts_with(&format!("--set {key}"))),
                "{set}: {told:?}"
            );
            assert!(
                !told.iter().any(|line| line.contains("hunter2") || line.contains("87e4567")),
                "{set}: {told:?}"
            );
        }
        for set in [
            "vars.password=!hunter2",
            "vars.password=!hunter2 x",
            "vars.password={hunter2: 1, hunter2: 2}",
            "vars.password={hunter2 :x}",
            "vars.password=*hunter2",
            "vars.password=@hunter2",
            "vars.password=%hunter2",
            "vars.password='hunter2",
            "vars.password=[hunter2",
            "vars.password=hunter2: a: b",
            "vars.password=<<: hunter2",
            "vars.password={<<: hunter2}",
            "vars.password=x\n---\nhunter2",
            "vars.password=\thunter2: x\n\ty",
            "vars.password:hunter2",
            "hunter2",
            "vars..password=hunter2",
            "vars.hunter2:=!x",
            "pass:hunter2=x",
            &format!("vars.password={}hunter2{}", "[".repeat(70), "]".repeat(70)),
        ] {
            let Err(finding) = Override::parse(set) else { panic!("{set:?} is no YAML") };
            let told = finding.to_string();
            assert!(told.contains("--set") && !told.contains("hunter2"), "{set:?}: {told}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for bad in ["x", "=1", "a..b=1", "a=[1"] {
            assert!(Override::parse(bad).is_err(), "{bad}");
        }
    }
}

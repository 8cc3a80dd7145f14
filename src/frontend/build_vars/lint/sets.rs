//! What one file sets variables to: by words that set some, not by whatever has the same name.
use std::path::Path;

use super::super::yaml::{Entry, Node, Position, Value};
use super::names::is_template;
use super::tasks::TASK_LISTS;

/// Words of a role's entry that are no parameters of the role.
const OF_ROLES: [&str; 9] =
    ["role", "name", "src", "version", "tags", "when", "vars", "become", "become_user"];
/// Words of `add_host` that are no variables of the new host.
const OF_HOSTS: [&str; 6] = ["name", "hostname", "host", "groups", "group", "groupname"];

#[derive(Debug, Clone)]
pub struct Set {
    /// As written: it may be a template.
    pub name: String,
    pub spot: Position,
    /// `None`: known at the run only.
    pub value: Option<String>,
    /// It stands in a play, which no file of tasks can be.
    pub of_play: bool,
    /// It is `name=value` within a text.
    pub in_text: bool,
}

impl Set {
    /// The name is worked out at the run.
    pub fn is_open(&self) -> bool {
        is_template(&self.name) || self.name.contains('\\')
    }

    /// Whether an open name may become this one, by what is written out of it.
    pub fn may_be(&self, name: &str) -> bool {
        if self.name.contains('\\') {
            return true;
        }
        let begin = self.name.split(['{']).next().unwrap_or_default();
        let end = self.name.rsplit(['}']).next().unwrap_or_default();
        name.starts_with(begin) && name.ends_with(end)
    }
}

/// Of a file of plays, of tasks or of variables; `inventory`: of one that lies where inventories
/// do.
pub fn of_tree(root: &Node, inventory: bool) -> Vec<Set> {
    let mut sets = Sets::default();
    match &root.value {
        Value::List(items) => {
            for item in items {
                let play = |key: &str| key == "hosts" || last(key) == "import_playbook";
                sets.of_play =
                    matches!(&item.value, Value::Map(e) if e.iter().any(|e| play(&e.key)));
                sets.item(item);
            }
        }
        Value::Map(entries) => {
            sets.map(root, &[]);
            sets.lists(entries);
            if inventory {
                sets.hosts(root);
            }
        }
        Value::Scalar { text, .. } if inventory => sets.text(text, root.spot, &[]),
        _ => {}
    }
    sets.all
}

/// Of an inventory of lines.
pub fn of_lines(text: &str) -> Vec<Set> {
    let (mut sets, mut of_group) = (Sets::default(), false);
    for (number, line) in text.lines().enumerate() {
        let start = line.trim();
        let spot = Position {
            line: number + 1,
            column: line.chars().take_while(|c| c.is_whitespace()).count() + 1,
        };
        if start.starts_with('[') {
            of_group = start.split(']').next().is_some_and(|name| name.ends_with(":vars"));
        } else if start.starts_with(['#', ';']) {
        } else if let (true, Some((name, value))) = (of_group, start.split_once('=')) {
            let value =
                value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            sets.add(name.trim(), spot, Some(value.to_owned()), true);
        } else {
            sets.text(start.split(" #").next().unwrap_or_default(), spot, &[]);
        }
    }
    sets.all
}

/// Where Ansible takes inventories from.
pub fn is_inventory(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default();
    path.iter().any(|part| part == "inventory" || part == "inventories")
        || stem == "hosts"
        || stem == "inventory"
}

#[derive(Default)]
struct Sets {
    all: Vec<Set>,
    of_play: bool,
}

/// Without the collection, whichever it is.
fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

fn scalar(node: &Node) -> Option<&str> {
    if let Value::Scalar { text, .. } = &node.value { Some(text) } else { None }
}

/// A module that makes variables of its arguments, or may be one; and those that it does not make
/// any of.
fn setter(module: &str) -> Option<&'static [&'static str]> {
    match last(module) {
        "set_fact" => Some(&[]),
        "add_host" => Some(&OF_HOSTS),
        _ if is_template(module) => Some(&[]),
        _ => None,
    }
}

impl Sets {
    fn add(&mut self, name: &str, spot: Position, value: Option<String>, in_text: bool) {
        self.all.push(Set { name: name.to_owned(), spot, value, of_play: self.of_play, in_text });
    }

    /// A list is as good as the worst of it.
    fn value(&mut self, name: &str, spot: Position, value: &Node) {
        match &value.value {
            Value::Scalar { text, .. } => self.add(name, spot, Some(text.clone()), false),
            Value::List(items) if !items.is_empty() => {
                items
                    .iter()
                    .for_each(|item| self.add(name, spot, scalar(item).map(str::to_owned), false));
            }
            _ => self.add(name, spot, None, false),
        }
    }

    /// Every key but those.
    fn map(&mut self, node: &Node, but: &[&str]) {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries.iter().filter(|e| !but.contains(&e.key.as_str())) {
                    self.value(&entry.key, entry.spot, &entry.value);
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.map(item, but)),
            Value::Scalar { text, .. } => self.text(text, node.spot, but),
            Value::Null => {}
        }
    }

    /// `a=b c="d e"`; a template in place of all arguments may set anything.
    fn text(&mut self, text: &str, spot: Position, but: &[&str]) {
        for word in split(text) {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.trim(), value),
                None if is_template(&word) || word.contains('\\') => (word.as_str(), ""),
                None => continue,
            };
            let bare = value.trim().trim_matches(['"', '\'']);
            let value = (!value.contains('\\') && word.contains('=')).then(|| bare.to_owned());
            if !but.contains(&name) {
                self.add(name, spot, value, true);
            }
        }
    }

    /// A name that something gets at the run.
    fn named(&mut self, entries: &[Entry], keys: &[&str]) {
        for entry in entries.iter().filter(|e| keys.contains(&e.key.as_str())) {
            if let Some(name) = scalar(&entry.value) {
                self.add(name, entry.spot, None, false);
            }
        }
    }

    fn lists(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|e| TASK_LISTS.contains(&e.key.as_str())) {
            if let Value::List(items) = &entry.value.value {
                items.iter().for_each(|item| self.item(item));
                if entry.key == "dependencies" {
                    items
                        .iter()
                        .filter(|item| scalar(item).is_none())
                        .for_each(|item| self.map(item, &OF_ROLES));
                }
            }
        }
    }

    /// A play, a block or a task.
    fn item(&mut self, node: &Node) {
        let Value::Map(entries) = &node.value else { return };
        for entry in entries {
            self.word(entry, entries);
        }
        self.named(entries, &["register"]);
        self.lists(entries);
    }

    fn word(&mut self, entry: &Entry, around: &[Entry]) {
        let value = &entry.value;
        match (last(&entry.key), &value.value) {
            (key, _) if let Some(but) = setter(key) => self.map(value, but),
            ("vars", _) => self.map(value, &[]),
            ("args", _) => {
                let maker = around.iter().find_map(|e| setter(&e.key));
                let action =
                    around.iter().any(|e| ["action", "local_action"].contains(&e.key.as_str()));
                if let Some(but) = maker.or(action.then_some(&[])) {
                    self.map(value, but);
                }
                if around.iter().any(|e| last(&e.key) == "include_vars") {
                    self.included(value);
                }
                self.applied(value);
            }
            ("action" | "local_action", _) => self.action(value),
            ("loop_control", Value::Map(entries)) => {
                self.named(entries, &["loop_var", "index_var"])
            }
            ("vars_prompt", Value::List(items)) => {
                for item in items {
                    if let Value::Map(entries) = &item.value {
                        self.named(entries, &["name"]);
                    }
                }
            }
            ("include_vars", _) => self.included(value),
            ("roles", Value::List(items)) => {
                for item in items.iter().filter(|item| scalar(item).is_none()) {
                    self.map(item, &OF_ROLES);
                    self.item(item);
                }
            }
            ("module_defaults", _) => self.item(value),
            (
                "include" | "include_tasks" | "import_tasks" | "include_role" | "import_role"
                | "import_playbook",
                _,
            ) => match scalar(value) {
                // The first word is the file, which may be a template.
                Some(text) => self.text(
                    split(text).get(1..).unwrap_or_default().join(" ").as_str(),
                    value.spot,
                    &["file", "name", "role"],
                ),
                None => self.applied(value),
            },
            _ => {}
        }
    }

    /// `include_vars: {file: x, name: all_of_them}`
    fn included(&mut self, value: &Node) {
        match &value.value {
            Value::Map(entries) => self.named(entries, &["name"]),
            Value::Scalar { text, .. } => {
                for name in split(text).iter().filter_map(|word| word.strip_prefix("name=")) {
                    self.add(name.trim_matches(['"', '\'']), value.spot, None, true);
                }
            }
            _ => {}
        }
    }

    fn applied(&mut self, value: &Node) {
        if let Value::Map(entries) = &value.value {
            entries.iter().filter(|e| e.key == "apply").for_each(|e| self.item(&e.value));
        }
    }

    /// `action: set_fact a=b`, `action: {module: set_fact, a: b}`
    fn action(&mut self, value: &Node) {
        let text = match &value.value {
            Value::Scalar { text, .. } => text,
            Value::Map(entries) => {
                match entries.iter().find(|e| e.key == "module").and_then(|e| scalar(&e.value)) {
                    Some(text) => text,
                    None => return,
                }
            }
            _ => return,
        };
        let words = split(text);
        let Some((module, rest)) = words.split_first() else { return };
        if let Some(but) = setter(module) {
            self.text(&rest.join(" "), value.spot, but);
            if matches!(value.value, Value::Map(_)) {
                self.map(value, &[but, &["module"]].concat());
            }
        } else if last(module) == "include_vars" {
            self.included(value);
        }
    }

    /// `all: {vars: {…}, hosts: {web: {…}}, children: {…}}`
    fn hosts(&mut self, node: &Node) {
        let Value::Map(entries) = &node.value else { return };
        for entry in entries {
            match (entry.key.as_str(), &entry.value.value) {
                ("vars", _) => self.map(&entry.value, &[]),
                ("hosts", Value::Map(hosts)) => {
                    hosts
                        .iter()
                        .filter(|host| matches!(host.value.value, Value::Map(_)))
                        .for_each(|host| self.map(&host.value, &[]));
                }
                _ => self.hosts(&entry.value),
            }
        }
    }
}

/// Words, but for spaces in quotes and in templates. Source: ansible-core, `split_args`.
pub(in crate::frontend::build_vars) fn split(text: &str) -> Vec<String> {
    let (mut out, mut word, mut quote, mut depth) = (Vec::new(), String::new(), None, 0_usize);
    let mut before = ' ';
    for c in text.chars() {
        if c.is_whitespace() && quote.is_none() && depth == 0 {
            out.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            before = ' ';
            continue;
        }
        word.push(c);
        let escaped = before == '\\';
        match (quote, c) {
            (Some(open), _) if c == open && !escaped => quote = None,
            (None, '"' | '\'') if !escaped => quote = Some(c),
            (None, '{' | '%' | '#') if before == '{' => depth += 1,
            (None, '}') if depth > 0 && ['}', '%', '#'].contains(&before) => depth -= 1,
            _ => {
                before = if escaped { ' ' } else { c };
                continue;
            }
        }
        before = ' ';
    }
    out.extend(Some(word).filter(|word| !word.is_empty()));
    out
}

//! Plays, blocks and tasks, as far as their words decide where they run and what they read.
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::super::yaml::{Entry, Node, Position, Value};
use super::ASK;
use super::names::{self, Meaning};
use super::room::{self, Use};
use super::settings::{ADDRESSES, assigned};
use super::worked::Open;
use super::{environment, hosts};
use crate::model::diagnostic::Diagnostic;

const WRITTEN: &str = "what is to stay goes into the image; `/tmp` and `~/` are directories of the \
    step, and are gone with it";

pub const TASK_LISTS: [&str; 8] =
    ["tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always", "dependencies"];
/// Modules that read `src` on the factory, unless `remote_src` says otherwise.
const READERS: [&str; 6] = ["copy", "template", "unarchive", "script", "patch", "synchronize"];
/// Words and modules whose value, or its `file`, `dir` or `name`, is a file of the factory.
const FILES: [&str; 11] = [
    "import_playbook",
    "include_tasks",
    "import_tasks",
    "include",
    "include_vars",
    "vars_files",
    "roles",
    "role",
    "include_role",
    "import_role",
    "tasks_from",
];
const LOOPS: [&str; 4] = ["with_file", "with_fileglob", "with_first_found", "with_template"];

/// `lookup('file', '/etc/passwd')`
static LOOKUP: LazyLock<Regex> = LazyLock::new(|| {
    let kinds = "file|fileglob|template|unvault|ini|csvfile|first_found|password";
    let text = format!(
        r#"(?:lookup|query|q)\s*\(\s*['"](?:ansible\.\w+\.)?({kinds})['"]\s*,\s*['"]([^'"]*)['"]"#
    );
    Regex::new(&text).expect("the pattern is fixed")
});
/// `src=/etc/passwd` of a module's one-line form.
static SRC: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:^|\s)(src|dest|file|dir|name|role|tasks_from)=['"]?([^\s'"]+)"#)
        .expect("the pattern is fixed")
});
/// `name=localhost` of `add_host` in its one-line form.
static HOST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:^|\s)(?:name|hostname|host)=['"]?([^\s'"]+)"#).expect("the pattern is fixed")
});

/// Reads one file.
pub struct Reader<'a> {
    file: &'a Path,
    /// Its directory, relative to the bundle.
    beside: &'a Path,
    pub found: Vec<Diagnostic>,
    /// Files of tasks, plays and variables that it names.
    pub named: Vec<PathBuf>,
    /// It names such a file in words that are worked out at the run.
    pub worked_out: bool,
    /// Of what it names: all that `include_vars` reads, which may be directories.
    pub of_variables: Vec<PathBuf>,
    /// What is worked out at the run.
    pub open: Vec<Open>,
    /// Variables of the factory's environment that it looks up.
    pub looked_up: Vec<(Position, String)>,
    /// What it reads and writes in the room of the step.
    pub room: Vec<Use>,
    /// The task that is looked at may not run.
    idle: bool,
}

fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// Of a text or a list of texts, each with its place.
fn words(node: &Node) -> Vec<(&str, Position)> {
    match &node.value {
        Value::Scalar { text, .. } => vec![(text, node.spot)],
        Value::List(items) => items.iter().flat_map(words).collect(),
        Value::Map(entries) => {
            let keys = ["file", "dir", "name", "role", "src", "tasks_from"];
            entries
                .iter()
                .filter(|e| keys.contains(&e.key.as_str()))
                .flat_map(|e| words(&e.value))
                .collect()
        }
        Value::Null => Vec::new(),
    }
}

/// `mode: pull` of `synchronize`: from the machine to the factory.
fn is_pull(value: &Node) -> bool {
    match &value.value {
        Value::Map(entries) => {
            entries.iter().any(|e| e.key == "mode" && scalar(&e.value) == Some("pull"))
        }
        Value::Scalar { text, .. } => text.split_whitespace().any(|word| word == "mode=pull"),
        _ => false,
    }
}

/// Without the collection of what Ansible itself brings.
fn short(key: &str) -> &str {
    let known = ["ansible.builtin.", "ansible.legacy.", "ansible.posix."];
    known.iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key)
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a Path, beside: &'a Path) -> Self {
        let (found, named, of_variables) = (Vec::new(), Vec::new(), Vec::new());
        let (open, looked_up, room) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            file,
            beside,
            found,
            named,
            worked_out: false,
            of_variables,
            open,
            looked_up,
            room,
            idle: false,
        }
    }

    pub fn document(&mut self, root: &Node) {
        self.anywhere(root);
        match &root.value {
            Value::List(items) => items.iter().for_each(|item| self.item(item)),
            Value::Map(entries) => self.lists(entries),
            _ => {}
        }
    }

    fn error(&mut self, spot: Position, message: String) {
        self.found.push(Diagnostic::error(spot.place(self.file), message).hint(ASK));
    }

    fn judge(&mut self, judge: fn(&str) -> Meaning, (text, spot): (&str, Position), word: &str) {
        let written = format!("{word}: {text}");
        match judge(text) {
            Meaning::Builder => {}
            Meaning::Factory => self.error(spot, format!("this runs on the factory: `{written}`")),
            Meaning::Unknown => {
                self.open.push(Open { spot, written, text: text.to_owned(), judge })
            }
        }
    }

    /// A machine of another name is not the factory, and it is not there.
    fn delegated(&mut self, text: &str, spot: Position) {
        let name = text.trim().trim_matches(['"', '\'']);
        let other = !names::is_template(name)
            && names::delegate(name) == Meaning::Factory
            && !hosts::means_factory(name);
        if !other || name.is_empty() {
            return self.judge(names::delegate, (text, spot), "delegate_to");
        }
        let message = format!(
            "`delegate_to: {name}` names a machine that a run does not know: it reaches the \
                builder alone"
        );
        let finding = match self.idle {
            true => Diagnostic::warning(spot.place(self.file), message),
            false => Diagnostic::error(spot.place(self.file), message),
        };
        self.found.push(finding.hint(
            "leave it out where the builder is meant; what another \
            machine does is no part of an image",
        ));
    }

    /// What means the same wherever it stands.
    fn anywhere(&mut self, node: &Node) {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    self.variable(entry);
                    self.anywhere(&entry.value);
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.anywhere(item)),
            Value::Scalar { text, .. } => {
                for (_, message) in assigned(text) {
                    self.error(node.spot, message);
                }
                let names = environment::looked_up(text)
                    .into_iter()
                    .map(|(_, name)| (node.spot, name.to_owned()));
                self.looked_up.extend(names);
                for found in LOOKUP.captures_iter(text) {
                    self.lookup(&found[1], &found[2], node.spot);
                }
            }
            Value::Null => {}
        }
    }

    fn lookup(&mut self, kind: &str, path: &str, spot: Position) {
        // `/dev/null length=16` keeps no password.
        if path.split(' ').next() == Some("/dev/null") || !names::leaves(self.beside, path) {
            return;
        }
        match room::Path::of(path.split(' ').next().unwrap_or_default()) {
            // It writes the password that it does not find.
            Some(path) if kind == "password" => self.room.push(Use { spot, path, writes: true }),
            Some(path) => self.room.push(Use { spot, path, writes: false }),
            None => self.error(spot, format!("a file of the factory is read: `{path}`")),
        }
    }

    fn variable(&mut self, entry: &Entry) {
        if let Some(why) = names::variable(&entry.key) {
            let finding = Diagnostic::error(
                entry.spot.place(self.file),
                format!("`{}` cannot be set: {why}", entry.key),
            );
            self.found.push(finding.hint("leave it out"));
        } else if let ("ansible_connection", Some(text)) =
            (entry.key.as_str(), scalar(&entry.value))
        {
            self.judge(names::connection, (text, entry.spot), "ansible_connection");
        } else if let (true, Some(text)) =
            (ADDRESSES.contains(&entry.key.as_str()), scalar(&entry.value))
            && hosts::means_factory(text)
        {
            self.error(entry.spot, format!("this leads to the factory: `{}: {text}`", entry.key));
        }
    }

    fn lists(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|e| TASK_LISTS.contains(&e.key.as_str())) {
            if let Value::List(items) = &entry.value.value {
                let before = self.idle;
                self.idle |= ["rescue", "handlers"].contains(&entry.key.as_str());
                items.iter().for_each(|item| self.item(item));
                self.idle = before;
            }
        }
    }

    /// A play, a block or a task.
    fn item(&mut self, node: &Node) {
        let Value::Map(entries) = &node.value else { return };
        let before = self.idle;
        let never = |e: &Entry| {
            e.key == "tags"
                && words(&e.value)
                    .iter()
                    .any(|(tags, _)| tags.split(',').any(|tag| tag.trim() == "never"))
        };
        self.idle |= entries.iter().any(|e| e.key == "when" || never(e));
        for entry in entries {
            self.word(entry, entries);
        }
        self.lists(entries);
        self.idle = before;
    }

    fn word(&mut self, entry: &Entry, around: &[Entry]) {
        let (key, value) = (short(&entry.key), &entry.value);
        match key {
            "hosts" => {
                for (text, _) in words(value) {
                    self.judge(hosts::pattern, (text, value.spot), "hosts");
                }
            }
            "delegate_to" => {
                let text = scalar(value).unwrap_or_default();
                self.delegated(text, entry.spot);
            }
            "local_action" => {
                self.error(entry.spot, "this runs on the factory: `local_action`".into())
            }
            "connection" => {
                let text = scalar(value).unwrap_or_default();
                self.judge(names::connection, (text, entry.spot), "connection");
            }
            "action" => self.action(value),
            "add_host" => self.added(value),
            "with_env" => self
                .looked_up
                .extend(words(value).into_iter().map(|(name, spot)| (spot, name.to_owned()))),
            _ if LOOPS.contains(&key) => self.files(value),
            _ if FILES.contains(&key) => self.included(key, value, around),
            _ => self.module(key, value),
        }
    }

    /// Files and directories of what is to run, or of variables.
    fn included(&mut self, key: &str, value: &Node, around: &[Entry]) {
        self.files(value);
        let args = around.iter().filter(|e| e.key == "args").map(|e| &e.value);
        for (text, _) in std::iter::once(value).chain(args).flat_map(words) {
            if text.contains("{{") {
                self.worked_out = true;
                continue;
            }
            // `a.yml tags=x`, `file=a.yml`: what is no file of these is none of those that are
            // read.
            let first = text.split_whitespace().next().filter(|first| *first != text);
            let named = SRC
                .captures_iter(text)
                .map(|found| found[2].to_owned())
                .chain(first.map(str::to_owned));
            let named: Vec<PathBuf> = named.chain([text.to_owned()]).map(PathBuf::from).collect();
            if key == "include_vars" {
                self.of_variables.extend(named.iter().cloned());
            }
            self.named.extend(named);
        }
        self.applied(value, around);
    }

    /// `apply` of an include: words of a task for all that are included; `args` beside a task:
    /// arguments of its module.
    fn applied(&mut self, value: &Node, around: &[Entry]) {
        let inner = |entries: &[Entry], key: &str| {
            entries.iter().find(|e| e.key == key).map(|e| e.value.clone())
        };
        let own =
            if let Value::Map(entries) = &value.value { inner(entries, "apply") } else { None };
        for node in
            own.into_iter().chain(inner(around, "args").and_then(|args| match &args.value {
                Value::Map(entries) => inner(entries, "apply"),
                _ => None,
            }))
        {
            self.item(&node);
        }
    }

    /// `action: copy src=/etc/passwd`, or a map with `module`.
    fn action(&mut self, value: &Node) {
        match &value.value {
            Value::Scalar { text, plain } => {
                let (module, rest) =
                    text.trim().split_once(char::is_whitespace).unwrap_or((text, ""));
                let rest = Value::Scalar { text: rest.to_owned(), plain: *plain };
                self.module(short(module), &Node { spot: value.spot, value: rest, raw: value.raw });
            }
            Value::Map(entries) => {
                if let Some(module) =
                    entries.iter().find(|e| e.key == "module").and_then(|e| scalar(&e.value))
                {
                    self.module(short(module.split_whitespace().next().unwrap_or_default()), value);
                }
            }
            _ => {}
        }
    }

    /// Hosts that a play adds are reached from the factory, by SSH as the builder is.
    fn added(&mut self, value: &Node) {
        let names: Vec<(&str, Position)> = match &value.value {
            Value::Scalar { text, .. } => HOST
                .captures_iter(text)
                .filter_map(|c| Some((c.get(1)?.as_str(), value.spot)))
                .collect(),
            Value::Map(entries) => {
                let named = entries
                    .iter()
                    .filter(|e| ["name", "hostname", "host"].contains(&e.key.as_str()));
                named.flat_map(|e| words(&e.value)).collect()
            }
            _ => Vec::new(),
        };
        for (name, spot) in names.into_iter().filter(|(name, _)| hosts::means_factory(name)) {
            self.error(spot, format!("this adds the factory to the hosts: `{name}`"));
        }
    }

    fn module(&mut self, module: &str, value: &Node) {
        if module == "add_host" {
            return self.added(value);
        }
        if FILES.contains(&module) {
            return self.included(module, value, &[]);
        }
        let reads = READERS.contains(&module) && !(module == "synchronize" && is_pull(value));
        if !reads && !["fetch", "synchronize"].contains(&module) {
            return;
        }
        let key = if reads { "src" } else { "dest" };
        let mut paths = Vec::new();
        match &value.value {
            Value::Scalar { text, .. } => {
                let remote = text.contains("remote_src=");
                paths.extend(
                    SRC.captures_iter(text)
                        .filter(|c| &c[1] == key && !remote)
                        .map(|c| (c[2].to_owned(), value.spot)),
                );
                if module == "script" {
                    paths.extend(
                        text.split_whitespace().next().map(|first| (first.to_owned(), value.spot)),
                    );
                }
            }
            Value::Map(entries) => {
                // On the machine, where that is said with a plain yes; what is worked out is not
                // believed.
                let says = |e: &Entry, words: &[&str]| {
                    scalar(&e.value).is_some_and(|v| words.contains(&v.to_lowercase().as_str()))
                };
                let remote = entries.iter().any(|e| match e.key.as_str() {
                    "remote_src" => says(e, &["true", "yes", "on", "1"]),
                    "copy" => says(e, &["false", "no", "off", "0"]),
                    _ => false,
                });
                let named = |e: &&Entry| e.key == key || (module == "script" && e.key == "cmd");
                for entry in entries.iter().filter(named).filter(|_| !remote) {
                    paths.extend(
                        scalar(&entry.value).map(|text| (text.to_owned(), entry.value.spot)),
                    );
                }
            }
            _ => {}
        }
        let what = if reads { "read" } else { "written" };
        // Relative to the playbook, in what no step can write.
        let inner = |path: &str| {
            !path.is_empty() && !path.starts_with(['/', '~', '$']) && !names::is_template(path)
        };
        let (written, paths): (Vec<_>, Vec<_>) = paths
            .into_iter()
            .partition(|(path, _)| !reads && inner(path) && !names::leaves(self.beside, path));
        for (path, spot) in written {
            let message = format!(
                "a file of the definition is written, which is read-only in a run: `{path}`"
            );
            self.found.push(Diagnostic::error(spot.place(self.file), message).hint(WRITTEN));
        }
        for (path, spot) in paths.into_iter().filter(|(path, _)| names::leaves(self.beside, path)) {
            self.outside(spot, &path, what);
        }
    }

    fn files(&mut self, value: &Node) {
        let outside: Vec<(String, Position)> = words(value)
            .into_iter()
            .filter(|(text, _)| names::leaves(self.beside, text))
            .map(|(t, s)| (t.to_owned(), s))
            .collect();
        for (path, spot) in outside {
            self.outside(spot, &path, "read");
        }
    }

    fn outside(&mut self, spot: Position, path: &str, what: &str) {
        if let Some(path) = room::Path::of(path) {
            return self.room.push(Use { spot, path, writes: what == "written" });
        }
        let finding = Diagnostic::error(
            spot.place(self.file),
            format!("a file outside of the bundle is {what} on the factory: `{path}`"),
        );
        self.found.push(finding.hint(match what {
            "written" => WRITTEN,
            _ => {
                "what a bundle needs lies in its directory; a link in it may lead to what the \
                tree shares"
            }
        }));
    }
}

//! Tasks and blocks: which module they call, and which files that needs.
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::handlers::Handling;
use super::words::{self, Level};
use super::{NeedKind, Scope, Walk, is_template, modules, moved, scalar, tail, texts};
use crate::bundle::scripts::{self, Told};
use crate::bundle::yaml::{Entry, Node, Position, Value};

/// Words of tasks and blocks; what else is a key of a task is its module.
const WORDS: &[&str] = &[
    "action",
    "always",
    "any_errors_fatal",
    "args",
    "async",
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "block",
    "changed_when",
    "check_mode",
    "collections",
    "connection",
    "debugger",
    "delay",
    "delegate_facts",
    "delegate_to",
    "diff",
    "environment",
    "failed_when",
    "ignore_errors",
    "ignore_unreachable",
    "listen",
    "local_action",
    "loop",
    "loop_control",
    "module_defaults",
    "name",
    "no_log",
    "notify",
    "poll",
    "port",
    "register",
    "remote_user",
    "rescue",
    "retries",
    "run_once",
    "tags",
    "throttle",
    "timeout",
    "until",
    "vars",
    "when",
];

/// Modules that read a file of the factory: the directories where it lies.
const READERS: &[(&str, &[&str])] = &[
    ("copy", &["files"]),
    ("template", &["templates"]),
    ("script", &["files"]),
    ("unarchive", &["files"]),
    ("patch", &["files"]),
    ("assemble", &["files"]),
    ("include_vars", &["vars"]),
];

/// Items of a loop that are looked at one by one.
const MOST_ITEMS: usize = 50;
static ITEM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{-?\s*item\s*-?\}\}").expect("the pattern is fixed"));

impl Walk<'_> {
    pub(super) fn task_file(&mut self, path: &Path, scope: &Scope) {
        match scope.dynamic || scope.conditional {
            false if self.perhaps.remove(path) => _ = self.seen.remove(path),
            true if !self.seen.contains(path) => _ = self.perhaps.insert(path.to_owned()),
            _ => {}
        }
        self.handlers.reads(path, scope, self.seen.contains(path));
        let Some(root) = self.open(path) else { return };
        if !matches!(root.value, Value::List(_) | Value::Null) {
            self.error(
                path,
                root.spot,
                format!("a file of tasks is a list, not {}", root.what()),
                "each task begins with `- `",
            );
        }
        self.tasks(&root, &Scope { file: path.to_owned(), ..scope.clone() });
    }

    pub(super) fn tasks(&mut self, list: &Node, scope: &Scope) {
        let Value::List(items) = &list.value else { return };
        for item in items {
            if let Value::Map(entries) = &item.value {
                self.task(entries, scope);
            }
        }
    }

    fn task(&mut self, entries: &[Entry], scope: &Scope) {
        self.words(entries, Level::Task, scope);
        self.variables_of(entries);
        self.notifies(entries, scope);
        self.no_handler(entries, scope);
        // A loop may be empty.
        let before = scope.clone();
        let scope = &Scope {
            conditional: scope.conditional || may_not_run(entries),
            ..scope.with_collections(entries)
        };
        let rescued = entries.iter().any(|e| e.key == "rescue");
        for entry in entries {
            match entry.key.as_str() {
                "block" | "rescue" | "always" => {
                    let conditional = scope.conditional || rescued && entry.key != "always";
                    self.tasks(&entry.value, &Scope { conditional, ..scope.clone() });
                }
                "collections" => self.collections(&entry.value, scope),
                "vars" => self.values(&entry.value, scope),
                "register" => self.registers(entry, scope),
                "become_method" | "connection" => self.plugin_word(entry, entries, scope),
                // Ansible works these out to know whether the task runs.
                key if key == "when" || is_loop(key) || key.starts_with("with_") => {
                    self.expressions(&entry.value, &before)
                }
                // What it cannot render Ansible shows as it stands.
                "name" => self.expressions(&entry.value, &Scope { unused: true, ..scope.clone() }),
                _ => self.expressions(&entry.value, scope),
            }
        }
        let args = entries.iter().find(|e| e.key == "args").map(|e| &e.value);
        if let Some(entry) = entries.iter().find(|e| !is_word(&e.key)) {
            let call = Call { module: &entry.key, spot: entry.spot, value: &entry.value, args };
            let items = entries
                .iter()
                .find(|e| is_loop(&e.key))
                .and_then(|e| literal(&e.value))
                .unwrap_or_default();
            let named = entries.iter().any(|e| e.key == "loop_control");
            for item in items.iter().filter(|_| !named) {
                self.call(&Call { value: &with_item(call.value, item), ..call }, scope);
            }
            if items.is_empty() || named {
                self.call(&call, scope);
            }
        } else if let Some(entry) =
            entries.iter().find(|e| e.key == "action" || e.key == "local_action")
        {
            self.action_call(entry, args, scope);
        }
    }

    /// `action: copy src=…`, or a map with `module`.
    fn action_call(&mut self, entry: &Entry, args: Option<&Node>, scope: &Scope) {
        match &entry.value.value {
            Value::Scalar { text, plain } => {
                let (module, rest) =
                    text.trim().split_once(char::is_whitespace).unwrap_or((text, ""));
                let value = Node {
                    spot: entry.value.spot,
                    value: Value::Scalar { text: rest.to_owned(), plain: *plain },
                    raw: false,
                };
                self.call(&Call { module, spot: entry.value.spot, value: &value, args }, scope);
            }
            Value::Map(inner) => {
                let Some(module) =
                    inner.iter().find(|e| e.key == "module").and_then(|e| scalar(&e.value))
                else {
                    return;
                };
                self.call(
                    &Call { module, spot: entry.value.spot, value: &entry.value, args },
                    scope,
                );
            }
            _ => {}
        }
    }

    fn call(&mut self, call: &Call, scope: &Scope) {
        self.module(call, scope);
        self.old_arguments(call, scope);
        match tail(call.module) {
            "include" => {
                let message = "`include` is gone since ansible-core 2.16";
                let given: Vec<String> = call
                    .keys()
                    .into_iter()
                    .map(|(key, _)| key)
                    .filter(|key| key != "file")
                    .collect();
                let given = if given.is_empty() {
                    String::new()
                } else {
                    format!("; `{}` under `vars` beside it", given.join("`, `"))
                };
                let hint = format!(
                    "`include_tasks`, or `import_tasks` for what does not change at the run{given}"
                );
                self.warn(&scope.file, call.spot, message, hint);
                self.include(call, scope);
            }
            "include_tasks" | "import_tasks" => self.include(call, scope),
            "include_role" | "import_role" => self.include_role(call, scope),
            "set_fact" => {
                let keys = call.keys();
                for (name, spot) in &keys {
                    self.old_variable(name, *spot, scope);
                    self.sets("set_fact", name, *spot, scope);
                }
                self.variables.extend(keys.into_iter().map(|(name, _)| name));
            }
            "setup" | "gather_facts" => self.facts.gathered = true,
            "add_host" | "group_by" => self.plays.made_up = true,
            "meta" => self.meta_task(call, scope),
            "assert" => {
                if let Some(that) = call.value_of("that") {
                    self.conditions(that, scope);
                }
            }
            name => {
                if let Some((name, kinds)) = READERS.iter().find(|(reader, _)| *reader == name) {
                    self.reads(name, kinds, call, scope);
                }
            }
        }
    }

    /// The module itself: one that left ansible-core, or one of a collection.
    fn module(&mut self, call: &Call, scope: &Scope) {
        let place = self.place(&scope.file, call.spot);
        if let Some(collection) = modules::collection_of(call.module) {
            // Ansible looks for it when it reads the task, whether that runs or not.
            return self.need(
                (NeedKind::Collection, collection),
                place,
                !scope.dynamic,
                &scope.base,
            );
        }
        let Some((collection, new)) = moved::to(call.module) else { return };
        if self.paths.has_module(call.module, scope) {
            return;
        }
        let message = format!("the module `{}` is no longer part of ansible-core", call.module);
        self.warn(
            &scope.file,
            call.spot,
            message,
            format!("`{collection}.{new}`, of the collection `{collection}`"),
        );
        self.need((NeedKind::Collection, collection), place, !scope.dynamic, &scope.base);
    }

    pub(super) fn old_arguments(&mut self, call: &Call, scope: &Scope) {
        let name = tail(call.module);
        for (_, argument, instead) in modules::GONE.iter().filter(|(module, ..)| *module == name) {
            if let Some(spot) = call.names(argument) {
                self.at_run(
                    scope,
                    spot,
                    format!("`{argument}` of `{name}` is gone from ansible-core"),
                    *instead,
                );
            }
        }
        for (_, argument, instead) in modules::OLD.iter().filter(|(module, ..)| *module == name) {
            if let Some(spot) = call.names(argument) {
                self.warn(
                    &scope.file,
                    spot,
                    format!(
                        "`{argument}` of `{name}` is an old argument: ansible-core 2.19 refuses it"
                    ),
                    *instead,
                );
            }
        }
        for (_, argument, value, instead) in
            modules::VALUES.iter().filter(|(module, ..)| *module == name)
        {
            if let Some((_, spot)) = call.argument(argument).filter(|(text, _)| text == value) {
                self.at_run(
                    scope,
                    spot,
                    format!("`{argument}: {value}` of `{name}` is gone from ansible-core"),
                    *instead,
                );
            }
        }
        if name == "uri"
            && let Some((key, spot)) =
                call.keys().into_iter().find(|(key, _)| key.starts_with("HEADER_"))
        {
            let header = key.trim_start_matches("HEADER_").to_owned();
            self.at_run(
                scope,
                spot,
                format!("`{key}` of `uri` is gone from ansible-core"),
                format!("`headers: {{{header}: …}}`"),
            );
        }
        self.mode(call, scope);
    }

    /// A number without `0` before it is no octal one.
    fn mode(&mut self, call: &Call, scope: &Scope) {
        let Some(Node { spot, value: Value::Scalar { text, plain: true }, .. }) =
            call.value_of("mode")
        else {
            return;
        };
        if text.len() >= 3 && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()) {
            let octal = text
                .parse::<u32>()
                .map_or_else(|_| "another".into(), |number| format!("{number:o}"));
            let message = format!("`mode: {text}` is a decimal number, and means {octal}");
            self.warn(&scope.file, *spot, message, format!("`mode: \"0{text}\"`"));
        }
    }

    fn include(&mut self, call: &Call, scope: &Scope) {
        if tail(call.module) != "include" {
            for (key, spot) in call
                .keys()
                .into_iter()
                .filter(|(key, _)| !modules::OF_INCLUDES.contains(&key.as_str()))
            {
                let message = format!("`{key}` is no argument of `{}`", tail(call.module));
                self.error(
                    &scope.file,
                    spot,
                    message,
                    format!("`vars: {{{key}: …}}` beside it; words of a task stand beside it, too"),
                );
            }
        }
        let Some((name, spot)) = call.free_or("file") else { return };
        if let Some((tags, _)) = call.argument("tags") {
            self.tags.extend(tags.split(',').map(|tag| tag.trim().to_owned()));
        }
        // The old `include` took handlers in before, as long as nothing of it changed at the run.
        let late = tail(call.module) == "include_tasks" && scope.handlers != Handling::No;
        if is_template(&name) {
            // What is taken in late notifies nobody's handlers, and has tags all the same.
            match late {
                true => _ = self.tags.insert(name),
                false => self.open = true,
            }
            return;
        }
        match self.paths.find(&name, &["tasks", "handlers"], scope) {
            Some(path) => {
                let imported = tail(call.module) == "import_tasks";
                let dynamic = scope.dynamic || scope.conditional && !imported;
                let handlers = if late { Handling::Late } else { scope.handlers };
                self.task_file(&path, &Scope { dynamic, handlers, ..scope.clone() });
            }
            None => {
                let imported = tail(call.module) == "import_tasks";
                let scope = &Scope { conditional: scope.conditional && !imported, ..scope.clone() };
                self.missing(&format!("the file of tasks `{name}`"), Path::new(&name), spot, scope);
            }
        }
    }

    fn include_role(&mut self, call: &Call, scope: &Scope) {
        let Some((name, spot)) = call.argument("name") else { return };
        let files = ["tasks_from", "handlers_from", "vars_from", "defaults_from"];
        let from: Vec<(&str, String)> =
            files.iter().filter_map(|key| Some((*key, call.argument(key)?.0))).collect();
        let dynamic = scope.dynamic || scope.conditional && tail(call.module) == "include_role";
        self.role(&name, spot, &from, &Scope { dynamic, ..scope.clone() });
    }

    /// A file of the factory that the module reads.
    fn reads(&mut self, module: &str, kinds: &[&str], call: &Call, scope: &Scope) {
        let truth = |text: &str, words: &[&str]| words.contains(&text.to_lowercase().as_str());
        let is = |key: &str, words: &[&str]| {
            call.argument(key).is_some_and(|(text, _)| truth(&text, words) || is_template(&text))
        };
        let remote = is("remote_src", &["true", "yes", "on", "1"])
            || is("copy", &["false", "no", "off", "0"]);
        // What `assemble` takes lies on the machine, unless it is said otherwise.
        let far = module == "assemble" && !is("remote_src", &["false", "no", "off", "0"]);
        let named = match module {
            "script" => call.free_or("cmd"),
            "include_vars" => call.free_or("file"),
            _ => call.argument("src"),
        };
        let Some((name, spot)) = named.filter(|_| !remote && !far) else { return };
        if is_template(&name) || name.contains("://") || name.is_empty() {
            return;
        }
        match self.paths.find(&name, kinds, scope) {
            Some(path) if module == "template" => {
                let own_marks = call.keys().iter().any(|(key, _)| key.ends_with("_string"));
                self.template(&path, own_marks, scope);
            }
            Some(path) if module == "include_vars" => self.vars(&path, scope),
            Some(path) if module == "script" => self.script(&path, scope),
            Some(_) => {}
            None => self.missing(
                &format!("`{name}`, which `{module}` reads,"),
                Path::new(&name),
                spot,
                scope,
            ),
        }
    }

    /// Tasks that may not run miss nothing for certain.
    pub(super) fn missing(&mut self, what: &str, path: &Path, spot: Position, scope: &Scope) {
        if path.is_absolute() || path.starts_with("~") {
            return;
        }
        let message = format!("{what} does not exist");
        let hint =
            "it is looked for beside the file that names it, in its role, and beside the playbook";
        match scope.conditional {
            true => self.warn(&scope.file, spot, message, hint),
            false => self.error(&scope.file, spot, message, hint),
        }
    }

    /// A script that a task sends to the machine.
    fn script(&mut self, path: &Path, scope: &Scope) {
        let Some(full) = self.paths.inside(path).filter(|full| full.is_file()) else { return };
        for Told { trouble, line, error } in scripts::run(&full) {
            let spot = Position { line, column: usize::from(line > 0) };
            match error && !scope.may_not_run() {
                true => self.error(path, spot, trouble.message, trouble.hint),
                false => self.warn(path, spot, trouble.message, trouble.hint),
            }
        }
    }
}

fn is_word(key: &str) -> bool {
    WORDS.contains(&key) || key.starts_with("with_") || words::is_gone(key)
}

/// The module that a task calls; a block calls none.
pub(super) fn module_of(entries: &[Entry]) -> Option<&str> {
    if let Some(entry) = entries.iter().find(|e| !is_word(&e.key)) {
        return Some(&entry.key);
    }
    let action = entries.iter().find(|e| e.key == "action" || e.key == "local_action")?;
    match &action.value.value {
        Value::Scalar { text, .. } => text.split_whitespace().next(),
        Value::Map(inner) => {
            inner.iter().find(|e| e.key == "module").and_then(|e| scalar(&e.value))
        }
        _ => None,
    }
}

/// By the words of a task, a block, a role or an import: it may not run, or its failure is let
/// pass.
pub(super) fn may_not_run(entries: &[Entry]) -> bool {
    let says = |e: &Entry, words: &[&str]| {
        texts(&e.value)
            .iter()
            .any(|(text, _)| text.split(',').any(|word| words.contains(&word.trim())))
    };
    entries.iter().any(|e| match e.key.as_str() {
        "when" => true,
        key if is_loop(key) => literal(&e.value).is_none(),
        "ignore_errors" => !says(e, &["false", "no", "False"]),
        "failed_when" => says(e, &["false", "no", "False"]),
        "tags" => says(e, &["never"]),
        // A loop may be empty.
        key => key.starts_with("with_"),
    })
}

fn is_loop(key: &str) -> bool {
    ["loop", "with_items", "with_list"].contains(&key)
}

/// Items that are written out.
fn literal(value: &Node) -> Option<Vec<&str>> {
    let Value::List(items) = &value.value else { return None };
    let items: Option<Vec<&str>> =
        items.iter().map(|item| scalar(item).filter(|text| !is_template(text))).collect();
    items.filter(|items| !items.is_empty() && items.len() <= MOST_ITEMS)
}

/// With an item in the place of `{{ item }}`.
fn with_item(node: &Node, item: &str) -> Node {
    let value = match &node.value {
        Value::Scalar { text, plain } => Value::Scalar {
            text: ITEM.replace_all(text, regex::NoExpand(item)).into_owned(),
            plain: *plain,
        },
        Value::List(nodes) => Value::List(nodes.iter().map(|node| with_item(node, item)).collect()),
        Value::Map(entries) => {
            let entry = |e: &Entry| Entry {
                key: e.key.clone(),
                spot: e.spot,
                value: with_item(&e.value, item),
            };
            Value::Map(entries.iter().map(entry).collect())
        }
        Value::Null => Value::Null,
    };
    Node { spot: node.spot, value, raw: node.raw }
}

/// A call of a module.
pub(super) struct Call<'n> {
    pub module: &'n str,
    pub spot: Position,
    pub value: &'n Node,
    /// `args` beside it.
    pub args: Option<&'n Node>,
}

impl Call<'_> {
    fn maps(&self) -> impl Iterator<Item = &[Entry]> {
        let nodes = [Some(self.value), self.args];
        nodes.into_iter().flatten().filter_map(|node| match &node.value {
            Value::Map(entries) => Some(entries.as_slice()),
            _ => None,
        })
    }

    fn value_of(&self, key: &str) -> Option<&Node> {
        self.maps().flatten().find(|e| e.key == key).map(|e| &e.value)
    }

    /// An argument that is a text, from a map or from `key=value`.
    fn argument(&self, key: &str) -> Option<(String, Position)> {
        if let Some(node) = self.value_of(key) {
            return texts(node).first().map(|(text, spot)| ((*text).to_owned(), *spot));
        }
        let text = scalar(self.value)?;
        modules::pairs(text)
            .into_iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| (value, self.value.spot))
    }

    /// All arguments that have a name.
    fn keys(&self) -> Vec<(String, Position)> {
        let written = self.maps().flatten().map(|e| (e.key.clone(), e.spot));
        let text = scalar(self.value).map(modules::pairs).unwrap_or_default();
        written.chain(text.into_iter().map(|(key, _)| (key, self.value.spot))).collect()
    }

    /// Where an argument of this name is given.
    fn names(&self, key: &str) -> Option<Position> {
        let written = self.maps().flatten().find(|e| e.key == key).map(|e| e.spot);
        written.or_else(|| self.argument(key).map(|(_, spot)| spot))
    }

    /// `include_tasks: x.yml`, or an argument.
    fn free_or(&self, key: &str) -> Option<(String, Position)> {
        self.argument(key).or_else(|| {
            let text = scalar(self.value)?.trim();
            // All of it names the file; of a script the first word, and what follows it are its
            // arguments.
            let words = modules::free(text);
            let name = match tail(self.module) {
                _ if is_template(text) => text.to_owned(),
                "script" => words.first().filter(|word| !word.ends_with('\\')).cloned()?,
                _ => words.join(" "),
            };
            Some((name.trim_matches(['"', '\'']).to_owned(), self.value.spot))
        })
    }
}

/// For `roles`: directories of a role and the files of tasks and variables in them.
pub(super) fn with_endings(path: &Path) -> [PathBuf; 4] {
    ["", ".yml", ".yaml", ".json"].map(|end| PathBuf::from(format!("{}{end}", path.display())))
}

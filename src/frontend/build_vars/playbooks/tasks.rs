//! Tasks and blocks: which module they call, and which files that needs.
use crate::model::definition::NeedKind;
use std::path::{Path, PathBuf};

use super::calls::Call;
use super::loops::{is_loop, literal, with_item};
use super::words::{self, Level};
use super::{Scope, Walk, modules, moved, scalar, tail, texts};
use crate::frontend::build_vars::yaml::{Entry, Node, Value};

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

/// For `roles`: directories of a role and the files of tasks and variables in them.
pub(super) fn with_endings(path: &Path) -> [PathBuf; 4] {
    ["", ".yml", ".yaml", ".json"].map(|end| PathBuf::from(format!("{}{end}", path.display())))
}

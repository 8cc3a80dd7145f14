//! Words of plays and tasks that Ansible has dropped, and what is written in their place today.
use super::calls::Call;
use super::tasks;
use super::{Scope, Walk, is_template, scalar, tail};
use crate::frontend::build_vars::yaml::{Entry, Node, Position, Value};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Play,
    Task,
}

/// Where a word is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Play,
    Task,
    Both,
}

/// Words that every ansible-core refuses, and what takes their place.
const GONE: &[(&str, Where, &str)] = &[
    ("sudo", Where::Both, "`become: true`"),
    ("sudo_user", Where::Both, "`become_user`"),
    (
        "sudo_pass",
        Where::Both,
        "`ansible_become_password`, which the factory's machines do not need",
    ),
    ("su", Where::Both, "`become: true` with `become_method: su`"),
    ("su_user", Where::Both, "`become_user` with `become_method: su`"),
    ("su_pass", Where::Both, "`ansible_become_password`, which the factory's machines do not need"),
    (
        "accelerate",
        Where::Both,
        "leave it out: the factory switches on pipelining, which is as fast",
    ),
    ("accelerate_port", Where::Play, "leave it out, with `accelerate`"),
    ("accelerate_ipv6", Where::Play, "leave it out, with `accelerate`"),
    ("always_run", Where::Task, "`check_mode: false`"),
    (
        "static",
        Where::Task,
        "`import_tasks` instead of `static: true`, `include_tasks` instead of `static: false`",
    ),
    ("first_available_file", Where::Task, "`with_first_found`, or `lookup('first_found', …)`"),
    ("only_if", Where::Task, "`when`"),
    ("when_set", Where::Task, "`when: x is defined`"),
    ("when_unset", Where::Task, "`when: x is not defined`"),
    ("when_changed", Where::Task, "`when: result is changed`"),
    ("when_failed", Where::Task, "`when: result is failed`"),
    ("when_string", Where::Task, "`when`"),
    ("when_integer", Where::Task, "`when`"),
    ("when_float", Where::Task, "`when`"),
    ("when_boolean", Where::Task, "`when`"),
];

/// Variables whose names are old, and their new names.
const OLD_VARIABLES: &[(&str, &str)] = &[
    ("ansible_ssh_user", "ansible_user"),
    ("ansible_ssh_pass", "ansible_password"),
    ("ansible_ssh_host", "ansible_host"),
    ("ansible_ssh_port", "ansible_port"),
    ("ansible_sudo", "ansible_become"),
    ("ansible_sudo_user", "ansible_become_user"),
    ("ansible_sudo_pass", "ansible_become_password"),
    ("ansible_sudo_exe", "ansible_become_exe"),
    ("ansible_su", "ansible_become"),
    ("ansible_su_user", "ansible_become_user"),
    ("ansible_su_pass", "ansible_become_password"),
];

/// Loops over a variable that is named without braces take its name for the value.
const LOOPS: &[&str] = &[
    "with_items",
    "with_list",
    "with_dict",
    "with_indexed_items",
    "with_flattened",
    "with_subelements",
    "with_nested",
    "with_cartesian",
    "with_together",
    "with_random_choice",
    "loop",
];
/// What Ansible works out without braces around it.
const CONDITIONS: &[&str] = &["when", "until", "failed_when", "changed_when", "that"];

/// Whether it was a word once: then it is no module.
pub(super) fn is_gone(key: &str) -> bool {
    GONE.iter().any(|(word, ..)| *word == key)
}

impl Walk<'_> {
    /// The words of a play, a block or a task.
    pub(super) fn words(&mut self, entries: &[Entry], level: Level, scope: &Scope) {
        self.tags_of(entries);
        let within = Scope {
            conditional: scope.conditional || tasks::may_not_run(entries),
            ..scope.clone()
        };
        for entry in entries {
            let key = entry.key.as_str();
            let fits =
                |at: Where| at == Where::Both || (at == Where::Play) == (level == Level::Play);
            if let Some((_, _, instead)) =
                GONE.iter().find(|(word, at, _)| *word == key && fits(*at))
            {
                self.error(
                    &scope.file,
                    entry.spot,
                    format!("`{key}` is no word of Ansible's any more"),
                    *instead,
                );
            }
            if key == "user" && level == Level::Play {
                self.warn(
                    &scope.file,
                    entry.spot,
                    "`user` of a play is an old name",
                    "`remote_user`",
                );
            }
            if key == "vars" {
                self.old_variables(&entry.value, scope);
            }
            if LOOPS.contains(&key) {
                self.loops(key, &entry.value, scope);
            }
            if key == "loop" && matches!(entry.value.value, Value::Map(_)) {
                self.no_list(
                    "a map",
                    "`loop: \"{{ … | dict2items }}\"`, with `item.key` and `item.value`".into(),
                    entry.value.spot,
                    scope,
                );
            }
            if key == "when" {
                self.conditions(&entry.value, scope);
            } else if CONDITIONS.contains(&key) {
                // Where the task does not run nobody asks how it went.
                self.conditions(&entry.value, &within);
            }
            if key == "action" {
                self.action(entry, scope);
            }
            if key == "environment" {
                self.environment(&entry.value, &within);
            }
            self.old_form(entry, level, scope);
        }
    }

    /// `loop: 5`, `loop: {a: 1}`: Ansible looks at it before it looks at `when`.
    pub(super) fn no_list(&mut self, what: &str, hint: String, spot: Position, scope: &Scope) {
        self.at_run(scope, spot, format!("`loop` goes over a list, and this is {what}"), hint);
    }

    /// Names of variables that are set under old names; in files of variables, `vars` and
    /// `set_fact`.
    pub(super) fn old_variables(&mut self, node: &Node, scope: &Scope) {
        let Value::Map(entries) = &node.value else { return };
        for entry in entries {
            self.old_variable(&entry.key, entry.spot, scope);
        }
    }

    pub(super) fn old_variable(&mut self, name: &str, spot: Position, scope: &Scope) {
        if let Some((_, new)) = OLD_VARIABLES.iter().find(|(old, _)| *old == name) {
            let message = format!("`{name}` is an old name");
            self.warn(
                &scope.file,
                spot,
                message,
                format!("`{new}`; the factory sets how the builder is reached"),
            );
        }
    }

    /// `environment: proxy`, which was the variable of that name in Ansible 1.
    fn environment(&mut self, node: &Node, scope: &Scope) {
        let names = match &node.value {
            Value::List(items) => {
                items.iter().filter_map(|item| Some((scalar(item)?, item.spot))).collect()
            }
            _ => scalar(node).map(|text| (text, node.spot)).into_iter().collect::<Vec<_>>(),
        };
        for (text, spot) in names.into_iter().filter(|(text, _)| !is_template(text)) {
            let bare = text.trim_start_matches("${").trim_start_matches('$').trim_end_matches('}');
            let message = format!("`environment: {text}` is a text, not the variable of that name");
            self.at_run(scope, spot, message, format!("`environment: \"{{{{ {bare} }}}}\"`"));
        }
    }

    /// Words whose old forms are told by what they hold.
    fn old_form(&mut self, entry: &Entry, level: Level, scope: &Scope) {
        match (entry.key.as_str(), &entry.value.value) {
            ("vars", Value::List(_)) => {
                self.warn(
                    &scope.file,
                    entry.spot,
                    "`vars` as a list is old: ansible-core 2.19 refuses it",
                    "one map: `vars: {a: 1, b: 2}`",
                );
            }
            ("vars_prompt", Value::Map(_)) if level == Level::Play => {
                let hint = "`vars_prompt: [{name: …, default: …}]`, or `vars`";
                self.error(&scope.file, entry.spot, "`vars_prompt` as a map is of Ansible 1", hint);
            }
            ("vars_prompt", Value::List(asked)) if !asked.is_empty() && level == Level::Play => {
                let message =
                    "`vars_prompt` asks nobody in a build: what it names gets its `default`";
                self.warn(
                    &scope.file,
                    entry.spot,
                    message,
                    "`extra_vars` of the step, which are not asked for, or `vars`",
                );
            }
            ("module_defaults", Value::Map(modules)) => {
                for module in modules {
                    let call = Call {
                        module: &module.key,
                        spot: module.spot,
                        value: &module.value,
                        args: None,
                    };
                    self.old_arguments(&call, scope);
                }
            }
            _ => {}
        }
        if let Some(lookup) = entry.key.strip_prefix("with_") {
            self.plugin("lookup", lookup, entry.spot, scope);
        }
    }

    /// `action: module=copy src=…`, which was never more than a way to write `action: copy src=…`.
    fn action(&mut self, entry: &Entry, scope: &Scope) {
        let Value::Scalar { text, .. } = &entry.value.value else { return };
        if let Some(module) = text
            .trim_start()
            .strip_prefix("module=")
            .and_then(|rest| rest.split_whitespace().next())
        {
            let message = format!("`action: module={module}` names no module");
            self.error(
                &scope.file,
                entry.spot,
                message,
                format!("`{}: …` as a key of the task", tail(module)),
            );
        }
    }
}

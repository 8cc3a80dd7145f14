//! Playbooks and their plays.
use crate::model::definition::NeedKind;
use std::path::Path;

use super::{Scope, Walk, handlers, is_template, modules, scalar, tail, tasks, texts, words};
use crate::frontend::build_vars::yaml::{Entry, Node, Value};

impl Walk<'_> {
    /// A playbook; `conditional`: it may not run.
    pub(super) fn plays(&mut self, path: &Path, conditional: bool) {
        let Some(root) = self.open(path) else { return };
        let Value::List(items) = &root.value else { return };
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let scope = Scope { file: path.to_owned(), base, conditional, ..Scope::default() };
        self.group_vars(&scope);
        for item in items {
            let Value::Map(entries) = &item.value else { continue };
            let scope = Scope {
                conditional: scope.conditional || tasks::may_not_run(entries),
                ..scope.clone()
            };
            self.tags_of(entries);
            match entries
                .iter()
                .find(|e| matches!(e.key.as_str(), "include") || tail(&e.key) == "import_playbook")
            {
                Some(import) => self.import(import, &scope),
                None => self.play(entries, &scope),
            }
        }
    }

    fn import(&mut self, entry: &Entry, scope: &Scope) {
        if entry.key == "include" {
            self.warn(
                &scope.file,
                entry.spot,
                "`include` is gone since ansible-core 2.16",
                "here it is `import_playbook`",
            );
        }
        let Some(text) = scalar(&entry.value) else { return };
        // A playbook of a collection has no directory before its name.
        let name = text.split_whitespace().next().unwrap_or_default();
        if is_template(name)
            || modules::collection_of(name.trim_end_matches(".yml"))
                .is_some_and(|_| !name.contains('/'))
                && !name.ends_with(".yml")
        {
            return;
        }
        let wanted = scope.file.parent().unwrap_or(Path::new("")).join(name);
        if self.paths.is_file(&wanted) {
            self.plays(&wanted, scope.conditional);
        } else if self.paths.may_tell(&wanted) {
            let message = format!("the playbook `{name}` does not exist");
            self.error(&scope.file, entry.value.spot, message, "it is looked for beside this file");
        }
    }

    fn play(&mut self, entries: &[Entry], scope: &Scope) {
        let scope = &scope.with_collections(entries);
        self.words(entries, words::Level::Play, scope);
        self.variables_of(entries);
        self.begin_play(entries);
        if let (None, Some(first)) = (entries.iter().find(|e| e.key == "hosts"), entries.first()) {
            let hint = "`hosts: all` is the builder; tasks stand under `tasks` of a play";
            self.error(&scope.file, first.spot, "this play has no `hosts`", hint);
        }
        let hosts = entries
            .iter()
            .find(|e| e.key == "hosts")
            .map(|e| (self.place(&scope.file, e.value.spot), e.value.clone()));
        self.plays.add(hosts);
        for entry in entries {
            match entry.key.as_str() {
                "tasks" | "pre_tasks" | "post_tasks" => self.tasks(&entry.value, scope),
                // They run where something notifies them.
                "handlers" => self.tasks(
                    &entry.value,
                    &Scope {
                        conditional: true,
                        handlers: handlers::Handling::Yes,
                        ..scope.clone()
                    },
                ),
                "roles" => self.roles(&entry.value, scope),
                "vars_files" => self.vars_files(&entry.value, scope),
                "collections" => self.collections(&entry.value, scope),
                // Nobody may ask for them.
                "vars" => self.lazily(&entry.value, scope),
                "strategy" | "become_method" | "connection" => {
                    self.plugin_word(entry, entries, scope)
                }
                "name" | "vars_prompt" => {
                    self.expressions(&entry.value, &Scope { unused: true, ..scope.clone() })
                }
                _ => self.expressions(&entry.value, scope),
            }
        }
        self.end_play();
    }

    pub(super) fn collections(&mut self, value: &Node, scope: &Scope) {
        for (name, spot) in texts(value) {
            if !["ansible.builtin", "ansible.legacy"].contains(&name) && !is_template(name) {
                // Ansible passes over one that is not there.
                self.need(
                    (NeedKind::Collection, name),
                    self.place(&scope.file, spot),
                    false,
                    &scope.base,
                );
            }
        }
    }

    pub(super) fn tags_of(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|e| e.key == "tags") {
            let all = texts(&entry.value)
                .into_iter()
                .flat_map(|(text, _)| text.split(',').map(|tag| tag.trim().to_owned()));
            self.tags.extend(all);
        }
    }
}

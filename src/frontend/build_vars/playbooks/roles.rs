//! Roles: where they lie, and which of their files run.
use crate::model::definition::NeedKind;
use std::path::Path;

use super::handlers::Handling;
use super::tasks::{may_not_run, with_endings};
use super::{Scope, Walk, is_template, modules, scalar};
use crate::frontend::build_vars::yaml::{Node, Position, Value};

/// The directories of a role whose `main` Ansible reads by itself.
const PARTS: [(&str, &str); 4] = [
    ("tasks", "tasks_from"),
    ("handlers", "handlers_from"),
    ("vars", "vars_from"),
    ("defaults", "defaults_from"),
];

impl Walk<'_> {
    /// `roles` of a play, or `dependencies` of a role.
    pub(super) fn roles(&mut self, list: &Node, scope: &Scope) {
        let Value::List(items) = &list.value else { return };
        for item in items {
            let mut scope = scope.clone();
            let (name, spot) = match &item.value {
                Value::Scalar { text, .. } => {
                    if let Some((name, more)) = text.split_once(',') {
                        let more: Vec<String> = more
                            .split(',')
                            .filter_map(|word| word.trim().split_once('='))
                            .map(|(k, v)| format!(", {k}: {v}"))
                            .collect();
                        let message = format!("`{text}` is a role in the words of Ansible 1");
                        self.error(
                            &scope.file,
                            item.spot,
                            message,
                            format!("`{{role: {}{}}}`", name.trim(), more.concat()),
                        );
                    }
                    (Some(text.as_str()), item.spot)
                }
                Value::Map(entries) => {
                    self.words(entries, super::words::Level::Task, &scope);
                    scope.conditional |= may_not_run(entries);
                    self.variables_of(entries);
                    let named = ["role", "name", "src"]
                        .iter()
                        .find_map(|key| entries.iter().find(|e| e.key == *key));
                    (
                        named.and_then(|e| scalar(&e.value)),
                        named.map_or(item.spot, |e| e.value.spot),
                    )
                }
                _ => continue,
            };
            let name =
                name.and_then(|name| name.split(',').next()).map(str::trim).unwrap_or_default();
            self.role(name, spot, &[], &scope);
        }
    }

    /// `from`: names that take the place of `main`, as `tasks_from` does.
    pub(super) fn role(
        &mut self,
        name: &str,
        spot: Position,
        from: &[(&str, String)],
        scope: &Scope,
    ) {
        if name.is_empty() || is_template(name) || name.starts_with(['/', '~']) {
            (self.open, self.elsewhere) = (true, true);
            return;
        }
        let Some(dir) = self.paths.role(name, scope) else {
            return self.absent(name, spot, scope);
        };
        let within = Scope { role: Some(dir.clone()), ..scope.clone() };
        for (part, key) in PARTS {
            let named = from.iter().find(|(of, _)| *of == key).map(|(_, name)| name.as_str());
            let main = named.unwrap_or("main");
            let files = with_endings(&dir.join(part).join(main));
            let Some(file) = files.iter().find(|file| self.paths.is_file(file)) else {
                if named.is_some_and(|name| !is_template(name)) {
                    let message = format!("the role `{name}` has no file `{main}` in {part}");
                    self.error(
                        &scope.file,
                        spot,
                        message,
                        "`tasks_from` and its like name a file of the role",
                    );
                }
                continue;
            };
            match part {
                "tasks" => {
                    self.task_file(file, &Scope { handlers: Handling::No, ..within.clone() })
                }
                // They run where something notifies them.
                "handlers" => self.task_file(
                    file,
                    &Scope { conditional: true, handlers: Handling::Yes, ..within.clone() },
                ),
                _ => self.vars(file, &within),
            }
        }
        self.meta(&dir, &within);
    }

    /// A role that the definition does not have.
    fn absent(&mut self, name: &str, spot: Position, scope: &Scope) {
        self.elsewhere = true;
        let place = self.place(&scope.file, spot);
        // It may be a role of a collection that lies elsewhere.
        let elsewhere =
            scope.collections.iter().any(|name| !self.paths.has_collection(name, &scope.base));
        let (need, sure) = match modules::collection_of(name) {
            Some(collection) => ((NeedKind::Collection, collection), !scope.dynamic),
            None => ((NeedKind::Role, name), !scope.dynamic && !elsewhere),
        };
        self.need(need, place, sure, &scope.base);
    }

    fn meta(&mut self, dir: &Path, within: &Scope) {
        let files = with_endings(&dir.join("meta/main"));
        let Some(file) = files.into_iter().find(|file| self.paths.is_file(file)) else { return };
        let Some(root) = self.open(&file) else { return };
        let Value::Map(entries) = &root.value else { return };
        let scope = Scope { file, ..within.with_collections(entries) };
        for entry in entries {
            match entry.key.as_str() {
                "dependencies" => self.roles(&entry.value, &scope),
                "collections" => self.collections(&entry.value, &scope),
                _ => {}
            }
        }
    }
}

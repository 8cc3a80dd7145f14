//! Variables: files of them, and maps in plays, blocks and tasks.
use std::path::{Path, PathBuf};

use super::{Scope, Walk, facts, hosts, is_template, tasks, texts};
use crate::frontend::build_vars::yaml::{Entry, Node, Value};

impl Walk<'_> {
    /// Variables of the groups that the builder is in, which Ansible reads unasked.
    pub(super) fn group_vars(&mut self, scope: &Scope) {
        let dir = scope.base.join("group_vars");
        for group in hosts::GROUPS {
            let mut files: Vec<PathBuf> = tasks::with_endings(&dir.join(group)).into();
            let inner =
                self.paths.inside(&dir.join(group)).and_then(|dir| std::fs::read_dir(dir).ok());
            let mut more: Vec<PathBuf> = inner
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| dir.join(group).join(e.file_name()))
                .collect();
            more.sort();
            files.extend(more);
            for file in
                files.into_iter().filter(|file| self.paths.is_file(file)).collect::<Vec<_>>()
            {
                self.vars(&file, scope);
            }
        }
    }

    /// Values of variables, which are worked out where they are used.
    pub(super) fn lazily(&mut self, node: &Node, scope: &Scope) {
        let facts = std::mem::replace(&mut self.facts, facts::Facts::there());
        self.values(node, &Scope { conditional: true, lazy: true, ..scope.clone() });
        self.facts = facts;
    }

    /// Of a map of variables: what is wrong with one matters where it is used.
    pub(super) fn values(&mut self, node: &Node, scope: &Scope) {
        let Value::Map(entries) = &node.value else { return self.expressions(node, scope) };
        for entry in entries.iter().filter(|_| !node.raw) {
            self.expressions(
                &entry.value,
                &Scope { variable: Some(entry.key.as_str().into()), ..scope.clone() },
            );
        }
    }

    /// `vars_files`: each is a file, or a list of files of which the first that there is counts.
    pub(super) fn vars_files(&mut self, value: &Node, scope: &Scope) {
        let Value::List(items) = &value.value else { return };
        for item in items {
            let names = texts(item);
            if names.iter().any(|(name, _)| is_template(name)) {
                continue;
            }
            let found = names.iter().find_map(|(name, _)| self.paths.find(name, &["vars"], scope));
            match (found, names.first()) {
                (Some(path), _) => self.vars(&path, scope),
                (None, Some((name, spot))) if self.paths.may_tell(Path::new(name)) => {
                    let message = format!("the file of variables `{name}` does not exist");
                    self.error(&scope.file, *spot, message, "it is looked for beside the playbook");
                }
                _ => {}
            }
        }
    }

    /// A file of variables: their names, and what their values are worked out with.
    pub(super) fn vars(&mut self, path: &Path, scope: &Scope) {
        let Some(root) = self.open(path) else { return };
        match &root.value {
            Value::Map(entries) => self.variables.extend(entries.iter().map(|e| e.key.clone())),
            Value::Null => {}
            _ => self.error(
                path,
                root.spot,
                format!("a file of variables is a map, not {}", root.what()),
                "lines of `name: value`",
            ),
        }
        let scope = Scope { file: path.to_owned(), ..scope.clone() };
        self.old_variables(&root, &scope);
        self.lazily(&root, &scope);
    }

    /// Names that `vars` and `register` of a play, block or task set.
    pub(super) fn variables_of(&mut self, entries: &[Entry]) {
        for entry in entries {
            match (&*entry.key, &entry.value.value) {
                ("vars", Value::Map(vars)) => {
                    self.variables.extend(vars.iter().map(|e| e.key.clone()))
                }
                ("register", Value::Scalar { text, .. }) => _ = self.variables.insert(text.clone()),
                _ => {}
            }
        }
    }
}

//! Files that tasks take in: tasks, roles, and what modules read on the factory.
use std::path::Path;

use super::calls::Call;
use super::handlers::Handling;
use super::{Scope, Walk, is_template, modules, tail};
use crate::frontend::build_vars::scripts::{self, Told};
use crate::frontend::build_vars::yaml::Position;

impl Walk<'_> {
    pub(super) fn include(&mut self, call: &Call, scope: &Scope) {
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

    pub(super) fn include_role(&mut self, call: &Call, scope: &Scope) {
        let Some((name, spot)) = call.argument("name") else { return };
        let files = ["tasks_from", "handlers_from", "vars_from", "defaults_from"];
        let from: Vec<(&str, String)> =
            files.iter().filter_map(|key| Some((*key, call.argument(key)?.0))).collect();
        let dynamic = scope.dynamic || scope.conditional && tail(call.module) == "include_role";
        self.role(&name, spot, &from, &Scope { dynamic, ..scope.clone() });
    }

    /// A file of the factory that the module reads.
    pub(super) fn reads(&mut self, module: &str, kinds: &[&str], call: &Call, scope: &Scope) {
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

//! Files of the definition, each read once, with those that it names.
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::look::{look, worked_connections};
use super::{ASK, Lint, Look, MOST_LOOKED_UP, NOT_READ, Part};
use super::{environment, named, sets, settings, softened};
use crate::frontend::build_vars::files;
use crate::frontend::build_vars::yaml::Position;
use crate::model::diagnostic::Diagnostic;
use crate::system::reading;

impl Lint<'_> {
    /// A playbook, a file of tasks or one of variables: told by what is in it.
    pub(super) fn yaml(&mut self, path: &Path, part: Part) {
        // One that names the next, that the one after it: no call in a call for each.
        let mut left = vec![(path.to_owned(), part)];
        while let Some((path, part)) = left.pop() {
            if !self.seen.contains_key(&path) {
                self.seen.insert(path.clone(), part);
                left.extend(self.one(&path, part));
            }
        }
    }

    /// One file, and those that it names.
    fn one(&mut self, path: &Path, part: Part) -> Vec<(PathBuf, Part)> {
        let look = self.look(path);
        let Look::Read { found, named, worked_out, open, of_variables, looked_up, .. } = &*look
        else {
            if let Look::Not { spot, why, sure } = &*look {
                self.not_read(path, part, (*spot, why.as_str(), *sure));
            }
            return Vec::new();
        };
        // Roles work out names of their own files, which count by their place.
        let of_role = path.iter().any(|part| part == "roles");
        self.any |= part != Part::Beside && !of_role && *worked_out;
        let found = found.iter().cloned();
        self.found.extend(
            found.map(|finding| if part == Part::Beside { softened(finding) } else { finding }),
        );
        self.open.extend(open.iter().map(|open| (path.to_owned(), part, open.clone())));
        self.missing(path, looked_up);
        let (beside, next) = (
            path.parent().unwrap_or(Path::new("")),
            if part == Part::Beside { part } else { Part::Runs },
        );
        let from = named::From { main: self.main, roots: &self.roots, beside };
        let looked = &self.cache.looked;
        let (is_file, is_dir) = (
            |path: &Path| looked.is_file(&self.dir.join(path)),
            |path: &Path| looked.is_dir(&self.dir.join(path)),
        );
        let named = || named.iter().filter(|name| name.is_relative());
        let there =
            named().flat_map(|name| from.files(name, is_file)).map(|path| (path, next)).collect();
        if part != Part::Beside {
            let roles = named().flat_map(|name| from.roles(name, is_dir)).map(|path| (path, false));
            let of_variables = of_variables.iter().filter(|name| name.is_relative());
            let variables =
                of_variables.flat_map(|name| from.variables(name, is_dir)).map(|path| (path, true));
            self.directories.extend(roles.chain(variables));
        }
        there
    }

    /// Each file is read once, whoever names it.
    pub(super) fn look(&mut self, path: &Path) -> Rc<Look> {
        if let Some(look) = self.cache.looks.get(path) {
            return look.clone();
        }
        let look = Rc::new(look(
            &self.dir.join(path),
            &self.shown.join(path),
            path.parent().unwrap_or(Path::new("")),
            &self.cache.trees,
        ));
        self.cache.looks.insert(path.to_owned(), look.clone());
        look
    }

    fn not_read(&mut self, path: &Path, part: Part, (spot, why, sure): (Position, &str, bool)) {
        // That the main one cannot be read is said elsewhere.
        if part == Part::Main && files::playbook(&self.dir.join(path), &self.cache.trees).is_err() {
            return;
        }
        let message = format!("{NOT_READ}: {why}");
        let place = self.place(path, spot);
        self.found.push(match sure || part == Part::Beside {
            true => Diagnostic::warning(place, message),
            false => Diagnostic::error(place, message).hint(ASK),
        });
    }

    /// Variables of the factory's environment that are looked up, and are empty behind the wall.
    fn missing(&mut self, path: &Path, looked_up: &[(Position, String)]) {
        for (spot, name) in looked_up {
            if environment::is_there(name) || self.given.env.contains(name) {
                continue;
            }
            let message = format!(
                "`{name}` of the factory's environment does not reach playbooks: this is an empty \
                    text"
            );
            let hint = format!(
                "`env` of the step sets it; `pass_env: [{name}]` asks for the factory's, and its \
                    owner must allow it"
            );
            self.told.push(Diagnostic::warning(self.place(path, *spot), message).hint(hint));
        }
    }

    /// Of Ansible's own templates only what they look up is of interest; they are rendered on the
    /// factory.
    pub(super) fn template(&mut self, path: &Path) {
        if !self.rendered.insert(path.to_owned()) {
            return;
        }
        let Ok(text) = reading::text(&self.dir.join(path), files::MAX_PLAYBOOK) else { return };
        let spots = environment::looked_up(&text).into_iter().map(|(at, name)| {
            let line = text[..at].matches('\n').count() + 1;
            let column = text[..at].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            (Position { line, column }, name.to_owned())
        });
        self.missing(path, &spots.take(MOST_LOOKED_UP).collect::<Vec<_>>());
    }

    pub(super) fn settings(&mut self, path: &Path) {
        if self.lines.contains_key(path) {
            return;
        }
        let Ok(text) = reading::text(&self.dir.join(path), files::MAX_PLAYBOOK) else { return };
        // `ansible.cfg` and its kin set no variables.
        let sets = if path.extension().is_some_and(|x| x == "cfg") {
            Vec::new()
        } else {
            sets::of_lines(&text)
        };
        self.open.extend(worked_connections(&sets).map(|open| (path.to_owned(), Part::Runs, open)));
        self.lines.insert(path.to_owned(), sets);
        for (spot, message) in settings::findings(&text) {
            self.found.push(Diagnostic::error(self.place(path, spot), message).hint(ASK));
        }
    }
}

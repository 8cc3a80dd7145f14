//! Directories that are looked into: beside the playbook, of roles, of collections, of variables.
use crate::frontend::build_vars::FILE;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Lint, Look, MOST, Part, named};
use crate::frontend::build_vars::yaml::Position;
use crate::model::diagnostic::Diagnostic;

pub(super) const SKIPPED: [&str; 6] =
    ["files", "target", "output", ".git", ".github", "node_modules"];

/// Of a role or a collection: what its authors test it with, and no play of ours runs.
pub(super) const TRIALS: [&str; 2] = ["tests", "molecule"];

/// Where Ansible takes files from without their being named.
const BY_PLACE: [&str; 9] = [
    "tasks",
    "handlers",
    "vars",
    "defaults",
    "meta",
    "group_vars",
    "host_vars",
    "inventory",
    "inventories",
];

impl Lint<'_> {
    pub(super) fn below(&mut self, start: &Path) {
        let top = start.as_os_str().is_empty();
        let (dir, roots) = (self.dir, self.roots.clone());
        let skipped = |e: &walkdir::DirEntry| {
            let name = e.file_name().to_string_lossy();
            let own = top && e.depth() == 1 && name == "tests";
            let path = e.path().strip_prefix(dir).unwrap_or(e.path());
            e.depth() > 0
                && ((SKIPPED.contains(&name.as_ref()) && !is_role(&roots, path))
                    || own
                    || is_trial(path))
        };
        // Links that lead out of the tree are refused as such; others are followed, and loops of
        // them end.
        let walk =
            walkdir::WalkDir::new(self.dir.join(start)).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(|e| !skipped(e)).flatten() {
            if self.seen.len() + self.rendered.len() + self.lines.len() + self.beside.len() >= MOST
            {
                let message = format!(
                    "more than {MOST} files: the rest is not checked for plays that run on the \
                        factory"
                );
                let finding =
                    Diagnostic::error(self.place(start, Position { line: 0, column: 0 }), message);
                return self.found.push(finding.hint(
                    "roles and playbooks of this bundle may be fewer, or lie in another bundle",
                ));
            }
            let path = entry.path().strip_prefix(self.dir).unwrap_or(entry.path()).to_owned();
            if !entry.file_type().is_file() || path == Path::new(FILE) {
                continue;
            }
            self.below_file(start, path);
        }
    }

    /// One file below `start`: what it is, is told by its place and its name.
    fn below_file(&mut self, start: &Path, path: PathBuf) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let inside = |names: &[&str]| path.iter().any(|part| names.iter().any(|n| part == *n));
        let extension =
            path.extension().map(|x| x.to_string_lossy().into_owned()).unwrap_or_default();
        let templates = |at: &Path| {
            at.ends_with("templates")
                && at != start
                && at.starts_with(start)
                && !is_role(&self.roots, at)
        };
        if path.ancestors().any(templates) {
            self.template(&path);
            return;
        }
        match extension.as_str() {
            "yml" | "yaml" | "json" if inside(&BY_PLACE) => self.yaml(&path, Part::Runs),
            "yml" | "yaml" | "json" => self.beside.push(path),
            _ if inside(&["group_vars", "host_vars"]) => self.yaml(&path, Part::Runs),
            "" if is_part(&path)
                && (name == "main" || matches!(*self.look(&path), Look::Read { .. })) =>
            {
                self.yaml(&path, Part::Runs)
            }
            "ini" | "cfg" => self.settings(&path),
            _ if inside(&["inventory", "inventories"])
                || ["hosts", "inventory"].contains(&name.as_str()) =>
            {
                self.settings(&path)
            }
            _ => {}
        }
    }

    /// Directories that are named: roles, and those of variables. They may lie where nothing else
    /// is looked into.
    pub(super) fn named(&mut self) {
        while let Some((path, variables)) = self.directories.pop() {
            let (top, odd) =
                (path.as_os_str().is_empty(), |part: &std::ffi::OsStr| named::is_odd(part));
            let known = !variables
                && !path.iter().any(odd)
                && [self.main, Path::new("roles")].iter().any(|start| path.starts_with(start));
            if top || known || !self.walked.insert((path.clone(), variables)) {
                continue;
            }
            if !variables {
                self.below(&path);
                continue;
            }
            for entry in walkdir::WalkDir::new(self.dir.join(&path))
                .follow_links(true)
                .sort_by_file_name()
                .into_iter()
                .flatten()
                .take(MOST)
            {
                if entry.file_type().is_file() {
                    let path =
                        entry.path().strip_prefix(self.dir).unwrap_or(entry.path()).to_owned();
                    self.yaml(&path, Part::Runs);
                }
            }
        }
    }
}

/// It lies directly in a part of a role, whose files need no ending.
fn is_part(path: &Path) -> bool {
    let part = path.parent().and_then(Path::file_name);
    part.is_some_and(|part| {
        ["tasks", "handlers", "vars", "defaults", "meta"].iter().any(|name| part == *name)
    })
}

/// A directory that may be a role, a collection or a namespace of them, which may have any name.
fn is_role(roots: &BTreeSet<PathBuf>, path: &Path) -> bool {
    let above = path.parent().unwrap_or(Path::new(""));
    let collections = |path: &Path| path.ends_with("ansible_collections");
    above.ends_with("roles")
        || roots.contains(above)
        || collections(above)
        || above.parent().is_some_and(collections)
}

/// `roles/<role>/tests`, `ansible_collections/<namespace>/<name>/tests`. A role may have such a
/// name itself.
fn is_trial(dir: &Path) -> bool {
    let name = |up: usize| dir.ancestors().nth(up).and_then(Path::file_name);
    let trial = name(0).is_some_and(|own| TRIALS.iter().any(|trial| own == *trial));
    trial
        && (name(2).is_some_and(|n| n == "roles")
            || name(3).is_some_and(|n| n == "ansible_collections"))
}

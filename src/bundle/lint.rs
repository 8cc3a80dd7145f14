//! Plays that would run on the factory instead of on the builder, and files of the factory that a playbook names.
//!
//! This is a lint, not a wall: it sees what is written out. What is worked out at run time, and lookups, filters and plugins, which
//! run on the factory by nature, are held by the wall that `ansible-playbook` runs behind.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::yaml::{self, Spot};
use super::{Action, Bundle, files};
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::reading;

mod names;
mod settings;
mod tasks;

use tasks::Reader;

/// Files of playbooks and roles that are looked into; the rest is told of.
const MOST: usize = 5000;
const SKIPPED: [&str; 7] = ["files", "templates", "target", "output", ".git", ".github", "node_modules"];
/// Of a role or a collection: what its authors test it with, and no play of ours runs.
const TRIALS: [&str; 2] = ["tests", "molecule"];
/// Where Ansible takes files from without their being named.
const BY_PLACE: [&str; 9] = ["tasks", "handlers", "vars", "defaults", "meta", "group_vars", "host_vars", "inventory", "inventories"];

pub(super) use names::variable;

const ASK: &str = "`hosts: all` is the builder; a definition that has to run plays on the factory says \
    `ansible: {playbook: …, local: true}`, and the factory's owner must allow it";

/// Findings on the step's playbook, on what lies beside it, and on the roles of the bundle. `dir` is the bundle's directory,
/// `shown` how places name it.
pub(super) fn playbook(dir: &Path, playbook: &Path, shown: &Path) -> Vec<Diagnostic> {
    let mut lint = Lint { dir, shown, seen: BTreeSet::new(), found: Vec::new(), beside: Vec::new(), any: false };
    lint.settings(Path::new("ansible.cfg"));
    lint.yaml(playbook, Part::Main);
    let beside = playbook.parent().unwrap_or(Path::new(""));
    for start in [beside, Path::new("roles")] {
        lint.below(start);
    }
    // Where a name is worked out at the run, it may be that of any file.
    let part = if lint.any { Part::Runs } else { Part::Beside };
    for path in std::mem::take(&mut lint.beside) {
        lint.yaml(&path, part);
    }
    // An alias is read wherever it is used.
    lint.found.dedup();
    lint.found
}

/// Findings on steps that ask for plays on the factory, where its owner does not allow that.
pub fn on_factory(bundle: &Bundle, allowed: bool) -> Vec<Diagnostic> {
    let asks = |step: &super::Step| matches!(step.action, Action::Ansible { local: true, .. });
    if allowed || !bundle.steps.iter().any(asks) {
        return Vec::new();
    }
    let places = bundle.places.iter().filter(|(key, _)| key.starts_with("steps[") && key.ends_with("].ansible.local"));
    let message = "`local: true` runs plays on the factory, which its owner does not allow this definition";
    let hint = "plays for the builder need no `local`; the owner of a factory allows it in its settings, never in a tree";
    let mut found: Vec<_> = places.map(|(_, place)| Diagnostic::error(place.clone(), message).hint(hint)).collect();
    if found.is_empty() {
        found.push(Diagnostic::error(None, format!("{}: {message}", bundle.label)).hint(hint));
    }
    found
}

/// What a file is to the step's playbook.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Main,
    /// It is named by what runs, or Ansible takes it from where it lies.
    Runs,
    /// Nothing that was read names it.
    Beside,
}

struct Lint<'a> {
    dir: &'a Path,
    shown: &'a Path,
    seen: BTreeSet<PathBuf>,
    found: Vec<Diagnostic>,
    /// Files that are looked into last, when it is known which of them are named.
    beside: Vec<PathBuf>,
    /// What runs names a file in words that are worked out at the run.
    any: bool,
}

impl Lint<'_> {
    fn below(&mut self, start: &Path) {
        let top = start.as_os_str().is_empty();
        let dir = self.dir;
        let skipped = |e: &walkdir::DirEntry| {
            let name = e.file_name().to_string_lossy();
            let own = top && e.depth() == 1 && name == "tests";
            e.depth() > 0 && (SKIPPED.contains(&name.as_ref()) || own || is_trial(e.path().strip_prefix(dir).unwrap_or(e.path())))
        };
        // Links that lead out of the tree are refused as such; others are followed, and loops of them end.
        let walk = walkdir::WalkDir::new(self.dir.join(start)).follow_links(true).sort_by_file_name();
        for (count, entry) in walk.into_iter().filter_entry(|e| !skipped(e)).flatten().enumerate() {
            if count >= MOST {
                let message = format!("more than {MOST} files: the rest is not checked for plays that run on the factory");
                return self.found.push(Diagnostic::warning(self.place(start, Spot { line: 0, column: 0 }), message));
            }
            let path = entry.path().strip_prefix(self.dir).unwrap_or(entry.path()).to_owned();
            if !entry.file_type().is_file() || path == Path::new(super::tree::SETTINGS) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let inside = |names: &[&str]| path.iter().any(|part| names.iter().any(|n| part == *n));
            let extension = path.extension().map(|x| x.to_string_lossy().into_owned()).unwrap_or_default();
            match extension.as_str() {
                "yml" | "yaml" | "json" if inside(&BY_PLACE) => self.yaml(&path, Part::Runs),
                "yml" | "yaml" | "json" => self.beside.push(path),
                _ if inside(&["group_vars", "host_vars"]) => self.yaml(&path, Part::Runs),
                "ini" | "cfg" => self.settings(&path),
                _ if inside(&["inventory", "inventories"]) || ["hosts", "inventory"].contains(&name.as_str()) => self.settings(&path),
                _ => {}
            }
        }
    }

    /// A playbook, a file of tasks or one of variables: told by what is in it.
    fn yaml(&mut self, path: &Path, part: Part) {
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        let (full, main) = (self.dir.join(path), part == Part::Main);
        let text = match reading::text(&full, files::MAX_PLAYBOOK) {
            Ok(text) => text,
            // That the main one cannot be read is said elsewhere.
            Err(_) if main => return,
            Err(e) => return self.not_understood(path, &e.to_string()),
        };
        let file = self.shown.join(path);
        match yaml::parse_leniently(&file, &text) {
            Ok(root) => {
                let beside = path.parent().unwrap_or(Path::new(""));
                let mut reader = Reader::new(&file, beside);
                reader.document(&root);
                let Reader { found, named, .. } = reader;
                // Roles work out names of their own files, which count by their place.
                let of_role = path.iter().any(|part| part == "roles");
                self.any |= part != Part::Beside && !of_role && reader.worked_out;
                self.found.extend(found.into_iter().map(|finding| if part == Part::Beside { softened(finding) } else { finding }));
                let next = if part == Part::Beside { Part::Beside } else { Part::Runs };
                for named in named {
                    if full.parent().is_some_and(|beside| beside.join(&named).is_file()) {
                        self.yaml(&plain(&beside.join(&named)), next);
                    }
                }
            }
            Err(_) if main && files::playbook(&full).is_err() => {}
            Err(bad) => self.not_understood(path, &bad.message),
        }
    }

    fn not_understood(&mut self, path: &Path, why: &str) {
        let message = format!("not checked for plays that run on the factory: {why}");
        self.found.push(Diagnostic::warning(self.place(path, Spot { line: 0, column: 0 }), message));
    }

    fn settings(&mut self, path: &Path) {
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        let Ok(text) = reading::text(&self.dir.join(path), files::MAX_PLAYBOOK) else { return };
        for (spot, message) in settings::findings(&text) {
            self.found.push(Diagnostic::error(self.place(path, spot), message).hint(ASK));
        }
    }

    fn place(&self, path: &Path, spot: Spot) -> Place {
        spot.place(&self.shown.join(path))
    }
}

/// `roles/<role>/tests`, `ansible_collections/<namespace>/<name>/tests`. A role may have such a name itself.
fn is_trial(dir: &Path) -> bool {
    let name = |up: usize| dir.ancestors().nth(up).and_then(Path::file_name);
    let trial = name(0).is_some_and(|own| TRIALS.iter().any(|trial| own == *trial));
    trial && (name(2).is_some_and(|n| n == "roles") || name(3).is_some_and(|n| n == "ansible_collections"))
}

/// A finding on what no step runs, as far as was read.
fn softened(finding: Diagnostic) -> Diagnostic {
    match finding.place {
        Some(place) if finding.severity == Severity::Error => {
            Diagnostic::warning(place, finding.message).hint("no playbook of a step names this file; one that did would be refused")
        }
        _ => finding,
    }
}

/// Without `.` and `..`, as far as that goes.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => _ = out.pop(),
            std::path::Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests;

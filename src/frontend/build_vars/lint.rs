//! Plays that would run on the factory instead of on the builder, and files of the factory that a
//! playbook names.
//!
//! This is a lint, not a wall: it sees what is written out. What is worked out at run time, and
//! lookups, filters and plugins, which run on the factory by nature, are held by the wall that
//! `ansible-playbook` runs behind.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::ansible_cfg::{COLLECTIONS, ROLES};
use super::trees::Trees;
use super::yaml::Position;
use super::{Definition, StepKind};
use crate::model::diagnostic::{Diagnostic, Location, Severity};

mod environment;
mod hosts;
mod json;
mod look;
mod named;
mod names;
mod read;
mod room;
mod sets;
mod settings;
mod tasks;
mod walk;
mod worked;

use look::Look;
use sets::Set;
use walk::{SKIPPED, TRIALS};
pub(super) use worked::Given;
use worked::{Index, Open};

/// Files of playbooks and roles that are looked into; the rest is told of.
const MOST: usize = 5000;

pub(super) use names::variable;
pub(super) use sets::split;

/// Of files that are no YAML, or are more than is read.
pub(super) const NOT_READ: &str = "not checked for plays that run on the factory";

const ASK: &str = "`hosts: all` is the builder; a definition that has to run plays on the factory \
    says \
    `ansible: {playbook: …, local: true}`, and the factory's owner must allow it";

/// What is known of the files of one bundle, whichever of its steps they belong to.
#[derive(Default)]
pub(super) struct Cache {
    looks: BTreeMap<PathBuf, Rc<Look>>,
    looked: super::looked::Looked,
    pub(super) trees: Trees,
    /// Playbooks, and what they are given.
    done: BTreeSet<(PathBuf, bool, String)>,
}

/// A playbook of a step.
pub(super) struct Playbook<'a> {
    /// The bundle's directory, and how places name it.
    pub dir: &'a Path,
    pub shown: &'a Path,
    /// Relative to `dir`.
    pub path: &'a Path,
    pub given: Given,
    /// It asks for the factory itself, and what runs there is no finding.
    pub local: bool,
}

/// Findings on the step's playbook, on what lies beside it, and on the roles of the bundle. Of
/// steps that are equal the first has them all.
pub(super) fn playbook(cache: &mut Cache, playbook: &Playbook<'_>) -> Vec<Diagnostic> {
    let Playbook { dir, shown, path, given, local } = playbook;
    if !cache.done.insert((path.to_path_buf(), *local, given.key())) {
        return Vec::new();
    }
    let mut lint = Lint {
        dir,
        shown,
        given,
        cache,
        seen: BTreeMap::new(),
        rendered: BTreeSet::new(),
        lines: BTreeMap::new(),
        main: path.parent().unwrap_or(Path::new("")),
        roots: BTreeSet::new(),
        directories: Vec::new(),
        walked: BTreeSet::new(),
        found: Vec::new(),
        told: Vec::new(),
        beside: Vec::new(),
        open: Vec::new(),
        any: false,
    };
    let roots = [ROLES, COLLECTIONS]
        .iter()
        .flat_map(|key| given.config.inner(key))
        .filter(|path| !path.starts_with(".."));
    lint.roots = roots.filter(|path| dir.join(path).is_dir()).collect();
    lint.directories.extend(lint.roots.iter().map(|path| (path.clone(), false)));
    lint.settings(&given.config.file);
    lint.yaml(path, Part::Main);
    let beside = path.parent().unwrap_or(Path::new(""));
    for start in [beside, Path::new("roles")] {
        lint.below(start);
    }
    lint.named();
    // Where a name is worked out at the run, it may be that of any file.
    let part = if lint.any { Part::Runs } else { Part::Beside };
    for path in std::mem::take(&mut lint.beside) {
        lint.yaml(&path, part);
    }
    lint.named();
    // What was found beside a role that is read last.
    for path in std::mem::take(&mut lint.beside) {
        lint.yaml(&path, part);
    }
    lint.settle();
    lint.rooms();
    // An alias is read wherever it is used.
    lint.found.dedup();
    let mut found = if *local { Vec::new() } else { lint.found };
    found.extend(lint.told);
    found
}

/// Findings on steps that ask for plays on the factory, where its owner does not allow that.
/// `how`: what the owner has to write to allow it; `None`: it is allowed.
pub fn on_factory(bundle: &Definition, how: Option<&str>) -> Vec<Diagnostic> {
    let asks = |step: &super::Step| matches!(step.action, StepKind::Ansible { local: true, .. });
    let Some(how) = how.filter(|_| bundle.steps.iter().any(asks)) else { return Vec::new() };
    let places = bundle
        .locations
        .keys()
        .filter(|(key, _)| key.starts_with("steps[") && key.ends_with("].ansible.local"));
    let message =
        "`local: true` runs plays on the factory, which its owner does not allow this definition";
    let hint =
        format!("plays for the builder need no `local`; else the factory's owner allows it: {how}");
    let mut found: Vec<_> = places
        .map(|(_, place)| Diagnostic::error(place.clone(), message).hint(hint.clone()))
        .collect();
    if found.is_empty() {
        found.push(Diagnostic::error(None, format!("{}: {message}", bundle.label)).hint(hint));
    }
    found
}

const WORKED_OUT: &str = "`hosts: all` is the builder; of a variable, all that this bundle sets it \
    to has to be the builder, as in \
    `{{ target | default('all') }}`; a definition that has to run plays on the factory says \
    `ansible: {playbook: …, local: true}`";
/// Of one template.
const MOST_LOOKED_UP: usize = 20;

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
    given: &'a Given,
    cache: &'a mut Cache,
    /// Read as YAML.
    seen: BTreeMap<PathBuf, Part>,
    /// Looked into as templates. A file may be both.
    rendered: BTreeSet<PathBuf>,
    /// Read as lines of settings, and what they set.
    lines: BTreeMap<PathBuf, Vec<Set>>,
    /// Where the step's playbook lies.
    main: &'a Path,
    /// Directories of roles and collections, by ansible.cfg.
    roots: BTreeSet<PathBuf>,
    /// Directories that are named and have still to be looked into; `true`: all in them are
    /// variables.
    directories: Vec<(PathBuf, bool)>,
    walked: BTreeSet<(PathBuf, bool)>,
    found: Vec<Diagnostic>,
    /// What is worth knowing wherever plays run.
    told: Vec<Diagnostic>,
    /// Files that are looked into last, when it is known which of them are named.
    beside: Vec<PathBuf>,
    /// What is worked out at the run, each with its file.
    open: Vec<(PathBuf, Part, Open)>,
    /// What runs names a file in words that are worked out at the run.
    any: bool,
}

impl Lint<'_> {
    /// What is worked out of variables is judged by all that the bundle gives them.
    fn settle(&mut self) {
        let read: Vec<_> = self
            .seen
            .iter()
            .filter_map(|(path, part)| Some((path, *part, self.cache.looks.get(path)?.clone())))
            .collect();
        let of_trees = read.iter().flat_map(|(path, part, look)| {
            let sets = if let Look::Read { sets, .. } = &**look { sets.as_slice() } else { &[] };
            // A play that no step runs sets nothing; tasks and variables may be named by a role at
            // the run.
            sets.iter()
                .filter(|set| *part != Part::Beside || !set.of_play)
                .map(|set| (path.as_path(), set))
        });
        let of_lines =
            self.lines.iter().flat_map(|(path, sets)| sets.iter().map(|set| (path.as_path(), set)));
        let mut index = Index::new(self.given, of_trees.chain(of_lines));
        let mut found = Vec::new();
        for (path, part, open) in std::mem::take(&mut self.open) {
            let Some(why) = index.trouble(&open, self.shown) else { continue };
            let message =
                format!("where this runs is known at the run only: `{}`{why}", open.written);
            let finding = Diagnostic::error(self.place(&path, open.spot), message).hint(WORKED_OUT);
            found.push(if part == Part::Beside { softened(finding) } else { finding });
        }
        self.found.extend(found);
    }

    fn place(&self, path: &Path, spot: Position) -> Location {
        spot.place(&self.shown.join(path))
    }
}

/// A finding on what no step runs, as far as was read.
fn softened(finding: Diagnostic) -> Diagnostic {
    match finding.place {
        Some(place) if finding.severity == Severity::Error => {
            Diagnostic::warning(place, finding.message)
                .hint("no playbook of a step names this file; one that did would be refused")
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

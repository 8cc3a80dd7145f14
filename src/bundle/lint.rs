//! Plays that would run on the factory instead of on the builder, and files of the factory that a
//! playbook names.
//!
//! This is a lint, not a wall: it sees what is written out. What is worked out at run time, and
//! lookups, filters and plugins, which run on the factory by nature, are held by the wall that
//! `ansible-playbook` runs behind.
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::ansible_cfg::{COLLECTIONS, ROLES};
use super::trees::Trees;
use super::yaml::{self, Position};
use super::{Action, Bundle, files};
use crate::diagnostic::{Diagnostic, Location, Severity};
use crate::reading;

mod environment;
mod hosts;
mod json;
mod named;
mod names;
mod room;
mod sets;
mod settings;
mod tasks;
mod worked;

use sets::Set;
use tasks::Reader;
pub(super) use worked::Given;
use worked::{Index, Open};

/// Files of playbooks and roles that are looked into; the rest is told of.
const MOST: usize = 5000;
const SKIPPED: [&str; 6] = ["files", "target", "output", ".git", ".github", "node_modules"];
/// Of a role or a collection: what its authors test it with, and no play of ours runs.
const TRIALS: [&str; 2] = ["tests", "molecule"];
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
pub fn on_factory(bundle: &Bundle, how: Option<&str>) -> Vec<Diagnostic> {
    let asks = |step: &super::Step| matches!(step.action, Action::Ansible { local: true, .. });
    let Some(how) = how.filter(|_| bundle.steps.iter().any(asks)) else { return Vec::new() };
    let places = bundle
        .places
        .iter()
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

/// One file, read.
enum Look {
    Read {
        found: Vec<Diagnostic>,
        named: Vec<PathBuf>,
        worked_out: bool,
        open: Vec<Open>,
        of_variables: Vec<PathBuf>,
        looked_up: Vec<(Position, String)>,
        sets: Vec<Set>,
        room: Vec<room::Use>,
    },
    /// Why not. `sure`: Ansible cannot read it either.
    Not { spot: Position, why: String, sure: bool },
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
    fn below(&mut self, start: &Path) {
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
            if !entry.file_type().is_file() || path == Path::new(super::tree::SETTINGS) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let inside = |names: &[&str]| path.iter().any(|part| names.iter().any(|n| part == *n));
            let extension =
                path.extension().map(|x| x.to_string_lossy().into_owned()).unwrap_or_default();
            let templates = |at: &Path| {
                at.ends_with("templates")
                    && at != start
                    && at.starts_with(start)
                    && !is_role(&roots, at)
            };
            if path.ancestors().any(templates) {
                self.template(&path);
                continue;
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
    }

    /// A playbook, a file of tasks or one of variables: told by what is in it.
    fn yaml(&mut self, path: &Path, part: Part) {
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

    /// Directories that are named: roles, and those of variables. They may lie where nothing else
    /// is looked into.
    fn named(&mut self) {
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

    /// Each file is read once, whoever names it.
    fn look(&mut self, path: &Path) -> Rc<Look> {
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
    fn template(&mut self, path: &Path) {
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

    fn settings(&mut self, path: &Path) {
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

    fn place(&self, path: &Path, spot: Position) -> Location {
        spot.place(&self.shown.join(path))
    }
}

fn look(full: &Path, shown: &Path, beside: &Path, trees: &Trees) -> Look {
    let start = Position { line: 0, column: 0 };
    let text = match reading::text(full, files::MAX_PLAYBOOK) {
        Ok(text) => text,
        Err(e) => {
            // Python's reader of JSON takes what is no UTF-8, too.
            let no_text = e.kind() == ErrorKind::InvalidData;
            let json = no_text
                && reading::bytes(full, files::MAX_PLAYBOOK)
                    .is_ok_and(|bytes| json::may_be(&String::from_utf8_lossy(&bytes)));
            return Look::Not { spot: start, why: e.to_string(), sure: no_text && !json };
        }
    };
    let read = trees.parse(shown, &text);
    let root = match read {
        Ok(root) => root,
        Err(bad) => match json::tree(&text).filter(|_| !bad.limit) {
            Some(root) => Rc::new(root),
            None => {
                let sure = bad.message == yaml::NO_KEY
                    || !bad.limit && !json::may_be(&text) && files::is_no_yaml(&text);
                return Look::Not {
                    spot: if bad.limit { bad.spot } else { start },
                    why: bad.message,
                    sure,
                };
            }
        },
    };
    let mut reader = Reader::new(shown, beside);
    reader.document(&root);
    let Reader { found, named, worked_out, of_variables, mut open, looked_up, room, .. } = reader;
    let sets = sets::of_tree(
        &root,
        sets::is_inventory(&beside.join(full.file_name().unwrap_or_default())),
    );
    open.extend(worked_connections(&sets));
    Look::Read { found, named, worked_out, open, of_variables, looked_up, sets, room }
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

/// `ansible_connection={{ … }}` within texts that set variables; of maps the reader tells.
fn worked_connections(sets: &[Set]) -> impl Iterator<Item = Open> {
    sets.iter().filter(|set| set.in_text && set.name == "ansible_connection").filter_map(|set| {
        let text = set.value.clone().unwrap_or_else(|| "{{ }}".into());
        let written = format!("ansible_connection={}", set.value.as_deref().unwrap_or("…"));
        (names::connection(&text) == names::Meaning::Unknown).then_some(Open {
            spot: set.spot,
            written,
            text,
            judge: names::connection,
        })
    })
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

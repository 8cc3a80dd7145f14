//! What a step's playbook runs, as far as it is written out: its plays, tasks, roles and files,
//! found as Ansible finds them. Words that Ansible has dropped, files that are not there, hosts
//! that nobody has and what has to come from elsewhere are told with their places.
//!
//! Nothing is run, and nothing is read but files of the definition. What is worked out at the run
//! is passed over.
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::ansible_cfg::Config;
use super::files;
use super::syntax;
use super::trees::Trees;
use super::yaml::{self, Entry, Node, Position, Value};
use crate::diagnostic::{Diagnostic, Location};
use crate::reading;

mod configuration;
mod expressions;
mod facts;
mod handlers;
#[cfg(test)]
mod handlers_tests;
mod hosts;
mod modules;
mod moved;
mod names;
mod paths;
mod plugins;
#[cfg(test)]
mod plugins_tests;
pub(super) mod requirements;
mod roles;
mod rendered;
#[cfg(test)]
mod rendered_tests;
mod tasks;
#[cfg(test)]
mod tests;
mod words;

use paths::Paths;
pub use paths::plain;
pub use requirements::{Requirements, requirements, search_paths};

/// Files of one playbook that are read, and their bytes.
const MOST_FILES: usize = 2000;
const MOST_BYTES: usize = 16 << 20;
/// Findings on one playbook; more say nothing new.
const MOST_FINDINGS: usize = 300;

/// What a playbook takes from outside of its definition.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum NeedKind {
    /// `community.docker`
    Collection,
    Role,
}

/// Neither the definition has it nor a `requirements.yml` of it names it: the machine that builds
/// has to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Need {
    pub kind: NeedKind,
    pub name: String,
    pub place: Location,
    /// No run comes past it. What may not run, or may be installed as a dependency of another, is
    /// not certain to be missed.
    pub sure: bool,
}

#[derive(Debug, Default)]
pub(super) struct Review {
    pub found: Vec<Diagnostic>,
    pub needs: Vec<Need>,
    /// `None`: not all are written out.
    tags: Option<HashSet<String>>,
}

impl Review {
    /// Of the tags that a step runs, those that no task has.
    pub fn without_tasks<'t>(&self, tags: &'t [String]) -> Vec<&'t String> {
        let Some(known) = &self.tags else { return Vec::new() };
        let special = ["all", "tagged", "untagged", "always", "never"];
        tags.iter()
            .filter(|tag| !known.contains(*tag) && !special.contains(&tag.as_str()))
            .collect()
    }
}

/// A playbook of a step.
pub(super) struct Reviewed<'a> {
    /// The bundle's directory, and how places name it.
    pub dir: &'a Path,
    pub shown: &'a Path,
    /// Relative to `dir`.
    pub path: &'a Path,
    pub trees: &'a Trees,
}

/// Findings on a step's playbook.
pub(super) fn review(reviewed: &Reviewed<'_>, config: &Config) -> Review {
    let Reviewed { dir, path: playbook, shown, trees } = *reviewed;
    let (required, wrong) = requirements::beside(dir, playbook);
    let mut walk = Walk {
        paths: Paths::of(dir, config),
        required,
        shown,
        trees,
        seen: BTreeSet::new(),
        perhaps: BTreeSet::new(),
        bytes: 0,
        variables: HashSet::new(),
        bare: Vec::new(),
        plays: hosts::Plays::default(),
        facts: facts::Facts::default(),
        handlers: handlers::Handlers::default(),
        rendered: rendered::Rendered::of(config),
        tags: HashSet::new(),
        open: false,
        elsewhere: false,
        review: Review::default(),
        lenient: config.is_off("error_on_missing_handler", "ANSIBLE_ERROR_ON_MISSING_HANDLER"),
    };
    for requirements::Wrong { file, spot, message, hint } in wrong {
        walk.error(&file, spot, message, hint);
    }
    walk.config(config, playbook);
    walk.plays(playbook, false);
    walk.finish()
}

struct Walk<'a> {
    paths: Paths<'a>,
    required: Requirements,
    shown: &'a Path,
    trees: &'a Trees,
    seen: BTreeSet<PathBuf>,
    /// Files of tasks that were read where they may not run; what surely runs reads them again.
    perhaps: BTreeSet<PathBuf>,
    bytes: usize,
    /// Names that are set somewhere in what was read.
    variables: HashSet<String>,
    /// Loops over what may be the bare name of a variable.
    bare: Vec<expressions::Bare>,
    plays: hosts::Plays,
    facts: facts::Facts,
    handlers: handlers::Handlers,
    rendered: rendered::Rendered,
    /// Of tasks, blocks, plays and roles.
    tags: HashSet<String>,
    /// What runs is not all there to be read.
    open: bool,
    /// There are roles that the definition does not hold, or that are known at the run only.
    elsewhere: bool,
    /// Ansible goes on where a handler is missing.
    lenient: bool,
    review: Review,
}

/// Where a task stands: what decides how surely it runs, and which files it finds.
#[derive(Clone, Default)]
struct Scope {
    /// Its file, relative to the bundle.
    file: PathBuf,
    /// The directory of the playbook that it is of, relative to the bundle: of one that is
    /// imported, its own.
    base: PathBuf,
    /// The role that it is of, relative to the bundle.
    role: Option<PathBuf>,
    /// It runs under a condition, or its failure is let pass.
    conditional: bool,
    /// It is taken in by an include that may not run: then Ansible does not even read it.
    dynamic: bool,
    /// It stands in a template.
    template: bool,
    /// It may never be worked out: the value of a variable, a template that may not be rendered.
    lazy: bool,
    /// `collections` of the play, the task or the role.
    collections: Rc<Vec<String>>,
    handlers: handlers::Handling,
    /// The variable whose value this is, or is a part of.
    variable: Option<Rc<str>>,
    /// Nobody misses it.
    unused: bool,
}

impl Scope {
    /// Of the value of a variable this is known when all is read.
    fn may_not_run(&self) -> bool {
        self.variable.is_none() && if self.template { self.lazy } else { self.conditional }
    }

    /// Within what names `collections`.
    fn with_collections(&self, entries: &[Entry]) -> Self {
        let named = entries.iter().find(|e| e.key == "collections");
        let collections = named.map(|e| {
            Rc::new(texts(&e.value).into_iter().map(|(name, _)| name.to_owned()).collect())
        });
        Self {
            collections: collections.unwrap_or_else(|| self.collections.clone()),
            ..self.clone()
        }
    }
}

impl Walk<'_> {
    fn finish(mut self) -> Review {
        for bare in std::mem::take(&mut self.bare) {
            self.review.found.extend(bare.finding(&self.variables));
        }
        self.review.found.extend(std::mem::take(&mut self.plays).findings());
        let whole = self.seen.len() < MOST_FILES && self.bytes < MOST_BYTES;
        if whole && !self.open && !self.elsewhere {
            self.review.found.extend(std::mem::take(&mut self.handlers).findings(!self.lenient));
        }
        self.unrendered();
        // An alias, or a role that two plays name, is read twice.
        let same = |d: &Diagnostic| (d.place.as_ref().map(ToString::to_string), d.message.clone());
        let errors: HashSet<_> =
            self.review.found.iter().filter(|d| d.is_error()).map(same).collect();
        self.review.found.retain(|d| d.is_error() || !errors.contains(&same(d)));
        let mut seen = HashSet::new();
        self.review.found.retain(|d| {
            seen.insert((d.place.as_ref().map(ToString::to_string), d.message.clone()))
        });
        self.review.found.truncate(MOST_FINDINGS);
        let open = self.tags.iter().any(|tag| is_template(tag))
            || self.open
            || !self.review.needs.is_empty();
        self.review.tags = (!open && whole).then_some(self.tags);
        // Of two needs of one thing the surest counts.
        let needs = &self.review.needs;
        let sure: HashSet<_> = needs
            .iter()
            .filter(|need| need.sure)
            .map(|need| (need.kind, need.name.clone()))
            .collect();
        self.review
            .needs
            .retain(|need| need.sure || !sure.contains(&(need.kind, need.name.clone())));
        let mut seen = HashSet::new();
        self.review.needs.retain(|need| seen.insert((need.kind, need.name.clone())));
        self.review
    }

    /// The tree of a YAML file that is read for the first time. Why one cannot be read is told
    /// elsewhere.
    fn open(&mut self, path: &Path) -> Option<Rc<Node>> {
        let path = plain(path);
        if self.seen.len() >= MOST_FILES
            || self.bytes >= MOST_BYTES
            || !self.seen.insert(path.clone())
        {
            return None;
        }
        let text = match reading::text(&self.paths.inside(&path)?, files::MAX_PLAYBOOK) {
            Ok(text) => text,
            Err(e) => {
                self.no_text(&path, &e);
                return None;
            }
        };
        self.bytes += text.len();
        let file = self.shown.join(&path);
        if files::is_vaulted(&text) {
            let place = Location { file, line: 0, column: 0 };
            let finding =
                Diagnostic::warning(place, "this file is encrypted: what it says is not checked");
            let hint = "a run reads it where the owner's settings name the password: `ansible: \
                {vault_password_file: …}`";
            self.review.found.push(finding.hint(hint));
            self.open = true;
            return None;
        }
        match self.trees.parse(&file, &text) {
            Ok(root) => Some(root),
            Err(bad) => {
                // Files that another reader takes are told of where plays for the factory are
                // looked for.
                let no_json = !text.trim_start().starts_with(['{', '[']);
                if bad.message == yaml::NO_KEY || !bad.limit && no_json && files::is_no_yaml(&text)
                {
                    match syntax::tabbed(&text, &bad.message, bad.spot.line) {
                        Some((line, column, tab)) => {
                            self.error(&path, Position { line, column }, tab, syntax::SPACES)
                        }
                        None => {
                            let message = format!("not valid YAML: {}", bad.message);
                            self.error(
                                &path,
                                bad.spot,
                                message,
                                bad.hint.unwrap_or("Ansible refuses the file"),
                            );
                        }
                    }
                }
                None
            }
        }
    }

    /// A file that Ansible reads as text, and cannot.
    fn no_text(&mut self, path: &Path, error: &std::io::Error) {
        if error.kind() == std::io::ErrorKind::InvalidData
            && let Some(bytes) = self
                .paths
                .inside(path)
                .and_then(|full| reading::bytes(&full, files::MAX_PLAYBOOK).ok())
            && let Err((trouble, line)) = files::is_text(&bytes)
        {
            self.error(
                path,
                Position { line, column: usize::from(line > 0) },
                trouble.message,
                trouble.hint,
            );
        }
    }

    fn place(&self, file: &Path, spot: Position) -> Location {
        spot.place(&self.shown.join(plain(file)))
    }

    fn error(
        &mut self,
        file: &Path,
        spot: Position,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.review.found.push(Diagnostic::error(self.place(file, spot), message).hint(hint));
    }

    /// What Ansible finds only where it comes to it: what may not run is warned of.
    fn at_run(
        &mut self,
        scope: &Scope,
        spot: Position,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        match scope.may_not_run() {
            true => self.warn(&scope.file, spot, message, hint),
            false => self.error(&scope.file, spot, message, hint),
        }
    }

    fn warn(
        &mut self,
        file: &Path,
        spot: Position,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.review.found.push(Diagnostic::warning(self.place(file, spot), message).hint(hint));
    }

    /// `sure`: Ansible cannot do without.
    fn need(&mut self, (kind, name): (NeedKind, &str), place: Location, sure: bool, base: &Path) {
        // What a list names may bring more along.
        let (there, brought) = match kind {
            NeedKind::Collection => {
                let there =
                    self.required.has_collection(name) || self.paths.has_collection(name, base);
                (there, !self.required.collection_files.is_empty())
            }
            NeedKind::Role => (self.required.has_role(name), !self.required.role_files.is_empty()),
        };
        if !there {
            self.review.needs.push(Need {
                kind,
                name: name.to_owned(),
                place,
                sure: sure && !brought,
            });
        }
    }

    /// A playbook; `conditional`: it may not run.
    fn plays(&mut self, path: &Path, conditional: bool) {
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

    /// Variables of the groups that the builder is in, which Ansible reads unasked.
    fn group_vars(&mut self, scope: &Scope) {
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

    /// Values of variables, which are worked out where they are used.
    fn lazily(&mut self, node: &Node, scope: &Scope) {
        let facts = std::mem::replace(&mut self.facts, facts::Facts::there());
        self.values(node, &Scope { conditional: true, lazy: true, ..scope.clone() });
        self.facts = facts;
    }

    /// Of a map of variables: what is wrong with one matters where it is used.
    fn values(&mut self, node: &Node, scope: &Scope) {
        let Value::Map(entries) = &node.value else { return self.expressions(node, scope) };
        for entry in entries.iter().filter(|_| !node.raw) {
            self.expressions(
                &entry.value,
                &Scope { variable: Some(entry.key.as_str().into()), ..scope.clone() },
            );
        }
    }

    /// `vars_files`: each is a file, or a list of files of which the first that there is counts.
    fn vars_files(&mut self, value: &Node, scope: &Scope) {
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
    fn vars(&mut self, path: &Path, scope: &Scope) {
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

    fn collections(&mut self, value: &Node, scope: &Scope) {
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

    fn tags_of(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|e| e.key == "tags") {
            let all = texts(&entry.value)
                .into_iter()
                .flat_map(|(text, _)| text.split(',').map(|tag| tag.trim().to_owned()));
            self.tags.extend(all);
        }
    }

    /// Names that `vars` and `register` of a play, block or task set.
    fn variables_of(&mut self, entries: &[Entry]) {
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

fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// Of a text, or of a list of texts.
fn texts(node: &Node) -> Vec<(&str, Position)> {
    match &node.value {
        Value::Scalar { text, .. } => vec![(text, node.spot)],
        Value::List(items) => items.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// A word of Ansible's without the collection it may be given with.
fn tail(key: &str) -> &str {
    key.strip_prefix("ansible.builtin.")
        .or_else(|| key.strip_prefix("ansible.legacy."))
        .unwrap_or(key)
}

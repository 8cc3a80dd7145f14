//! What a step's playbook runs, as far as it is written out: its plays, tasks, roles and files,
//! found as Ansible finds them. Words that Ansible has dropped, files that are not there, hosts
//! that nobody has and what has to come from elsewhere are told with their places.
//!
//! Nothing is run, and nothing is read but files of the definition. What is worked out at the run
//! is passed over.
use crate::model::definition::Need;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::ansible_cfg::Config;
use super::trees::Trees;
use crate::model::diagnostic::Diagnostic;

mod configuration;
mod expressions;
mod facts;
mod findings;
mod handlers;
#[cfg(test)]
mod handlers_tests;
mod hosts;
mod modules;
mod moved;
mod names;
mod open;
mod paths;
mod plays;
mod plugins;
#[cfg(test)]
mod plugins_tests;
pub(super) mod requirements;
mod roles;
mod rendered;
#[cfg(test)]
mod rendered_tests;
mod scope;
mod tasks;
mod arguments;
mod calls;
mod includes;
mod loops;
mod texts;
mod variables;
#[cfg(test)]
mod tests;
mod words;

use paths::Paths;
pub use paths::plain;
pub use requirements::{Requirements, requirements, search_paths};
use scope::Scope;
use texts::{is_template, scalar, tail, texts};

/// Files of one playbook that are read, and their bytes.
const MOST_FILES: usize = 2000;
const MOST_BYTES: usize = 16 << 20;
/// Findings on one playbook; more say nothing new.
const MOST_FINDINGS: usize = 300;

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
}

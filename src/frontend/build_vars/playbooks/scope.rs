//! Where a task stands: what decides how surely it runs, and which files it finds.
use std::path::PathBuf;
use std::rc::Rc;

use super::{handlers, texts};
use crate::frontend::build_vars::yaml::Entry;

/// Where a task stands: what decides how surely it runs, and which files it finds.
#[derive(Clone, Default)]
pub(super) struct Scope {
    /// Its file, relative to the bundle.
    pub(super) file: PathBuf,
    /// The directory of the playbook that it is of, relative to the bundle: of one that is
    /// imported, its own.
    pub(super) base: PathBuf,
    /// The role that it is of, relative to the bundle.
    pub(super) role: Option<PathBuf>,
    /// It runs under a condition, or its failure is let pass.
    pub(super) conditional: bool,
    /// It is taken in by an include that may not run: then Ansible does not even read it.
    pub(super) dynamic: bool,
    /// It stands in a template.
    pub(super) template: bool,
    /// It may never be worked out: the value of a variable, a template that may not be rendered.
    pub(super) lazy: bool,
    /// `collections` of the play, the task or the role.
    pub(super) collections: Rc<Vec<String>>,
    pub(super) handlers: handlers::Handling,
    /// The variable whose value this is, or is a part of.
    pub(super) variable: Option<Rc<str>>,
    /// Nobody misses it.
    pub(super) unused: bool,
}

impl Scope {
    /// Of the value of a variable this is known when all is read.
    pub(super) fn may_not_run(&self) -> bool {
        self.variable.is_none() && if self.template { self.lazy } else { self.conditional }
    }

    /// Within what names `collections`.
    pub(super) fn with_collections(&self, entries: &[Entry]) -> Self {
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

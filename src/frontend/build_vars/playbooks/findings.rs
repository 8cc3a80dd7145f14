//! Findings of a walk, with their places and their severity.
use crate::model::definition::Need;
use crate::model::definition::NeedKind;
use std::path::Path;

use super::{Scope, Walk, plain};
use crate::frontend::build_vars::yaml::Position;
use crate::model::diagnostic::{Diagnostic, Location};

impl Walk<'_> {
    pub(super) fn place(&self, file: &Path, spot: Position) -> Location {
        spot.place(&self.shown.join(plain(file)))
    }

    pub(super) fn error(
        &mut self,
        file: &Path,
        spot: Position,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.review.found.push(Diagnostic::error(self.place(file, spot), message).hint(hint));
    }

    /// What Ansible finds only where it comes to it: what may not run is warned of.
    pub(super) fn at_run(
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

    pub(super) fn warn(
        &mut self,
        file: &Path,
        spot: Position,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.review.found.push(Diagnostic::warning(self.place(file, spot), message).hint(hint));
    }

    /// `sure`: Ansible cannot do without.
    pub(super) fn need(
        &mut self,
        (kind, name): (NeedKind, &str),
        place: Location,
        sure: bool,
        base: &Path,
    ) {
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
}

//! Files of a playbook, opened and parsed.
use std::path::Path;
use std::rc::Rc;

use super::{MOST_BYTES, MOST_FILES, Walk, plain};
use crate::frontend::build_vars::yaml::{self, Node, Position};
use crate::frontend::build_vars::{files, syntax};
use crate::model::diagnostic::{Diagnostic, Location};
use crate::system::reading;

impl Walk<'_> {
    /// The tree of a YAML file that is read for the first time. Why one cannot be read is told
    /// elsewhere.
    pub(super) fn open(&mut self, path: &Path) -> Option<Rc<Node>> {
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
    pub(super) fn no_text(&mut self, path: &Path, error: &std::io::Error) {
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
}

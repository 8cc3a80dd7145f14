//! Handlers: who notifies which, and what `meta` may say.
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::tasks::Call;
use super::{Scope, Walk, is_template, scalar, texts};
use crate::bundle::keys;
use crate::bundle::yaml::Entry;
use crate::diagnostic::{Diagnostic, Place};

/// Source: ansible-core, `StrategyBase._execute_meta`.
const META: &[&str] = &[
    "noop",
    "flush_handlers",
    "refresh_inventory",
    "clear_facts",
    "clear_host_errors",
    "end_play",
    "end_host",
    "end_batch",
    "end_role",
    "reset_connection",
];

#[derive(Default)]
pub(super) struct Handlers {
    /// Names and topics, of whichever play: a file that two plays take in is read once.
    names: HashSet<String>,
    /// Not all names are written out.
    open: bool,
    /// Files that were read for handlers.
    files: BTreeSet<PathBuf>,
    notified: Vec<(Place, String)>,
}

impl Handlers {
    /// A file of tasks comes next; `known`: it was read before, and is not read again.
    pub fn reads(&mut self, file: &Path, scope: &Scope, known: bool) {
        if scope.handlers && self.files.insert(file.to_owned()) {
            self.open |= known;
        }
    }

    pub fn findings(self) -> Vec<Diagnostic> {
        let Self { names, open, notified, .. } = self;
        // `role : name`
        let bare = |name: &str| name.rsplit(" : ").next().unwrap_or_default().trim().to_owned();
        let there = |name: &str| names.contains(name) || names.contains(&bare(name));
        let missing = notified.into_iter().filter(|(_, name)| !open && !there(name));
        missing
            .map(|(place, name)| {
                let finding = Diagnostic::error(place, format!("no handler is called `{name}`, or listens to it"));
                match keys::nearest(&name, names.iter().map(String::as_str)) {
                    Some(near) => finding.hint(format!("did you mean `{near}`?")),
                    None => finding.hint("a task under `handlers` of the play, or in `handlers/main.yml` of a role, has that `name`"),
                }
            })
            .collect()
    }
}

impl Walk<'_> {
    /// What a task notifies, and of a handler what it is called.
    pub(super) fn notifies(&mut self, entries: &[Entry], scope: &Scope) {
        for entry in entries {
            match entry.key.as_str() {
                "notify" => {
                    let named = texts(&entry.value).into_iter().filter(|(name, _)| !is_template(name));
                    let named: Vec<_> = named.map(|(name, spot)| (self.place(&scope.file, spot), name.to_owned())).collect();
                    self.handlers.notified.extend(named);
                }
                "name" | "listen" if scope.handlers => {
                    for (name, _) in texts(&entry.value) {
                        self.handlers.open |= is_template(name);
                        self.handlers.names.insert(name.to_owned());
                    }
                }
                _ => {}
            }
        }
    }

    /// `meta: flush_handlers`
    pub(super) fn meta_task(&mut self, call: &Call, scope: &Scope) {
        let Some(word) = scalar(call.value).map(str::trim).filter(|word| !is_template(word) && !word.contains('=')) else { return };
        if !META.contains(&word) {
            let hint = match keys::nearest(word, META.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", META.join(", ")),
            };
            self.error(&scope.file, call.value.spot, format!("`meta: {word}` is nothing that Ansible does"), hint);
        }
    }
}

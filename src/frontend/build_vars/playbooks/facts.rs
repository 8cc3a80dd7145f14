//! Facts of the builder that a play uses and nobody gathers.
use std::sync::LazyLock;

use regex::Regex;

use super::{Scope, Walk, scalar};
use crate::frontend::build_vars::yaml::{Entry, Position};
use crate::model::diagnostic::Location;

/// Those that plays ask for most. Source: ansible-core, the collectors of `setup`.
static FACT: LazyLock<Regex> = LazyLock::new(|| {
    let names = [
        r"architecture|all_ipv4_addresses|cmdline|date_time|default_ipv[46]|devices|distribution",
        r"distribution_\w+|dns|domain|env|fqdn|hostname|interfaces|kernel|lsb|machine|memory_mb",
        r"memtotal_mb|mounts|nodename|os_family|pkg_mgr|processor_\w+|python_version",
        r"selinux|service_mgr|system|user_id|virtualization_\w+",
    ];
    let names = names.join("|");
    Regex::new(&format!(r"\bansible_(?:{names})\b")).expect("the pattern is fixed")
});

/// What does without.
static CARED_FOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\|\s*(?:d|default)\b|\bis\s+(?:not\s+)?(?:un)?defined\b")
        .expect("the pattern is fixed")
});

#[derive(Default)]
pub(super) struct Facts {
    /// They are there: this play gathers them, or one before did.
    pub gathered: bool,
    /// The first that is used.
    used: Option<(Location, String)>,
}

impl Facts {
    pub fn there() -> Self {
        Self { gathered: true, used: None }
    }
}

impl Walk<'_> {
    pub(super) fn begin_play(&mut self, entries: &[Entry]) {
        let said = entries
            .iter()
            .find(|e| e.key == "gather_facts")
            .and_then(|e| scalar(&e.value))
            .map(str::to_lowercase);
        self.facts.gathered |=
            !said.is_some_and(|text| ["no", "false", "off", "0"].contains(&text.as_str()));
    }

    /// Of an expression.
    pub(super) fn uses_facts(&mut self, text: &str, spot: Position, scope: &Scope) {
        if self.facts.gathered || self.facts.used.is_some() || CARED_FOR.is_match(text) {
            return;
        }
        if let Some(name) = FACT
            .find(text)
            .map(|found| found.as_str().to_owned())
            .filter(|name| !self.variables.contains(name))
        {
            self.facts.used = Some((self.place(&scope.file, spot), name));
        }
    }

    pub(super) fn end_play(&mut self) {
        let Some((place, name)) = self.facts.used.take().filter(|_| !self.facts.gathered) else {
            return;
        };
        let message = format!(
            "`{name}` is a fact of the machine, and nothing gathers facts: the play says \
                `gather_facts: false`"
        );
        let finding = crate::model::diagnostic::Diagnostic::warning(place, message);
        self.review.found.push(finding.hint("leave `gather_facts` out, or call `setup` before"));
    }
}

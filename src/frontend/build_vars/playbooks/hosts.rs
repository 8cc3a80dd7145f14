//! `hosts` of plays: which of them the builder is.
//!
//! The builder is one host, in the groups `all`, `local` (of the old factory's playbooks) and
//! `default` (the name that Packer gives it).
use std::sync::LazyLock;

use regex::Regex;

use crate::frontend::build_vars::yaml::{Node, Value};
use crate::model::diagnostic::{Diagnostic, Location};

/// Groups of the inventory that a run writes.
pub(super) const GROUPS: [&str; 3] = ["all", "local", "default"];
/// Hosts that are the factory; plays on them are looked at elsewhere.
const FACTORY: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How the name of a builder begins and ends.
const NAME: (&str, &str) = ("factory-", "-builder");
/// `web[0]`, `web[1:]`
static SUBSCRIPT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[-?[0-9]*(?:[:-]-?[0-9]*)?\]$").expect("the pattern is fixed"));

/// The plays of one step, and what nobody of them runs on.
#[derive(Default)]
pub(super) struct Plays {
    strangers: Vec<(Location, String)>,
    /// A play has the builder, or it cannot be told.
    any: bool,
    /// Tasks make up hosts or groups.
    pub made_up: bool,
}

impl Plays {
    pub fn add(&mut self, hosts: Option<(Location, Node)>) {
        let Some((place, hosts)) = hosts else { return self.any = true };
        let parts: Vec<&str> = match &hosts.value {
            Value::Scalar { text, .. } => split(text),
            Value::List(items) => items.iter().filter_map(super::scalar).flat_map(split).collect(),
            _ => Vec::new(),
        };
        match parts.is_empty() || may_match(&parts) {
            true => self.any = true,
            false => self.strangers.push((place, parts.join(","))),
        }
    }

    pub fn findings(self) -> Vec<Diagnostic> {
        let (any, made_up) = (self.any, self.made_up);
        let found = self.strangers.into_iter().filter(|_| !made_up).map(|(place, pattern)| {
            let message = format!("`hosts: {pattern}` names nobody: this play does not run");
            let finding = match any {
                true => Diagnostic::warning(place, message),
                false => Diagnostic::error(place, message),
            };
            finding.hint("the builder is in the groups `all`, `local` and `default`")
        });
        found.collect()
    }
}

/// `::1` has the separator in it.
fn split(text: &str) -> Vec<&str> {
    if text.trim() == "::1" {
        return vec![text];
    }
    text.split([',', ':', ';']).map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Whether the builder, whose name is made at the run, may be meant. Source: ansible-core,
/// `order_patterns`.
fn may_match(parts: &[&str]) -> bool {
    // `None`: known at the run only.
    let known = |part: &str, names: &[&[&str]]| {
        let pattern = part.trim_start_matches(['&', '!']);
        let name = SUBSCRIPT.replace(pattern, "");
        match part.contains("{{") || part.contains('%') {
            true => None,
            false if name.starts_with('~') || name.contains(['*', '?', '[']) => of_pattern(&name),
            false => Some(names.iter().any(|all| all.contains(&&*name))),
        }
    };
    let begins = |with: char| parts.iter().filter(move |part| part.starts_with(with));
    let mut plain = parts.iter().filter(|part| !part.starts_with(['&', '!'])).peekable();
    // What only leaves out leaves out of all.
    let named = plain.peek().is_none()
        || plain.any(|part| known(part, &[&GROUPS, &FACTORY]) != Some(false));
    let within = begins('&').all(|part| known(part, &[&GROUPS, &FACTORY]) != Some(false));
    named && within && !begins('!').any(|part| known(part, &[&GROUPS]) == Some(true))
}

/// Whether `web*` or `~web.*` means a group of the builder's; `None`: it may mean its name. Source:
/// ansible-core, `_match_list`.
fn of_pattern(pattern: &str) -> Option<bool> {
    let special = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let (translated, first, last) = match pattern.strip_prefix('~') {
        // Python finds it at the start of a name.
        Some(regex) => {
            let at = regex.find(special).unwrap_or(regex.len());
            // The last character before `*` need not be there.
            let at =
                if regex[at..].starts_with(['*', '?', '{']) { at.saturating_sub(1) } else { at };
            (format!("^(?:{regex})"), if regex.contains('|') { "" } else { &regex[..at] }, "")
        }
        // What classes of characters say is not looked into.
        None if pattern.contains('[') => return None,
        None => {
            let (first, last) = (pattern.find(['*', '?'])?, pattern.rfind(['*', '?'])?);
            let glob = regex::escape(pattern).replace("\\*", ".*").replace("\\?", ".");
            (format!("^(?:{glob})$"), &pattern[..first], &pattern[last + 1..])
        }
    };
    let groups = Regex::new(&translated).ok()?;
    if GROUPS.iter().any(|group| groups.is_match(group)) {
        return Some(true);
    }
    let begins = first.starts_with(NAME.0) || NAME.0.starts_with(first);
    let ends = last.ends_with(NAME.1) || NAME.1.ends_with(last);
    if begins && ends { None } else { Some(false) }
}

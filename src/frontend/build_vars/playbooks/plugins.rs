//! Plugins that playbooks and `ansible.cfg` name: strategies, ways to become another user,
//! connections, lookups.
use super::{Scope, Walk, is_template, rendered, scalar, tail};
use crate::frontend::build_vars::yaml::{Entry, Position};

/// Source: ansible-core 2.14 and 2.19, `plugins/`.
const STRATEGIES: &[&str] = &["linear", "free", "host_pinned", "debug"];
const BECOMES: &[&str] = &["sudo", "su", "runas"];
const CONNECTIONS: &[&str] =
    &["ssh", "local", "smart", "paramiko", "paramiko_ssh", "psrp", "winrm", "redirected_local"];
const LOOKUPS: &[&str] = &[
    "config",
    "csvfile",
    "dict",
    "env",
    "file",
    "fileglob",
    "first_found",
    "indexed_items",
    "ini",
    "inventory_hostnames",
    "items",
    "lines",
    "list",
    "nested",
    "password",
    "pipe",
    "random_choice",
    "sequence",
    "subelements",
    "template",
    "together",
    "unvault",
    "url",
    "varnames",
    "vars",
];

/// Those of ansible-core, by kind; `None`: they are looked for elsewhere.
pub(super) fn known(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "strategy" => Some(STRATEGIES),
        "become" => Some(BECOMES),
        "connection" => Some(CONNECTIONS),
        "lookup" => Some(LOOKUPS),
        _ => None,
    }
}

/// The kind in words.
pub(super) fn called(kind: &str) -> &str {
    if kind == "become" { "become method" } else { kind }
}

/// The kind of plugin that a word of a play or task names.
fn kind_of(word: &str) -> Option<&'static str> {
    match word {
        "strategy" => Some("strategy"),
        "become_method" => Some("become"),
        "connection" => Some("connection"),
        _ => None,
    }
}

fn is_on(text: &str) -> bool {
    ["true", "yes", "on", "1"].contains(&text.to_lowercase().as_str())
}

impl Walk<'_> {
    /// `strategy: free`; `entries` is the play, block or task that says it.
    pub(super) fn plugin_word(&mut self, entry: &Entry, entries: &[Entry], scope: &Scope) {
        self.expressions(&entry.value, scope);
        let Some(name) = scalar(&entry.value)
            .map(str::trim)
            .filter(|name| !name.is_empty() && !is_template(name))
        else {
            return;
        };
        let Some(kind) = kind_of(&entry.key) else { return };
        // Nobody asks for it where nobody becomes another.
        let becomes =
            || entries.iter().any(|e| e.key == "become" && scalar(&e.value).is_some_and(is_on));
        let conditional = scope.conditional || kind == "become" && !becomes();
        self.plugin(kind, name, entry.value.spot, &Scope { conditional, ..scope.clone() });
    }

    /// The same in `ansible.cfg`, where plays say nothing else.
    pub(super) fn plugins_of_config(&mut self, config: &super::Config, playbook: &std::path::Path) {
        let escalates = config
            .setting("privilege_escalation", "become", "ANSIBLE_BECOME")
            .is_some_and(|s| is_on(&s.value));
        let named = [
            ("strategy", true, config.setting("defaults", "strategy", "ANSIBLE_STRATEGY")),
            (
                "become",
                escalates,
                config.setting("privilege_escalation", "become_method", "ANSIBLE_BECOME_METHOD"),
            ),
        ];
        let base = playbook.parent().unwrap_or(std::path::Path::new("")).to_owned();
        for (kind, sure, setting) in named {
            let Some(setting) = setting else { continue };
            let name = setting.value.trim_matches(['"', '\'']);
            if !name.is_empty() && !is_template(name) {
                let scope = Scope {
                    file: config.file.clone(),
                    base: base.clone(),
                    conditional: !sure,
                    ..Scope::default()
                };
                self.plugin(kind, name, Position { line: setting.line, column: 1 }, &scope);
            }
        }
    }

    /// One that ansible-core may not have, and that may be the definition's own.
    pub(super) fn unknown_plugin(
        &mut self,
        kind: &'static str,
        name: &str,
        spot: Position,
        scope: &Scope,
    ) {
        let short = tail(name);
        if short.contains('.') || known(kind).is_none_or(|known| known.contains(&short)) {
            return;
        }
        let soft = scope.lazy || scope.conditional && !scope.template;
        let place = self.place(&scope.file, spot);
        self.rendered.lacks(rendered::Unknown {
            place,
            base: scope.base.clone(),
            kind,
            name: name.into(),
            soft,
        });
    }
}

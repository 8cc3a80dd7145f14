//! `ansible.cfg`: settings that are old, or that do nothing in a build.
use std::path::Path;

use super::Walk;
use crate::bundle::ansible_cfg::Config;
use crate::bundle::yaml::Spot;

const OURS: &str = "leave it out: the factory writes the inventory";
const BECOME: &str = "its `become…` namesake in `[privilege_escalation]`, or `become` in plays and tasks";

/// Settings that ansible-core no longer knows, and what takes their place.
const OLD: &[(&str, &str)] = &[
    ("hostfile", OURS),
    ("callback_whitelist", "`callbacks_enabled`"),
    ("sudo", BECOME),
    ("sudo_user", BECOME),
    ("sudo_exe", BECOME),
    ("sudo_flags", BECOME),
    ("ask_sudo_pass", BECOME),
    ("su", BECOME),
    ("su_user", BECOME),
    ("su_exe", BECOME),
    ("su_flags", BECOME),
    ("ask_su_pass", BECOME),
    ("squash_actions", "a list where the module takes one: `apt: {name: [a, b]}`"),
    ("legacy_playbook_variables", "leave it out"),
    ("merge_multiple_cli_tags", "leave it out"),
];

/// Settings that make Ansible ask for a password.
const ASKING: &[&str] = &["ask_pass", "ask_vault_pass", "become_ask_pass", "ask_become_pass"];

impl Walk<'_> {
    /// Of the file that counts, and of one that looks as if it did.
    pub(super) fn config(&mut self, config: &Config, playbook: &Path) {
        for setting in &config.settings {
            let (key, spot) = (setting.key.as_str(), Spot { line: setting.line, column: 1 });
            let yes = ["true", "yes", "1", "on"].contains(&setting.value.to_lowercase().as_str());
            if let Some((_, instead)) = OLD.iter().find(|(old, _)| *old == key) {
                self.warn(&config.file, spot, format!("`{key}` is no setting of Ansible's any more"), *instead);
            } else if key.starts_with("accelerate_") || setting.section == "accelerate" {
                let message = format!("`{key}` is no setting of Ansible's any more");
                self.warn(&config.file, spot, message, "leave it out: the factory switches on pipelining, which is as fast");
            } else if ASKING.contains(&key) && yes {
                let message = format!("`{key}` asks for a password, and nobody answers in a build");
                self.warn(&config.file, spot, message, "leave it out");
            }
        }
        let beside = playbook.parent().unwrap_or(Path::new("")).join("ansible.cfg");
        if beside != config.file && self.paths.is_file(&beside) {
            let hint = format!("move it there, or name it: `env: {{ANSIBLE_CONFIG: {}}}`", beside.display());
            let message = "Ansible does not read this file: it runs in the bundle's directory";
            self.warn(&beside, Spot { line: 0, column: 0 }, message, hint);
        }
    }
}

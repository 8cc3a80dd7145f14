//! `ansible.cfg`: settings that are old, or that do nothing in a build.
use std::collections::HashMap;
use std::path::Path;

use super::{Walk, is_template};
use crate::frontend::build_vars::ansible_cfg::Config;
use crate::frontend::build_vars::keys;
use crate::frontend::build_vars::yaml::Position;

const OURS: &str = "leave it out: the factory writes the inventory";
const BECOME: &str =
    "its `become…` namesake in `[privilege_escalation]`, or `become` in plays and tasks";

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

/// Settings of few words: section, key, variable of the environment that takes its place, and the
/// words. Source: ansible-core 2.14 and 2.19, `config/base.yml`.
const CHOICES: &[(&str, &str, &str, &[&str])] = &[
    ("defaults", "gathering", "ANSIBLE_GATHERING", &["implicit", "explicit", "smart"]),
    ("defaults", "hash_behaviour", "ANSIBLE_HASH_BEHAVIOUR", &["replace", "merge"]),
    (
        "defaults",
        "duplicate_dict_key",
        "ANSIBLE_DUPLICATE_YAML_DICT_KEY",
        &["error", "warn", "ignore"],
    ),
    (
        "defaults",
        "force_valid_group_names",
        "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS",
        &["always", "never", "ignore", "silently"],
    ),
    ("defaults", "playbook_vars_root", "ANSIBLE_PLAYBOOK_VARS_ROOT", &["top", "bottom", "all"]),
    ("defaults", "run_vars_plugins", "ANSIBLE_RUN_VARS_PLUGINS", &["demand", "start"]),
    (
        "inventory",
        "host_pattern_mismatch",
        "ANSIBLE_HOST_PATTERN_MISMATCH",
        &["error", "warning", "ignore"],
    ),
];
/// Settings that are numbers. `timeout` is none of them: the factory sets its variable.
const NUMBERS: &[(&str, &str, &str)] = &[
    ("defaults", "forks", "ANSIBLE_FORKS"),
    ("defaults", "gather_timeout", "ANSIBLE_GATHER_TIMEOUT"),
    ("defaults", "fact_caching_timeout", "ANSIBLE_CACHE_PLUGIN_TIMEOUT"),
    ("defaults", "internal_poll_interval", "-"),
    ("defaults", "poll_interval", "ANSIBLE_POLL_INTERVAL"),
    ("defaults", "remote_port", "ANSIBLE_REMOTE_PORT"),
    ("defaults", "task_timeout", "ANSIBLE_TASK_TIMEOUT"),
    ("defaults", "verbosity", "ANSIBLE_VERBOSITY"),
];

impl Walk<'_> {
    /// Of the file that counts, and of one that looks as if it did.
    pub(super) fn config(&mut self, config: &Config, playbook: &Path) {
        for setting in &config.settings {
            let (key, spot) = (setting.key.as_str(), Position { line: setting.line, column: 1 });
            let yes = ["true", "yes", "1", "on"].contains(&setting.value.to_lowercase().as_str());
            if let Some((_, instead)) = OLD.iter().find(|(old, _)| *old == key) {
                self.warn(
                    &config.file,
                    spot,
                    format!("`{key}` is no setting of Ansible's any more"),
                    *instead,
                );
            } else if key.starts_with("accelerate_") || setting.section == "accelerate" {
                let message = format!("`{key}` is no setting of Ansible's any more");
                self.warn(
                    &config.file,
                    spot,
                    message,
                    "leave it out: the factory switches on pipelining, which is as fast",
                );
            } else if ASKING.contains(&key) && yes {
                let message = format!("`{key}` asks for a password, and nobody answers in a build");
                self.warn(&config.file, spot, message, "leave it out");
            }
        }
        self.values_of_config(config);
        self.form_of_config(config);
        self.plugins_of_config(config, playbook);
        let beside = playbook.parent().unwrap_or(Path::new("")).join("ansible.cfg");
        if beside != config.file && self.paths.is_file(&beside) {
            let hint = format!(
                "move it there, or name it: `env: {{ANSIBLE_CONFIG: {}}}`",
                beside.display()
            );
            let message = "Ansible does not read this file: it runs in the bundle's directory";
            self.warn(&beside, Position { line: 0, column: 0 }, message, hint);
        }
    }

    /// Values that end Ansible before it has read the playbook.
    fn values_of_config(&mut self, config: &Config) {
        let bare = |value: &str| value.trim_matches(['"', '\'']).to_owned();
        let said = |value: &str| !value.is_empty() && !is_template(value);
        for (section, key, env, words) in CHOICES {
            let Some(setting) = config.setting(section, key, env) else { continue };
            let value = bare(&setting.value);
            if said(&value) && !words.contains(&value.as_str()) {
                let hint = match keys::nearest(&value, words.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        comment(&value).unwrap_or_else(|| format!("there are {}", words.join(", ")))
                    }
                };
                let message = format!("`{value}` is no value of `{key}`");
                self.error(&config.file, Position { line: setting.line, column: 1 }, message, hint);
            }
        }
        for (section, key, env) in NUMBERS {
            let Some(setting) = config.setting(section, key, env) else { continue };
            let value = bare(&setting.value).replace('_', "");
            if said(&value) && value.parse::<f64>().is_err() {
                let hint = comment(&value).unwrap_or_else(|| "digits alone".into());
                let message = format!("`{key}` is a number, not `{}`", setting.value);
                self.error(&config.file, Position { line: setting.line, column: 1 }, message, hint);
            }
        }
    }

    /// What configparser refuses the whole file for.
    fn form_of_config(&mut self, config: &Config) {
        let mut seen = HashMap::new();
        for setting in &config.settings {
            let spot = Position { line: setting.line, column: 1 };
            if setting.section.is_empty() {
                let message = format!("`{}` stands before any section", setting.key);
                return self.error(
                    &config.file,
                    spot,
                    message,
                    "`[defaults]` on a line of its own before it",
                );
            }
            if let Some(first) = seen.insert((&setting.section, &setting.key), setting.line) {
                let message = format!(
                    "`{}` is given twice in `[{}]`: Ansible does not read the file",
                    setting.key, setting.section
                );
                self.error(
                    &config.file,
                    spot,
                    message,
                    format!("the first one is on line {first}"),
                );
            }
        }
    }
}

/// `50 # as many as we have`
fn comment(value: &str) -> Option<String> {
    value.contains('#').then(|| {
        "what comes after `#` belongs to the value: a comment begins with \
        ` ;`, or is a line of its own"
            .into()
    })
}

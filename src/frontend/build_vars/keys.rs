//! The keys of build-vars.yml: which map allows which keys, and which values are typed. Messages
//! list them in this order.

use std::sync::LazyLock;

use crate::model::field::Field;
use crate::model::step::{FORMS, Form};

/// Keys of the fields that other layers name.
pub(super) const FIELDS: &[(Field, &str)] = &[
    (Field::Base, "bundle.img_base"),
    (Field::Disk, "machine.disk"),
    (Field::Environment, "pass_env"),
    (Field::Family, "bundle.name"),
    (Field::Flavor, "vm_flavor"),
    (Field::FloatingNetwork, "floating_network"),
    (Field::Machine, "machine"),
    (Field::Members, "members"),
    (Field::Network, "network"),
    (Field::PublishingOptions, "final_glance_options"),
    (Field::Ram, "machine.ram"),
    (Field::SecurityGroups, "security_groups"),
    (Field::SshUser, "ssh_user"),
    (Field::TargetName, "bundle_target_name"),
    (Field::TestFlavor, "test_flavor"),
    (Field::Visibility, "visibility"),
    (Field::Volume, "volume"),
    (Field::VolumeSize, "volume.size"),
    (Field::VolumeType, "volume.type"),
    (Field::VolumeZone, "volume.availability_zone"),
    (Field::Zone, "availability_zone"),
];

pub(super) const TOP: &[&str] = &[
    "bundle",
    "source",
    "bundle_target_name",
    "vm_flavor",
    "final_glance_options",
    "packer_file",
    "steps",
    "ssh_user",
    "tests",
    "network",
    "security_groups",
    "floating_network",
    "availability_zone",
    "volume",
    "machine",
    "timeouts",
    "tags",
    "visibility",
    "members",
    "keep",
    "warm",
    "checkpoints",
    "pass_env",
    "tidy",
    "test_flavor",
    "vars",
];
pub(super) const BUNDLE: &[&str] = &["name", "img_base", "path", "properties"];
pub(super) const SOURCE: &[&str] =
    &["url", "sha256", "sha512", "checksum_url", "format", "script", "wall"];
/// Checksum keys of `source`; exactly one is used.
pub(super) const CHECKSUMS: &[&str] = &["sha256", "sha512", "checksum_url"];
/// Keys of a step beside its action.
const STEP_OPTIONS: &[&str] =
    &["name", "timeout", "retries", "env", "sudo", "fresh", "extra_vars", "tags"];
/// Keys of a step.
pub(super) static STEP: LazyLock<Vec<&str>> =
    LazyLock::new(|| actions().chain(STEP_OPTIONS.iter().copied()).collect());
/// Keys of a step's `ansible`, if it is a map.
pub(super) const ANSIBLE: &[&str] = &["playbook", "local", "accelerator"];
pub(super) const TESTS: &[&str] =
    &["skip", "only", "add", "timeout", "dns_name", "package", "volume_size"];
pub(super) const VOLUME: &[&str] = &["size", "type", "availability_zone"];
pub(super) const MACHINE: &[&str] = &["cpus", "ram", "disk"];
pub(super) const TIMEOUTS: &[&str] = &["source", "boot", "ssh", "step", "capture", "upload"];

/// The keys that say what a step does, one for each kind.
pub(super) fn actions() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|form| form.word)
}

fn form(action: &str) -> Option<&'static Form> {
    FORMS.into_iter().find(|form| form.word == action)
}

/// Representation of a scalar in `Definition::as_written`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typing {
    /// `1.10` is "1.10".
    Text,
    /// A whole number or a boolean, if written as one.
    Typed,
    /// Typed like Ansible does.
    Free,
}

/// `path` has no list indices: `["steps", "retries"]`.
pub(super) fn typing(path: &[&str]) -> Typing {
    match path {
        ["vars", ..] | ["steps", "extra_vars", ..] => Typing::Free,
        ["keep" | "warm" | "checkpoints"]
        | ["volume", "size"]
        | ["machine" | "timeouts" | "tidy", _]
        | ["tests", "timeout" | "volume_size"] => Typing::Typed,
        ["steps", "timeout" | "retries" | "sudo"] => Typing::Typed,
        ["steps", action, inner @ ..] if form(action).is_some_and(|f| f.shape.is_typed(inner)) => {
            Typing::Typed
        }
        _ => Typing::Text,
    }
}

/// Words of Ansible, CI systems and plain English for keys of a step, with advice.
const STEP_WORDS: &[(&[&str], &str)] = &[
    (&["retry", "attempts", "tries", "repeat"], "did you mean `retries`?"),
    (
        &["become", "become_user", "root", "privileged", "as_root"],
        "`sudo: true` runs a step as root; playbooks say `become: true`",
    ),
    (&["environment", "vars_env"], "did you mean `env`?"),
    (&["vars", "variables", "extra-vars"], "did you mean `extra_vars`, of `ansible`, or `env`?"),
    (&["playbook", "ansible_playbook", "playbooks"], "did you mean `ansible`?"),
    (
        &["run", "command", "commands", "cmd", "sh", "bash", "exec", "inline"],
        "did you mean `shell`?",
    ),
    (&["copy", "file", "put"], "did you mean `upload: {src: …, dest: …}`?"),
    (&["restart"], "did you mean `reboot`?"),
    (&["tag", "only_tags"], "did you mean `tags`?"),
    (&["wait", "time_limit", "max_time"], "did you mean `timeout`?"),
    (&["src", "dest"], "it belongs in `upload: {src: …, dest: …}`"),
    (&["local"], "it belongs in `ansible: {playbook: …, local: true}`"),
    (
        &["accelerator", "mitogen", "strategy"],
        "it belongs in `ansible: {playbook: …, accelerator: false}`",
    ),
    (&["when", "if", "only_if"], "every step runs; a script or a playbook decides what it does"),
    (
        &["ignore_errors", "allow_failure", "continue_on_error"],
        "a step that fails ends the build; in `shell`, `COMMAND || true` does not",
    ),
];

/// Advice for a key that a map does not allow.
pub(super) fn advice(parent: &str, key: &str, valid: &[&str]) -> String {
    let top = parent.is_empty();
    if parent.starts_with("steps[")
        && parent.ends_with(']')
        && let Some((_, advice)) =
            STEP_WORDS.iter().find(|(words, _)| words.contains(&key.to_lowercase().as_str()))
    {
        return (*advice).to_owned();
    }
    if let Some(near) = nearest(key, valid.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    if top && BUNDLE.contains(&key) {
        return format!("`{key}` belongs under `bundle:`");
    }
    // In `ansible: {playbook: …}`.
    let step = parent.strip_suffix(".ansible").filter(|step| step.starts_with("steps["));
    if let (Some(step), true) = (step, STEP.contains(&key)) {
        return format!("`{key}` belongs beside `ansible`, in `{step}` itself");
    }
    if !top && TOP.contains(&key) {
        return format!("`{key}` belongs at the top level");
    }
    match top {
        true => "free variables for templates go under `vars:`".into(),
        false => format!("known here: {}", valid.join(", ")),
    }
}

/// Length limit of words that are compared, in bytes.
const LONGEST: usize = 100;

/// The known word that was probably meant, if one is near enough.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace('-', "_");
    // Nearness costs as much as both words are long, in time and in memory.
    let word = plain(Some(word).filter(|word| word.len() <= LONGEST)?);
    known
        .into_iter()
        .filter(|k| k.len() <= LONGEST)
        .map(|k| (strsim::normalized_damerau_levenshtein(&word, &plain(k)), k))
        .filter(|(nearness, _)| *nearness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

//! Names and arguments of modules.
use crate::frontend::build_vars::lint::split;

/// Arguments that modules of ansible-core had once, and what takes their place. Checked against
/// ansible-core 2.14.
pub(super) const GONE: &[(&str, &str, &str)] = &[
    ("command", "warn", "leave it out"),
    ("shell", "warn", "leave it out"),
    ("cron", "reboot", "`special_time: reboot`"),
    ("fetch", "validate_md5", "`validate_checksum`"),
    ("get_url", "sha256sum", "`checksum: sha256:…`"),
    ("get_url", "thirsty", "`force`"),
    ("pip", "use_mirrors", "leave it out"),
    ("include_role", "private", "`public: false`, which it is anyway"),
    ("include_role", "static", "`import_role` instead of `static: true`"),
    ("import_role", "private", "leave it out"),
    ("import_role", "static", "leave it out"),
];

/// Arguments that some versions still take.
pub(super) const OLD: &[(&str, &str, &str)] =
    &[("stat", "get_md5", "leave it out, and take `stat.checksum`")];

/// Values that arguments had once, and what is written today.
pub(super) const VALUES: &[(&str, &str, &str, &str)] = &[
    ("apt", "state", "installed", "`state: present`"),
    ("apt", "state", "removed", "`state: absent`"),
    ("service", "state", "running", "`state: started`"),
    ("systemd", "state", "running", "`state: started`"),
];

/// Arguments of what takes in tasks; anything else is refused.
pub(super) const OF_INCLUDES: &[&str] = &["file", "apply"];

/// `community.docker` of `community.docker.docker_container`; none of what ansible-core has itself.
pub(super) fn collection_of(name: &str) -> Option<&str> {
    let sound = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let parts: Vec<&str> = name.split('.').collect();
    if parts.len() < 3 || !parts.iter().all(|part| sound(part)) {
        return None;
    }
    let collection = &name[..parts[0].len() + 1 + parts[1].len()];
    (!["ansible.builtin", "ansible.legacy"].contains(&collection)).then_some(collection)
}

/// `key=value` of a module's one-line form, without quotes; what is in quotes or braces may hold
/// blanks.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let sound =
        |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let words = split(text).into_iter().filter_map(|word| {
        word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
    });
    words
        .filter(|(key, _)| sound(key))
        .map(|(key, value)| (key, value.trim_matches(['"', '\'']).to_owned()))
        .collect()
}

/// What of the one-line form is no `key=value`.
pub(super) fn free(text: &str) -> Vec<String> {
    let of_pair = |word: &String| {
        word.split_once('=')
            .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    split(text).into_iter().filter(|word| !of_pair(word)).collect()
}

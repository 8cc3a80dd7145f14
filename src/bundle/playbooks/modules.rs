//! Names and arguments of modules.

/// Arguments that modules of ansible-core had once, and what takes their place.
pub(super) const GONE: &[(&str, &str, &str)] = &[
    ("command", "warn", "leave it out"),
    ("shell", "warn", "leave it out"),
    ("get_url", "sha256sum", "`checksum: sha256:…`"),
    ("stat", "get_md5", "leave it out, and take `stat.checksum`"),
];

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

/// `key=value` of a module's one-line form, without quotes. Values with templates or blanks in them are cut off.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let sound = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let words = text.split_whitespace().filter_map(|word| word.split_once('='));
    words.filter(move |(key, _)| sound(key)).map(|(key, value)| (key, value.trim_matches(['"', '\''])))
}

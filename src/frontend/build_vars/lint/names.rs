//! What in Ansible's words means the factory itself.
use std::path::{Component, Path};
use std::sync::LazyLock;

use regex::Regex;

use crate::system::exec::env;

/// How what is written is to be taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    Builder,
    Factory,
    /// Known at the run only.
    Unknown,
}

pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// `{{ groups['all'][0] }}`, `{{ ansible_play_hosts | first }}`: machines of the inventory, in
/// which there is the builder alone.
static INVENTORY: LazyLock<Regex> = LazyLock::new(|| {
    let all = concat!(
        r#"groups(?:\.all|\.ungrouped|\.local|\[['"](?:all|ungrouped|local)['"]\])"#,
        r"|play_hosts|ansible_play_(?:hosts|batch|hosts_all)",
    );
    Regex::new(&format!(
        r"^\{{\{{(?:inventory_hostname|(?:{all})(?:\[-?[0-9]+\]|\|first|\|last))\}}\}}$"
    ))
    .expect("the pattern is fixed")
});

/// `{{ groups['all'] }}`: all of them, of which the factory is none.
static ALL: LazyLock<Regex> = LazyLock::new(|| {
    let all = concat!(
        r#"groups(?:\.all|\.ungrouped|\[['"](?:all|ungrouped)['"]\]|\.get\(['"]all['"]\))"#,
        r"|play_hosts|ansible_play_(?:hosts|batch|hosts_all)",
    );
    let more = r#"(?:\[-?[0-9]*:?-?[0-9]*\]|\|(?:first|last|list|join\(['"][,:]['"]\)))?"#;
    Regex::new(&format!(r"^\{{\{{-?(?:{all}){more}-?\}}\}}$")).expect("the pattern is fixed")
});

/// Whether a template of `hosts` is made of the inventory alone.
pub fn is_inventory(text: &str) -> bool {
    ALL.is_match(&text.chars().filter(|c| !c.is_whitespace()).collect::<String>())
}

/// Of `delegate_to`: anything but the builder is made up, and reached from the factory with what
/// its user may.
pub fn delegate(text: &str) -> Meaning {
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    match bare.trim_matches(['"', '\'']) {
        "local" => Meaning::Builder,
        bare if INVENTORY.is_match(bare) => Meaning::Builder,
        _ if is_template(text)
            && !text.contains("localhost")
            && !text.contains("127.")
            && !text.contains("::1") =>
        {
            Meaning::Unknown
        }
        _ => Meaning::Factory,
    }
}

/// Of `connection` and `ansible_connection`: all but SSH run programs on the factory.
pub fn connection(text: &str) -> Meaning {
    let name =
        text.trim().trim_start_matches("ansible.builtin.").trim_start_matches("ansible.legacy.");
    match name {
        "ssh" | "smart" | "paramiko" | "paramiko_ssh" => Meaning::Builder,
        _ if is_template(text) && !text.contains("local") => Meaning::Unknown,
        _ => Meaning::Factory,
    }
}

/// Why a variable of this name is refused wherever it is set.
pub fn variable(name: &str) -> Option<&'static str> {
    env::reserved_variable(name)
}

/// Whether a path, as written in a file in `beside` (relative to the bundle), is one of the
/// factory's: absolute, of a home, or with so many `..` that it leaves the bundle wherever Ansible
/// looks for it.
pub fn leaves(beside: &Path, text: &str) -> bool {
    let text = text.trim();
    if text.starts_with('/') || text.starts_with('~') {
        return true;
    }
    if is_template(text) || text.contains("://") {
        return false;
    }
    // Ansible looks in `files` and `templates` beside, too: one directory further down.
    let mut depth = beside.components().count() as i64 + 1;
    Path::new(text).components().any(|part| {
        depth += match part {
            Component::ParentDir => -1,
            Component::Normal(_) => 1,
            _ => 0,
        };
        depth < 0
    })
}

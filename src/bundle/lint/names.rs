//! What in Ansible's words means the factory itself.
use std::path::{Component, Path};

use crate::exec::env;

/// Hosts that Ansible makes up where no inventory names them, with a local connection. Source: ansible-core, `C.LOCALHOST`.
const FACTORY: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How what is written is to be taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    Builder,
    Factory,
    /// Known at the run only.
    Unknown,
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Of a pattern of hosts: parts that leave hosts out count for nothing.
pub fn pattern(text: &str) -> Meaning {
    if is_template(text) {
        let named = FACTORY.iter().any(|name| text.contains(name));
        return if named { Meaning::Factory } else { Meaning::Unknown };
    }
    // `::1` has the separator in it.
    let text = text.replace("::1", "localhost");
    let local = |part: &str| {
        let part = part.trim();
        let name = part.strip_prefix('&').unwrap_or(part).split('[').next().unwrap_or_default().trim();
        FACTORY.contains(&name)
    };
    if text.split([',', ':', ';']).any(local) { Meaning::Factory } else { Meaning::Builder }
}

/// Of `delegate_to`: anything but the builder is made up, and reached from the factory with what its user may.
pub fn delegate(text: &str) -> Meaning {
    let bare: String = text.chars().filter(|c| !c.is_whitespace() && *c != '"' && *c != '\'').collect();
    match bare.as_str() {
        "local" | "{{inventory_hostname}}" => Meaning::Builder,
        _ if is_template(text) && !FACTORY.iter().any(|name| text.contains(name)) => Meaning::Unknown,
        _ => Meaning::Factory,
    }
}

/// Of `connection` and `ansible_connection`: all but SSH run programs on the factory.
pub fn connection(text: &str) -> Meaning {
    let name = text.trim().trim_start_matches("ansible.builtin.").trim_start_matches("ansible.legacy.");
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

/// Whether a path, as written in a file in `beside` (relative to the bundle), is one of the factory's: absolute, of a home, or
/// with so many `..` that it leaves the bundle wherever Ansible looks for it.
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

//! `ansible.cfg` and inventories, which are lines of `key = value`.
use super::super::yaml::Position;
use super::hosts;
use super::names::{self, Meaning};

/// Settings of ansible.cfg that run programs on the factory. Source: ansible-core, `base.yml` and
/// the options of ssh.
const PROGRAMS: &[&str] = &[
    "ssh_executable",
    "scp_executable",
    "sftp_executable",
    "ssh_common_args",
    "ssh_extra_args",
    "sftp_extra_args",
    "scp_extra_args",
];

/// Where Ansible's `ssh` goes, whatever the machine is called.
pub const ADDRESSES: [&str; 2] = ["ansible_host", "ansible_ssh_host"];

/// Places and messages.
pub fn findings(text: &str) -> Vec<(Position, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.starts_with(['#', ';', '[']) {
            continue;
        }
        let at = |offset: usize| Position {
            line: number + 1,
            column: line[..offset].chars().count() + 1,
        };
        let first = line.len() - start.len();
        if let Some((key, value)) = start.split_once(['=', ':']) {
            let (key, value) = (key.trim().to_lowercase(), value.trim().trim_matches(['"', '\'']));
            if key == "transport" && names::connection(value) != Meaning::Builder {
                found.push((at(first), format!("plays run on the factory: `transport = {value}`")));
            }
            if PROGRAMS.contains(&key.as_str()) {
                found.push((at(first), format!("`{key}` runs programs on the factory")));
            }
        }
        found.extend(assigned(line).into_iter().map(|(offset, message)| (at(offset), message)));
    }
    found
}

/// `ansible_connection=local` and its kin anywhere in a text: byte offsets and messages.
pub fn assigned(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("ansible_") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let end = text[at..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .map_or(text.len(), |n| at + n);
        let Some(value) = text[end..].trim_start().strip_prefix('=') else { continue };
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let value = value
            .split(|c: char| c.is_whitespace() || c == '"' || c == '\'')
            .next()
            .unwrap_or_default();
        let name = &text[at..end];
        if name == "ansible_connection" && names::connection(value) == Meaning::Factory {
            found.push((at, format!("what follows runs on the factory: `{name}={value}`")));
        } else if ADDRESSES.contains(&name) && hosts::means_factory(value) {
            found.push((at, format!("this leads to the factory: `{name}={value}`")));
        } else if let Some(why) = names::variable(name) {
            found.push((at, format!("`{name}` cannot be set: {why}")));
        }
    }
    found
}

//! Predefined names.
use super::error::Error;
use super::value::{Function, Value};

const FUNCTIONS: &[&str] = &[
    "range",
    "dict",
    "lipsum",
    "cycler",
    "joiner",
    "namespace",
    "now",
    "undef",
    "lookup",
    "query",
    "q",
    "self",
];

/// Variables of a playbook run, whose values depend on the run and its machine.
const OF_A_RUN: &[&str] = &[
    "ansible_check_mode",
    "ansible_config_file",
    "ansible_dependent_role_names",
    "ansible_diff_mode",
    "ansible_facts",
    "ansible_forks",
    "ansible_inventory_sources",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_name",
    "ansible_play_role_names",
    "ansible_playbook_python",
    "ansible_role_names",
    "ansible_run_tags",
    "ansible_search_path",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "play_hosts",
    "playbook_dir",
    "template_destpath",
    "template_fullpath",
    "template_host",
    "template_mtime",
    "template_path",
    "template_run_date",
    "template_uid",
];

pub fn find(name: &str) -> Option<Value> {
    match name {
        "omit" => return Some(Value::Omit),
        // What it is where nobody configured it.
        "ansible_managed" => return Some(Value::from("Ansible managed")),
        _ => {}
    }
    if OF_A_RUN.contains(&name) {
        let why = "there is no inventory and no playbook here: templates see build-vars.yml and \
            the built image";
        // Not undefined: `default` would hide that Ansible has a value.
        return Some(Value::Missing(Error::refused(format!("`{name}` is not supported: {why}"))));
    }
    let known = FUNCTIONS.iter().find(|f| **f == name && **f != "self")?;
    Some(Value::function(Function::Global(known)))
}

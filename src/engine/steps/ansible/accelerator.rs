//! Mitogen for a playbook: whether it is used, and why not. It replaces the strategy of plays that
//! name none: one Python on the builder runs all modules. Its connection is still the system's
//! `ssh`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::Attempt;
use super::words::{Texts, Word};
use crate::engine::inventory::Inventory;
use crate::engine::{BuildContext, BuildError};
use crate::frontend::build_vars::{Named, first_set};
use crate::model::step::StepKind;
use crate::wall::Mitogen;

/// Oldest Python 3 that Mitogen runs on.
const PYTHON: (u32, u32) = (3, 6);

/// What Ansible reads if a definition has no `ansible.cfg`.
const ELSEWHERE: &str = "/etc/ansible/ansible.cfg";

/// Settings with which somebody chooses what Mitogen would replace.
const SETTINGS: &[Named] = &[
    ("defaults", "strategy", "ANSIBLE_STRATEGY"),
    ("defaults", "strategy_plugins", "ANSIBLE_STRATEGY_PLUGINS"),
    ("defaults", "connection_plugins", "ANSIBLE_CONNECTION_PLUGINS"),
    ("defaults", "become_plugins", "ANSIBLE_BECOME_PLUGINS"),
    ("defaults", "transport", "ANSIBLE_TRANSPORT"),
];

/// What Mitogen does otherwise than Ansible: a task in the background ends with the connection,
/// other ways to become root and other connections are few.
const OTHERWISE: &[Word] = &[
    ("async", &["0"]),
    ("become_method", SUDO),
    ("ansible_become_method", SUDO),
    ("become_exe", &[]),
    ("ansible_become_exe", &[]),
    ("become_flags", &[]),
    ("ansible_become_flags", &[]),
    ("ansible_sudo_flags", &[]),
    ("ansible_sudo_exe", &[]),
    ("connection", SSH),
    ("ansible_connection", SSH),
    ("mitogen_", &[]),
];
const SUDO: &[&str] = &["sudo", "ansible.builtin.sudo"];
const SSH: &[&str] = &["ssh", "smart", "ansible.builtin.ssh"];

/// In the run's scratch directory: a playbook failed with Mitogen and went well without.
const FAILED: &str = "without-mitogen";

/// The Mitogen to play with, if any. The log says which, or why not.
pub(super) async fn choose(
    attempt: &Attempt<'_>,
    inventory: &Inventory,
    texts: impl FnOnce() -> Result<Texts, String>,
) -> Result<Option<Mitogen>, BuildError> {
    let site = attempt.site;
    let Some(found) = site.wall.mitogen(&site.cx.cancel).await? else { return Ok(None) };
    let why_not = |mitogen: Mitogen| match why_not(attempt, inventory, texts) {
        Some(why) => Err(why),
        None => Ok(mitogen),
    };
    match found.and_then(why_not) {
        Ok(mitogen) => {
            site.cx.events.note(format!("ansible: played with Mitogen {}", mitogen.version));
            Ok(Some(mitogen))
        }
        Err(why) => {
            site.cx.events.note(format!("ansible: played without Mitogen: {why}"));
            Ok(None)
        }
    }
}

fn why_not(
    attempt: &Attempt<'_>,
    inventory: &Inventory,
    texts: impl FnOnce() -> Result<Texts, String>,
) -> Option<String> {
    let Attempt { site, step, .. } = attempt;
    match step.action {
        StepKind::Ansible { plain: true, .. } => {
            return Some("the step says `accelerator: false`".into());
        }
        StepKind::Ansible { local: true, .. } => {
            return Some("the step plays on the factory too".into());
        }
        _ => {}
    }
    if failed_before(site).exists() {
        return Some("it failed with it before in this run".into());
    }
    if let Some(why) = unfit(inventory.python) {
        return Some(why);
    }
    let dir = &site.plan.bundle_dir;
    if let Some(set) = first_set(dir, &environment(attempt), &[ELSEWHERE.into()], SETTINGS) {
        return Some(chosen(dir, set));
    }
    match texts() {
        Ok(texts) => texts.first(OTHERWISE),
        Err(why) => Some(why),
    }
}

fn chosen(dir: &Path, (name, file): (&str, Option<PathBuf>)) -> String {
    match file.filter(|file| !file.starts_with(dir)) {
        Some(file) => format!("`{name}` in {}", file.display()),
        None => format!("the definition sets `{name}`"),
    }
}

/// Why Mitogen does not run on the builder's Python.
fn unfit(python: Option<(u32, u32)>) -> Option<String> {
    match python {
        None => Some("the builder's Python is not known".into()),
        Some(python) if python < PYTHON => {
            Some(format!("the builder has Python {}.{}", python.0, python.1))
        }
        Some(_) => None,
    }
}

/// The step's variables, and those that pass from the factory.
fn environment(attempt: &Attempt<'_>) -> BTreeMap<String, String> {
    let passed = attempt.site.wall.passed_on(attempt.site.plan).into_iter();
    let passed = passed.map(|(name, value)| (name.to_owned(), value.to_owned()));
    passed.chain(attempt.step.env.clone()).collect()
}

fn failed_before(site: &BuildContext<'_>) -> PathBuf {
    site.scratch.join(FAILED)
}

/// Plays the rest of the run without Mitogen.
pub(super) fn distrust(site: &BuildContext<'_>) -> Result<(), BuildError> {
    let path = failed_before(site);
    std::fs::write(&path, "").map_err(|source| BuildError::Io { path, source })
}

/// Why a step failed that failed both ways.
pub(super) fn both(with: &str, without: String) -> String {
    match with == without {
        true => format!("{without} (with Mitogen too)"),
        false => format!("{without}; before that, with Mitogen: {with}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_said_with_its_place() {
        let dir = Path::new("/tree/images/x");
        let said = |file: Option<&str>| chosen(dir, ("strategy", file.map(PathBuf::from)));
        assert_eq!(said(None), "the definition sets `strategy`");
        assert_eq!(said(Some("/tree/images/x/ansible.cfg")), said(None));
        assert_eq!(said(Some(ELSEWHERE)), "`strategy` in /etc/ansible/ansible.cfg");
    }

    #[test]
    fn a_builder_needs_a_python_that_mitogen_runs_on() {
        assert_eq!(unfit(Some((3, 6))), None);
        assert_eq!(unfit(Some((3, 14))), None);
        assert_eq!(unfit(Some((3, 5))).as_deref(), Some("the builder has Python 3.5"));
        assert_eq!(unfit(None).as_deref(), Some("the builder's Python is not known"));
    }
}

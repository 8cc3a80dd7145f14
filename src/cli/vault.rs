//! Checks for the vault password file that an `ansible.cfg` or step names; without it Ansible fails
//! immediately.
use std::collections::BTreeMap;

use super::{Context, Failure};
use crate::frontend::build_vars::{self, Password};
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::step::StepKind;

impl Context {
    /// Missing password files of a definition. The owner's settings override `ansible.cfg`.
    pub fn passwords(&self, bundle: &Definition) -> Result<Vec<Diagnostic>, Failure> {
        let steps = bundle
            .steps
            .iter()
            .filter(|step| matches!(step.action, StepKind::Ansible { .. }))
            .map(|step| &step.env);
        let none = BTreeMap::new();
        let bootstrap = (bundle.steps.is_empty() && bundle.has_bootstrap).then_some(&none);
        let mut found = Vec::new();
        for env in steps.chain(bootstrap) {
            let Some(password) = build_vars::password(bundle, env) else { continue };
            let wall = self.wall()?;
            let settings = wall.settings();
            let shown = settings.read_only.iter().any(|dir| password.path.starts_with(dir));
            if password.of_config && settings.ansible.vault_password_file.is_some()
                || password.is_there
                || shown
            {
                continue;
            }
            let finding = finding(&password, wall.has_ansible(), &settings.how_to_name_password());
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
        Ok(found)
    }
}

/// `has_ansible`: a run on this machine would fail; otherwise another machine builds, which may
/// have the file.
fn finding(password: &Password, has_ansible: bool, file: &str) -> Diagnostic {
    let name = password.path.display();
    let (why, sure) = match () {
        () if password.path.starts_with("~") => {
            ("lies in a home, and that of a run is empty", true)
        }
        () if password.path.is_absolute() || password.path.starts_with("..") => {
            ("lies outside of the bundle, where a run sees nothing", false)
        }
        () => ("does not exist", has_ansible),
    };
    let message = format!("`{name}`, the password of a vault, {why}: Ansible ends at once");
    let finding = match sure {
        true => Diagnostic::error(password.place.clone(), message),
        false => Diagnostic::warning(password.place.clone(), message),
    };
    finding.hint(format!("leave it out; the factory's owner names the file: {file}"))
}

//! The vault password file named by `ansible.cfg` or a step's environment. Ansible reads it first.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Definition;
use super::ansible_cfg::Config;
use super::playbooks::plain;
use super::yaml::Position;
use crate::model::diagnostic::Location;

const VARIABLE: &str = "ANSIBLE_VAULT_PASSWORD_FILE";

/// Password source of a step's playbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    /// Relative to the bundle's directory, absolute, or below `~`.
    pub path: PathBuf,
    pub place: Location,
    /// Lies in the bundle.
    pub is_there: bool,
    /// Named by `ansible.cfg`, which the environment overrides.
    pub of_config: bool,
}

/// `env` is the step's environment. `None` if no file is named, or only the run can tell.
pub fn password(bundle: &Definition, env: &BTreeMap<String, String>) -> Option<Password> {
    if !env.contains_key(VARIABLE) && bundle.asks.env.iter().any(|name| name == VARIABLE) {
        return None;
    }
    let config = Config::of(&bundle.dir, env);
    let (name, base, place) = match env.get(VARIABLE) {
        Some(name) => (name.as_str(), Path::new(""), place_of_env(bundle)),
        None => {
            let setting = config.setting("defaults", "vault_password_file", VARIABLE)?;
            let file = Path::new(&bundle.label).join(&config.file);
            (
                setting.value.as_str(),
                config.file.parent().unwrap_or(Path::new("")),
                Position { line: setting.line, column: 1 }.place(&file),
            )
        }
    };
    let name = name.trim_matches(['"', '\'']);
    let (name, base) =
        name.strip_prefix("{{CWD}}/").map_or((name, base), |rest| (rest, Path::new("")));
    if name.is_empty() || name.contains("{{") || name.contains('$') {
        return None;
    }
    let path = if name.starts_with('~') { PathBuf::from(name) } else { plain(&base.join(name)) };
    let inner = path.is_relative() && !path.starts_with("..") && !name.starts_with('~');
    Some(Password {
        is_there: inner && bundle.dir.join(&path).is_file(),
        path,
        place,
        of_config: !env.contains_key(VARIABLE),
    })
}

fn place_of_env(bundle: &Definition) -> Location {
    let named = |end: &str| {
        bundle
            .locations
            .keys()
            .find(|(key, _)| key.starts_with("steps[") && key.ends_with(end))
            .map(|(_, place)| place)
    };
    let place = named(&format!(".env.{VARIABLE}"))
        .or_else(|| named(".env"))
        .or_else(|| bundle.locations.keys().next().map(|(_, place)| place));
    place.cloned().unwrap_or_else(|| Location {
        file: PathBuf::from(&bundle.label),
        line: 0,
        column: 0,
    })
}

//! Reads `ansible.cfg` as Ansible does, together with the environment variables that override it.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::playbooks::plain;
use crate::system::reading;

/// Size limit of an `ansible.cfg`.
const MAX_BYTES: u64 = 1 << 20;

/// A directory-list setting: its environment variables, which take precedence, and its names in the
/// file.
pub(super) struct Key(&'static [&'static str], &'static [&'static str]);

pub(super) const ROLES: Key = Key(&["ANSIBLE_ROLES_PATH"], &["roles_path"]);
pub(super) const COLLECTIONS: Key = Key(
    &["ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_COLLECTIONS_PATHS"],
    &["collections_path", "collections_paths"],
);
pub(super) const MODULES: Key = Key(&["ANSIBLE_LIBRARY"], &["library"]);
pub(super) const FILTERS: Key = Key(&["ANSIBLE_FILTER_PLUGINS"], &["filter_plugins"]);
pub(super) const TESTS: Key = Key(&["ANSIBLE_TEST_PLUGINS"], &["test_plugins"]);
pub(super) const LOOKUPS: Key = Key(&["ANSIBLE_LOOKUP_PLUGINS"], &["lookup_plugins"]);
pub(super) const STRATEGIES: Key = Key(&["ANSIBLE_STRATEGY_PLUGINS"], &["strategy_plugins"]);
pub(super) const BECOMES: Key = Key(&["ANSIBLE_BECOME_PLUGINS"], &["become_plugins"]);
pub(super) const CONNECTIONS: Key = Key(&["ANSIBLE_CONNECTION_PLUGINS"], &["connection_plugins"]);

/// Effective settings for the playbooks of one step.
#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    /// Relative to the bundle's directory, where Ansible runs. May not exist.
    pub file: PathBuf,
    pub settings: Vec<Setting>,
    env: BTreeMap<String, String>,
}

/// A line of the file with its continuation lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub section: String,
    /// In lower case.
    pub key: String,
    pub value: String,
    pub line: usize,
}

impl Config {
    /// `env` is the step's environment. Files outside of the bundle are not read.
    pub fn of(dir: &Path, env: &BTreeMap<String, String>) -> Self {
        let named = env
            .get("ANSIBLE_CONFIG")
            .map(|path| plain(Path::new(path)))
            .filter(|path| path.is_relative());
        let named = named
            .map(|path| if dir.join(&path).is_dir() { path.join("ansible.cfg") } else { path });
        // One that is not there counts for nothing.
        let file = named
            .filter(|path| !path.starts_with("..") && dir.join(path).is_file())
            .unwrap_or_else(|| "ansible.cfg".into());
        let text = reading::text(&dir.join(&file), MAX_BYTES).unwrap_or_default();
        let env = env
            .iter()
            .filter(|(name, _)| name.starts_with("ANSIBLE_"))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        Self { file, settings: settings(&text), env }
    }

    /// Directories as Ansible resolves them; relative ones are relative to the bundle's. Empty if
    /// not set.
    pub fn paths(&self, Key(names, keys): &Key) -> Vec<String> {
        let split = |text: &str| -> Vec<String> {
            let paths = text.split([':', '\n']).map(|path| path.trim().trim_matches(['"', '\'']));
            paths.filter(|path| !path.is_empty()).map(str::to_owned).collect()
        };
        if let Some(text) = names.iter().find_map(|name| self.env.get(*name)) {
            return split(text);
        }
        let own = self.file.parent().unwrap_or(Path::new(""));
        let found = self
            .settings
            .iter()
            .rev()
            .find(|s| s.section == "defaults" && keys.contains(&s.key.as_str()));
        let from_file = |path: String| match path.strip_prefix("{{CWD}}/") {
            Some(rest) => rest.to_owned(),
            None if path.starts_with(['/', '~', '$']) => path,
            None => plain(&own.join(path)).display().to_string(),
        };
        found.map(|s| split(&s.value)).unwrap_or_default().into_iter().map(from_file).collect()
    }

    /// A setting of the file; `None` if the step's environment overrides it.
    pub fn setting(&self, section: &str, key: &str, env: &str) -> Option<&Setting> {
        let of_file = || self.settings.iter().rev().find(|s| s.section == section && s.key == key);
        if self.env.contains_key(env) { None } else { of_file() }
    }

    /// Whether a boolean is off, by the step's environment or the file.
    pub fn is_off(&self, key: &str, env: &str) -> bool {
        let of_file = self.setting("defaults", key, env).map(|s| s.value.as_str());
        let said = self
            .env
            .get(env)
            .map(String::as_str)
            .or(of_file)
            .map(|text| text.trim_matches(['"', '\'']).to_lowercase());
        said.is_some_and(|text| ["false", "no", "off", "0", "f", "n"].contains(&text.as_str()))
    }

    /// Whether Jinja extensions are loaded, which may change its syntax.
    pub fn extends_jinja(&self) -> bool {
        let of_file = |s: &Setting| {
            s.section == "defaults" && s.key == "jinja2_extensions" && !s.value.is_empty()
        };
        self.env.contains_key("ANSIBLE_JINJA2_EXTENSIONS") || self.settings.iter().any(of_file)
    }

    /// The [`Self::paths`] that may lie in the bundle.
    pub fn inner(&self, key: &Key) -> Vec<PathBuf> {
        self.paths(key)
            .into_iter()
            .filter(|path| !path.starts_with(['/', '~', '$']))
            .map(|path| plain(Path::new(&path)))
            .collect()
    }

    /// Equal for steps that need the same check.
    pub fn identity(&self) -> String {
        format!("{:?}{:?}", self.file, self.env)
    }
}

/// Location of a value in the `ansible.cfg` for this environment: the file, relative to the bundle,
/// and the line.
pub fn place_of_value(
    dir: &Path,
    env: &BTreeMap<String, String>,
    value: &str,
) -> Option<(PathBuf, usize)> {
    let config = Config::of(dir, env);
    let found = config.settings.iter().find(|s| s.value.trim_matches(['"', '\'']) == value);
    found.map(|setting| (config.file.clone(), setting.line))
}

/// A setting of Ansible: its section and key in `ansible.cfg`, and its environment variable.
pub type Named = (&'static str, &'static str, &'static str);

/// The first of these settings that this environment or the `ansible.cfg` for it sets, by the name
/// that it has there; with that file. Ansible reads the first of `elsewhere` where the definition
/// has none.
pub fn first_set(
    dir: &Path,
    env: &BTreeMap<String, String>,
    elsewhere: &[PathBuf],
    settings: &[Named],
) -> Option<(&'static str, Option<PathBuf>)> {
    if let Some((_, _, variable)) = settings.iter().find(|(_, _, name)| env.contains_key(*name)) {
        return Some((variable, None));
    }
    let named = env.get("ANSIBLE_CONFIG").map(|path| dir.join(path));
    let named = named.map(|path| if path.is_dir() { path.join("ansible.cfg") } else { path });
    let own = named.into_iter().chain([dir.join("ansible.cfg")]);
    let file = own.chain(elsewhere.iter().cloned()).find(|file| file.is_file())?;
    let all = self::settings(&reading::text(&file, MAX_BYTES).unwrap_or_default());
    let (_, key, _) = settings.iter().find(|(section, key, _)| {
        all.iter().any(|one| one.section == *section && one.key == *key)
    })?;
    Some((key, Some(file)))
}

/// Parses like ansible-core's configparser: case-insensitive keys, `=` or `:`, indented
/// continuation lines, comments after ` ;`.
pub(super) fn settings(text: &str) -> Vec<Setting> {
    let (mut all, mut section): (Vec<Setting>, String) = (Vec::new(), String::new());
    // Of the line that the next may go on.
    let mut indent = None;
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        let comment = bare.find(" ;").or_else(|| bare.find("\t;"));
        let bare = comment.map_or(bare, |at| bare[..at].trim_end());
        let own = line.len() - line.trim_start().len();
        if indent.is_some_and(|indent| own > indent)
            && let Some(last) = all.last_mut()
        {
            last.value.push('\n');
            last.value.push_str(bare);
        } else if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            (section, indent) = (name.trim().to_owned(), None);
        } else if let Some((key, value)) = bare.split_once(['=', ':']) {
            let (key, value) = (key.trim().to_lowercase(), value.trim().to_owned());
            all.push(Setting { section: section.clone(), key, value, line: number + 1 });
            indent = Some(own);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of these was not seen, or read with what is no part of it.
    #[test]
    fn a_list_of_directories_is_read_as_configparser_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let of = |text: &str, env: &[(&str, &str)]| {
            std::fs::write(dir.path().join("ansible.cfg"), text).unwrap();
            let env = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            Config::of(dir.path(), &env).paths(&ROLES).join(" ")
        };
        for text in [
            "roles_path=a:b",
            "ROLES_PATH = a:b",
            "roles_path: a:b",
            "roles_path = a:b ; ours",
            "roles_path = a:\n    b",
            "roles_path='a':./b",
        ] {
            assert_eq!(of(&format!("# x\n[defaults]\n{text}\n"), &[]), "a b", "{text}");
        }
        assert_eq!(of("[galaxy]\nroles_path = a\n", &[]), "", "another section");
        assert_eq!(of("[defaults]\nroles_path = {{CWD}}/a:~/b:/c\n", &[]), "a ~/b /c");
        assert_eq!(of("[defaults]\nroles_path = a\n", &[("ANSIBLE_ROLES_PATH", "x:/y")]), "x /y");
        std::fs::create_dir_all(dir.path().join("conf")).unwrap();
        std::fs::write(dir.path().join("conf/ansible.cfg"), "[defaults]\nroles_path = r:../s\n")
            .unwrap();
        for named in ["conf/ansible.cfg", "./conf/ansible.cfg", "conf"] {
            assert_eq!(
                of("[defaults]\nroles_path = a\n", &[("ANSIBLE_CONFIG", named)]),
                "conf/r s",
                "{named}"
            );
        }
        assert_eq!(of("[defaults]\nroles_path = a\n", &[("ANSIBLE_CONFIG", "nope.cfg")]), "a");
    }

    /// A strategy that the owner had chosen in /etc/ansible was replaced.
    #[test]
    fn a_setting_is_looked_for_in_the_file_that_ansible_reads() {
        let dir = tempfile::tempdir().unwrap();
        let (bundle, etc) = (dir.path().join("bundle"), dir.path().join("etc.cfg"));
        std::fs::create_dir(&bundle).unwrap();
        let named: &[Named] = &[("defaults", "strategy", "ANSIBLE_STRATEGY")];
        let set = |env: &[(&str, &str)]| {
            let env = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            first_set(&bundle, &env, std::slice::from_ref(&etc), named)
        };
        assert_eq!(set(&[]), None);
        std::fs::write(&etc, "[defaults]\nstrategy = free\n").unwrap();
        assert_eq!(set(&[]), Some(("strategy", Some(etc.clone()))));
        assert_eq!(set(&[("ANSIBLE_STRATEGY", "free")]), Some(("ANSIBLE_STRATEGY", None)));
        let own = bundle.join("ansible.cfg");
        std::fs::write(&own, "[defaults]\nforks = 1\n").unwrap();
        assert_eq!(set(&[]), None, "the definition's own is read in its place");
        let path = etc.display().to_string();
        assert_eq!(set(&[("ANSIBLE_CONFIG", &path)]), Some(("strategy", Some(etc.clone()))));
        std::fs::write(&own, "[defaults]\nstrategy = free\n").unwrap();
        assert_eq!(set(&[]), Some(("strategy", Some(own))));
    }
}

//! The owner's settings: permissions that a definition cannot grant itself. The files lie outside
//! of every factory tree, and only root or this user can write them.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::frontend::build_vars::decode::Reader;
use crate::frontend::build_vars::syntax;
use crate::model::definition::Asks;
use crate::model::diagnostic::{Diagnostic, Location};
use crate::system::durable;
use crate::system::paths::real;

mod read;
#[cfg(test)]
mod tests;

/// Size limit of a settings file.
const MAX_BYTES: u64 = 1 << 20;

/// MiB that checkpoints may take of the disk, if the owner says nothing.
pub const CACHE: u64 = 10 << 10;

/// Whether code of a definition runs behind a wall on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Where the machine supports a wall; otherwise without one, and with a warning.
    #[default]
    Auto,
    /// With a wall or not at all.
    Required,
    Off,
}

/// Permissions of the definitions with this label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Pattern such as `images/x`; `*` matches anything but `/`.
    pub definition: String,
    /// Applies only in this factory tree.
    pub tree: Option<PathBuf>,
    /// Allows plays on the factory.
    pub local: bool,
    /// Variables of the factory's environment that the definition may request.
    pub env: Vec<String>,
    /// Allows its source script to run without a wall.
    pub unwalled: bool,
}

/// Whether playbooks run with Mitogen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// Where `setup/dependencies` put it, and fits; otherwise without.
    #[default]
    Auto,
    Off,
    /// The directory that holds its Python packages. Absolute.
    At(PathBuf),
}

/// Paths made visible to Ansible besides its installation, all absolute, and its accelerator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnsibleSettings {
    pub accelerator: Accelerator,
    pub vault_password_file: Option<PathBuf>,
    pub collections: Vec<PathBuf>,
    pub roles: Vec<PathBuf>,
}

/// Limits of definitions' code: per process, and per step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSettings {
    /// MiB of address space per process.
    pub memory_mib: Option<u64>,
    /// CPU time per process.
    pub cpu: Option<Duration>,
    /// Processes and threads of a step.
    pub processes: Option<u64>,
    /// MiB of memory of all processes of a step.
    pub together_mib: Option<u64>,
}

/// All files merged. A key of a later file replaces that of an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub wall: Mode,
    pub allow: Vec<Rule>,
    pub ansible: AnsibleSettings,
    pub limits: LimitSettings,
    /// Visible read-only to all code of definitions. Absolute.
    pub read_only: Vec<PathBuf>,
    /// MiB that checkpoints may take of the disk; `None`: [`CACHE`].
    pub cache_mib: Option<u64>,
    /// The file that each effective key comes from.
    pub from: BTreeMap<String, PathBuf>,
    /// Searched files; later ones win.
    pub files: Vec<PathBuf>,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Required => "required",
            Self::Off => "off",
        }
    }
}

impl Rule {
    /// Whether the rule applies to this definition of this factory tree.
    pub fn is_for(&self, label: &str, tree: &Path) -> bool {
        self.tree.as_deref().is_none_or(|wanted| real(wanted) == real(tree))
            && matches(&self.definition, label)
    }

    /// Why the rule has no effect, whatever a definition requests.
    pub fn idle(&self) -> Option<&'static str> {
        match self {
            rule if rule.is_for_nothing() => Some("there is no such directory: it allows nothing"),
            rule if !rule.local && !rule.unwalled && rule.env.is_empty() => {
                Some("it says neither `local` nor `env` nor `unwalled`")
            }
            _ => None,
        }
    }

    /// Whether the rule's tree does not exist.
    pub fn is_for_nothing(&self) -> bool {
        self.tree.as_ref().is_some_and(|tree| !tree.is_dir())
    }
}

/// `images/x: plays on the factory, OS_CLOUD`
impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.definition)?;
        if let Some(tree) = &self.tree {
            write!(f, " in {}", tree.display())?;
        }
        let local = self.local.then(|| "plays on the factory".to_owned());
        let unwalled = self.unwalled.then(|| "its source script without the wall".to_owned());
        let may: Vec<String> =
            local.into_iter().chain(unwalled).chain(self.env.iter().cloned()).collect();
        write!(f, ": {}", if may.is_empty() { "nothing".into() } else { may.join(", ") })
    }
}

impl Settings {
    /// Instructions for adding `item` (`{definition: images/x, local: true}`) to the list `key`.
    /// Since a later file replaces a key, names the file whose list is in effect.
    pub fn how_to_add(&self, key: &str, item: &str) -> String {
        if let Some(file) = self.from.get(key) {
            return format!("add `{item}` to the list `{key}` in {}", file.display());
        }
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        let file =
            if files.is_empty() { "the owner's settings".to_owned() } else { files.join(" or ") };
        format!("write `{key}: [{item}]` into {file}")
    }

    /// Where the owner configures the vault password file.
    pub fn how_to_name_password(&self) -> String {
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        let file =
            if files.is_empty() { "the owner's settings".to_owned() } else { files.join(" or ") };
        format!("`ansible: {{vault_password_file: …}}` in {file}")
    }

    /// Configured files and directories that do not exist, with their keys.
    pub fn missing(&self) -> Vec<(&'static str, &Path)> {
        let AnsibleSettings { accelerator, vault_password_file, collections, roles } =
            &self.ansible;
        let at = match accelerator {
            Accelerator::At(path) => vec![path],
            Accelerator::Auto | Accelerator::Off => Vec::new(),
        };
        let all = [
            ("ansible.accelerator", at),
            ("ansible.vault_password_file", vault_password_file.iter().collect::<Vec<_>>()),
            ("ansible.collections", collections.iter().collect()),
            ("ansible.roles", roles.iter().collect()),
            ("read_only", self.read_only.iter().collect()),
        ];
        let named = all
            .into_iter()
            .flat_map(|(key, paths)| paths.into_iter().map(move |path| (key, path.as_path())));
        named.filter(|(_, path)| !path.exists()).collect()
    }

    fn rules<'s>(&'s self, label: &'s str, asks: &'s Asks) -> impl Iterator<Item = &'s Rule> {
        self.allow.iter().filter(move |rule| rule.is_for(label, &asks.tree))
    }

    /// Whether plays of this definition may run on the factory.
    pub fn allows_local(&self, label: &str, asks: &Asks) -> bool {
        self.rules(label, asks).any(|rule| rule.local)
    }

    /// Instructions for the owner to allow plays of this definition on the factory; `None` if
    /// allowed.
    pub fn how_to_allow_local(&self, label: &str, asks: &Asks) -> Option<String> {
        let rule = format!("{{definition: {}, local: true}}", quoted(label));
        (!self.allows_local(label, asks)).then(|| self.how_to_add("allow", &rule))
    }

    pub fn allows_unwalled(&self, label: &str, asks: &Asks) -> bool {
        self.rules(label, asks).any(|rule| rule.unwalled)
    }

    pub fn allows_env(&self, label: &str, asks: &Asks, name: &str) -> bool {
        self.rules(label, asks).any(|rule| rule.env.iter().any(|allowed| allowed == name))
    }
}

/// Quotes a word for a YAML flow list.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    let begins = word.starts_with(|c: char| c == '/' || c == '_' || c.is_ascii_alphabetic());
    match begins && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "''")),
    }
}

/// `*` matches any number of characters except `/`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.take_while(|at| !text[..*at].contains('/')).any(|at| matches(rest, &text[at..]))
        }),
    }
}

/// Reads the existing ones of `files`, in order. `tree` is the current factory tree; no file may
/// lie in it. `user` is the numeric user ID. The error holds the findings of all files.
pub fn load(
    files: &[PathBuf],
    tree: Option<&Path>,
    user: u32,
) -> Result<Settings, Vec<Diagnostic>> {
    let (mut settings, mut findings) =
        (Settings { files: files.to_vec(), ..Settings::default() }, Vec::new());
    for file in files {
        match text(file, tree, user) {
            Ok(None) => {}
            Ok(Some(text)) => {
                let parsed = syntax::read(file, &text);
                let mut reader = Reader::new(file.clone(), parsed.findings);
                if let Some(root) = &parsed.root {
                    read::over(&mut settings, &mut reader, root);
                }
                // The rest is on what Ansible would read, which reads none of this.
                findings.extend(reader.findings.into_iter().filter(Diagnostic::is_error));
            }
            Err(finding) => findings.push(finding),
        }
    }
    findings.sort_by(|a, b| {
        (&a.place, a.severity, &a.message).cmp(&(&b.place, b.severity, &b.message))
    });
    if findings.iter().any(Diagnostic::is_error) { Err(findings) } else { Ok(settings) }
}

/// `None` if the file does not exist.
fn text(file: &Path, tree: Option<&Path>, user: u32) -> Result<Option<String>, Diagnostic> {
    let error = |message: String| {
        Diagnostic::error(Location { file: file.into(), line: 0, column: 0 }, message)
    };
    let io = |e: std::io::Error| error(format!("cannot be read: {e}"));
    let real = match file.canonicalize() {
        Ok(real) => real,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    if tree.and_then(|tree| tree.canonicalize().ok()).is_some_and(|tree| real.starts_with(tree)) {
        let finding = error(
            "the owner's settings lie in the factory tree, where anybody who \
            writes definitions could write them"
                .into(),
        );
        return Err(finding
            .hint("move the file, or set XDG_CONFIG_HOME to a directory outside of the tree"));
    }
    let meta = fs::metadata(&real).map_err(io)?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err(error("is no file of settings".into()));
    }
    durable::only_ours(file, user)
        .map_err(|open| error(format!("it is not used: {open}")).hint(open.hint()))?;
    fs::read_to_string(&real).map(Some).map_err(io)
}

//! Converts errors to messages and exit codes.
use crate::model::category::CATEGORIES;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use super::{Common, document, show};
use crate::engine::BuildError;
use crate::jobs::RunError;
pub use crate::jobs::exit_code::STOPPED;
use crate::jobs::exit_code::{self, BUNDLE, CLOUD, INCOMPLETE, USAGE};
use crate::model::diagnostic::Diagnostic;
use crate::provider::CloudError;
use crate::ready::user;
use crate::system::cancel::Cancelled;
use crate::system::http::ProxyError;
use crate::text::shell;

pub const HELP: &str = "\
Exit codes:
  0    done
  2    the command line is wrong
  10   the bundle is wrong; nothing was published
  20   the cloud or this machine refused
  30   provisioning failed
  40   a smoke test failed; nothing was published
  50   built, but something was left behind: `image-factory sweep` removes it
  60   failed, and something was left behind
  70   published, but incomplete: a property, member or output is not as asked for
  130  stopped by a signal, and cleaned up
With several bundles the worst code counts, in this order: 130, 60, 40, 30, 20, 10, 70, 50.
`make` ends with 2 whatever the code; image.properties of each bundle has its code as EXIT_CODE.

Environment:
  IMAGE_FACTORY_HOME    image store and work files [default: $XDG_DATA_HOME/image-factory]
  IMAGE_FACTORY_ACCEL   same as --accel
  OS_CLOUD, OS_AUTH_URL select a cloud, as --cloud does; clouds.yaml and OS_* give the login
  FACTORY_NETWORK_ID    network of machines whose bundle names none
  FACTORY_SECURITY_GROUP_ID, FACTORY_SECURITY_GROUP_NAME
                        security groups of machines [default: one that the run creates, which
                        admits SSH from FACTORY_SSH_FROM]
  FACTORY_SSH_FROM      CIDRs that may use SSH [default: the address of this machine]
  NO_COLOR              disables colours
  CI                    disables progress bars";

/// An error to report, with its exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    lines: Vec<String>,
    /// Number of errors, in words.
    total: Option<String>,
    hint: Option<String>,
}

impl Failure {
    fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, lines: vec![format!("error: {}", text.into())], total: None, hint: None }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(USAGE, text)
    }

    pub fn cloud(text: impl Into<String>) -> Self {
        Self::new(CLOUD, text)
    }

    /// What was asked for is done, and not all about it can be told.
    pub fn incomplete(text: impl Into<String>) -> Self {
        Self::new(INCOMPLETE, text)
    }

    /// An error of this machine.
    pub fn host(text: impl Into<String>) -> Self {
        Self::new(CLOUD, text)
    }

    /// Several errors of this machine.
    pub fn hosts(texts: Vec<String>) -> Self {
        Self {
            code: CLOUD,
            lines: texts.into_iter().map(|text| format!("error: {text}")).collect(),
            total: None,
            hint: None,
        }
    }

    pub fn bundle(diagnostics: Vec<Diagnostic>) -> Self {
        let errors = diagnostics.iter().filter(|d| d.is_error()).count();
        let lines = diagnostics.iter().map(ToString::to_string).collect();
        let total = (errors > 1).then(|| format!("{errors} errors; nothing was created"));
        Self { code: BUNDLE, lines, total, hint: None }
    }

    /// Changes the exit code: the error is on the command line, not in a file.
    #[must_use]
    pub fn of_command_line(mut self) -> Self {
        self.code = USAGE;
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Each error in one line, with its hint.
    pub fn each(&self) -> Vec<String> {
        let mut each: Vec<String> =
            self.lines.iter().map(|line| line.replace("\n    hint: ", "; ")).collect();
        if let (Some(last), Some(hint)) = (each.last_mut(), &self.hint) {
            *last += &format!("; {hint}");
        }
        each.iter().map(|line| line.strip_prefix("error: ").unwrap_or(line).to_owned()).collect()
    }

    pub fn code(&self) -> u8 {
        self.code
    }

    /// The same for programs, on standard output: `error`, with `code`, `errors` and `hint`.
    pub fn document(&self, common: &Common) {
        let each: Vec<&str> =
            self.lines.iter().map(|line| line.strip_prefix("error: ").unwrap_or(line)).collect();
        let error = serde_json::json!({ "code": self.code, "errors": each, "hint": self.hint });
        let error = match common.progress {
            show::Progress::Json => error,
            _ => serde_json::json!({ "error": error }),
        };
        document(common, ("error", "error"), &error);
    }

    pub fn report(self) -> ExitCode {
        for line in self.lines.iter().chain(&self.total) {
            super::err(line);
        }
        if let Some(hint) = &self.hint {
            super::err(&format!("    hint: {hint}"));
        }
        ExitCode::from(self.code)
    }
}

/// All errors in one line.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.each().join("; "))
    }
}

impl From<ProxyError> for Failure {
    fn from(e: ProxyError) -> Self {
        Self::usage(e.to_string()).hint(e.hint())
    }
}

impl From<Cancelled> for Failure {
    fn from(stopped: Cancelled) -> Self {
        Self::new(STOPPED, stopped.to_string())
    }
}

impl From<CloudError> for Failure {
    fn from(e: CloudError) -> Self {
        let hint = cloud_hint(&e);
        Self { hint, ..Self::new(exit_code::of_kind(e.kind()), e.to_string()) }
    }
}

impl From<RunError> for Failure {
    fn from(e: RunError) -> Self {
        let (code, hint) = (e.exit_code(), run_hint(&e));
        match e {
            RunError::Bad(diagnostics) => Self::bundle(diagnostics),
            RunError::Refused(diagnostics) => Self { code: CLOUD, ..Self::bundle(diagnostics) },
            e => Self { hint, ..Self::new(code, e.to_string()) },
        }
    }
}

/// Hint for the user.
pub fn run_hint(e: &RunError) -> Option<String> {
    match e {
        RunError::Proxy(e) => Some(e.hint().into()),
        RunError::Cloud(e) | RunError::Build(BuildError::Cloud(e)) => cloud_hint(e),
        RunError::Build(BuildError::Step { .. } | BuildError::StepRemote { .. }) => Some(
            "`image-factory shell BUNDLE` opens the builder as the step left it; \
                --keep-on-failure leaves it up"
                .into(),
        ),
        RunError::Build(BuildError::Space(short)) if !short.images => Some(
            "free some space on this machine, or set IMAGE_FACTORY_HOME to a larger \
                disk"
                .into(),
        ),
        RunError::Build(BuildError::Space(_)) => Some(
            "free some space, or set IMAGE_FACTORY_HOME to a larger disk; `image-factory \
                image prune` removes old images"
                .into(),
        ),
        RunError::Output { .. } => Some(
            "`image-factory build --stale BUNDLE` writes missing outputs without a build".into(),
        ),
        RunError::Build(BuildError::Unsettled(_)) => {
            Some("`image-factory image list` shows what is there".into())
        }
        RunError::Build(BuildError::Fetch(e)) => e.hint().map(str::to_owned),
        RunError::Build(BuildError::Smoke { .. }) => Some(
            "--keep-on-failure leaves the tested \
            machine up"
                .into(),
        ),
        RunError::Build(BuildError::NotReady { console, .. }) if console.is_empty() => Some(
            "its console is empty: does the image boot at all, and write to a serial \
                console?"
                .into(),
        ),
        RunError::Io { path, source } | RunError::Build(BuildError::Io { path, source }) => {
            io_hint(path, source)
        }
        RunError::Base { source, .. } => run_hint(source),
        _ => None,
    }
}

fn io_hint(path: &Path, error: &std::io::Error) -> Option<String> {
    match error.raw_os_error() {
        Some(libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP) => Some(
            "is this a file system without locks, as NFS can be? set IMAGE_FACTORY_HOME to a \
                directory on a disk of this machine"
                .into(),
        ),
        Some(libc::EACCES | libc::EPERM) => not_ours(path),
        _ => None,
    }
}

/// Hint for a path that belongs to another user, usually root, who created it earlier or alone may
/// write there. Silent about directories that are not the factory's: the owner of `/var/lib` stays.
fn not_ours(path: &Path) -> Option<String> {
    let there = path.ancestors().find(|p| p.symlink_metadata().is_ok())?;
    let me = user::id();
    let owner = |dir: &Path| Some(dir.symlink_metadata().ok()?.uid()).filter(|owner| *owner != me);
    let name = |id: u32| user::entry(id).map_or_else(|| id.to_string(), |entry| entry.name);
    let (dir, of) = (there, owner(there)?);
    let ours = dir
        .ancestors()
        .filter(|dir| is_the_factorys(dir))
        .filter_map(|dir| Some((dir, owner(dir)?)))
        .last();
    Some(match (ours, path.strip_prefix(dir).ok().and_then(|rest| rest.components().next())) {
        (Some((ours, of)), _) => {
            format!(
                "{} belongs to {}: `sudo chown -R {} {}`",
                ours.display(),
                name(of),
                shell::word(&name(me)),
                shell::path(ours)
            )
        }
        (None, Some(missing)) => {
            let new = dir.join(missing);
            let or = if is_the_factorys(&new) {
                ""
            } else {
                ", or set IMAGE_FACTORY_HOME to a directory of yours"
            };
            format!(
                "{} belongs to {}: `sudo install -d -o {} {}` makes room{or}",
                dir.display(),
                name(of),
                shell::word(&name(me)),
                shell::path(&new)
            )
        }
        (None, None) => format!("{} belongs to {}", dir.display(), name(of)),
    })
}

/// Whether only the factory writes there: `target` of a tree, the home.
fn is_the_factorys(dir: &Path) -> bool {
    let (name, above) = (dir.file_name(), dir.parent().and_then(Path::file_name));
    let is = |name: Option<&std::ffi::OsStr>, word: &str| name.is_some_and(|name| name == word);
    is(name, "image-factory") && is(above, "share")
        || is(name, "target") && CATEGORIES.iter().any(|category| is(above, category.dir))
}

fn cloud_hint(e: &CloudError) -> Option<String> {
    match e {
        CloudError::Refused { hint, .. } => hint.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that gives a system's directory away is none to name.
    #[test]
    fn only_what_is_the_factorys_is_to_be_taken() {
        let me = user::id();
        let denied = std::io::Error::from_raw_os_error(libc::EACCES);
        let said = |path: &Path| io_hint(path, &denied).unwrap_or_default();
        if me != 0 {
            for place in ["/nosuch/share/image-factory/runs", "/var/nosuch/runs", "/etc/passwd"] {
                assert!(
                    !said(Path::new(place)).contains("chown"),
                    "{place}: {}",
                    said(Path::new(place))
                );
            }
            assert!(said(Path::new("/nosuch/home")).contains("install -d -o"));
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let give = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(&path).unwrap();
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            path.display().to_string()
        };
        let (tree, home, other) =
            (give("t/images/target/x"), give("h/share/image-factory"), give("var"));
        give("t/images/target");
        let target = tree.trim_end_matches("/x");
        assert!(
            said(&Path::new(&tree).join("runs/1")).ends_with(&format!("chown -R root {target}`")),
            "{}",
            said(Path::new(&tree))
        );
        assert!(
            said(&Path::new(&home).join("runs/1")).ends_with(&format!("chown -R root {home}`"))
        );
        let elsewhere = said(&Path::new(&other).join("factory/runs"));
        assert!(
            !elsewhere.contains("chown")
                && elsewhere.contains(&format!("install -d -o root {other}/factory`")),
            "{elsewhere}"
        );
        assert!(!said(Path::new(&other)).contains("chown"));
    }
}

//! Checks files that a bundle names: they exist, stay inside the bundle, and have the right kind. A
//! path or link out of an untrusted bundle could copy secrets of the build host into an image.
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use serde::de::IgnoredAny;

use super::keys;
use super::scripts::{self, Told};
use super::syntax;
use super::trees::Trees;
use crate::system::reading;
use crate::text::shell;

/// Size limit of a playbook, in bytes.
pub(super) const MAX_PLAYBOOK: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Trouble {
    pub message: String,
    /// May be empty.
    pub hint: String,
}

fn trouble<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble { message: message.into(), hint: hint.into() })
}

/// Checks a readable file. These functions return the path relative to `dir`, normalised.
pub(super) fn file(dir: &Path, text: &str) -> Result<PathBuf, Trouble> {
    let path = inside(dir, text)?;
    if !dir.join(&path).is_file() {
        return trouble(format!("`{text}` is not a file"), "");
    }
    match reading::open(&dir.join(&path)) {
        Ok(_) => Ok(path),
        Err(error) => trouble(format!("`{text}` cannot be read: {error}"), ""),
    }
}

/// Whether ansible-vault encrypted the whole file.
pub(super) fn is_vaulted(text: &str) -> bool {
    text.strip_prefix('\u{feff}').unwrap_or(text).starts_with("$ANSIBLE_VAULT;")
}

pub(super) fn script(dir: &Path, text: &str) -> Result<PathBuf, Trouble> {
    let path = file(dir, text)?;
    match fs::metadata(dir.join(&path)) {
        Ok(meta) if meta.len() == 0 => trouble(format!("`{text}` is empty"), ""),
        _ => Ok(path),
    }
}

pub(super) fn executable(dir: &Path, text: &str) -> Result<PathBuf, Trouble> {
    let path = script(dir, text)?;
    if !is_executable(&dir.join(&path)) {
        return trouble(
            format!("`{text}` is not executable"),
            format!("chmod +x {}", shell::path(&path)),
        );
    }
    match scripts::runs_by_its_first_line(&dir.join(&path)) {
        Ok(()) => Ok(path),
        Err((found, line)) => {
            trouble(format!("`{text}`, line {line}: {}", found.message), found.hint)
        }
    }
}

/// Checks for UTF-8; the error holds the line of the first invalid byte.
pub(super) fn is_text(bytes: &[u8]) -> Result<(), (Trouble, usize)> {
    let no = |line: usize, message: &str, hint: &str| {
        Err((Trouble { message: message.into(), hint: hint.into() }, line))
    };
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return no(1, "this file is UTF-16, which Ansible does not read", "save it as UTF-8");
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(e) => {
            let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            no(line, "this line is not UTF-8", "iconv -f latin1 -t utf8 FILE, if it is Latin-1")
        }
    }
}

/// Checks a file, or a directory whose links stay in the bundle.
pub(super) fn upload(dir: &Path, text: &str) -> Result<PathBuf, Trouble> {
    let path = inside(dir, text)?;
    let full = dir.join(&path);
    if full.is_file() {
        return file(dir, text);
    }
    if !full.is_dir() {
        return trouble(format!("`{text}` is neither a file nor a directory"), "");
    }
    for entry in walkdir::WalkDir::new(&full) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return trouble(format!("`{text}` cannot be read: {error}"), ""),
        };
        if entry.path_is_symlink() {
            let link = entry.path().strip_prefix(dir).unwrap_or(entry.path());
            inside(dir, &link.to_string_lossy())?;
        } else if !entry.file_type().is_file() && !entry.file_type().is_dir() {
            let path = entry.path().strip_prefix(dir).unwrap_or(entry.path());
            return trouble(format!("`{}` is neither a file nor a directory", path.display()), "");
        }
    }
    Ok(path)
}

/// Checks the path as written, then as resolved by the file system.
pub(super) fn inside(dir: &Path, text: &str) -> Result<PathBuf, Trouble> {
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        let left = match part {
            Component::CurDir => true,
            Component::Normal(name) => {
                path.push(name);
                true
            }
            Component::ParentDir => path.pop(),
            Component::RootDir | Component::Prefix(_) => {
                return trouble(
                    format!("`{text}` is an absolute path"),
                    "paths are relative to the bundle's directory",
                );
            }
        };
        if !left {
            return trouble(
                format!("`{text}` leaves the bundle"),
                "what a bundle needs lies in its directory",
            );
        }
    }
    let full = dir.join(&path);
    // `..` after a link leaves the link's target, so the written path is resolved too, not only the
    // simplified one.
    let resolved = full.canonicalize();
    let written = match &resolved {
        Ok(real) if Path::new(text).as_os_str() == path.as_os_str() => Ok(real.clone()),
        _ => dir.join(text).canonicalize(),
    };
    match (dir.canonicalize(), resolved, written) {
        (Ok(home), Ok(real), Ok(written)) if real.starts_with(&home) && written == real => Ok(path),
        (Ok(_), Ok(_), Ok(_)) => trouble(
            format!("`{text}` leads out of the bundle"),
            "a symbolic link in it points elsewhere",
        ),
        (_, Err(error), _) if error.kind() == ErrorKind::NotFound => {
            if full.is_symlink() {
                return trouble(format!("`{text}` is a link to nowhere"), "");
            }
            trouble(format!("`{text}` does not exist"), near(dir, &path))
        }
        (Ok(_), Ok(_), Err(_)) => trouble(
            format!("`{text}` leads out of the bundle"),
            "`..` behind a symbolic link goes elsewhere than it reads",
        ),
        (Err(error), ..) | (_, Err(error), _) => {
            trouble(format!("`{text}` cannot be read: {error}"), "")
        }
    }
}

/// Reads a file below `dir` that a template includes. Links must not lead out of `dir`. `None` if
/// there is no such file. The error is for people.
pub fn included(dir: &Path, name: &str, most: u64) -> Result<Option<String>, String> {
    if !dir.join(name).exists() {
        return Ok(None);
    }
    let path = inside(dir, name).map_err(|trouble| trouble.message)?;
    reading::text(&dir.join(path), most)
        .map(Some)
        .map_err(|e| format!("`{name}` cannot be read: {e}"))
}

/// Suggests a file with a similar name in the same directory, or with that name elsewhere in the
/// bundle.
fn near(dir: &Path, path: &Path) -> String {
    let Some(name) = path.file_name().map(|n| n.to_string_lossy().into_owned()) else {
        return String::new();
    };
    let parent = path.parent().unwrap_or(Path::new(""));
    // Names behind a link that leads out are the host's.
    let within = dir
        .canonicalize()
        .is_ok_and(|home| dir.join(parent).canonicalize().is_ok_and(|real| real.starts_with(home)));
    let beside = if within { names(&dir.join(parent)) } else { Vec::new() };
    if let Some(found) = keys::nearest(&name, beside.iter().map(String::as_str)) {
        return format!("did you mean `{}`?", parent.join(found).display());
    }
    // Bounded: a bundle may carry a whole source tree.
    let elsewhere = walkdir::WalkDir::new(dir)
        .max_depth(4)
        .into_iter()
        .flatten()
        .take(1000)
        .find(|e| e.file_name().to_string_lossy() == name);
    match elsewhere.as_ref().and_then(|e| e.path().strip_prefix(dir).ok()) {
        Some(found) => format!("there is `{}`", found.display()),
        None => "paths are relative to the bundle's directory".into(),
    }
}

/// Rejects file names that are not valid text (they contain U+FFFD here), because output files and
/// reports use them.
fn legible(name: &str) -> Result<(), Trouble> {
    if name.contains(char::REPLACEMENT_CHARACTER) {
        return trouble(format!("the name of `{name}` is not UTF-8"), "rename the file");
    }
    if name.contains(char::is_control) {
        return trouble(
            format!("the name of {name:?} has a control character in it"),
            "rename the file",
        );
    }
    Ok(())
}

/// Sorted entries of a directory; empty if unreadable.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

/// An executable of `tests/`, and the metadata in its text.
pub(super) struct Check {
    pub path: PathBuf,
    pub told: Vec<Told>,
}

/// The checks in `tests/`, sorted. Subdirectories hold data of checks; notes and hidden files are
/// ignored.
pub(super) fn checks(dir: &Path) -> Vec<Result<Check, (PathBuf, Trouble)>> {
    let mut found = Vec::new();
    if let Err(out) = stays(dir, "tests") {
        return vec![Err(out)];
    }
    for name in names(&dir.join("tests")) {
        let path = Path::new("tests").join(&name);
        if name.starts_with('.')
            || name.starts_with("README")
            || name.ends_with('~')
            || dir.join(&path).is_dir()
        {
            continue;
        }
        found.push(check(dir, &path).map_err(|trouble| (path, trouble)));
    }
    found
}

fn check(dir: &Path, path: &Path) -> Result<Check, Trouble> {
    let text = path.to_string_lossy();
    legible(&text)?;
    let path = executable(dir, &text).map_err(|mut trouble| {
        if trouble.hint.starts_with("chmod") {
            trouble.hint.push_str("; data of a check goes into a directory below tests/");
        }
        trouble
    })?;
    if fs::metadata(dir.join(&path)).is_ok_and(|meta| meta.len() > scripts::MAX) {
        return trouble(format!("`{text}` is too long for a script (more than 4 MiB)"), "");
    }
    let hint = "a check is a script; a program goes into a directory below tests/, and a script \
        that runs on the factory calls it";
    let told = scripts::sent(&dir.join(&path), hint);
    Ok(Check { path, told })
}

/// Fails if a directory of the bundle leads out of it; not even its names are read then.
fn stays(dir: &Path, name: &str) -> Result<(), (PathBuf, Trouble)> {
    match dir.join(name).is_dir() {
        true => inside(dir, name).map(drop).map_err(|trouble| (name.into(), trouble)),
        false => Ok(()),
    }
}

/// `output/*.j2`, sorted.
pub(super) fn templates(dir: &Path) -> Vec<Result<PathBuf, (PathBuf, Trouble)>> {
    if let Err(out) = stays(dir, "output") {
        return vec![Err(out)];
    }
    let names = names(&dir.join("output"))
        .into_iter()
        .filter(|name| name.ends_with(".j2") && !name.starts_with('.'));
    names
        .map(|name| Path::new("output").join(name))
        .filter(|path| !dir.join(path).is_dir())
        .map(|path| {
            legible(&path.to_string_lossy())
                .and_then(|()| file(dir, &path.to_string_lossy()))
                .map_err(|trouble| (path, trouble))
        })
        .collect()
}

/// Checks that the file is YAML with a top-level list. The error has line and column (0 if
/// unknown). Duplicate keys and tags are accepted, as by Ansible; both use libyaml.
pub(super) fn playbook(path: &Path, trees: &Trees) -> Result<(), (Trouble, usize, usize)> {
    let whole = |message: String| Err((Trouble { message, hint: String::new() }, 0, 0));
    let text = match reading::text(path, MAX_PLAYBOOK) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            return whole("too long for a playbook (more than 4 MiB)".into());
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            let bytes = reading::bytes(path, MAX_PLAYBOOK).unwrap_or_default();
            return is_text(&bytes)
                .map_err(|(trouble, line)| (trouble, line, usize::from(line > 0)));
        }
        Err(error) => return whole(format!("cannot be read: {error}")),
    };
    // Only the owner of the password can check the content.
    if is_vaulted(&text) {
        return Ok(());
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.starts_with('#') || line.trim_end() == "---")
    {
        return Err((
            Trouble {
                message: "this playbook is empty".into(),
                hint: "a playbook is a list of plays".into(),
            },
            0,
            0,
        ));
    }
    // libyaml's time is quadratic in the depth, so the depth is checked first.
    if let Err(bad) = trees.parse(path, text)
        && bad.limit
    {
        let hint = bad.hint.unwrap_or_default().to_owned();
        return Err((Trouble { message: bad.message, hint }, bad.spot.line, bad.spot.column));
    }
    let Err(error) = serde_yaml::from_str::<Vec<IgnoredAny>>(text) else { return Ok(()) };
    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    if let Some((line, column, tab)) = syntax::tabbed(text, message, line) {
        return Err((Trouble { message: tab.into(), hint: syntax::SPACES.into() }, line, column));
    }
    let (message, hint) = match message {
        _ if message.starts_with("invalid type") => {
            ("a playbook is a list of plays".to_owned(), "it starts with `- hosts: all`")
        }
        _ if message.contains("more than one document") => {
            ("a playbook is one YAML document".to_owned(), "drop the second `---`")
        }
        _ => (format!("not valid YAML: {message}"), ""),
    };
    Err((Trouble { message, hint: hint.into() }, line, column))
}

/// Whether libyaml, which Ansible uses, rejects this text. A text that is too large for it may be
/// valid.
pub(super) fn is_no_yaml(text: &str) -> bool {
    let limits = ["recursion limit", "repetition limit"];
    serde_yaml::from_str::<IgnoredAny>(text)
        .is_err_and(|e| !limits.iter().any(|limit| e.to_string().contains(limit)))
}

//! Reads the commit of a factory tree and whether it has changes, without using any of the
//! repository's configuration.
//!
//! A repository's configuration names programs (`core.fsmonitor`, filters, hooks, pagers,
//! `core.sshCommand`), and a bundle can contain a bare repository as plain files. So this module
//! locates the repository itself, and runs git on a private git directory with our configuration,
//! the commit and a copy of the index. Of the repository, git sees only objects.
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::inputs::is_debris;
use crate::system::cancel::Cancel;
use crate::system::exec::{self, Cmd, ExecError};
use crate::system::reading;
use crate::system::scratch::Scratch;

const DEADLINE: Duration = Duration::from_secs(20);
/// Size limit of an index; the largest known ones are a tenth of it.
const MAX_INDEX: u64 = 1 << 30;
const MAX_REFS: u64 = 256 << 20;
const MAX_SMALL: u64 = 1 << 20;
/// Paths in the arguments of one command: a quarter of a MiB where each is 512 bytes long.
const AT_ONCE: usize = 512;

/// The repository that contains the factory tree.
#[derive(Debug, PartialEq, Eq)]
struct Repository {
    /// Top of the working tree.
    top: PathBuf,
    /// `.git`, or the worktree's own git directory.
    own: PathBuf,
    /// Git directory shared by all worktrees; usually the same as `own`.
    common: PathBuf,
    /// The commit, in hex.
    head: String,
}

/// Behind a commit, of files that differ from it.
pub const DIRTY: &str = "-dirty";

/// `<commit>`, with `-dirty` unless git says that nothing below `dirs` differs from it. `None` if
/// the tree is in no repository, `dirs` are outside, or the repository's format is not supported.
pub async fn commit(tree: &Path, dirs: &[&Path], cancel: &Cancel) -> Option<String> {
    let repository = find(tree)?;
    let inside = dirs
        .iter()
        .map(|dir| dir.strip_prefix(&repository.top).ok())
        .collect::<Option<Vec<_>>>()?;
    let dirty = match ours(&repository) {
        Ok(dir) => {
            let said = changes(&repository, dir.path(), &inside, cancel).await;
            let is_nothing = |line: &str| Change::of(line).is_none_or(|change| is_nothing(&change));
            !said.is_ok_and(|said| said.lines().all(is_nothing))
        }
        Err(_) => true,
    };
    Some(format!("{}{}", repository.head, if dirty { DIRTY } else { "" }))
}

/// Files below `dirs` that are no part of the tree: what git ignores, and debris that it does not
/// track. `None` as for [`commit`]. Waits for git; an error if git fails. Without git nobody knows:
/// an error of the kind `Unsupported`.
pub fn left_out(tree: &Path, dirs: &[&Path]) -> io::Result<Option<LeftOut>> {
    let Some(repository) = find(tree) else { return Ok(None) };
    let real: Vec<PathBuf> = dirs.iter().filter_map(|dir| dir.canonicalize().ok()).collect();
    let inside: Vec<&Path> =
        real.iter().filter_map(|dir| dir.strip_prefix(&repository.top).ok()).collect();
    if inside.is_empty() {
        return Ok(None);
    }
    let ours = ours(&repository)?;
    let status = status(&repository, ours.path(), (&inside, &["--ignored=matching"]));
    let said = asked(&status)?;
    let mut found = LeftOut::default();
    for change in said.lines().filter_map(Change::of) {
        let to = match change.mark {
            "!!" => &mut found.ignored,
            _ if is_nothing(&change) => &mut found.debris,
            _ => continue,
        };
        to.push(repository.top.join(change.path));
    }
    Ok(Some(found))
}

/// What git says, asked where nothing else waits.
fn asked(git: &Cmd) -> io::Result<String> {
    let asked = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(exec::output(git, &Cancel::default())).map_err(|e| {
            let kind = match e {
                ExecError::Missing { .. } => io::ErrorKind::Unsupported,
                _ => io::ErrorKind::Other,
            };
            io::Error::new(kind, format!("what git ignores is not known: {e}"))
        })
    };
    let joined = std::thread::scope(|scope| scope.spawn(asked).join());
    joined.unwrap_or_else(|e| std::panic::resume_unwind(e))
}

/// See [`left_out`]. Absolute paths; one of a directory means all that is in it.
#[derive(Debug, Default)]
pub struct LeftOut {
    pub ignored: Vec<PathBuf>,
    pub debris: Vec<PathBuf>,
}

/// A line of `git status`.
struct Change<'l> {
    mark: &'l str,
    path: PathBuf,
}

impl<'l> Change<'l> {
    fn of(line: &'l str) -> Option<Self> {
        Some(Self { mark: line.get(..2)?, path: unquoted(line.get(3..)?) })
    }
}

/// A path as git writes it: in quotes and escaped as in C, if it has special characters.
fn unquoted(text: &str) -> PathBuf {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let Some(inner) = inner else { return text.into() };
    let (mut bytes, mut rest) = (Vec::new(), inner.bytes());
    let digit = |byte: Option<u8>| byte.map_or(0, |byte| byte.wrapping_sub(b'0') & 7);
    while let Some(byte) = rest.next() {
        let escaped = if byte == b'\\' { rest.next() } else { None };
        bytes.push(match escaped {
            None => byte,
            Some(b'a') => 7,
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'v') => 11,
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            Some(first @ b'0'..=b'3') => {
                let (second, third) = (digit(rest.next()), digit(rest.next()));
                (first - b'0') << 6 | second << 3 | third
            }
            Some(itself) => itself,
        });
    }
    OsString::from_vec(bytes).into()
}

/// Whether the line tells of nothing that belongs to the tree.
fn is_nothing(change: &Change<'_>) -> bool {
    change.mark == "??" && is_debris(&change.path)
}

/// What decides which files below `dirs` git counts: its index, and lists of what is ignored.
pub fn decides(tree: &Path, dirs: &[&Path]) -> Vec<PathBuf> {
    let Some(repository) = find(tree) else { return Vec::new() };
    let above = dirs.iter().flat_map(|dir| dir.ancestors());
    let lists =
        above.filter(|dir| dir.starts_with(&repository.top)).map(|dir| dir.join(".gitignore"));
    let own = [repository.own.join("index"), repository.common.join("info/exclude")];
    own.into_iter().chain(lists).collect()
}

/// The nearest `.git` in the tree's directory or above; never below, where a bundle could place
/// one.
fn find(tree: &Path) -> Option<Repository> {
    let tree = tree.canonicalize().ok()?;
    let top = tree.ancestors().find(|dir| dir.join(".git").symlink_metadata().is_ok())?;
    let git = top.join(".git");
    let kind = git.symlink_metadata().ok()?.file_type();
    let own = match () {
        () if kind.is_dir() => git,
        () if kind.is_file() => pointed_at(top, &git)?,
        () => return None,
    };
    let common = match small(&own.join("commondir")) {
        Some(text) => own.join(text.trim_end()).canonicalize().ok()?,
        None => own.clone(),
    };
    let head = resolve(&own, &common, "HEAD", 5)?;
    Some(Repository { top: top.to_owned(), own, common, head })
}

/// Resolves a `.git` file: to a worktree's directory, which must point back, or to a submodule's,
/// which must lie in the surrounding repository. Anything else could be another project of the
/// user.
fn pointed_at(top: &Path, git: &Path) -> Option<PathBuf> {
    let text = small(git)?;
    let own = top.join(text.strip_prefix("gitdir:")?.trim()).canonicalize().ok()?;
    let back =
        small(&own.join("gitdir")).and_then(|text| own.join(text.trim_end()).canonicalize().ok());
    let around = top.ancestors().skip(1).any(|dir| {
        let git = dir.join(".git");
        git.symlink_metadata().is_ok_and(|m| m.is_dir()) && own.starts_with(git.join("modules"))
    });
    (back.as_deref() == Some(git) || around).then_some(own)
}

fn resolve(own: &Path, common: &Path, name: &str, left: u8) -> Option<String> {
    let text = small(&own.join(name)).or_else(|| small(&common.join(name)));
    let text = match text {
        Some(text) => text.trim_end().to_owned(),
        None => return packed(common, name),
    };
    if is_id(&text) {
        return Some(text);
    }
    let next = text.strip_prefix("ref: ")?;
    let sound = next.starts_with("refs/")
        && !next.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    (sound && left > 0).then(|| resolve(own, common, next, left - 1)).flatten()
}

fn packed(common: &Path, name: &str) -> Option<String> {
    let text = reading::text(&common.join("packed-refs"), MAX_REFS).ok()?;
    let id = text.lines().find_map(|line| line.split_once(' ').filter(|(_, n)| *n == name))?.0;
    is_id(id).then(|| id.to_owned())
}

fn is_id(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn small(path: &Path) -> Option<String> {
    reading::text(path, MAX_SMALL).ok()
}

/// Creates a private git directory, removed on drop.
fn ours(repository: &Repository) -> io::Result<Scratch> {
    let dir = Scratch::new()?;
    for sub in ["refs", "objects", "info"] {
        fs::create_dir(dir.path().join(sub))?;
    }
    fs::write(dir.path().join("HEAD"), format!("{}\n", repository.head))?;
    fs::write(dir.path().join("config"), config(repository))?;
    if let Some(ignored) = small(&repository.common.join("info/exclude")) {
        fs::write(dir.path().join("info/exclude"), ignored)?;
    }
    // A split index has its larger part beside it.
    let shared = fs::read_dir(&repository.own)?.flatten().map(|e| e.file_name());
    let shared = shared.filter(|name| name.to_string_lossy().starts_with("sharedindex."));
    for name in shared.chain(["index".into()]) {
        match reading::open(&repository.own.join(&name)) {
            Ok(file) => {
                // git looks into files that are as new as its index: they may have changed since.
                let time = file.metadata()?.modified()?;
                let mut copy = fs::File::create(dir.path().join(&name))?;
                io::copy(&mut io::Read::take(file, MAX_INDEX), &mut copy)?;
                copy.set_modified(time)?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(dir)
}

/// The settings of the repository that describe its files on this disk and name no program.
fn config(repository: &Repository) -> String {
    let mut text =
        "[core]\nbare = false\nfsmonitor = false\nhooksPath = /dev/null\nuntrackedCache = false\n\
        quotePath = true\n"
            .to_owned();
    for (key, value) in on_disk(&small(&repository.common.join("config")).unwrap_or_default()) {
        text += &format!("{key} = {value}\n");
    }
    if repository.head.len() == 64 {
        return text + "repositoryformatversion = 1\n[extensions]\nobjectFormat = sha256\n";
    }
    text + "repositoryformatversion = 0\n"
}

fn on_disk(config: &str) -> Vec<(&'static str, &'static str)> {
    const KEYS: [&str; 4] = ["filemode", "autocrlf", "ignorecase", "symlinks"];
    const VALUES: [&str; 3] = ["true", "false", "input"];
    let mut found = Vec::new();
    let mut core = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            core = line.eq_ignore_ascii_case("[core]");
        } else if let (true, Some((key, value))) = (core, line.split_once('=')) {
            let key = KEYS.into_iter().find(|k| k.eq_ignore_ascii_case(key.trim()));
            let value = VALUES.into_iter().find(|v| v.eq_ignore_ascii_case(value.trim()));
            found.extend(key.zip(value));
        }
    }
    found
}

/// What `git status` says of these directories, of files as well that git is told to take for
/// unchanged without a look.
async fn changes(
    repository: &Repository,
    ours: &Path,
    dirs: &[&Path],
    cancel: &Cancel,
) -> Result<String, ExecError> {
    type IsMarked = fn(u8) -> bool;
    let listed = exec::output(&git(repository, ours, (&["ls-files", "-v"], dirs)), cancel).await?;
    let marks: [(&str, IsMarked); 2] = [
        ("--no-skip-worktree", |tag| tag.eq_ignore_ascii_case(&b's')),
        ("--no-assume-unchanged", |tag| tag.is_ascii_lowercase()),
    ];
    for (unmark, is_marked) in marks {
        let lines = listed.lines().filter(|line| line.bytes().next().is_some_and(is_marked));
        let marked: Vec<PathBuf> = lines.filter_map(|line| line.get(2..).map(unquoted)).collect();
        for some in marked.chunks(AT_ONCE) {
            let some: Vec<&Path> = some.iter().map(PathBuf::as_path).collect();
            let unmark = git(repository, ours, (&["update-index", unmark], &some));
            exec::output(&unmark, cancel).await?;
        }
    }
    exec::output(&status(repository, ours, (dirs, &[])), cancel).await
}

/// Asks of these directories, with more options.
fn status(repository: &Repository, ours: &Path, (dirs, more): (&[&Path], &[&str])) -> Cmd {
    // Skips submodules, which have configurations of their own.
    let words = [
        "status",
        "--porcelain",
        "--untracked-files=all",
        "--ignore-submodules=all",
        "--no-renames",
    ];
    git(repository, ours, (&[&words[..], more].concat(), dirs))
}

/// A command of git on these paths.
fn git(repository: &Repository, ours: &Path, (words, paths): (&[&str], &[&Path])) -> Cmd {
    let all =
        |dir: &Path| if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_owned() };
    let mut git = Cmd::new("git", DEADLINE)
        .arg("--no-pager")
        .args(words)
        .arg("--")
        .args(paths.iter().map(|dir| all(dir)))
        .dir(&repository.top);
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let mut set = |name: &str, value: String| {
        git.env.insert(name.to_owned(), value);
    };
    for name in ["GIT_DIR", "GIT_COMMON_DIR", "HOME", "XDG_CONFIG_HOME"] {
        set(name, path(ours));
    }
    set("GIT_WORK_TREE", path(&repository.top));
    set("GIT_INDEX_FILE", path(&ours.join("index")));
    set("GIT_OBJECT_DIRECTORY", path(&repository.common.join("objects")));
    for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
        set(name, "/dev/null".into());
    }
    for name in [
        "GIT_CONFIG_NOSYSTEM",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_NO_LAZY_FETCH",
        "GIT_LITERAL_PATHSPECS",
        "GIT_ATTR_NOSYSTEM",
    ] {
        set(name, "1".into());
    }
    for name in ["GIT_OPTIONAL_LOCKS", "GIT_CONFIG_COUNT", "GIT_TERMINAL_PROMPT"] {
        set(name, "0".into());
    }
    for name in [
        "GIT_CONFIG_PARAMETERS",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_NAMESPACE",
        "GIT_ALLOW_PROTOCOL",
    ] {
        set(name, String::new());
    }
    git
}

#[cfg(test)]
#[path = "git/tests.rs"]
mod tests;

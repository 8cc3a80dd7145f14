//! The files of a definition and their digests. Builds of equal digests had equal definitions.
use crate::model::inputs::{self, InputFile, Inputs, OF_RUN, is_debris};
use crate::model::step::Reads;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::build_vars::links;
use super::noted::Noted;
use super::of;
use crate::model::definition::{Definition, Source};
use crate::system::git::{self, LeftOut};
use crate::system::paths::real;
use crate::system::reading;

/// All files of a definition, sorted by path: those of its directory except `target` (build output)
/// and `.git`, and those beside its main file if `bundle.path` names another directory. Left out is
/// what git ignores, unless a step names it, and what interpreters and editors leave, unless git
/// tracks it. Nothing is left out of what a script or an upload names. The error names the path.
pub fn files(bundle: &Definition) -> Result<Vec<InputFile>, (PathBuf, io::Error)> {
    counted_files(bundle, &Counted::of(bundle)?)
}

fn counted_files(
    bundle: &Definition,
    counted: &Counted,
) -> Result<Vec<InputFile>, (PathBuf, io::Error)> {
    let mut files = below(&bundle.dir, counted)?;
    let bundle_dir = bundle.dir.canonicalize().unwrap_or_else(|_| bundle.dir.clone());
    let own = bundle.tree.join(&bundle.label);
    // Paths of the directory's own files have no label before them, so these two never meet.
    if own.join(of(&own).file()).is_file() && own.canonicalize().is_ok_and(|own| own != bundle_dir)
    {
        let own = below(&own, counted)?.into_iter();
        files.extend(
            own.map(|file| InputFile { path: Path::new(&bundle.label).join(file.path), ..file }),
        );
    }
    for path in links::brought_in(&bundle.tree, &bundle.dir).files {
        if !counted.has(&path) {
            continue;
        }
        let file = read(&path).map_err(|e| (path.clone(), e))?;
        files.push(InputFile { path: relative(&bundle_dir, &path), ..file });
    }
    let known: BTreeSet<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
    for path in sent(bundle)? {
        let called = relative(&bundle_dir, &path);
        if !known.contains(&called) {
            let file = read(&path).map_err(|e| (path, e))?;
            files.push(InputFile { path: called, ..file });
        }
    }
    files.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    Ok(files)
}

/// What scripts and uploads name, with all that lies below it: a machine gets it whole.
fn sent(bundle: &Definition) -> Result<BTreeSet<PathBuf>, (PathBuf, io::Error)> {
    let dir = real(&bundle.dir);
    let named = bundle.steps.iter().filter_map(|step| match step.action.reads() {
        Reads::Path(path) => Some(real(&bundle.dir.join(path))),
        Reads::Nothing | Reads::Everything => None,
    });
    let mut all = BTreeSet::new();
    for place in named.filter(|place| place.exists() && place.starts_with(&dir)) {
        for entry in walkdir::WalkDir::new(&place) {
            let entry = entry.map_err(|e| unseen(&place, e))?;
            let is_kept = entry.file_type().is_file() || entry.path_is_symlink();
            if is_kept || is_empty_dir(entry.path()).map_err(|e| (place.clone(), e))? {
                all.insert(entry.into_path());
            }
        }
    }
    Ok(all)
}

fn is_empty_dir(path: &Path) -> io::Result<bool> {
    Ok(path.is_dir() && path.read_dir()?.next().is_none())
}

fn unseen(dir: &Path, error: walkdir::Error) -> (PathBuf, io::Error) {
    let path = error.path().unwrap_or(dir).to_path_buf();
    (path, error.into_io_error().unwrap_or_else(|| io::Error::other("a loop of links")))
}

/// Which files are part of a definition.
struct Counted {
    /// `None`: the tree is in no repository.
    left_out: Option<LeftOut>,
    /// The main file, and what the settings name, are part of it, also if git ignores them.
    named: Vec<PathBuf>,
    /// What it is called above the tree does not make a file debris.
    tree: PathBuf,
}

impl Counted {
    fn of(bundle: &Definition) -> Result<Self, (PathBuf, io::Error)> {
        let places = places(bundle);
        let dirs: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
        let left_out = git::left_out(&bundle.tree, &dirs).map_err(|e| (bundle.tree.clone(), e))?;
        let dirs: Vec<PathBuf> = dirs.into_iter().map(real).collect();
        // Of a definition that git ignores as a whole, git tells nothing.
        let is_of_no_place = |ignored: &PathBuf| !dirs.iter().any(|dir| dir.starts_with(ignored));
        let left_out = left_out.filter(|left| left.ignored.iter().all(is_of_no_place));
        let main =
            [&bundle.dir, &bundle.tree.join(&bundle.label)].map(|dir| dir.join(of(dir).file()));
        let script = bundle.source.as_ref().and_then(|source| match source {
            Source::Script(path) => Some(bundle.dir.join(path)),
            Source::Url { .. } => None,
        });
        let steps = bundle.steps.iter().filter_map(|step| step.action.path());
        let steps = steps.map(|path| bundle.dir.join(path));
        let named = main.into_iter().chain(script).chain(steps).map(|path| real(&path)).collect();
        Ok(Self { left_out, named, tree: real(&bundle.tree) })
    }

    /// By names alone.
    fn without_git(bundle: &Definition) -> Self {
        Self { left_out: None, named: Vec::new(), tree: real(&bundle.tree) }
    }

    /// `path` is a file or a directory, and is not followed if it is a link.
    fn has(&self, path: &Path) -> bool {
        let path = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => real(parent).join(name),
            _ => path.to_owned(),
        };
        let called = path.strip_prefix(&self.tree).ok();
        let is_debris = is_debris(called.or(path.file_name().map(Path::new)).unwrap_or(&path));
        let Some(LeftOut { ignored, debris }) = &self.left_out else { return !is_debris };
        // The tree's git does not look into repositories in it.
        if path.ancestors().skip(1).take_while(|d| *d != self.tree).any(is_repository) {
            return !is_debris;
        }
        let is_in = |list: &[PathBuf]| list.iter().any(|one| path.starts_with(one));
        let is_named = || self.named.iter().any(|n| path.starts_with(n) || n.starts_with(&path));
        let is_ignored = is_in(ignored);
        !is_in(debris) && (!is_ignored || !is_debris && is_named())
    }
}

/// Paths in the tree that links of a definition lead to.
pub fn linked(bundle: &Definition) -> Vec<PathBuf> {
    links::brought_in(&bundle.tree, &bundle.dir).places
}

/// `../../shared/f`: `path` relative to `dir`.
fn relative(dir: &Path, path: &Path) -> PathBuf {
    let up = dir.ancestors().take_while(|above| !path.starts_with(above)).count();
    let common = dir.ancestors().nth(up).unwrap_or(dir);
    let ups = std::iter::repeat_n("..", up).collect::<PathBuf>();
    ups.join(path.strip_prefix(common).unwrap_or(path))
}

/// A file by its content, without a path.
fn read(path: &Path) -> io::Result<InputFile> {
    if path.is_symlink() {
        let target = std::fs::read_link(path)?;
        let sha256 = hex(&Sha256::digest(target.as_os_str().as_encoded_bytes()));
        return Ok(InputFile { path: PathBuf::new(), sha256, mode: 'l', names_run: false });
    }
    if path.is_dir() {
        let sha256 = hex(&Sha256::digest([]));
        return Ok(InputFile { path: PathBuf::new(), sha256, mode: 'd', names_run: false });
    }
    let file = reading::open(path)?;
    // As git, and as uploads arrive.
    let mode = if file.metadata()?.permissions().mode() & 0o100 == 0 { '-' } else { 'x' };
    let (sha256, names_run) = digest(file)?;
    Ok(InputFile { path: PathBuf::new(), sha256, mode, names_run })
}

fn is_repository(dir: &Path) -> bool {
    dir.join(".git").symlink_metadata().is_ok()
}

fn below(dir: &Path, counted: &Counted) -> Result<Vec<InputFile>, (PathBuf, io::Error)> {
    let dir = &real(dir);
    let left_out = |e: &walkdir::DirEntry| {
        e.file_name() == ".git"
            || e.depth() == 1 && e.file_name() == "target"
            || !counted.has(e.path())
    };
    let mut files = Vec::new();
    for entry in
        walkdir::WalkDir::new(dir).into_iter().filter_entry(|e| e.depth() == 0 || !left_out(e))
    {
        let entry = entry.map_err(|e| unseen(dir, e))?;
        let path = entry.path().strip_prefix(dir).unwrap_or(entry.path()).to_path_buf();
        if entry.file_type().is_file() || entry.path_is_symlink() {
            let file = read(entry.path()).map_err(|e| (entry.path().to_path_buf(), e))?;
            files.push(InputFile { path, ..file });
        }
    }
    Ok(files)
}

/// The files of a definition and their digest. Excludes values of `--set`.
pub fn inputs(bundle: &Definition) -> Result<Inputs, (PathBuf, io::Error)> {
    Ok(digested(files(bundle)?))
}

/// Digest of the values of a definition, those of `--set` among them.
pub fn values(bundle: &Definition) -> String {
    hex(&Sha256::digest(bundle.as_written.to_string()))
}

/// [`inputs`] without asking git, which takes milliseconds: with what it ignores. For keys of
/// checks.
pub fn inputs_without_git(bundle: &Definition) -> Result<Inputs, (PathBuf, io::Error)> {
    Ok(digested(counted_files(bundle, &Counted::without_git(bundle))?))
}

fn digested(files: Vec<InputFile>) -> Inputs {
    let mut all = Sha256::new();
    for file in &files {
        let path = file.path.as_os_str().as_bytes();
        let broken = path.contains(&b'\n');
        all.update(format!("{}{} {} ./", if broken { "\\" } else { "" }, file.sha256, file.mode));
        for byte in path {
            match byte {
                b'\n' => all.update(b"\\n"),
                b'\\' if broken => all.update(b"\\\\"),
                byte => all.update([*byte]),
            }
        }
        all.update(b"\n");
    }
    Inputs { sha256: hex(&all.finalize()), files }
}

/// The digest of [`inputs`], noted in `dir`.
pub fn known_digest(bundle: &Definition, dir: &Path) -> Result<String, (PathBuf, io::Error)> {
    let files = places(bundle);
    let dirs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let counted = git::decides(&bundle.tree, &dirs);
    let name = format!("{}\n{}", bundle.tree.display(), bundle.label);
    let noted = Noted::new(dir, &name, files.into_iter().chain(counted).collect());
    if let Some(digest) = noted.digest() {
        return Ok(digest);
    }
    let digest = inputs(bundle)?.sha256;
    noted.note(&digest);
    Ok(digest)
}

/// Where files of a definition lie: its directory, that of its main file, and what links lead to.
pub fn places(bundle: &Definition) -> Vec<PathBuf> {
    let own = [bundle.dir.clone(), bundle.tree.join(&bundle.label)];
    own.into_iter().chain(linked(bundle)).collect()
}

/// Changes with every write to a file of the definition, also if the write is reverted. Detects
/// writes during a read.
pub fn stamp(bundle: &Definition) -> String {
    stamp_of(places(bundle))
}

/// [`stamp`] of everything below `places`, following links. Unreadable entries count as absent.
pub fn stamp_of(places: impl IntoIterator<Item = PathBuf>) -> String {
    let mut all = Sha256::new();
    let mut text = |text: &[u8]| {
        all.update(text.len().to_le_bytes());
        all.update(text);
    };
    for (path, meta) in places.into_iter().flat_map(|place| seen(&place)) {
        text(path.as_os_str().as_bytes());
        if meta.is_symlink() {
            text(path.read_link().unwrap_or_default().as_os_str().as_bytes());
        }
        let times = [
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
            meta.size() as i64,
            meta.ino() as i64,
        ];
        // A directory's own times are ignored: reading some changes them, and its entries show
        // every change.
        let kept = if meta.is_dir() { &[] } else { &times[..] };
        kept.iter().for_each(|number| text(&number.to_le_bytes()));
    }
    hex(&all.finalize())
}

/// What is at or below `place`, following links. A link is there twice: as what it says, which a
/// digest counts even if it leads nowhere, and as what it leads to.
pub(super) fn seen(place: &Path) -> impl Iterator<Item = (PathBuf, Metadata)> + use<> {
    let entries = walkdir::WalkDir::new(place).follow_links(true).sort_by_file_name();
    entries.into_iter().flat_map(|entry| {
        // A link that leads nowhere, or in a circle, is an error of a path.
        let (path, is_link, leads_to) = match &entry {
            Ok(entry) => (Some(entry.path()), entry.path_is_symlink(), entry.metadata().ok()),
            Err(e) => (e.path(), e.path().is_some_and(Path::is_symlink), None),
        };
        let link = path.filter(|_| is_link).and_then(|path| path.symlink_metadata().ok());
        let both = [link, leads_to].into_iter().flatten();
        let path = path.map(Path::to_owned).unwrap_or_default();
        both.map(move |meta| (path.clone(), meta))
    })
}

/// The digest of a file, and whether its text has one of [`OF_RUN`].
fn digest(mut file: File) -> io::Result<(String, bool)> {
    let longest = OF_RUN.map(str::len).into_iter().max().unwrap_or_default();
    let (mut hash, mut names_run) = (Sha256::new(), false);
    // What is read follows the end of what was read before: a name may lie across.
    let (mut buffer, mut end) = (vec![0; longest + (64 << 10)], 0);
    loop {
        let read = file.read(&mut buffer[end..])?;
        if read == 0 {
            return Ok((hex(&hash.finalize()), names_run));
        }
        hash.update(&buffer[end..end + read]);
        let text = &buffer[..end + read];
        names_run |= inputs::names_run(text);
        let kept = text.len().min(longest);
        let from = text.len() - kept;
        buffer.copy_within(from..from + kept, 0);
        end = kept;
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests;

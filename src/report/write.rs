//! Writes the outputs of a build: into the directory of its run, and from there to the bundle's
//! latest. Every file appears completely or not at all.
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::manifest::Manifest;
use super::record::Record;
use super::{Rendered, junit, page, properties};
use crate::frontend;
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::event::Stamped;
use crate::model::image::Image;
use crate::model::inputs::Inputs;
use crate::plan::Plan;
use crate::system::lock::Held;
use crate::system::paths::real_so_far;

/// Inputs of the outputs.
#[derive(Debug, Clone, Copy)]
pub struct Built<'a> {
    pub bundle: &'a Definition,
    pub plan: &'a Plan,
    pub events: &'a [Stamped],
    /// The published image, if any.
    pub image: Option<&'a Image>,
    /// The rendered templates of `image`, or their errors.
    pub templates: &'a Result<Vec<Rendered>, Vec<Diagnostic>>,
    /// Log of this build, `build.<image name>.log`.
    pub log: Option<&'a Path>,
}

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("{doing} {path}: {source}")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// The image is published, but these templates failed to render.
    #[error("{} in the templates: \
        {}", count(.0.len()), .0.first().map(ToString::to_string).unwrap_or_default())]
    Templates(Vec<Diagnostic>),
    #[error("cannot make {path}: {reason}")]
    Junit { path: PathBuf, reason: String },
}

fn count(n: usize) -> String {
    if n == 1 { "an error".into() } else { format!("{n} errors") }
}

/// Names of the last log's copies in the tree's root; existing jobs archive the second.
pub const LATEST: [&str; 2] = ["build.latest.log", "packer.latest.log"];

/// Writes all outputs into the run's directory, `runs/<run>` in `dir` (`images/target/<bundle>`);
/// then makes them the latest of `dir`, and the log that of `root` (the tree).
///
/// Writes as much as possible, and returns all errors together. Ok: the latest files. Can be
/// repeated with more events; files are then replaced.
pub fn write(dir: &Path, root: &Path, built: &Built) -> Result<Vec<PathBuf>, Vec<OutputError>> {
    let record = Record::new(built.plan, built.events, built.image);
    let mut put = Put::new(dir, &record.run);
    let rendered: &[Rendered] = match built.templates {
        Ok(done) => done,
        Err(found) => {
            put.errors.push(OutputError::Templates(found.clone()));
            &[]
        }
    };
    let _turn = turn(dir);
    let own = put.own.as_ref().map(|own| own.join(RENDERED));
    for output in [Some(dir.join("output")), own].into_iter().flatten() {
        let below = rendered.iter().filter_map(|r| r.path.parent());
        if let Err(error) = own_directories(&output, below) {
            put.errors.push(error);
            return Err(put.errors);
        }
    }
    for r in rendered {
        put.text(Path::new("output").join(&r.path), &r.text);
    }
    put.latest();
    if !rendered.is_empty() {
        clear_stale(
            &dir.join("output"),
            &rendered.iter().map(|r| r.path.as_path()).collect(),
            &mut put.errors,
        );
    }
    let inputs = frontend::inputs(built.bundle).unwrap_or_else(|(path, source)| {
        put.errors.push(OutputError::Io { doing: "cannot read", path, source });
        Inputs::default()
    });
    put.text("manifest.json", &Manifest::new(&record, &inputs, rendered).json());
    put.text("report.html", &page::html(&record));
    put.log(root, built.log);
    put.results(&record);
    put.latest();
    put.done()
}

/// Results of a build, which must not be mistaken for those of the next. Excludes rendered
/// templates: they belong to the last published image, which exists whatever later builds did.
const RESULTS: [&str; 4] = ["image.properties", "junit.xml", "manifest.json", "report.html"];

/// Removes the last build's results from `dir` (`images/target/<bundle>`), so that a job finds none
/// after a build that was killed or could not write its own.
pub fn withdraw(dir: &Path) -> Result<(), OutputError> {
    for path in RESULTS.map(|name| dir.join(name)) {
        match fs::remove_file(&path) {
            Err(e)
                if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Err(OutputError::Io {
                    doing: "cannot remove the last build's",
                    path,
                    source: e,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// A build that ended before there was a plan.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// Empty if no run was begun.
    pub run: &'a str,
    /// `images/bundle-nginx`
    pub bundle: &'a str,
    /// Empty if unknown.
    pub family: &'a str,
    /// Empty if unknown.
    pub cloud: &'a str,
    /// Contain the reason.
    pub events: &'a [Stamped],
    /// `None` if unreadable.
    pub definition: Option<&'a Definition>,
    pub log: Option<&'a Path>,
}

/// Writes the results of a build that failed early to the places of [`write`](fn@write). Ok: the
/// files written.
pub fn failed(dir: &Path, root: &Path, failed: &Failed) -> Result<Vec<PathBuf>, Vec<OutputError>> {
    let record = Record::unplanned(failed);
    let mut put = Put::new(dir, failed.run);
    let _turn = turn(dir);
    put.text("report.html", &page::html(&record));
    if let Some(bundle) = failed.definition {
        // What cannot be read of it may be why there was no plan.
        let inputs = frontend::inputs(bundle).unwrap_or_default();
        put.text("manifest.json", &Manifest::new(&record, &inputs, &[]).json());
    }
    put.log(root, failed.log);
    put.results(&record);
    put.latest();
    put.done()
}

/// Rendered templates in the directory of a run. The latest are in `output`; jobs archive every
/// `output` below `target`, and would archive those of all runs.
pub const RENDERED: &str = "rendered";

/// Path in the directory of a run of what has this path among the latest.
fn of_run(path: &Path) -> PathBuf {
    path.strip_prefix("output").map_or_else(|_| path.to_owned(), |p| Path::new(RENDERED).join(p))
}

/// Keeps another build of the bundle from writing its outputs meanwhile: the latest are of one
/// build. Gives up after ten seconds, for an output is worth more than its order.
fn turn(dir: &Path) -> Option<Held> {
    fs::create_dir_all(dir).ok()?;
    let mut free = fs::File::open(dir).ok()?;
    for _ in 0..100 {
        free = match Held::take(free) {
            Ok(held) => return Some(held),
            Err((file, _)) => file,
        };
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}

/// Writes files, continuing after errors.
struct Put<'a> {
    /// Of the latest build.
    dir: &'a Path,
    /// Of this run; `None`: no run was begun.
    own: Option<PathBuf>,
    /// Files by their paths below both directories.
    texts: Vec<(PathBuf, String)>,
    files: Vec<PathBuf>,
    errors: Vec<OutputError>,
}

impl<'a> Put<'a> {
    /// `run` is empty if no run was begun.
    fn new(dir: &'a Path, run: &str) -> Self {
        let own = (!run.is_empty()).then(|| dir.join("runs").join(run));
        Self { dir, own, texts: Vec::new(), files: Vec::new(), errors: Vec::new() }
    }

    fn text(&mut self, path: impl Into<PathBuf>, text: &str) {
        self.texts.push((path.into(), text.to_owned()));
    }

    /// Files that Jenkins reads.
    fn results(&mut self, record: &Record) {
        match junit::xml(record) {
            Ok(xml) => self.text("junit.xml", &xml),
            Err(e) => self.errors.push(OutputError::Junit {
                path: self.dir.join("junit.xml"),
                reason: e.to_string(),
            }),
        }
        self.text("image.properties", &properties::text(record));
    }

    /// Writes all texts of the run, and then all of them as the latest. The latest appear in the
    /// order of `text`: who finds `image.properties` finds the others of the same build.
    fn latest(&mut self) {
        let texts = std::mem::take(&mut self.texts);
        if let Some(own) = &self.own {
            let place =
                |(path, text): &(PathBuf, String)| place(&own.join(of_run(path)), text.as_bytes());
            let written = texts.iter().map(place);
            self.errors.extend(written.filter_map(Result::err));
        }
        for (path, text) in texts {
            let path = self.dir.join(path);
            match place(&path, text.as_bytes()) {
                Ok(()) => self.files.push(path),
                Err(error) => self.errors.push(error),
            }
        }
    }

    fn log(&mut self, root: &Path, log: Option<&Path>) {
        for name in LATEST {
            match log.map(|log| copy(log, &root.join(name))) {
                Some(Ok(())) => self.files.push(root.join(name)),
                Some(Err(error)) => self.errors.push(error),
                None => {}
            }
        }
    }

    fn done(self) -> Result<Vec<PathBuf>, Vec<OutputError>> {
        if self.errors.is_empty() { Ok(self.files) } else { Err(self.errors) }
    }
}

/// Writes only rendered templates below `dir`; other files there stay. Refuses to write into
/// `sources`, the directories of the templates. Ok: the files written. Checks everything before the
/// first write, except for disk errors.
pub fn put(
    dir: &Path,
    rendered: &[Rendered],
    sources: &[&Path],
) -> Result<Vec<PathBuf>, Vec<OutputError>> {
    let real = real_so_far(dir);
    if sources
        .iter()
        .any(|source| source.canonicalize().is_ok_and(|source| real.starts_with(source)))
    {
        return Err(vec![refused(
            dir,
            "it is in the definition itself, whose files an output could replace",
        )]);
    }
    if dir.is_symlink() && !dir.exists() {
        return Err(vec![refused(dir, "it is a link to nowhere")]);
    }
    fs::create_dir_all(dir).map_err(|source| {
        vec![OutputError::Io { doing: "cannot make", path: dir.into(), source }]
    })?;
    let mut errors = in_the_way(dir, rendered);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut files = Vec::new();
    for r in rendered {
        let path = dir.join(&r.path);
        match place(&path, r.text.as_bytes()) {
            Ok(()) => files.push(path),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

fn refused(path: &Path, why: &str) -> OutputError {
    let source = io::Error::other(why.to_owned());
    OutputError::Io { doing: "cannot write into", path: path.into(), source }
}

/// Links and files in the place of directories, and directories in the place of files.
fn in_the_way(dir: &Path, rendered: &[Rendered]) -> Vec<OutputError> {
    let mut errors = Vec::new();
    let below: BTreeSet<&Path> = rendered
        .iter()
        .flat_map(|r| r.path.ancestors().skip(1))
        .filter(|p| !p.as_os_str().is_empty())
        .collect();
    for inner in below.into_iter().map(|inner| dir.join(inner)) {
        match fs::symlink_metadata(&inner) {
            Ok(meta) if meta.is_symlink() => {
                errors.push(refused(&inner, "it is a link, which may lead anywhere"))
            }
            Ok(meta) if !meta.is_dir() => errors.push(refused(&inner, "it is no directory")),
            _ => {}
        }
    }
    let taken = rendered
        .iter()
        .map(|r| dir.join(&r.path))
        .filter(|path| path.is_dir() && !path.is_symlink());
    errors.extend(taken.map(|path| OutputError::Io {
        doing: "cannot write",
        path,
        source: io::Error::other("it is a directory"),
    }));
    errors
}

/// Removes links in place of directories, without touching their targets: writes and removals would
/// follow them. `dirs` are at or below `output`.
fn own_directories<'a>(
    output: &Path,
    dirs: impl Iterator<Item = &'a Path>,
) -> Result<(), OutputError> {
    let below = dirs.flat_map(Path::ancestors).map(|dir| output.join(dir)).collect::<BTreeSet<_>>();
    // Shortest first, so that nothing behind a link is examined.
    for dir in std::iter::once(output.to_owned()).chain(below) {
        if dir.is_symlink() {
            fs::remove_file(&dir).map_err(|source| OutputError::Io {
                doing: "cannot remove the link",
                path: dir,
                source,
            })?;
        }
    }
    Ok(())
}

/// Removes outputs of earlier builds that this one did not render, so that nobody deploys the
/// output of a deleted template.
fn clear_stale(output: &Path, kept: &BTreeSet<&Path>, errors: &mut Vec<OutputError>) {
    for entry in walkdir::WalkDir::new(output)
        .contents_first(true)
        .into_iter()
        .flatten()
        .filter(|e| e.depth() > 0)
    {
        let inside = entry.path().strip_prefix(output).unwrap_or(entry.path());
        let gone = if entry.file_type().is_dir() {
            // Removes only empty directories.
            let _ = fs::remove_dir(entry.path());
            Ok(())
        } else if kept.contains(inside) {
            Ok(())
        } else {
            fs::remove_file(entry.path())
        };
        if let Err(source) = gone {
            errors.push(OutputError::Io {
                doing: "cannot remove",
                path: entry.path().into(),
                source,
            });
        }
    }
}

fn place(path: &Path, text: &[u8]) -> Result<(), OutputError> {
    fill(path, |file| file.write_all(text))
}

fn copy(from: &Path, to: &Path) -> Result<(), OutputError> {
    let mut source = fs::File::open(from).map_err(|source| OutputError::Io {
        doing: "cannot read",
        path: from.into(),
        source,
    })?;
    fill(to, |file| io::copy(&mut source, file).map(drop))
}

/// Writes a temporary file and renames it over the old one.
fn fill(
    path: &Path,
    write: impl FnOnce(&mut fs::File) -> io::Result<()>,
) -> Result<(), OutputError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let attempt = || {
        fs::create_dir_all(dir)?;
        let mut new =
            tempfile::Builder::new().prefix(".new-").permissions(readable()).tempfile_in(dir)?;
        write(new.as_file_mut())?;
        new.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    attempt().map_err(|source| OutputError::Io { doing: "cannot write", path: path.into(), source })
}

/// Default permissions (less the umask): another user may archive the file.
fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o666)
}

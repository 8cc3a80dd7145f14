//! Writes the outputs of a build: into the directory of its run, and when it ends all of them
//! together as the bundle's latest. Every file appears completely or not at all.
use std::collections::BTreeSet;
use std::fs::{self, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::history::History;
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
use crate::system::reading;

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
    /// `None` while the run goes on.
    pub exit_code: Option<u8>,
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

/// Results of a build, which must not be mistaken for those of the next. The first is what tells
/// of the others: it goes before them, and comes after them.
const RESULTS: [&str; 4] = [PROPERTIES, "junit.xml", MANIFEST, "report.html"];
pub const PROPERTIES: &str = "image.properties";
pub const MANIFEST: &str = "manifest.json";

/// Rendered templates among the latest.
pub const OUTPUT: &str = "output";
/// Rendered templates in the directory of a run. Jobs archive every `output` below `target`, and
/// would archive those of all runs.
pub const RENDERED: &str = "rendered";

/// The outputs of a run, in its directory.
#[derive(Debug)]
pub struct Outputs {
    /// Files by their paths among the latest.
    texts: Vec<(PathBuf, String)>,
}

impl Outputs {
    /// Makes the outputs of a build in the directory of its run, `runs/<run>` in
    /// `images/target/<bundle>`. Nothing is among the latest yet. Can be repeated with more events;
    /// files are then replaced.
    ///
    /// Makes as much as possible; the errors are of what is missing.
    pub fn of_build(run: &Path, built: &Built) -> (Self, Vec<OutputError>) {
        let record = Record {
            exit_code: built.exit_code,
            ..Record::new(built.plan, built.events, built.image)
        };
        let (mut texts, mut errors) = (Vec::new(), Vec::new());
        let rendered: &[Rendered] = match built.templates {
            Ok(done) => done,
            Err(found) => {
                errors.push(OutputError::Templates(found.clone()));
                &[]
            }
        };
        texts.extend(rendered.iter().map(|r| (Path::new(OUTPUT).join(&r.path), r.text.clone())));
        let inputs = frontend::inputs(built.bundle).unwrap_or_else(|(path, source)| {
            // Builds go on without git; the plan has told what is not known then.
            if source.kind() != io::ErrorKind::Unsupported {
                errors.push(OutputError::Io { doing: "cannot read", path, source });
            }
            Inputs::default()
        });
        let manifest = Manifest::new(&record, &inputs, rendered).json();
        texts.push((MANIFEST.into(), manifest));
        Self { texts }.completed(run, &record, errors)
    }

    /// The same of a build that ended before it had a plan.
    pub fn of_unplanned(run: &Path, ended: &Unplanned) -> (Self, Vec<OutputError>) {
        let record = Record { exit_code: Some(ended.exit_code), ..Record::unplanned(ended) };
        let templates = ended.rendered.iter();
        let mut texts: Vec<(PathBuf, String)> =
            templates.map(|r| (Path::new(OUTPUT).join(&r.path), r.text.clone())).collect();
        texts.extend(ended.definition.map(|bundle| {
            // What cannot be read of it may be why there was no plan.
            let inputs = frontend::inputs(bundle).unwrap_or_default();
            let manifest = Manifest::new(&record, &inputs, ended.rendered);
            (MANIFEST.into(), manifest.json())
        }));
        Self { texts }.completed(run, &record, Vec::new())
    }

    fn completed(
        mut self,
        run: &Path,
        record: &Record,
        mut errors: Vec<OutputError>,
    ) -> (Self, Vec<OutputError>) {
        let history = History::of(run, record);
        self.texts.push(("report.html".into(), page::html(record, &history)));
        match junit::xml(record) {
            Ok(xml) => self.texts.push(("junit.xml".into(), xml)),
            Err(e) => errors
                .push(OutputError::Junit { path: run.join("junit.xml"), reason: e.to_string() }),
        }
        let mut unwritten: Vec<OutputError> =
            own_directories(&run.join(RENDERED), self.below_output()).err().into_iter().collect();
        let made = |(path, text): &(PathBuf, String)| place(&run.join(of_run(path)), text);
        unwritten.extend(self.texts.iter().map(made).filter_map(Result::err));
        // It tells of the others.
        let last = (PathBuf::from(PROPERTIES), properties::text(record));
        let told = match unwritten.is_empty() {
            true => made(&last).err(),
            false => fs::remove_file(run.join(PROPERTIES)).or_else(absent).err().map(|source| {
                OutputError::Io { doing: "cannot remove", path: run.join(PROPERTIES), source }
            }),
        };
        self.texts.push(last);
        errors.extend(unwritten.into_iter().chain(told));
        (self, errors)
    }

    /// Makes all outputs the latest of `dir` (`images/target/<bundle>`), in place of whatever is
    /// there: they are of one run. Ok: the files.
    pub fn show(self, dir: &Path) -> Result<Vec<PathBuf>, Vec<OutputError>> {
        let _turn = turn(dir);
        clear(dir)
            .and_then(|()| own_directories(&dir.join(OUTPUT), self.below_output()))
            .map_err(|e| vec![e])?;
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for (path, text) in self.texts {
            if path == Path::new(PROPERTIES) && !errors.is_empty() {
                continue;
            }
            let path = dir.join(path);
            match place(&path, &text) {
                Ok(()) => files.push(path),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(files) } else { Err(errors) }
    }

    /// Directories below `output`, relative to it.
    fn below_output(&self) -> impl Iterator<Item = &Path> {
        self.texts.iter().filter_map(|(path, _)| path.strip_prefix(OUTPUT).ok()?.parent())
    }
}

/// Path in the directory of a run of what has this path among the latest.
fn of_run(path: &Path) -> PathBuf {
    path.strip_prefix(OUTPUT).map_or_else(|_| path.to_owned(), |p| Path::new(RENDERED).join(p))
}

/// Removes what the last build made the latest of `dir` (`images/target/<bundle>`), so that a job
/// finds none after a build that was killed or could not write its own. Each run keeps its own in
/// its directory.
pub fn withdraw(dir: &Path) -> Result<(), OutputError> {
    if !dir.is_dir() {
        return Ok(());
    }
    let _turn = turn(dir);
    clear(dir)
}

fn clear(dir: &Path) -> Result<(), OutputError> {
    let error = |path: PathBuf| {
        |source| OutputError::Io { doing: "cannot remove the last build's", path, source }
    };
    for path in RESULTS.map(|name| dir.join(name)) {
        fs::remove_file(&path).or_else(absent).map_err(error(path))?;
    }
    let output = dir.join(OUTPUT);
    let removed = match output.symlink_metadata() {
        // The link alone, wherever it leads.
        Ok(meta) if !meta.is_dir() => fs::remove_file(&output),
        Ok(_) => fs::remove_dir_all(&output),
        Err(e) => Err(e),
    };
    removed.or_else(absent).map_err(error(output))
}

fn absent(e: io::Error) -> io::Result<()> {
    match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(()),
        _ => Err(e),
    }
}

/// Replaces the last log in `root` (the tree) by these, one after the other; by none, removes it.
pub fn show_logs(root: &Path, logs: &[PathBuf]) -> Result<(), OutputError> {
    for path in LATEST.map(|name| root.join(name)) {
        if logs.is_empty() {
            fs::remove_file(&path).or_else(absent).map_err(|source| OutputError::Io {
                doing: "cannot remove the last build's",
                path,
                source,
            })?;
            continue;
        }
        fill(&path, |to| {
            logs.iter().try_for_each(|log| {
                let from = reading::open_itself(log);
                from.and_then(|mut from| io::copy(&mut from, to)).map(drop)
            })
        })?;
    }
    Ok(())
}

/// A build that ended before there was a plan: it failed, or its image was there.
#[derive(Debug, Clone, Copy)]
pub struct Unplanned<'a> {
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
    /// The one that was there.
    pub image: Option<&'a Image>,
    /// Its templates.
    pub rendered: &'a [Rendered],
    pub exit_code: u8,
}

/// Keeps another build of the bundle from showing its outputs meanwhile: the latest are of one
/// build. Gives up after ten seconds, for an output is worth more than its order.
pub fn turn(dir: &Path) -> Option<Held> {
    fs::create_dir_all(dir).ok()?;
    let mut free = fs::File::open(dir).ok()?;
    for _ in 0..100 {
        free = match Held::take(free) {
            Ok(held) => return Some(held),
            Err((file, TryLockError::WouldBlock)) => file,
            // A file system without locks.
            Err((_, TryLockError::Error(_))) => return None,
        };
        std::thread::sleep(Duration::from_millis(100));
    }
    None
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
        match place(&path, &r.text) {
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

fn place(path: &Path, text: &str) -> Result<(), OutputError> {
    fill(path, |file| file.write_all(text.as_bytes()))
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

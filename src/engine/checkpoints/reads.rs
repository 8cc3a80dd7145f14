//! Which files of a definition a step opened. A playbook may read any of them, and reads few: a
//! state is that of the files which it did read, of their contents, and of the names of all.
//!
//! The kernel tells of each file that is opened, whoever opens it: more than the step read is no
//! harm. Source: inotify(7).
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

use crate::frontend;
use crate::model::definition::Definition;
use crate::model::inputs::{InputFile, Inputs};

/// Files that a step read, with their digests. Paths are those of [`InputFile`].
pub(super) type Read = BTreeMap<PathBuf, String>;

/// Watches the files of a definition while a step runs.
pub(in crate::engine) struct Watch {
    dirs: BTreeMap<WatchDescriptor, PathBuf>,
    told: Mutex<Told>,
}

/// What the kernel told so far.
struct Told {
    inotify: Inotify,
    /// `None`: more than could be told.
    opened: Option<BTreeSet<PathBuf>>,
}

impl Watch {
    pub fn begin(definition: &Definition, inputs: &Inputs) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        // Those without a file of the definition as well: what is opened there is not known.
        let within =
            |entry: &walkdir::DirEntry| entry.file_type().is_dir() && entry.file_name() != ".git";
        let below = |place: PathBuf| walkdir::WalkDir::new(place).into_iter().filter_entry(within);
        let places = frontend::places(definition).into_iter().filter(|place| place.is_dir());
        let all = places.flat_map(below).filter_map(Result::ok).map(walkdir::DirEntry::into_path);
        let files = inputs.files.iter().filter_map(|file| real(definition, file));
        let of_files = files.filter_map(|file| file.parent().map(Path::to_owned));
        let dirs: BTreeSet<PathBuf> =
            all.map(|dir| dir.canonicalize()).chain(of_files.map(Ok)).collect::<io::Result<_>>()?;
        let watch = |dir: PathBuf| Ok((inotify.watches().add(&dir, WatchMask::OPEN)?, dir));
        let dirs = dirs.into_iter().map(watch).collect::<io::Result<_>>()?;
        let opened = Some(BTreeSet::new());
        Ok(Self { dirs, told: Mutex::new(Told { inotify, opened }) })
    }

    /// Paths of the files that were opened so far. `None`: that cannot be told.
    pub fn opened(&self) -> Option<BTreeSet<PathBuf>> {
        let mut told = self.told.lock().expect("a reader panicked");
        told.read(&self.dirs);
        told.opened.clone()
    }

    /// Does what opens files of the definition, and is no part of the step.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.opened();
        let done = work();
        let mut told = self.told.lock().expect("a reader panicked");
        told.read(&self.dirs);
        if told.opened.is_some() {
            told.opened = before;
        }
        done
    }
}

impl Told {
    fn read(&mut self, dirs: &BTreeMap<WatchDescriptor, PathBuf>) {
        let Self { inotify, opened } = self;
        let Some(all) = opened else { return };
        let mut buffer = vec![0; 64 << 10];
        loop {
            let events = match inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return *opened = None,
            };
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    return *opened = None;
                }
                if let (Some(dir), Some(name), false) =
                    (dirs.get(&event.wd), event.name, event.mask.contains(EventMask::ISDIR))
                {
                    all.insert(dir.join(name));
                }
            }
        }
    }
}

/// What a step has read of the definition that opened these files; `before` and `after` are the
/// digests of all.
/// `None`: that cannot be told, because a file changed meanwhile, is none of the definition's, or
/// names the run.
pub(super) fn read(
    definition: &Definition,
    opened: BTreeSet<PathBuf>,
    (before, after): (&Inputs, &Inputs),
) -> Option<Read> {
    let places = |file| Some((real(definition, file)?, file));
    let known: BTreeMap<PathBuf, &InputFile> = before.files.iter().filter_map(places).collect();
    let read: Vec<&InputFile> =
        opened.iter().map(|path| known.get(path).copied()).collect::<Option<_>>()?;
    let now: BTreeMap<&Path, &InputFile> =
        after.files.iter().map(|file| (file.path.as_path(), file)).collect();
    let stays = |file: &InputFile| now.get(file.path.as_path()).is_some_and(|now| *now == file);
    let names: BTreeSet<&Path> = before.files.iter().map(|file| file.path.as_path()).collect();
    if names.into_iter().ne(now.keys().copied()) || !read.iter().all(|file| stays(file)) {
        return None;
    }
    let named = read.iter().any(|file| file.names_run);
    let digests = read.into_iter().map(|file| (file.path.clone(), file.sha256.clone()));
    (!named).then(|| digests.collect())
}

/// Whether the file at `path`, or those below it, did not change between.
pub(super) fn stays(path: &Path, (before, after): (&Inputs, &Inputs)) -> bool {
    // Through a link it may be any file.
    let links = before.files.iter().any(|file| file.mode == 'l');
    let is = |file: &&InputFile| links || file.path.starts_with(path);
    before.files.iter().filter(is).eq(after.files.iter().filter(is))
}

/// Whether the files are what they were when they were read.
pub(super) fn are_current(read: &Read, now: &Inputs) -> bool {
    let now: BTreeMap<&Path, &str> =
        now.files.iter().map(|file| (file.path.as_path(), file.sha256.as_str())).collect();
    read.iter().all(|(path, digest)| now.get(path.as_path()) == Some(&digest.as_str()))
}

/// Where a file lies, with links above it resolved.
fn real(definition: &Definition, file: &InputFile) -> Option<PathBuf> {
    // A main file that lies elsewhere is called by its place in the tree.
    let places = [&definition.dir, &definition.tree].map(|dir| dir.join(&file.path));
    let path = places.into_iter().find(|path| path.symlink_metadata().is_ok())?;
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

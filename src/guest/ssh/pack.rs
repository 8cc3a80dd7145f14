//! Streams local files to a channel: a file as it is, a directory as a tar archive. A thread reads
//! a few pieces ahead of the network.
use std::cell::Cell;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::wake::Wake;
use crate::guest::RemoteError;

const PIECE: usize = 256 << 10;
const AHEAD: usize = 4;

pub(super) enum Piece {
    /// Bytes of the stream, and the number of content bytes up to here.
    Bytes(Vec<u8>, u64),
    End,
    Failed(RemoteError),
}

/// Data to send.
pub(super) struct Parcel {
    pub(super) directory: bool,
    pub(super) mode: u32,
    /// Total bytes of file contents.
    pub(super) total: u64,
    pub(super) pieces: Receiver<Piece>,
}

/// Inspects `src` and starts reading it. `id` names the final entry of an archive.
pub(super) async fn pack(
    (src, mode): (&Path, Option<u32>),
    id: &str,
    wake: Wake,
) -> Result<Parcel, RemoteError> {
    let (sender, pieces) = sync_channel(AHEAD);
    let (tell, told) = tokio::sync::oneshot::channel();
    let (src, id) = (src.to_owned(), id.to_owned());
    // Not tokio's blocking pool: a runtime that shuts down would wait for it.
    let thread = std::thread::Builder::new().name("pack".into()).spawn(move || {
        let contents = match survey(&src, mode) {
            Ok(contents) => contents,
            Err(error) => return drop(tell.send(Err(error))),
        };
        let feed =
            Feed { sender, wake, buffer: Vec::with_capacity(PIECE), contents: Rc::default() };
        let about = (matches!(contents.kind, Kind::Tree(_)), contents.mode, contents.total);
        if tell.send(Ok(about)).is_ok() {
            feed.run(contents, &id);
        }
    });
    thread.map_err(|e| RemoteError::Lost(format!("no thread to read files: {e}")))?;
    let (directory, mode, total) =
        told.await.map_err(|_| RemoteError::Lost("the reading thread died".into()))??;
    Ok(Parcel { directory, mode, total, pieces })
}

struct Contents {
    src: PathBuf,
    kind: Kind,
    mode: u32,
    total: u64,
}

enum Kind {
    File(File),
    /// In archive order.
    Tree(Vec<Entry>),
}

struct Entry {
    /// Path below the directory that is sent.
    below: PathBuf,
    meta: Metadata,
    mode: u32,
}

/// The mode that git keeps of a file: whatever umask a checkout had, the same arrives.
fn as_in_git(meta: &Metadata) -> u32 {
    if meta.is_dir() || meta.mode() & 0o100 != 0 { 0o755 } else { 0o644 }
}

/// `mode` is that of files; `None`: as in git.
fn survey(src: &Path, mode: Option<u32>) -> Result<Contents, RemoteError> {
    let meta = std::fs::metadata(src).map_err(|e| failed(src, e))?;
    let mode_of =
        |meta: &Metadata| mode.filter(|_| meta.is_file()).unwrap_or_else(|| as_in_git(meta));
    let contents =
        |kind, total| Contents { src: src.to_owned(), kind, mode: mode_of(&meta), total };
    if meta.is_file() {
        return Ok(contents(Kind::File(File::open(src).map_err(|e| failed(src, e))?), meta.len()));
    }
    if !meta.is_dir() {
        return Err(failed(src, "neither a file nor a directory"));
    }
    let (mut tree, mut total) = (Vec::new(), 0);
    for entry in walkdir::WalkDir::new(src).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|e| failed(e.path().unwrap_or(src), &e))?;
        let meta = entry.metadata().map_err(|e| failed(entry.path(), e))?;
        let kind = meta.file_type();
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            return Err(failed(entry.path(), "neither a file nor a directory nor a symlink"));
        }
        total += if kind.is_file() { meta.len() } else { 0 };
        let below =
            entry.path().strip_prefix(src).expect("walkdir stays below its root").to_owned();
        tree.push(Entry { below, mode: mode_of(&meta), meta });
    }
    Ok(contents(Kind::Tree(tree), total))
}

fn failed(path: &Path, reason: impl ToString) -> RemoteError {
    RemoteError::Transfer { path: path.display().to_string(), reason: reason.to_string() }
}

/// The producer: collects bytes into pieces, and waits while the network is behind.
struct Feed {
    sender: SyncSender<Piece>,
    wake: Wake,
    buffer: Vec<u8>,
    contents: Rc<Cell<u64>>,
}

impl Feed {
    fn run(mut self, parcel: Contents, id: &str) {
        let sent = match parcel.kind {
            Kind::File(file) => self.file(file, parcel.total).map_err(|e| failed(&parcel.src, e)),
            Kind::Tree(tree) => self.tree(&parcel.src, tree, id),
        };
        let last = match sent.and_then(|()| self.flush().map_err(|e| failed(&parcel.src, e))) {
            Ok(()) => Piece::End,
            Err(error) => Piece::Failed(error),
        };
        // If the receiver is gone, it has reported its own error.
        let _ = self.sender.send(last);
        self.wake.up();
    }

    /// Reads directly into pieces, without another copy.
    fn file(&mut self, file: File, size: u64) -> io::Result<()> {
        let mut file = Exact { file, left: size, contents: self.contents.clone() };
        while file.left > 0 {
            let room = PIECE - self.buffer.len();
            (&mut file).take(room as u64).read_to_end(&mut self.buffer)?;
            self.flush()?;
        }
        Ok(())
    }

    fn tree(&mut self, src: &Path, tree: Vec<Entry>, id: &str) -> Result<(), RemoteError> {
        let contents = self.contents.clone();
        let mut archive = tar::Builder::new(self);
        for entry in &tree {
            let path = src.join(&entry.below);
            append(&mut archive, &path, entry, &contents).map_err(|e| failed(&path, e))?;
        }
        let mut last = header(tar::EntryType::Regular, 0o600, 0);
        archive
            .append_data(&mut last, format!(".{id}"), io::empty())
            .and_then(|()| archive.finish())
            .map_err(|e| failed(src, e))
    }
}

fn append(
    to: &mut tar::Builder<&mut Feed>,
    path: &Path,
    Entry { below, meta, mode }: &Entry,
    contents: &Rc<Cell<u64>>,
) -> io::Result<()> {
    if meta.is_dir() {
        return to.append_data(
            &mut header(tar::EntryType::Directory, *mode, 0),
            below,
            io::empty(),
        );
    }
    if meta.is_symlink() {
        return to.append_link(
            &mut header(tar::EntryType::Symlink, 0o777, 0),
            below,
            std::fs::read_link(path)?,
        );
    }
    let file = Exact { file: File::open(path)?, left: meta.len(), contents: contents.clone() };
    // `tar` copies in 8 KiB steps; not one system call for each.
    let file = BufReader::with_capacity(meta.len().min(PIECE as u64) as usize, file);
    to.append_data(&mut header(tar::EntryType::Regular, *mode, meta.len()), below, file)
}

/// A tar header without owner and time: files belong to the user who unpacks them.
fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode & 0o7777);
    header.set_size(size);
    header
}

/// Exactly the announced number of bytes of a file.
struct Exact {
    file: File,
    left: u64,
    contents: Rc<Cell<u64>>,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read(&mut buffer[..room])?;
        if n == 0 && room > 0 {
            return Err(io::Error::other("became shorter while it was sent"));
        }
        self.left -= n as u64;
        self.contents.set(self.contents.get() + n as u64);
        Ok(n)
    }
}

impl Write for Feed {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
            self.sender
                .send(Piece::Bytes(piece, self.contents.get()))
                .map_err(|_| io::Error::other("nobody takes the data"))?;
            self.wake.up();
        }
        Ok(())
    }
}

//! A file being downloaded. One thread writes and another hashes, so that neither delays the
//! connection while its queue has room.
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{FetchError, TransferContext};
use crate::model::digest::{Algorithm, Digest};
use crate::model::event::Event;
use crate::system::digest::Hasher;

/// Bytes handed to the threads at once. Smaller batches would cost more in wake-ups than in work.
const BATCH: usize = 512 << 10;
/// Batches that may wait for writing or hashing.
const QUEUE: usize = 16;
/// Bytes that may wait for the disk.
pub const QUEUED: u64 = (BATCH * (QUEUE + 2)) as u64;
/// Bytes after which write-back is requested, so that the final sync is short.
const FLUSH: u64 = 32 << 20;

#[derive(Clone)]
enum Chunk {
    Bytes(Vec<Bytes>),
    /// Discards everything received before.
    Anew,
}

pub struct PartialFile {
    path: PathBuf,
    length: u64,
    batch: Vec<Bytes>,
    batched: usize,
    to: Option<[Sender<Chunk>; 2]>,
    writer: Option<JoinHandle<io::Result<File>>>,
    hasher: Option<JoinHandle<io::Result<Digest>>>,
    /// The digest is no longer wanted. Closed channels do not show this: they also close at the
    /// regular end, while hashing continues.
    given_up: Arc<AtomicBool>,
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        self.given_up.store(true, Relaxed);
    }
}

impl PartialFile {
    /// Opens or creates the file. With `keep`, existing content is the beginning; otherwise it is
    /// truncated.
    pub fn open(path: &Path, keep: bool, algorithm: Algorithm) -> Result<Self, FetchError> {
        let open = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(!keep).open(path)?;
            let length = file.seek(SeekFrom::End(0))?;
            Ok((file, File::open(path)?.take(length), length))
        };
        let (file, before, length) = open().map_err(FetchError::io("open", path))?;
        let (write, written) = channel(QUEUE);
        let (hash, hashed) = channel(QUEUE);
        let given_up = Arc::new(AtomicBool::new(false));
        let stop = given_up.clone();
        Ok(Self {
            path: path.into(),
            length,
            batch: Vec::new(),
            batched: 0,
            to: Some([write, hash]),
            writer: Some(spawn_blocking(move || write_all(file, written))),
            hasher: Some(spawn_blocking(move || hash_all(before, hashed, algorithm, &stop))),
            given_up,
        })
    }

    /// Length in bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub async fn push(&mut self, bytes: Bytes) -> Result<(), FetchError> {
        self.length += bytes.len() as u64;
        self.batched += bytes.len();
        self.batch.push(bytes);
        if self.batched < BATCH { Ok(()) } else { self.flush().await }
    }

    /// Restarts from an empty file.
    pub async fn anew(&mut self) -> Result<(), FetchError> {
        self.batch.clear();
        (self.length, self.batched) = (0, 0);
        self.send(Chunk::Anew).await
    }

    async fn flush(&mut self) -> Result<(), FetchError> {
        self.batched = 0;
        match std::mem::take(&mut self.batch) {
            batch if batch.is_empty() => Ok(()),
            batch => self.send(Chunk::Bytes(batch)).await,
        }
    }

    async fn send(&mut self, bit: Chunk) -> Result<(), FetchError> {
        let [write, hash] = self.to.as_ref().expect("a part that was closed is gone");
        if write.send(bit.clone()).await.is_ok() && hash.send(bit).await.is_ok() {
            return Ok(());
        }
        // One of them ended early: it has the reason.
        self.end().await.map(drop)
    }

    /// Writes the rest and syncs. Returns digest and length of the whole file.
    pub async fn finish(mut self) -> Result<(Digest, u64), FetchError> {
        self.flush().await?;
        Ok((self.end().await?, self.length))
    }

    /// Writes everything received, and closes the unfinished file. Returns its length.
    pub async fn close(mut self) -> u64 {
        let done = self.flush().await;
        self.to = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.await;
        }
        if done.is_ok() { self.length } else { 0 }
    }

    async fn end(&mut self) -> Result<Digest, FetchError> {
        self.to = None;
        let (writer, hasher) =
            (self.writer.take().expect("ended once"), self.hasher.take().expect("ended once"));
        let written = async {
            let file = writer.await.unwrap_or_else(|e| Err(io::Error::other(e)))?;
            spawn_blocking(move || file.sync_all())
                .await
                .unwrap_or_else(|e| Err(io::Error::other(e)))
        };
        let (written, hashed) = tokio::join!(written, hasher);
        written.map_err(FetchError::io("write", &self.path))?;
        hashed
            .unwrap_or_else(|e| Err(io::Error::other(e)))
            .map_err(FetchError::io("read", &self.path))
    }
}

fn write_all(mut file: File, mut from: Receiver<Chunk>) -> io::Result<File> {
    let (mut written, mut flushed) = (file.stream_position()?, 0);
    while let Some(bit) = from.blocking_recv() {
        let Chunk::Bytes(batch) = bit else {
            file.set_len(0)?;
            (written, flushed) = (file.seek(SeekFrom::Start(0))?, 0);
            continue;
        };
        for bytes in batch {
            file.write_all(&bytes)?;
            written += bytes.len() as u64;
        }
        if written - flushed >= FLUSH {
            // SAFETY: plain system call on a file that is open. It is a hint: if it fails, the sync
            // has more to do.
            unsafe {
                libc::sync_file_range(
                    file.as_raw_fd(),
                    flushed as i64,
                    (written - flushed) as i64,
                    libc::SYNC_FILE_RANGE_WRITE,
                )
            };
            flushed = written;
        }
    }
    Ok(file)
}

/// `before` is the content that already existed.
fn hash_all(
    mut before: impl Read,
    mut from: Receiver<Chunk>,
    algorithm: Algorithm,
    given_up: &AtomicBool,
) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut chunk = vec![0; 1 << 20];
    loop {
        match before.read(&mut chunk)? {
            0 => break,
            _ if given_up.load(Relaxed) => return Err(io::ErrorKind::Interrupted.into()),
            n => hasher.update(&chunk[..n]),
        }
    }
    while let Some(bit) = from.blocking_recv() {
        match bit {
            Chunk::Bytes(batch) => batch.iter().for_each(|bytes| hasher.update(bytes)),
            Chunk::Anew => hasher = Hasher::new(algorithm),
        }
    }
    Ok(hasher.finish())
}

/// Hashes a file and compares the digest.
pub async fn verify(path: &Path, wanted: &Digest, job: &TransferContext) -> Result<(), FetchError> {
    match hash(path, wanted.algorithm, job).await? {
        (got, _) if got == *wanted => Ok(()),
        (got, bytes) => Err(FetchError::Checksum {
            from: path.display().to_string(),
            bytes,
            got,
            wanted: wanted.clone(),
        }),
    }
}

/// Digest and length of a file.
pub async fn hash(
    path: &Path,
    algorithm: Algorithm,
    job: &TransferContext,
) -> Result<(Digest, u64), FetchError> {
    let (file, job) = (path.to_owned(), job.clone());
    let work = move || {
        let mut from = File::open(&file).map_err(FetchError::io("read", &file))?;
        let of = from.metadata().map_or(0, |m| m.len());
        let (mut hasher, mut bytes, mut progress) =
            (Hasher::new(algorithm), 0, Progress::new(&job));
        let mut chunk = vec![0; 1 << 20];
        loop {
            job.check(file.display())?;
            match from.read(&mut chunk) {
                Ok(0) => return Ok((hasher.finish(), bytes)),
                Ok(n) => {
                    hasher.update(&chunk[..n]);
                    bytes += n as u64;
                    progress.tell(bytes, of);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(FetchError::io("read", &file)(e)),
            }
        }
    };
    spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(FetchError::io("read", path)(io::Error::other(e))))
}

/// Reports progress once a second and at the end.
pub struct Progress<'a> {
    job: &'a TransferContext,
    reported: Instant,
}

impl<'a> Progress<'a> {
    pub fn new(job: &'a TransferContext) -> Self {
        Self { job, reported: Instant::now() }
    }

    /// `of` is 0 if unknown.
    pub fn tell(&mut self, done: u64, of: u64) {
        if self.reported.elapsed() >= Duration::from_secs(1) || done == of {
            self.reported = Instant::now();
            self.job.events.emit(Event::Progress { done, of, unit: "bytes".into() });
        }
    }
}

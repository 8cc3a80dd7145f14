//! A file in the making: what comes in is written on one thread and hashed on another, so that
//! neither keeps the connection waiting while it has room in its queue.
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
use crate::digest::{Algorithm, Digest, Hasher};
use crate::event::Event;

/// Bytes that are handed over at once: small pieces would cost more in waking threads than in work.
const BATCH: usize = 512 << 10;
/// Batches that may wait for the disk or the hash.
const QUEUE: usize = 16;
/// Bytes that may wait for the disk.
pub const QUEUED: u64 = (BATCH * (QUEUE + 2)) as u64;
/// Bytes after which the kernel is told to begin with writing them out, so that the sync at the end
/// has little to do.
const FLUSH: u64 = 32 << 20;

#[derive(Clone)]
enum Chunk {
    Bytes(Vec<Bytes>),
    /// All before this is dropped.
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
    /// Nobody waits for the digest any more. Closed channels do not say so: at the end they are
    /// closed while it is still reading.
    given_up: Arc<AtomicBool>,
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        self.given_up.store(true, Relaxed);
    }
}

impl PartialFile {
    /// With `keep`, what the file holds is the beginning; otherwise it is emptied. Made if it is
    /// not there.
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

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub async fn push(&mut self, bytes: Bytes) -> Result<(), FetchError> {
        self.length += bytes.len() as u64;
        self.batched += bytes.len();
        self.batch.push(bytes);
        if self.batched < BATCH { Ok(()) } else { self.flush().await }
    }

    /// Begins again at nothing.
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

    /// Writes what is left and syncs it; the digest of all, and its length.
    pub async fn finish(mut self) -> Result<(Digest, u64), FetchError> {
        self.flush().await?;
        Ok((self.end().await?, self.length))
    }

    /// Lets go of the file as it is, all that came in written. Returns its length.
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

/// `before`: what was there already.
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

/// Reads a file through and compares.
pub async fn verify(path: &Path, wanted: &Digest, job: &TransferContext) -> Result<(), FetchError> {
    let (file, expected, job) = (path.to_owned(), wanted.clone(), job.clone());
    let work = move || {
        let mut from = File::open(&file).map_err(FetchError::io("read", &file))?;
        let of = from.metadata().map_or(0, |m| m.len());
        let (mut hasher, mut bytes, mut progress) =
            (Hasher::new(expected.algorithm), 0, Progress::new(&job));
        let mut chunk = vec![0; 1 << 20];
        loop {
            job.check(file.display())?;
            match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => {
                    hasher.update(&chunk[..n]);
                    bytes += n as u64;
                    progress.tell(bytes, of);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(FetchError::io("read", &file)(e)),
            }
        }
        match hasher.finish() {
            got if got == expected => Ok(()),
            got => Err(FetchError::Checksum {
                from: file.display().to_string(),
                bytes,
                got,
                wanted: expected,
            }),
        }
    };
    spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(FetchError::io("read", path)(io::Error::other(e))))
}

/// Tells how far a job is, once a second and at the end.
pub struct Progress<'a> {
    job: &'a TransferContext,
    told: Instant,
}

impl<'a> Progress<'a> {
    pub fn new(job: &'a TransferContext) -> Self {
        Self { job, told: Instant::now() }
    }

    /// `of` 0: not known.
    pub fn tell(&mut self, done: u64, of: u64) {
        if self.told.elapsed() >= Duration::from_secs(1) || done == of {
            self.told = Instant::now();
            self.job.events.emit(Event::Progress { done, of, unit: "bytes".into() });
        }
    }
}

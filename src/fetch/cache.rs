//! One file's slot in the cache: `sha256-3a52…` once complete, `.part` before, `.json` with its
//! metadata, `.lock` for the build that works on it. The lock file is never removed: otherwise two
//! builds could each hold one.
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FetchError, TransferContext, partial_file};
use crate::model::digest::Digest;
use crate::system::lock::Held;

/// Interval between attempts to lock a slot that another build holds.
const LOOK: Duration = Duration::from_millis(200);

/// Metadata of a complete or partial file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub url: String,
    /// A strong `ETag`, otherwise `Last-Modified`. Lets the server decide whether its file is the
    /// one that was begun.
    pub validator: Option<String>,
    /// `None` if the server did not say.
    pub size: Option<u64>,
}

/// Held by one build at a time.
pub struct Slot {
    dir: PathBuf,
    stem: String,
    wanted: Digest,
    _lock: Held,
}

impl Slot {
    /// Waits while another build works on the same file.
    pub async fn take(
        dir: &Path,
        wanted: &Digest,
        job: &TransferContext,
    ) -> Result<Self, FetchError> {
        fs::create_dir_all(dir).map_err(FetchError::io("make", dir))?;
        let stem = format!("{}-{}", wanted.algorithm.name(), wanted.hex);
        let path = dir.join(format!("{stem}.lock"));
        let mut lock = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(FetchError::io("open", &path))?;
        let mut reported = false;
        loop {
            match Held::take(lock) {
                Ok(held) => {
                    return Ok(Self { dir: dir.into(), stem, wanted: wanted.clone(), _lock: held });
                }
                Err((free, fs::TryLockError::WouldBlock)) => lock = free,
                Err((_, fs::TryLockError::Error(e))) => {
                    return Err(FetchError::io("lock", &path)(e));
                }
            }
            if !reported {
                reported = true;
                job.events.doing("waiting for another build that downloads the same file");
            }
            job.wait("a download by another build", tokio::time::sleep(LOOK)).await?;
        }
    }

    pub fn whole(&self) -> PathBuf {
        self.dir.join(&self.stem)
    }

    pub fn part(&self) -> PathBuf {
        self.dir.join(format!("{}.part", self.stem))
    }

    fn note_path(&self) -> PathBuf {
        self.dir.join(format!("{}.json", self.stem))
    }

    /// The stored metadata. `None` if unreadable, which only costs time.
    pub fn note(&self) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.note_path()).ok()?).ok()
    }

    pub fn write(&self, note: &Note) -> Result<(), FetchError> {
        let path = self.note_path();
        fs::write(&path, serde_json::to_vec(note).expect("a note is plain data"))
            .map_err(FetchError::io("write", &path))
    }

    /// Whether the complete file is there with the recorded length. Without a recorded length,
    /// verifies the content.
    pub async fn holds(&self, job: &TransferContext) -> Result<bool, FetchError> {
        let whole = self.whole();
        let length = match fs::metadata(&whole) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(FetchError::io("read", &whole)(e)),
        };
        let known = self.note().and_then(|n| n.size);
        if known == Some(length) {
            return Ok(true);
        }
        match partial_file::verify(&whole, &self.wanted, job).await {
            Ok(()) => Ok(true),
            Err(FetchError::Checksum { .. }) => {
                job.events.warn(format!("{} is damaged: it is downloaded again", whole.display()));
                self.drop_all()?;
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Turns the partial file into the complete one. Its content must be verified and synced.
    pub fn adopt(&self, url: &str, size: u64) -> Result<(), FetchError> {
        self.write(&Note { url: url.into(), validator: None, size: Some(size) })?;
        let (partial_file, whole) = (self.part(), self.whole());
        let taken =
            fs::rename(&partial_file, &whole).and_then(|()| File::open(&self.dir)?.sync_all());
        taken.map_err(FetchError::io("write", &whole))
    }

    /// Removes everything but the lock.
    pub fn drop_all(&self) -> Result<(), FetchError> {
        for path in [self.part(), self.note_path(), self.whole()] {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(FetchError::io("remove", &path)(e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

//! The place of one file in the cache: `sha256-3a52…` when it is whole, `.part` while it is not,
//! `.json` for what is known of it, `.lock` for who works on it. The lock stays when all else goes:
//! to remove it would let two builds each hold one.
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FetchError, TransferContext, partial_file};
use crate::digest::Digest;
use crate::lock::Held;

/// Between two looks at a lock that another build holds.
const LOOK: Duration = Duration::from_millis(200);

/// What is known of a file, whole or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub url: String,
    /// A strong `ETag`, else `Last-Modified`: with it a server can tell whether its file is still
    /// the one that was begun.
    pub validator: Option<String>,
    /// `None`: the server did not say.
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
    /// Waits for a build that works on the same file.
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
        let mut told = false;
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
            if !told {
                told = true;
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

    /// What is written down; nothing if it cannot be read, which only costs time.
    pub fn note(&self) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.note_path()).ok()?).ok()
    }

    pub fn write(&self, note: &Note) -> Result<(), FetchError> {
        let path = self.note_path();
        fs::write(&path, serde_json::to_vec(note).expect("a note is plain data"))
            .map_err(FetchError::io("write", &path))
    }

    /// Whether the file is there, as long as it was. One whose length is not known is read through.
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

    /// The part, whose content was verified and synced, becomes the file.
    pub fn adopt(&self, url: &str, size: u64) -> Result<(), FetchError> {
        self.write(&Note { url: url.into(), validator: None, size: Some(size) })?;
        let (partial_file, whole) = (self.part(), self.whole());
        let taken =
            fs::rename(&partial_file, &whole).and_then(|()| File::open(&self.dir)?.sync_all());
        taken.map_err(FetchError::io("write", &whole))
    }

    /// Nothing stays but the lock.
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

//! Digests of files, noted beside a stamp of these files: none is read again before one of them
//! changes in size or time.
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::inputs::{hex, seen, stamp_of};
use crate::system::{durable, reading};

/// Incremented when other files count.
const EDITION: u32 = 3;

/// Coarsest time of a file system that is in use.
const TICK: Duration = Duration::from_secs(2);

/// Size limit of a note.
const NOTE: u64 = 1 << 10;

/// The note of one digest, and the stamp of its files now.
pub struct Noted {
    note: PathBuf,
    places: Vec<PathBuf>,
    stamp: String,
}

impl Noted {
    /// The note in `dir` of a digest of this name, over all files at or below `places`.
    pub fn new(dir: &Path, name: &str, places: Vec<PathBuf>) -> Self {
        let note = dir.join(format!("digest-{}", hex(&Sha256::digest(name))));
        let stamp = stamp(&places);
        Self { note, places, stamp }
    }

    /// The noted digest, if the files are the same still.
    pub fn digest(&self) -> Option<String> {
        let text = reading::text(&self.note, NOTE).ok()?;
        Some(text.strip_prefix(&self.stamp)?.trim().to_owned())
    }

    /// Notes the digest of the files, unless one was written meanwhile. What cannot be noted is
    /// read again.
    pub fn note(&self, digest: &str) {
        // A write in the same tick of the clock as ours would not be seen.
        if stamp(&self.places) == self.stamp && self.age().is_some_and(|age| age > TICK) {
            let text = format!("{} {digest}\n", self.stamp);
            let _ = durable::replace_as(&self.note, text.as_bytes(), 0o600);
        }
    }

    /// Time since the last change of a file. `None`: the clock was set.
    fn age(&self) -> Option<Duration> {
        let newest = self.places.iter().flat_map(|place| seen(place));
        let newest = newest.map(|(_, meta)| meta.ctime()).max()?;
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(newest).ok()?);
        SystemTime::now().duration_since(since).ok()
    }
}

fn stamp(places: &[PathBuf]) -> String {
    format!("{EDITION}-{}", stamp_of(places.iter().cloned()))
}

//! The disk that the run's record shares with what strangers write: overlays of machines, downloads, what is unpacked,
//! what source scripts leave. Free space is watched beside every stage, and a run that brings it below the floor
//! ([`disk::floor`]) is ended while its ledger can still be written.
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BuildError, Site};
use crate::cloud::ledger::Kind;
use crate::disk;
use crate::exec::process::Proc;

/// Between two looks, each one statvfs(3).
const LOOK: Duration = Duration::from_millis(500);
/// Deepest directory that is searched for what grew.
const DEEPEST: usize = 8;

/// Too little is free where a run writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the disk of {} is nearly full: {} MiB are free, {} are kept for the factory's own records{}",
    dir.display(), free >> 20, floor >> 20, largest.as_ref().map_or(String::new(), |(file, size)| {
        format!("; the largest file of this run is {} with {} MiB", file.display(), size >> 20)
    })
)]
pub struct Short {
    pub dir: PathBuf,
    /// Bytes.
    pub free: u64,
    /// Bytes.
    pub floor: u64,
    /// Of this run's own files.
    pub largest: Option<(PathBuf, u64)>,
}

/// Does `work`, and ends the run when the disk gets short meanwhile.
///
/// `work` is not dropped, for it may be in the middle of a create: the processes that write are ended, the run's own
/// cancellation is asked for, and `work` ends at its next look at that.
pub(super) async fn watched<T>(site: &Site<'_>, work: impl Future<Output = Result<T, BuildError>>) -> Result<T, BuildError> {
    let dirs = [site.work.as_path(), site.downloads.as_path()];
    tokio::pin!(work);
    let short = tokio::select! {
        biased;
        short = getting_short(&dirs) => short,
        done = &mut work => return done,
    };
    site.cx.cancel.orderly();
    for entry in site.cx.ledger.entries().iter().filter(|e| e.kind == Kind::Process) {
        if let Some(proc) = entry.id.as_ref().and_then(|id| id.parse::<Proc>().ok()).filter(|p| p.is_of(&site.plan.run)) {
            // One that stays is met again on the way home.
            let _ = proc.end(Duration::ZERO).await;
        }
    }
    let largest = largest_below(&site.work, DEEPEST);
    // What it made is in the ledger; that it was stopped is known.
    let _ = work.await;
    Err(BuildError::Space(Short { largest, ..short }))
}

/// Waits until less than the floor is free where one of `dirs` is, or will be.
async fn getting_short(dirs: &[&Path]) -> Short {
    loop {
        if let Some(short) = dirs.iter().find_map(|dir| short(dir)) {
            return short;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A disk that cannot be asked is not short.
fn short(dir: &Path) -> Option<Short> {
    let space = disk::space(dir)?;
    let floor = disk::floor(space.total);
    (space.free < floor).then(|| Short { dir: dir.into(), free: space.free, floor, largest: None })
}

/// The file that takes most of the disk, and its bytes there. Links are not followed.
fn largest_below(dir: &Path, deepest: usize) -> Option<(PathBuf, u64)> {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let of = |entry: std::fs::DirEntry| {
        let meta = entry.metadata().ok()?;
        match meta.is_dir() {
            true if deepest > 0 => largest_below(&entry.path(), deepest - 1),
            true => None,
            false => Some((entry.path(), meta.blocks() * 512)),
        }
    };
    entries.filter_map(of).max_by_key(|(_, size)| *size)
}

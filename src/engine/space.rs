//! Monitors the disk that holds the run's records together with untrusted data: overlays,
//! downloads, unpacked files, output of source scripts. Ends the run below the floor
//! ([`disk::floor`]), while its ledger can still be written. With a remote cloud most stages write
//! little here; then a run ends only for what it wrote itself.
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BuildContext, BuildError};
use crate::model::event::Stage;
use crate::provider::ledger::Kind;
use crate::system::disk;
use crate::system::exec::process::Proc;

/// Interval between checks; each is one statvfs(3).
const LOOK: Duration = Duration::from_millis(500);
/// Maximum depth of the search for large files.
const DEEPEST: usize = 8;
/// Fraction of the floor that a run on a remote cloud must have written in a stage before it is
/// ended.
const OWN: u64 = 8;

/// Too little free space where a run writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the disk of {} is nearly full: {} MiB are free, {} are kept for the factory's own records{}",
    dir.display(), free >> 20, floor >> 20, largest.as_ref().map_or(String::new(), |(file, size)| {
        format!("; the largest file of this run is {} with {} MiB", file.display(), size >> 20)
    })
)]
pub struct Short {
    pub dir: PathBuf,
    /// In bytes.
    pub free: u64,
    /// In bytes.
    pub floor: u64,
    /// Largest file of this run.
    pub largest: Option<(PathBuf, u64)>,
    /// Images use that disk too.
    pub images: bool,
}

/// Runs `work`, a part of `stage`, and ends the run if the disk becomes short.
///
/// `work` is not dropped, since it may be inside a create: writing processes are ended, the run is
/// cancelled, and `work` ends at its next cancellation check.
pub(super) async fn watched<T>(
    site: &BuildContext<'_>,
    stage: Stage,
    work: impl Future<Output = Result<T, BuildError>>,
) -> Result<T, BuildError> {
    tokio::pin!(work);
    let short = tokio::select! {
        biased;
        short = getting_short(site, stage) => short,
        done = &mut work => return done,
    };
    site.cx.cancel.orderly();
    for entry in site.cx.ledger.entries().iter().filter(|e| e.kind == Kind::Process) {
        if let Some(proc) = entry
            .id
            .as_ref()
            .and_then(|id| id.parse::<Proc>().ok())
            .filter(|p| p.is_of(&site.plan.run))
        {
            // One that stays is met again on the way home.
            let _ = proc.end(Duration::ZERO).await;
        }
    }
    let largest = largest_below(&site.work, DEEPEST);
    // What it made is in the ledger; that it was stopped is known.
    let _ = work.await;
    Err(BuildError::Space(Short { largest, images: site.cloud.is_here(), ..short }))
}

/// Waits until free space falls below the floor and this run has to end.
async fn getting_short(site: &BuildContext<'_>, stage: Stage) -> Short {
    let anyhow = site.cloud.is_here() || stage == Stage::Source;
    let before = if anyhow { 0 } else { bytes_below(&site.work).await };
    loop {
        let short = [&site.work, &site.downloads].into_iter().find_map(|dir| short(dir));
        if let Some(short) = short
            && (anyhow || bytes_below(&site.work).await >= before + short.floor / OWN)
        {
            return short;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Disk usage below `dir`, in bytes.
async fn bytes_below(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = walkdir::WalkDir::new(dir).max_depth(DEEPEST + 1);
    let sum = move || {
        files
            .into_iter()
            .flatten()
            .filter_map(|file| Some(file.metadata().ok()?.blocks() * 512))
            .sum()
    };
    tokio::task::spawn_blocking(sum).await.unwrap_or(0)
}

/// A file system that cannot be queried does not count as short.
fn short(dir: &Path) -> Option<Short> {
    let space = disk::space(dir)?;
    let floor = disk::floor(space.total);
    (space.free < floor).then(|| Short {
        dir: dir.into(),
        free: space.free,
        floor,
        largest: None,
        images: true,
    })
}

/// The file with the largest disk usage, and its bytes. Follows no links.
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

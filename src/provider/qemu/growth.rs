//! Bounds files that a guest makes grow: its console and QEMU's log. Punches holes into all but
//! their last MiBs while they are written, so that a noisy guest does not fill the disk.
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::system::exec::process::{Proc, State};

#[cfg(test)]
mod tests;

/// Readable bytes of such a file.
pub const KEPT: u64 = 4 << 20;
/// Disk usage, in bytes, that triggers a cut.
const MOST: u64 = 8 << 20;
/// Bytes kept at the end.
const END: u64 = 1 << 20;
/// Interval between checks. An emulated serial port delivers a few MiB per second.
pub const LOOK: Duration = Duration::from_secs(1);

/// Punches a hole into all but the end of a file that uses more than 8 MiB of disk. Keeps its
/// length, because its writer appends; truncates it if the file system has no holes. Success if
/// absent.
///
/// # Errors
///
/// The file cannot be opened or cut, or is a link.
pub fn bound(path: &Path) -> io::Result<()> {
    let file = match OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
    {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.blocks() * 512 <= MOST {
        return Ok(());
    }
    let hole = meta.len().saturating_sub(KEPT) & !4095;
    let how = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: plain system call on a file that is open.
    if hole > 0 && unsafe { libc::fallocate(file.as_raw_fd(), how, 0, hole as i64) } == 0 {
        return Ok(());
    }
    file.set_len(0)
}

/// Bounds files while a process runs. Ignores errors: free space is monitored separately.
pub async fn bound_while(proc: Proc, files: Vec<PathBuf>) {
    while proc.state() != State::Gone {
        for file in &files {
            let _ = bound(file);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The end of a text file; empty if absent.
pub fn end_of(path: &Path) -> io::Result<String> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(e) => return Err(e),
    };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(END)))?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

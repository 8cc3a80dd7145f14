//! Files that a guest makes grow: its console, QEMU's log. What lies before their last MiB is given
//! back to the disk while they are written, so that a guest that babbles fills nothing.
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exec::process::{Proc, State};

#[cfg(test)]
mod tests;

/// Bytes of such a file that stay readable.
pub const KEPT: u64 = 4 << 20;
/// Bytes on the disk from which it is cut.
const MOST: u64 = 8 << 20;
/// Of such a file no more than its end is of use, in bytes.
const END: u64 = 1 << 20;
/// Between two looks. An emulated serial port was seen to bring a few MiB a second.
pub const LOOK: Duration = Duration::from_secs(1);

/// Makes a hole of all but the end of a file that takes more than 8 MiB of the disk. Its length
/// stays, for its writer appends; where the file system knows no holes, it is emptied. A file that
/// is not there is small.
///
/// # Errors
///
/// What kept the file from being opened or cut; a link is never followed.
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

/// Bounds files as long as a process runs. Errors are left alone: free space is watched besides.
pub async fn bound_while(proc: Proc, files: Vec<PathBuf>) {
    while proc.state() != State::Gone {
        for file in &files {
            let _ = bound(file);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The end of a text file; nothing if it is not there.
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

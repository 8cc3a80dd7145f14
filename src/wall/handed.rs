//! Passes bubblewrap its options in memory.
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::calls;
use super::mounts::Mounts;
use crate::system::exec::Cmd;

/// Passes the options through an in-memory file, because the environment may hold secrets that a
/// process list would show. The arguments are the descriptors of this file and of the system-call
/// filter.
pub(super) fn with_options(mut cmd: Cmd, mounts: Mounts) -> std::io::Result<Cmd> {
    let options =
        [("--args", Some(in_memory(c"wall", &mounts.text())?)), ("--seccomp", calls::filter()?)];
    for (option, file) in options.into_iter().filter_map(|(option, file)| Some((option, file?))) {
        cmd = cmd.arg(option).arg(file.as_raw_fd().to_string()).hand(file);
    }
    Ok(cmd)
}

pub(super) fn in_memory(name: &std::ffi::CStr, content: &[u8]) -> std::io::Result<Arc<OwnedFd>> {
    // SAFETY: plain system call; the name has its NUL.
    let file = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if file < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the file was opened above and is nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    std::fs::File::from(file.try_clone()?).write_all(content)?;
    Ok(Arc::new(file))
}

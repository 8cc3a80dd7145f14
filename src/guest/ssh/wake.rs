//! Wakes the session thread from `poll`.
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Wake(Arc<UnixStream>);

/// The session thread's end.
pub(super) struct Sleeper(UnixStream);

pub(super) fn pair() -> std::io::Result<(Wake, Sleeper)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((Wake(Arc::new(ours)), Sleeper(theirs)))
}

impl Wake {
    pub(super) fn up(&self) {
        // A full pipe wakes as well, and a thread that is gone need not wake.
        let _ = (&*self.0).write(&[1]);
    }
}

impl Sleeper {
    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Discards earlier wake-ups. Check for their causes after this call.
    pub(super) fn clear(&mut self) {
        let mut bin = [0; 256];
        while self.0.read(&mut bin).is_ok_and(|n| n == bin.len()) {}
    }
}

//! A lock on a file, held by this process alone: over when it is let go, or when the process is.
//!
//! A child has copies of our files until its program begins, and a copy holds the lock like the
//! file itself. So a lock is taken off when it is let go, and not only closed: else what has ended
//! looks alive for as long as some thread starts a child, which on a busy machine is long enough to
//! be seen.
use std::fs::{File, TryLockError};

#[derive(Debug)]
pub struct Held(File);

impl Held {
    /// Does not wait. The file comes back with the reason if another has it.
    ///
    /// # Errors
    /// `WouldBlock`: another file, of this process or another one, has the lock. `Error`: the file
    /// system has no locks.
    pub fn take(file: File) -> Result<Self, (File, TryLockError)> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(e) => Err((file, e)),
        }
    }

    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_has_not_begun_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Held::take(File::create(&path).unwrap()).unwrap();
        let of_a_child = held.file().try_clone().unwrap();
        assert!(matches!(
            Held::take(File::open(&path).unwrap()),
            Err((_, TryLockError::WouldBlock))
        ));
        drop(held);
        assert!(Held::take(File::open(&path).unwrap()).is_ok());
        drop(of_a_child);
    }
}

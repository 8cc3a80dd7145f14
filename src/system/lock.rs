//! An exclusive lock on a file, released when it is dropped or the process ends.
//!
//! Between fork and exec a child holds copies of our files, and with them the lock. So releasing
//! unlocks explicitly instead of only closing: otherwise a finished run would look alive while any
//! thread starts a child, which is noticeable on a busy machine.
use std::fs::{File, TryLockError};

#[derive(Debug)]
pub struct Held(File);

impl Held {
    /// Locks without waiting. On failure returns the file with the reason.
    ///
    /// # Errors `WouldBlock`: the file is locked, by this process or another. `Error`: the file
    /// system does not support locks.
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

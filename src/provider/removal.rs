//! Removes a directory tree left by scripts: deep, wide, or without permissions. Keeps few files
//! open and paths short at any depth by moving subdirectories up first. Follows no link, and
//! touches no other mount, because entries cannot be moved across mounts.
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Success if absent.
pub fn remove(dir: &Path) -> io::Result<()> {
    let root = match Dir::open(dir, None) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        // A file or a link in its place.
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return fs::remove_file(dir),
        root => root?,
    };
    // Names that were moved here may be met in the same round, or in the next.
    let mut moved = Moved::new();
    loop {
        let mut met = false;
        for entry in fs::read_dir(root.way())? {
            met = true;
            root.remove(&entry?, &mut moved)?;
        }
        if !met {
            return absent_is_fine(fs::remove_dir(dir));
        }
    }
}

/// Generates unused names.
struct Moved {
    mark: uuid::Uuid,
    count: u64,
}

impl Moved {
    fn new() -> Self {
        Self { mark: uuid::Uuid::new_v4(), count: 0 }
    }

    fn next(&mut self) -> String {
        self.count += 1;
        format!(".removed-{}-{}", self.mark.simple(), self.count)
    }

    fn has_made(&self, name: &OsStr) -> bool {
        name.to_str().is_some_and(|n| n.starts_with(&format!(".removed-{}-", self.mark.simple())))
    }
}

/// An open directory. Its entries stay reachable when it is renamed or moved.
struct Dir {
    held: File,
    device: u64,
}

impl Dir {
    /// Opens the directory, granting us access if it belongs to us. It must be on `device`.
    fn open(path: &Path, device: Option<u64>) -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let held = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let meta = held.metadata()?;
        if device.is_some_and(|d| d != meta.dev()) {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        let this = Self { held, device: meta.dev() };
        // SAFETY: plain system call without arguments.
        if meta.mode() & 0o700 != 0o700 && meta.uid() == unsafe { libc::geteuid() } {
            fs::set_permissions(this.way(), Permissions::from_mode(meta.mode() & 0o7777 | 0o700))?;
        }
        Ok(this)
    }

    /// A path to the open directory through /proc. Source: proc(5).
    fn way(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.held.as_raw_fd()).into()
    }

    fn remove(&self, entry: &fs::DirEntry, moved: &mut Moved) -> io::Result<()> {
        let mut path = self.way().join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            return absent_is_fine(fs::remove_file(path));
        }
        if !moved.has_made(&entry.file_name()) {
            // What another mount lies on cannot be moved.
            path = self.take(&path, moved)?;
        }
        self.empty(&path, moved)?;
        match fs::remove_dir(&path) {
            // Its list changed while it was read: the next round goes on with it.
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            done => absent_is_fine(done),
        }
    }

    /// Moves subdirectories of `dir` here, and removes everything else in it.
    fn empty(&self, dir: &Path, moved: &mut Moved) -> io::Result<()> {
        let dir = Dir::open(dir, Some(self.device))?;
        for entry in fs::read_dir(dir.way())? {
            let entry = entry?;
            let path = dir.way().join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => drop(self.take(&path, moved)?),
                false => absent_is_fine(fs::remove_file(path))?,
            }
        }
        Ok(())
    }

    /// Moves a directory here, and returns its new path.
    fn take(&self, dir: &Path, moved: &mut Moved) -> io::Result<PathBuf> {
        // One that may not be written to cannot be moved, for `..` in it changes.
        Dir::open(dir, Some(self.device))?;
        let place = self.way().join(moved.next());
        fs::rename(dir, &place)?;
        Ok(place)
    }
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `mkdir d; chdir d` does, again and again.
    fn dig(dir: &Path, depth: usize) {
        let mut at = Dir::open(dir, None).unwrap();
        for _ in 0..depth {
            fs::create_dir(at.way().join("d")).unwrap();
            at = Dir::open(&at.way().join("d"), None).unwrap();
        }
        fs::write(at.way().join("bottom"), "").unwrap();
    }

    #[test]
    fn however_deep() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("m");
        fs::create_dir_all(dir.join("wide")).unwrap();
        dig(&dir, 5_000);
        dig(&dir.join("wide"), 2_000);
        for n in 0..3_000 {
            fs::write(dir.join("wide").join(n.to_string()), "").unwrap();
            fs::create_dir(dir.join(n.to_string())).unwrap();
        }
        remove(&dir).unwrap();
        assert!(!dir.exists());
        remove(&dir).unwrap();
    }

    /// Root is kept out by no mode: only others see what this is about.
    #[test]
    fn however_closed() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("m");
        let within = dir.join("a/b/c");
        fs::create_dir_all(&within).unwrap();
        fs::write(within.join("file"), "").unwrap();
        for (place, mode) in [
            (within.clone(), 0o555),
            (dir.join("a/b"), 0),
            (dir.join("a"), 0o555),
            (dir.clone(), 0),
        ] {
            fs::set_permissions(place, Permissions::from_mode(mode)).unwrap();
        }
        remove(&dir).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let (dir, outside) = (home.path().join("m"), home.path().join("outside"));
        fs::create_dir_all(dir.join("a")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "").unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o500)).unwrap();
        for link in [dir.join("link"), dir.join("a/link"), home.path().join("link")] {
            std::os::unix::fs::symlink(&outside, link).unwrap();
        }
        remove(&dir).unwrap();
        remove(&home.path().join("link")).unwrap();
        assert!(
            !dir.exists()
                && !home.path().join("link").is_symlink()
                && outside.join("file").exists()
        );
        assert_eq!(outside.metadata().unwrap().mode() & 0o777, 0o500);
    }

    /// Only root may mount; for others there is nothing to be checked.
    #[test]
    fn what_is_mounted_there_stays() {
        let home = tempfile::tempdir().unwrap();
        for place in ["m/a", "m/a/b"] {
            let (dir, behind) = (home.path().join("m"), home.path().join("behind"));
            fs::create_dir_all(home.path().join(place)).unwrap();
            fs::create_dir_all(&behind).unwrap();
            fs::write(behind.join("file"), "").unwrap();
            let mounted = std::process::Command::new("mount")
                .arg("--bind")
                .arg(&behind)
                .arg(home.path().join(place))
                .output();
            if !mounted.is_ok_and(|o| o.status.success()) {
                return;
            }
            let done = remove(&dir);
            let points = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let root = home.path().to_str().unwrap();
            for point in
                points.lines().filter_map(|l| l.split(' ').nth(4)).filter(|p| p.starts_with(root))
            {
                std::process::Command::new("umount").arg(point).output().unwrap();
            }
            assert!(done.is_err() && behind.join("file").exists(), "{place}");
            remove(&dir).unwrap();
        }
    }
}

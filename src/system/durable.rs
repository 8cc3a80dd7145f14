//! Files that must survive a crash: replaced atomically, synced together with their directory, and
//! read as bounded regular files.
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::system::reading;

mod ours;
pub use ours::only_ours;

/// Opens a regular file for appending; creates it with mode 0600.
pub fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    regular(options.custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?)
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("is no regular file")),
    }
}

/// Reads a regular file, not a link, of at most `limit` bytes; a longer one is an error.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    reading::bytes_of(reading::open_itself(path)?, limit)
}

/// The first `limit` bytes of a regular file, and whether they are all of it.
pub fn read_begin(path: &Path, limit: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut content = Vec::new();
    reading::open_itself(path)?.take(limit + 1).read_to_end(&mut content)?;
    let whole = content.len() as u64 <= limit;
    content.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok((content, whole))
}

/// Replaces a file atomically. After a crash it has the old content or the new. Only this user can
/// read it.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_as(path, content, 0o600)
}

/// [`replace`] with the given permissions.
pub fn replace_as(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mode = fs::Permissions::from_mode(mode);
    let mut new = tempfile::Builder::new().prefix(".new-").permissions(mode).tempfile_in(dir)?;
    new.write_all(content)?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|e| e.error)?;
    sync_dir(dir)
}

/// Syncs `dir`, so that names created in it or removed from it are on disk.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a directory and its parents for this user alone. Checks that `dir` belongs to us, is not
/// a link, and is not writable (`others`: nor readable) by other users. Closes our own directory if
/// its mode is too open.
pub fn private_dir(dir: &Path, others: Others) -> io::Result<()> {
    may_be_made(dir)?;
    match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        // A link to nowhere, or a file.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    if !check_private(dir, others)? {
        let mode = fs::symlink_metadata(dir)?.mode() & 0o7777;
        fs::set_permissions(dir, fs::Permissions::from_mode(mode & !others.must_not()))?;
    }
    Ok(())
}

/// Permissions of other users in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    Nothing,
    Look,
}

impl Others {
    /// Mode bits that must not be set.
    fn must_not(self) -> u32 {
        if self == Others::Nothing { 0o077 } else { 0o022 }
    }
}

/// Whether an absent directory can be created where nobody else could place another. Always `Ok`
/// for an existing one.
pub fn may_be_made(dir: &Path) -> io::Result<()> {
    // SAFETY: plain system call without arguments.
    let me = unsafe { libc::geteuid() };
    match dir.ancestors().find(|above| fs::symlink_metadata(above).is_ok()) {
        Some(above) if above != dir && above.is_dir() => {
            ours::only_ours(above, me).map_err(|open| open.refused())
        }
        _ => Ok(()),
    }
}

/// Like [`private_dir`], for an existing directory, without changing it. Returns whether its mode
/// is closed enough. An absent directory is an error.
pub fn check_private(dir: &Path, others: Others) -> io::Result<bool> {
    let meta = fs::symlink_metadata(dir)?;
    let wrong = |reason: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    // SAFETY: plain system call without arguments.
    let me = unsafe { libc::geteuid() };
    if !meta.is_dir() {
        return wrong("is no directory".into());
    }
    if meta.uid() != me {
        return wrong(format!("belongs to user {} and not to this one ({me})", meta.uid()));
    }
    ours::only_ours_to_replace(dir, me).map_err(|open| open.refused())?;
    Ok(meta.mode() & others.must_not() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_ours_and_too_open_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let (open, new) = (dir.path().join("open"), dir.path().join("a/b"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(!check_private(&open, Others::Look).unwrap());
        assert_eq!(mode(&open), 0o777, "a look changes nothing");
        private_dir(&open, Others::Look).unwrap();
        assert!(
            check_private(&open, Others::Look).unwrap()
                && !check_private(&open, Others::Nothing).unwrap()
        );
        assert_eq!(mode(&open), 0o755);
        private_dir(&open, Others::Nothing).unwrap();
        private_dir(&new, Others::Nothing).unwrap();
        assert_eq!((mode(&open), mode(&new), mode(&dir.path().join("a"))), (0o700, 0o700, 0o700));
    }

    #[test]
    fn what_others_made_or_may_replace_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
        fs::write(at("file"), "").unwrap();
        for name in ["link", "dangling", "file"] {
            let wrong = private_dir(&at(name), Others::Nothing).unwrap_err().to_string();
            assert!(wrong.contains("is no directory"), "{name}: {wrong}");
        }
        assert!(!at("nowhere").exists());
        fs::create_dir(at("shared")).unwrap();
        fs::set_permissions(at("shared"), PermissionsExt::from_mode(0o777)).unwrap();
        let wrong = private_dir(&at("shared/mine"), Others::Nothing).unwrap_err().to_string();
        assert!(wrong.contains("may be replaced by anybody"), "{wrong}");
        fs::set_permissions(at("shared"), PermissionsExt::from_mode(0o1777)).unwrap();
        private_dir(&at("shared/mine"), Others::Nothing).unwrap();
    }

    /// Only root can give a directory to a group that it is not in.
    #[test]
    fn groups_and_access_lists_count_as_others() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, mine) = (dir.path().join("shared"), dir.path().join("shared/mine"));
        fs::create_dir_all(&mine).unwrap();
        let set = |mode| fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
        set(0o775);
        if std::os::unix::fs::chown(&shared, None, Some(12345)).is_ok() {
            let wrong = private_dir(&mine, Others::Nothing).unwrap_err().to_string();
            assert!(
                wrong.contains("by group 12345, who can write to")
                    && wrong.contains("`chmod go-w "),
                "{wrong}"
            );
            set(0o1775);
            private_dir(&mine, Others::Nothing).unwrap();
            set(0o755);
            private_dir(&mine, Others::Nothing).unwrap();
            std::os::unix::fs::chown(&shared, None, Some(0)).unwrap();
            set(0o775);
            private_dir(&mine, Others::Nothing).unwrap();
        }
        if list(&shared) {
            set(0o775);
            let wrong = private_dir(&mine, Others::Nothing).unwrap_err().to_string();
            assert!(wrong.contains("access list") || wrong.contains("group"), "{wrong}");
        }
    }

    /// Lets user 12345 write to `path`, by an access list: version 2; owner, user, group, mask,
    /// others. Source: acl(5).
    fn list(path: &Path) -> bool {
        let entries = [
            (1, 7, u32::MAX),
            (2, 7, 12345),
            (4, 5, u32::MAX),
            (0x10, 7, u32::MAX),
            (0x20, 5, u32::MAX),
        ];
        let entry = |(tag, may, who): (u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &may.to_le_bytes(), &who.to_le_bytes()].concat()
        };
        let value = [&2_u32.to_le_bytes()[..], &entries.map(entry).concat()].concat();
        let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: plain system call on strings with their NUL and a buffer with its length.
        unsafe {
            libc::setxattr(
                path.as_ptr(),
                c"system.posix_acl_access".as_ptr(),
                value.as_ptr().cast(),
                value.len(),
                0,
            ) == 0
        }
    }

    /// Only root can give a directory away; others see what root made.
    #[test]
    fn a_directory_of_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let given = std::os::unix::fs::chown(dir.path(), Some(12345), None).is_ok();
        let foreign = if given { dir.path() } else { Path::new("/usr") };
        for others in [Others::Nothing, Others::Look] {
            let wrong = private_dir(foreign, others).unwrap_err().to_string();
            assert!(wrong.contains("belongs to user"), "{wrong}");
        }
        if given {
            let below =
                private_dir(&dir.path().join("mine"), Others::Nothing).unwrap_err().to_string();
            assert!(below.contains("may be replaced by user 12345"), "{below}");
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
        // SAFETY: plain system call on a string that outlives it.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert!(
            read(&fifo, 10).is_err()
                && open_to_append(&fifo).is_err()
                && read(dir.path(), 10).is_err()
        );
        fs::write(dir.path().join("f"), "0123456789").unwrap();
        assert_eq!(read(&dir.path().join("f"), 10).unwrap(), b"0123456789");
        assert!(read(&dir.path().join("f"), 9).is_err());
        assert_eq!(read_begin(&dir.path().join("f"), 9).unwrap(), (b"012345678".to_vec(), false));
    }
}

//! Makes files readable behind the wall if root runs the factory. Root has no privileges there, so
//! a definition below another user's private home is unreadable; a copy owned by root is shown
//! instead.
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// Maximum number of files checked; larger definitions are shown as they are.
const MANY: usize = 20_000;
/// Maximum number of bytes copied.
const MOST: u64 = 4 << 30;

/// Whether user `me`, without privileges, can reach and read everything below `dir`.
pub(super) fn is_open(dir: &Path, me: u32) -> bool {
    let may = |meta: &fs::Metadata, bit: u32| {
        let bits = if meta.uid() == me { bit << 6 } else { bit };
        meta.permissions().mode() & bits == bits
    };
    let way =
        dir.ancestors().skip(1).all(|dir| fs::metadata(dir).is_ok_and(|meta| may(&meta, 0o1)));
    let entries = || walkdir::WalkDir::new(dir).into_iter().take(MANY);
    way && entries().all(|entry| {
        entry.ok().and_then(|e| e.metadata().ok()).is_some_and(|meta| match meta.file_type() {
            kind if kind.is_symlink() => true,
            kind if kind.is_dir() => may(&meta, 0o5),
            _ => may(&meta, 0o4),
        })
    })
}

/// Copies directories, files and links from `from` to `to`, which must not exist. The copies are
/// readable.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.map_err(io::Error::other)?;
        let meta = entry.metadata().map_err(io::Error::other)?;
        let at = to.join(entry.path().strip_prefix(from).unwrap_or(Path::new("")));
        let kind = meta.file_type();
        if kind.is_dir() {
            DirBuilder::new().mode(0o755).create(&at)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &at)?;
        } else if kind.is_file() {
            bytes += meta.len();
            if bytes > MOST {
                return Err(io::Error::other(format!("{} holds more than 4 GiB", from.display())));
            }
            fs::copy(entry.path(), &at)?;
            fs::set_permissions(
                &at,
                Permissions::from_mode(meta.permissions().mode() & 0o777 | 0o444),
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_is_copied_and_then_open() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::write(from.join("a/script"), "x").unwrap();
        fs::set_permissions(from.join("a/script"), Permissions::from_mode(0o700)).unwrap();
        symlink("a/script", from.join("link")).unwrap();
        // SAFETY: plain system call without arguments.
        let me = unsafe { libc::geteuid() };
        assert!(is_open(&from, me));
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(!is_open(&from, me + 1), "the script is its owner's");
        copy(&from, &to).unwrap();
        assert!(is_open(&to, me + 1));
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("a/script"));
        assert!(copy(&from, &to).is_err(), "nothing is written over");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!is_open(&to, me + 1), "nobody else gets there");
    }
}

//! The room that a program works in: empty for each, with a home and temporary files.
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::WallError;
use super::mounts::Mounts;
use crate::plan::Plan;

/// A place to work in: what may be written, and what may be read besides the definition.
pub struct Room<'r> {
    pub plan: &'r Plan,
    /// Is made if it is not there. In it are the home and the temporary directory.
    pub dir: &'r Path,
    pub read: Vec<PathBuf>,
    /// The definition's source script, which may have asked to do without a wall.
    pub source: bool,
}

impl Room<'_> {
    pub(super) fn show(&self, mounts: &mut Mounts) -> Result<(), WallError> {
        mounts.writable(self.dir);
        for path in &self.read {
            // The wall's program would follow a link as the factory, which sees everything.
            if path.is_symlink() {
                let source = std::io::Error::other(
                    "this is a link, and shows no more than that behind the wall",
                );
                return Err(WallError::Io { path: path.clone(), source });
            }
            mounts.read_only(path);
        }
        Ok(())
    }
}

/// Each program finds an empty room: what one left in it, a link above all, is nothing that the
/// next is to follow, nor we. The directory around it cannot be written to from behind the wall.
pub(super) fn fresh_directory(dir: &Path) -> Result<(), WallError> {
    match std::fs::remove_dir_all(dir) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(WallError::Io { path: dir.into(), source })
        }
        _ => private_directory(dir),
    }
}

/// An empty room with a home and a directory for temporary files in it, which the environment
/// names.
pub(super) fn furnished(
    room: &Path,
    env: &mut BTreeMap<String, String>,
) -> Result<(PathBuf, PathBuf), WallError> {
    let (home, temp) = (room.join("home"), room.join("tmp"));
    fresh_directory(room)?;
    for dir in [&home, &temp] {
        private_directory(dir)?;
    }
    env.insert("HOME".into(), home.display().to_string());
    env.insert("TMPDIR".into(), temp.display().to_string());
    Ok((home, temp))
}

/// Made anew: one that is there, or a link, is an error.
pub(super) fn private_directory(dir: &Path) -> Result<(), WallError> {
    let io = |source| WallError::Io { path: dir.into(), source };
    std::fs::DirBuilder::new().mode(0o700).create(dir).map_err(io)
}

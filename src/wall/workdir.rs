//! The working directory of a program: empty for each, with a home and temporary files.
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::WallError;
use super::mounts::Mounts;
use crate::plan::Plan;

/// The files of a program behind the wall: what it may write, and read besides the definition.
pub struct WorkDir<'r> {
    pub plan: &'r Plan,
    /// Working directory, created if missing. Holds the home and the temporary directory.
    pub dir: &'r Path,
    pub read: Vec<PathBuf>,
    /// The program is the definition's source script, which may ask to run without the wall.
    pub source: bool,
}

impl WorkDir<'_> {
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

/// Empties the directory, so that neither the next program nor the factory follows a link that the
/// last one left. The parent directory is not writable from behind the wall.
pub(super) fn fresh_directory(dir: &Path) -> Result<(), WallError> {
    match std::fs::remove_dir_all(dir) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(WallError::Io { path: dir.into(), source })
        }
        _ => private_directory(dir),
    }
}

/// Creates the working directory with a home and a temporary directory, and names both in the
/// environment.
pub(super) fn furnished(
    dir: &Path,
    env: &mut BTreeMap<String, String>,
) -> Result<(PathBuf, PathBuf), WallError> {
    let (home, temp) = (dir.join("home"), dir.join("tmp"));
    fresh_directory(dir)?;
    for inner in [&home, &temp] {
        private_directory(inner)?;
    }
    env.insert("HOME".into(), home.display().to_string());
    env.insert("TMPDIR".into(), temp.display().to_string());
    Ok((home, temp))
}

/// Creates a directory of mode 0700. An existing one, or a link, is an error.
pub(super) fn private_directory(dir: &Path) -> Result<(), WallError> {
    let io = |source| WallError::Io { path: dir.into(), source };
    std::fs::DirBuilder::new().mode(0o700).create(dir).map_err(io)
}

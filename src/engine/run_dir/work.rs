//! The work directories of a run: owned by its ledger, and locked while it lives.
use std::fs;
use std::path::Path;

use super::dir::LOCK;
use crate::engine::BuildError;
use crate::provider::ledger::{Kind, Ledger, Made};
use crate::system::durable;
use crate::system::lock::Held;

/// Locks the directory, for factories with another home, which do not see the lock in ours.
pub fn hold(dir: &Path) -> Result<Held, BuildError> {
    let path = dir.join(LOCK);
    let held =
        durable::open_to_append(&path).and_then(|lock| Held::take(lock).map_err(|(_, e)| e.into()));
    held.map_err(|source| BuildError::Io { path, source })
}

/// Creates a directory that the run owns.
pub async fn own_directory(ledger: &Ledger, dir: &Path) -> Result<(), BuildError> {
    use std::os::unix::fs::DirBuilderExt;
    let name = dir.to_string_lossy().into_owned();
    ledger
        .own(Kind::Directory, &name, || async {
            let parents = dir
                .parent()
                .map_or(Ok(()), |p| fs::DirBuilder::new().recursive(true).mode(0o700).create(p));
            parents
                .and_then(|()| fs::DirBuilder::new().mode(0o700).create(dir))
                .map_err(|source| BuildError::Io { path: dir.into(), source })?;
            Ok(Made { id: name.clone(), value: () })
        })
        .await
}

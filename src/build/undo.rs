//! Undo of one ledger entry: processes and directories are this machine's business, the rest is the cloud's.
use std::path::Path;

use crate::cloud::ledger::{Entry, Kind};
use crate::cloud::{Cloud, CloudError};
use crate::exec::process;

/// Deletes a thing that `run` owns. What is not there is deleted: success.
pub async fn delete(cloud: &dyn Cloud, run: &str, entry: &Entry) -> Result<(), CloudError> {
    match entry.kind {
        Kind::Process => process::end(run, &entry.name, entry.id.as_deref()).await,
        Kind::Directory => {
            let (path, run) = (entry.name.clone(), run.to_owned());
            tokio::task::spawn_blocking(move || remove_directory(Path::new(&path), &run)).await.expect("removal does not panic")
        }
        Kind::Machine | Kind::Image => cloud.delete(run, entry).await,
    }
}

/// The run's ID must be a component of the path: it is the owner tag of a directory.
fn remove_directory(path: &Path, run: &str) -> Result<(), CloudError> {
    let what = format!("remove {}", path.display());
    if !path.is_absolute() || !path.components().any(|c| c.as_os_str() == run) {
        return Err(CloudError::refused(what, format!("it is not a directory of run {run}")));
    }
    unmount_below(path).map_err(CloudError::io(what.clone()))?;
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(CloudError::Io { what, source: e }),
        _ => Ok(()),
    }
}

/// A source script that was killed may have left mounts (a chroot's /dev): to remove files through them would be a disaster.
fn unmount_below(path: &Path) -> std::io::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let below: Vec<&str> = table.lines().filter_map(|l| l.split(' ').nth(4)).filter(|m| Path::new(m).starts_with(path)).collect();
    for mount in below.iter().rev() {
        let c = std::ffi::CString::new(*mount)?;
        // SAFETY: a NUL-terminated path and flags; no memory is shared.
        if unsafe { libc::umount2(c.as_ptr(), libc::MNT_DETACH) } != 0 {
            let e = std::io::Error::last_os_error();
            return Err(std::io::Error::new(e.kind(), format!("{mount} is mounted below it: {e}")));
        }
    }
    Ok(())
}

//! Where the factory keeps its things on this machine, by what the environment says.
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Failure, err};
use crate::run::Home;

/// Socket paths are limited to 108 bytes; a longer directory is no use.
const LONGEST: usize = 31;

/// Makes nothing. `warn`: say why XDG_RUNTIME_DIR is passed over.
pub fn home(warn: bool) -> Result<Home, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = set("IMAGE_FACTORY_HOME")
        .or_else(|| set("XDG_DATA_HOME").map(|d| d.join("image-factory")))
        .or_else(|| set("HOME").map(|d| d.join(".local/share/image-factory")))
        .ok_or_else(|| Failure::usage("neither IMAGE_FACTORY_HOME nor HOME is set"))?;
    let data = std::path::absolute(&data).map_err(|e| Failure::usage(format!("{}: {e}", data.display())))?;
    // SAFETY: plain system call without arguments.
    let me = unsafe { libc::geteuid() };
    let temporary = PathBuf::from(format!("/tmp/image-factory-{me}"));
    let runtime = match set("XDG_RUNTIME_DIR").map(|dir| unfit(&dir, me).map_or(Ok(dir), Err)) {
        Some(Ok(dir)) => dir.join("image-factory"),
        Some(Err(why)) => {
            if warn && !why.is_empty() {
                err(&format!("warning: XDG_RUNTIME_DIR is not used: {why}; {} is", temporary.display()));
            }
            temporary
        }
        None => temporary,
    };
    Ok(Home { data, runtime })
}

/// Why a directory is not used; without words if it is only no use. What `sudo` leaves in the environment is another user's.
fn unfit(dir: &Path, me: u32) -> Option<String> {
    match std::fs::symlink_metadata(dir) {
        _ if dir.as_os_str().len() > LONGEST => Some(String::new()),
        Ok(meta) if meta.is_symlink() => Some(format!("{} is a link", dir.display())),
        Ok(meta) if !meta.is_dir() => Some(String::new()),
        Ok(meta) if meta.uid() != me => Some(format!("{} belongs to user {}", dir.display(), meta.uid())),
        Ok(_) => None,
        Err(_) => Some(String::new()),
    }
}

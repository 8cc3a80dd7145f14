//! Directories of the factory on this machine, from the environment.
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::{Failure, err};
use crate::engine::run_dir::Home;
use crate::system::paths::real_so_far;

/// Maximum length of the runtime directory, because socket paths are limited to 108 bytes.
const LONGEST: usize = 31;

/// Creates nothing. `warn`: report why XDG_RUNTIME_DIR is ignored.
pub fn home(warn: bool) -> Result<Home, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = set("IMAGE_FACTORY_HOME")
        .or_else(|| set("XDG_DATA_HOME").map(|d| d.join("image-factory")))
        .or_else(|| set("HOME").map(|d| d.join(".local/share/image-factory")))
        .ok_or_else(|| {
            let id = crate::ready::user::id();
            let text = format!(
                "there is no place for images: HOME is not set, and user {id} has \
                no entry in /etc/passwd that says it"
            );
            Failure::usage(text).hint("set HOME, or IMAGE_FACTORY_HOME to a directory of yours")
        })?;
    // What a run owns is removed only below a root that does not go upwards.
    let data = if data.is_absolute() && upwards(&data) { real_so_far(&data) } else { data };
    if !data.is_absolute() || upwards(&data) {
        // Another directory would be another store, and the images of this one would be gone.
        let why = match data.is_absolute() {
            true => "goes upwards from a directory that is not there",
            false => "depends on where one stands",
        };
        let variable = if set("IMAGE_FACTORY_HOME").is_some() {
            "IMAGE_FACTORY_HOME"
        } else {
            "XDG_DATA_HOME or HOME"
        };
        let failure = Failure::usage(format!("{variable} names {}, which {why}", data.display()));
        return Err(failure.hint("name a directory by its whole path, from `/` on"));
    }
    // SAFETY: plain system call without arguments.
    let me = unsafe { libc::geteuid() };
    let temporary = PathBuf::from(format!("/tmp/image-factory-{me}"));
    let runtime = match set("XDG_RUNTIME_DIR").map(|dir| unfit(&dir, me).map_or(Ok(dir), Err)) {
        Some(Ok(dir)) => dir.join("image-factory"),
        Some(Err(why)) => {
            if warn && !why.is_empty() {
                err(&format!(
                    "warning: XDG_RUNTIME_DIR is not used: {why}; {} is",
                    temporary.display()
                ));
            }
            temporary
        }
        None => temporary,
    };
    Ok(Home { data, runtime })
}

fn upwards(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

fn plain(path: &str) -> bool {
    path.chars().all(|c| c.is_alphanumeric() || "/_.,+:@-".contains(c))
}

/// Why a directory is not used; empty if merely unsuitable. `sudo` leaves another user's
/// directories in the environment.
fn unfit(dir: &Path, me: u32) -> Option<String> {
    match std::fs::symlink_metadata(dir) {
        _ if dir.as_os_str().len() > LONGEST => Some(String::new()),
        // It goes into options of `ssh`, which splits them at blanks and replaces `%`.
        _ if !dir.to_str().is_some_and(plain) => {
            Some(format!("{} has characters that `ssh` would take apart", dir.display()))
        }
        _ if upwards(dir) => Some(format!("{} goes upwards by `..`", dir.display())),
        Ok(meta) if meta.is_symlink() => Some(format!("{} is a link", dir.display())),
        Ok(meta) if !meta.is_dir() => Some(String::new()),
        Ok(meta) if meta.uid() != me => {
            Some(format!("{} belongs to user {}", dir.display(), meta.uid()))
        }
        Ok(_) => None,
        Err(_) => Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_directory_with_blanks_is_passed_over() {
        let dir = tempfile::Builder::new().prefix("if").rand_bytes(3).tempdir_in("/tmp").unwrap();
        // SAFETY: plain system call without arguments.
        let me = unsafe { libc::geteuid() };
        assert_eq!(unfit(dir.path(), me), None);
        for name in ["a b", "a%h", "a\"b"] {
            let odd = dir.path().join(name);
            std::fs::create_dir(&odd).unwrap();
            assert!(unfit(&odd, me).is_some_and(|why| why.contains("take apart")), "{name}");
        }
        assert!(unfit(&dir.path().join("../x"), me).is_some_and(|why| why.contains("upwards")));
    }
}

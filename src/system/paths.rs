//! Paths with symbolic links resolved, for comparisons and for the wall.
use std::path::{Path, PathBuf};

/// `path` with links resolved; `path` itself if it does not exist.
pub fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Resolves links in the part of `path` that exists; keeps the rest as written.
pub fn real_so_far(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = |above: &Path| Some((above.canonicalize().ok()?, path.strip_prefix(above).ok()?));
    match path.ancestors().find_map(there) {
        // Joined, it would end in a slash.
        Some((real, rest)) if rest.as_os_str().is_empty() => real,
        Some((real, rest)) => real.join(rest),
        None => path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_as_far_as_they_lead() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("a")).unwrap();
        std::os::unix::fs::symlink("a", root.join("b")).unwrap();
        assert_eq!(real(&root.join("b")), root.join("a"));
        assert_eq!(real(&root.join("b/x")), root.join("b/x"));
        assert_eq!(real_so_far(&root.join("b/x/y")), root.join("a/x/y"));
        assert_eq!(real_so_far(&root.join("b")).as_os_str(), root.join("a").as_os_str());
    }
}

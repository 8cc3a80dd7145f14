//! The files of a definition, and their digests.
use std::path::{Path, PathBuf};

/// One file of a definition.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InputFile {
    /// Relative to the bundle's directory. `../../shared/f` was reached through a link, which has
    /// an entry of its own.
    #[serde(serialize_with = "crate::text::lossy_path")]
    pub path: PathBuf,
    /// Hex. For a symbolic link, the hash of its target's name. Targets inside the tree have
    /// entries of their own; files outside of the tree are never read.
    pub sha256: String,
    /// `-`, `x` for an executable, `l` for a link, `d` for an empty directory that a step sends.
    pub mode: char,
    /// Its text has one of [`OF_RUN`].
    #[serde(skip)]
    pub names_run: bool,
}

/// Variables of a step's environment that differ in every run.
pub const OF_RUN: [&str; 2] = ["FACTORY_RUN", "FACTORY_IMAGE_NAME"];

/// Whether a text names one of [`OF_RUN`].
pub fn names_run(text: &[u8]) -> bool {
    OF_RUN.iter().any(|name| memchr::memmem::find(text, name.as_bytes()).is_some())
}

/// All files of a definition, under one digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Inputs {
    /// SHA-256, in hex, of lines `<sha256> <mode> ./<path>`: paths, contents, and the executable
    /// bit (other mode bits differ between checkouts). As in lists of sha256sum, a line with an
    /// escaped path begins with `\`; `\n` and `\\` are the escapes.
    pub sha256: String,
    pub files: Vec<InputFile>,
}

/// Directories that interpreters, linters and editors make beside what they work on.
const DEBRIS_DIRECTORIES: [&str; 7] =
    ["__pycache__", ".ansible", ".idea", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".vscode"];

/// Whether a file is left by an interpreter or an editor, by its name: no part of a definition
/// unless git tracks it.
pub fn is_debris(path: &Path) -> bool {
    let names: Vec<&str> = path.iter().filter_map(|name| name.to_str()).collect();
    let name = names.last().copied().unwrap_or_default();
    let (_, ending) = name.rsplit_once('.').unwrap_or_default();
    let is_swap = name.starts_with('.')
        && ending.len() == 3
        && ending.starts_with("sw")
        && ending.as_bytes()[2].is_ascii_lowercase();
    let is_lock = name.starts_with(".#") || name.starts_with('#') && name.ends_with('#');
    names.iter().any(|name| DEBRIS_DIRECTORIES.contains(name))
        || matches!(ending, "pyc" | "pyo")
        || matches!(name, ".DS_Store" | "Thumbs.db")
        || is_swap
        || is_lock
        || name.ends_with('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_leave_beside_a_definition_is_debris() {
        for name in [
            "ansible/filter_plugins/__pycache__/x.cpython-311.pyc",
            "library/x.pyc",
            "ansible/.bootstrap.yml.swp",
            ".a.swo",
            "build-vars.yml~",
            ".#build-vars.yml",
            "#build-vars.yml#",
            ".DS_Store",
            ".ansible/tmp/x",
        ] {
            assert!(is_debris(Path::new(name)), "{name}");
        }
        for name in
            ["x.py", "a.swp", "swap/.keep", ".env", "files/app.jar", "#readme", "a.swf", "x"]
        {
            assert!(!is_debris(Path::new(name)), "{name}");
        }
    }
}

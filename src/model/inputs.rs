//! The files of a definition, and their digests.
use std::path::PathBuf;

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
    /// `-`, `x` for an executable, `l` for a link.
    pub mode: char,
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

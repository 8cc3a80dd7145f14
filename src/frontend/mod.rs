//! Input languages: each reads a definition's files and writes a `Definition`. A language is a
//! folder here, and a line in `FRONTENDS`.
use std::path::Path;

use build_vars::Override;

pub mod build_vars;
mod inputs;
mod loaded;
mod loader;
mod noted;
mod tree;

pub use inputs::{inputs, inputs_without_git, known_digest, places, stamp, stamp_of, values};
pub use loaded::{Loaded, Rest, Unsound, load, load_with};
pub use loader::{LoadRequest, Loader, serve};
pub use noted::Noted;
pub use tree::{all, base_of, find, find_tree, is_beside, where_it_was};

/// An input language.
trait Frontend: Sync {
    /// The file that makes a directory a definition in this language.
    fn file(&self) -> &'static str;

    /// Whether a directory without that file was probably meant as a definition.
    fn is_meant(&self, _dir: &Path) -> bool {
        false
    }

    /// Reads the definition in `dir`, which may lie outside of `tree`, with values from elsewhere
    /// put over those of its file. The error holds all findings, warnings too, sorted by place.
    fn load(&self, tree: &Path, dir: &Path, overrides: &[Override]) -> Result<Loaded, Unsound>;
}

/// All languages. Where a directory has files of several, the first one counts.
const FRONTENDS: [&dyn Frontend; 1] = [&build_vars::BuildVars];

/// The language of the definition in `dir`; the first one where there is none, which reports that.
fn of(dir: &Path) -> &'static dyn Frontend {
    let found = FRONTENDS.into_iter().find(|language| dir.join(language.file()).is_file());
    found.unwrap_or(FRONTENDS[0])
}

/// Whether `dir` holds a definition.
fn is_definition(dir: &Path) -> bool {
    dir.join(of(dir).file()).is_file()
}

/// The names of the files that make directories definitions.
pub fn main_files() -> impl Iterator<Item = &'static str> {
    FRONTENDS.into_iter().map(Frontend::file)
}

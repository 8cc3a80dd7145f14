//! Bundles: the checked content of `build-vars.yml`. Defaults are applied in `plan`, not here.
//!
//! Source text -> [`yaml`] tree with locations -> [`decode`] typed values and findings ->
//! [`load()`] a [`Definition`].
use std::path::Path;

use super::{Frontend, Loaded, Unsound};
use crate::model::check::Tests;
use crate::model::definition::{
    Asks, Base, Definition, GlanceOptions, MachineRequest, Need, Source, TIDY_ASKED, TIDY_PARTS,
    Timeouts, Volume,
};
use crate::model::image::Visibility;
use crate::model::kind::Kind;
use crate::model::step::{Step, StepKind};

mod agree;
mod ansible_cfg;
mod bases;
mod bounds;
mod checks;
pub(crate) mod decode;
mod doubts;
mod families;
mod files;
mod glance_options;
mod image;
mod keys;
pub(super) mod links;
mod lint;
mod load;
mod looked;
mod near;
mod overrides;
mod password;
mod playbooks;
mod quantity;
mod scalar;
mod scripts;
mod source;
mod steps;
pub(crate) mod syntax;
#[cfg(test)]
mod tests;
mod trees;
pub(crate) mod yaml;

pub use agree::RESULTS;
pub use ansible_cfg::{Named, first_set, place_of_value};
pub use bases::{OnBundle, base_among, check_bases, maker, os_near};
pub use doubts::Doubts;
pub use families::check_families;
pub use files::included;
pub use lint::on_factory;
pub use load::check_work;
pub use near::{Stray, strays};
pub use overrides::Override;
pub use password::{Password, password};
pub use playbooks::{plain, requirements, search_paths};
pub use quantity::size_in_mib;

/// The file of settings.
pub const FILE: &str = "build-vars.yml";

/// The language of `build-vars.yml`.
pub(super) struct BuildVars;

impl Frontend for BuildVars {
    fn file(&self) -> &'static str {
        FILE
    }

    fn is_meant(&self, dir: &Path) -> bool {
        dir.join("ansible").exists() || near::is_meant(dir)
    }

    fn load(&self, tree: &Path, dir: &Path, overrides: &[Override]) -> Result<Loaded, Unsound> {
        load::load_whole(tree, dir, overrides)
    }
}

/// The key that was probably meant.
pub(crate) fn nearest_key<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    keys::nearest(key, known.iter().copied())
}

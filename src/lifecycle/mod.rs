//! What becomes of published images: which stay, and what they were made from.

mod base;
pub mod lineage;
pub mod prune;

pub use base::base_name;

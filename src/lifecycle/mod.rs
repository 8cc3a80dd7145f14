//! What becomes of published images: which stay, and what they were made from.
//!
//! In the order of use: a module imports only from those above it.

mod base;
pub mod lineage;
pub mod prune;

pub use base::base_name;

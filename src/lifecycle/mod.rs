//! What becomes of published images: which stay, and what they were made from.

pub mod lineage;
pub mod prune;

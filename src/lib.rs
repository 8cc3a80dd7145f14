//! The image factory: a bundle becomes a tested, published image.
//!
//! Modules in the order in which data flows; each imports only from those above it.
pub mod diagnostic;
pub mod event;
pub mod bundle;
pub mod remote;

//! The image factory: a bundle becomes a tested, published image.
//!
//! Modules in the order in which data flows; each imports only from those above it.
pub mod diagnostic;
pub mod cancel;
pub mod event;
pub mod exec;
pub mod bundle;
pub mod image;
pub mod plan;
pub mod cloud;
pub mod remote;
pub mod build;

//! The image factory: a bundle becomes a tested, published image.
//!
//! ```text
//! images/X/build-vars.yml ─ bundle ─▶ Bundle ─┐
//!                                             ├─ plan ─▶ Plan ─ engine ▶ Image ─ report ▶ reports
//! cloud (reads only) ─────── facts ─▶ Facts ──┘            │    └▶ Event ─▶ cli::show, log
//!                                                          ▼
//!                                                   cloud::ledger ◀─▶ sweep
//! ```
//!
//! Modules in the order in which data flows; each imports only from those above it (a test holds
//! this).
#![cfg_attr(test, allow(clippy::disallowed_methods))] // tests start helpers of their own

#[cfg(test)]
extern crate self as image_factory; // fixtures of `test-tools` are used by unit tests too

pub mod text;
pub mod paths;
pub mod reading;
pub mod diagnostic;
pub mod cancel;
pub mod lines;
pub mod event;
pub mod log;
pub mod exec;
pub mod lock;
pub mod scratch;
pub mod git;
pub mod digest;
pub mod http;
pub mod durable;
pub mod disk;
pub mod fetch;
pub mod jinja;
pub mod bundle;
pub mod settings;
pub mod image;
pub mod family;
pub mod plan;
pub mod ready;
pub mod wall;
pub mod cloud;
pub mod guest;
pub mod ansible;
pub mod engine;
pub mod report;
pub mod prune;
pub mod run;
pub mod lineage;
pub mod batch;
pub mod sweep;
pub mod cli;

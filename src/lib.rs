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
//! Modules are listed in the order of the data flow. Each imports only from those above it; a test
//! enforces this.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // tests start helpers of their own

#[cfg(test)]
extern crate self as image_factory; // fixtures of `test-tools` are used by unit tests too

mod text;
mod paths;
mod reading;
mod diagnostic;
mod cancel;
mod lines;
mod event;
mod log;
mod exec;
mod lock;
mod scratch;
mod git;
mod digest;
mod http;
mod durable;
mod disk;
mod fetch;
mod jinja;
mod bundle;
mod settings;
mod image;
mod family;
mod plan;
mod ready;
mod wall;
mod cloud;
mod guest;
mod ansible;
mod engine;
mod report;
mod prune;
mod run;
mod lineage;
mod batch;
mod sweep;
mod cli;
#[doc(hidden)]
pub mod testing;

pub use cli::main;

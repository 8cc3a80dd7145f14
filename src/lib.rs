//! The image factory: a bundle becomes a tested, published image.
//!
//! ```text
//! images/X/build-vars.yml ─ bundle ─▶ Definition ─┐
//!                                             ├─ plan ─▶ Plan ─ engine ▶ Image ─ report ▶ reports
//! cloud (reads only) ─────── facts ─▶ Facts ──┘            │    └▶ Event ─▶ cli::show, log
//!                                                          ▼
//!                                                   provider::ledger ◀─▶ sweep
//! ```
//!
//! Modules are listed in the order of the data flow. Each imports only from those above it; a test
//! enforces this.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // tests start helpers of their own

#[cfg(test)]
extern crate self as image_factory; // fixtures of `test-tools` are used by unit tests too

mod text;
mod model;
mod system;
mod log;
mod fetch;
mod jinja;
mod frontend;
mod settings;
mod plan;
mod ready;
mod wall;
mod provider;
mod guest;
mod engine;
mod report;
mod run;
mod lifecycle;
mod jobs;
mod sweep;
mod cli;
#[doc(hidden)]
pub mod testing;

pub use cli::main;

//! The image factory: a bundle becomes a tested, published image.
//!
//! ```text
//! images/X/build-vars.yml ─ frontend ─▶ Definition ─┐
//!                                                   ├─ plan ─▶ Plan ─ engine ─▶ Image ─ report
//! provider (reads only) ────── facts ─▶ Facts ──────┘            │    └▶ Event ─▶ cli::show, log
//!                                                                ▼
//!                                                       provider::ledger ◀─▶ sweep
//! ```
//!
//! A run is these steps for one definition, and `jobs` takes them: facts and plan, the run's
//! directories (`engine::run_dir`), the build (`engine`), the outputs (`report`), retention
//! (`lifecycle`). `jobs::Factory` holds what all runs share and starts each as a task; its
//! scheduler orders runs by their bases.
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
mod lifecycle;
mod jobs;
mod sweep;
mod app;
mod cli;
#[doc(hidden)]
pub mod testing;

pub use cli::main;

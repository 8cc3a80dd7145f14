//! This machine: processes, files, the network, and ways to be stopped.
//!
//! In the order of use: a module imports only from those above it.

pub mod cancel;
pub mod wait;
pub mod lines;
pub mod lock;
pub mod digest;
pub mod reading;
pub mod paths;
pub mod durable;
pub mod scratch;
pub mod exec;
pub mod git;
pub mod http;
pub mod disk;

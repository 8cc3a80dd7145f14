//! This machine: processes, files, the network, and ways to be stopped.

pub mod cancel;
pub mod digest;
pub mod disk;
pub mod durable;
pub mod exec;
pub mod git;
pub mod http;
pub mod lines;
pub mod lock;
pub mod paths;
pub mod reading;
pub mod scratch;
pub mod wait;

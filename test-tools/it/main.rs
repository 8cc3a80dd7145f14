//! Integration tests: SSH against a real OpenSSH server, the local cloud with a boot sector, the command line as a user calls
//! it, and what stands a factory up.
#![allow(clippy::disallowed_methods)] // tests start the program and its tools as a user does

mod architecture;
mod checksums;
mod cli;
mod family;
mod fetch;
mod http;
mod local;
mod remote;
mod setup;
#[path = "../small_disk.rs"]
mod small_disk;
mod sshd;
mod support;
#[path = "../tiny_disk.rs"]
mod tiny_disk;

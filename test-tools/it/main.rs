//! Integration tests: SSH against a real OpenSSH server, the local cloud with a boot sector, the command line as a user calls
//! it, and what stands a factory up.
#![allow(clippy::disallowed_methods)] // tests start the program and its tools as a user does

mod architecture;
mod checksums;
mod cli;
mod crash;
mod family;
mod fetch;
mod fuzz;
mod http;
mod local;
mod remote;
mod setup;
mod sshd;
mod supply;
mod support;
#[path = "../tiny_disk.rs"]
mod tiny_disk;

//! Integration tests: SSH against a real OpenSSH server, the local cloud with a boot sector, the command line as a user calls it.
#![allow(clippy::disallowed_methods)] // tests start the program and its tools as a user does

mod architecture;
mod cli;
mod family;
mod local;
mod remote;
mod sshd;
mod support;
#[path = "../tiny_disk.rs"]
mod tiny_disk;

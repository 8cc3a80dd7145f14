//! Integration tests: SSH against a real OpenSSH server, the local cloud with a boot sector, the
//! command line as a user calls it, and what stands a factory up.
#![allow(clippy::disallowed_methods)] // tests start the program and its tools as a user does

mod architecture;
mod checksums;
mod cli;
mod commands;
mod compile;
mod debian12;
mod definition;
mod family;
mod everything;
mod fetch;
mod first;
mod hostile;
mod crash;
mod fuzz;
mod http;
mod local;
mod names;
#[path = "../vm/ordinary.rs"]
#[allow(dead_code)] // shared with the tests of virtual machines
mod ordinary;
mod remote;
mod results;
mod reader;
mod setup;
#[path = "../small_disk.rs"]
mod small_disk;
mod sshd;
mod state;
mod supply;
mod support;
mod syntax;
mod tidy;
mod together;
#[path = "../tiny_disk.rs"]
mod tiny_disk;
mod wall;

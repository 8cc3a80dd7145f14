//! Real machines under QEMU, through the program as a user calls it. All ignored by a plain `cargo
//! test`: minutes each.
//!
//! `make test` runs `main_job`, `make test-failures` runs `failures`, `make test-os` `os_local`.
//! They share one home, so that the base image is built once. Run by root, they run the factory as
//! an ordinary user (`ordinary`).
#![allow(clippy::disallowed_methods)] // tests start the program and its tools as a user does

mod failures;
mod main_job;
mod crash_points;
mod os_job;
mod os_local;
#[allow(dead_code)] // shared with the tests of OpenStack
mod factory;

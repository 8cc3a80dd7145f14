//! Real machines under QEMU, through the program as a user calls it. All ignored by a plain `cargo test`: minutes each.
//!
//! `make test` runs `main_job`, `make test-failures` runs `failures`. They share one home, so that the base image is built once.
mod failures;
mod main_job;
mod moments;
mod support;

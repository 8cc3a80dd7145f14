//! A real OpenStack, made by `test-tools/devcloud/up`. All ignored by a plain `cargo test`: `make
//! test-openstack` runs all but `os_images`, `lifecycle` and `crash_points`, which have targets of
//! their own.
#![allow(clippy::disallowed_methods)] // tests start the program and its tools as a user does

mod base;
mod checkpoints;
mod contract;
mod devcloud;
mod foreign;
#[allow(dead_code)] // shared with the tests of local machines, which use more of it
#[path = "../vm/factory.rs"]
mod factory;
mod lifecycle;
mod main_job;
mod crash_points;
mod os_images;
#[path = "../vm/os_job.rs"]
mod os_job;
mod refusals;
#[path = "../tiny_disk.rs"]
mod tiny_disk;
mod wild;

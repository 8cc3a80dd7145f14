//! The integration tests, one binary: real programs on this machine, no cloud.
mod remote;
mod sshd;

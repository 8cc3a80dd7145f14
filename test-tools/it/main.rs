//! Integration tests: SSH against a real OpenSSH server, the local cloud with a boot sector, the command line as a user calls it.
mod architecture;
mod cli;
mod local;
mod remote;
mod sshd;
mod support;

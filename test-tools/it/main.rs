//! Integration tests: the remote layer against a real OpenSSH server, and the command line as a user calls it.
mod architecture;
mod cli;
mod remote;
mod support;

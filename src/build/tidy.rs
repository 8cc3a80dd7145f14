//! The script that cleans a builder before its disk is captured.
use ssh_key::PublicKey;

const SCRIPT: &str = include_str!("../../templates/guest/tidy.sh");

/// A script for `sh`, to be run as root: it does the named parts (of [`crate::bundle::TIDY_PARTS`]) in an order of its own and
/// prints one line for each. Exit code 0, or 1 after a line on stderr that names the part that failed.
///
/// `build_key` is the key the factory logs in with; its line, and only that, is taken out of every `authorized_keys`.
///
/// What is gone when it ends: logging in again, and `sudo` for the default user. The session that runs it goes on.
///
/// The environment variable `FACTORY_KEEP` may name one entry of `/tmp` that has to stay until the session ends.
pub fn script(parts: &[String], build_key: &PublicKey) -> String {
    let line = build_key.to_openssh().expect("an ed25519 key can be written");
    let blob = line.split(' ').nth(1).expect("algorithm, then base64");
    // Names of parts and base64 have nothing in them that a quoted string could end at.
    format!("#!/bin/sh\nPARTS='{}'\nBUILD_KEY='{blob}'\n{SCRIPT}", parts.join(" "))
}

//! Services that fail to start on a booting machine, as reported by systemd and cloud-init.
use super::{present, printable};

/// Units required for a login, by the names that systemd prints: file name or description.
const NEEDED: &[(&str, &[&str])] = &[
    (
        "sshd",
        &[
            "ssh.service",
            "sshd.service",
            "ssh.socket",
            "sshd.socket",
            "OpenBSD Secure Shell server",
            "OpenSSH server daemon",
        ],
    ),
    (
        "the network",
        &[
            "networking.service",
            "systemd-networkd.service",
            "NetworkManager.service",
            "Raise network interfaces",
            "Network Manager",
        ],
    ),
    (
        "cloud-init",
        &[
            "cloud-init-local",
            "cloud-init.service",
            "cloud-init-main",
            "cloud-init-network",
            "Initial cloud-init job",
            "Cloud-init: ",
        ],
    ),
    // By it cloud-init shows the host keys.
    (
        "cloud-init's end",
        &[
            "cloud-final.service",
            "cloud-config.service",
            "Execute cloud user/final scripts",
            "Apply the settings specified",
        ],
    ),
];
/// Similar names of units that are not required.
const OTHERS: &[&str] = &["Network Manager Wait Online"];

/// systemd's messages about a unit that failed, and one that started.
pub(super) const FAILED: &str = "Failed to start ";
const NOT_UP: &[&str] = &[FAILED, "Failed to listen on ", "Dependency failed for "];
const UP: &[&str] = &["Started ", "Finished ", "Listening on "];
/// cloud-init's message if it has no data source, and so no login key.
const NOBODY: &str = "DataSourceNone";

/// Prompts for a disk passphrase. Something else may supply it (Clevis, a TPM); later messages then
/// show that the boot continues.
const LOCKED: &[&str] = &["Please enter passphrase for disk", "Please unlock disk"];
const UNLOCKED: &str = " login:";

/// Problems that prevent a login in the current boot, one line each: required units that failed and
/// have not started since. Unlike [`trouble`], they may be temporary, because services are
/// restarted.
pub fn signs(console: &str) -> Vec<String> {
    let mut signs: Vec<(&str, String)> = Vec::new();
    for line in present(console).split(['\n', '\r']) {
        if ![NOT_UP, UP, LOCKED, &[NOBODY, UNLOCKED]]
            .concat()
            .iter()
            .any(|word| line.contains(word))
        {
            continue;
        }
        let line = printable(line);
        let begins = |unit: &str, names: &[&str]| names.iter().any(|n| unit.starts_with(n));
        let of = |unit: &str| {
            NEEDED
                .iter()
                .find(|(_, names)| begins(unit, names) && !begins(unit, OTHERS))
                .map(|(what, _)| *what)
        };
        let unit = |words: &[&str]| {
            words.iter().find_map(|word| line.split_once(word)).map(|(_, unit)| unit.to_owned())
        };
        if let Some(unit) = unit(NOT_UP) {
            let unit = unit.as_str();
            if let Some(what) = of(unit) {
                signs.retain(|(before, _)| *before != what);
                signs.push((what, format!("{what} did not start: {line}")));
            }
        } else if LOCKED.iter().any(|word| line.contains(word)) {
            signs.retain(|(before, _)| *before != UNLOCKED);
            signs.push((UNLOCKED, format!("a disk waits for its passphrase: {line}")));
        } else if line.contains(UNLOCKED) {
            signs.retain(|(before, _)| *before != UNLOCKED);
        } else if line.contains(NOBODY) {
            signs.retain(|(before, _)| *before != NOBODY);
            signs.push((
                NOBODY,
                format!("cloud-init found nothing that says who may log in: {line}"),
            ));
        } else if let Some(unit) = unit(UP) {
            signs.retain(|(before, _)| *before != UNLOCKED && of(&unit) != Some(*before));
        }
    }
    signs.into_iter().map(|(_, sign)| sign).collect()
}

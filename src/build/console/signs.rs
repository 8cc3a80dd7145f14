//! What does not start on a machine that is waited for, as systemd and cloud-init say it.
use super::{present, printable};

/// Without one of these nobody gets in: units as systemd names them, by their file or by what they say they are.
const NEEDED: &[(&str, &[&str])] = &[
    ("sshd", &["ssh.service", "sshd.service", "ssh.socket", "sshd.socket", "OpenBSD Secure Shell server", "OpenSSH server daemon"]),
    (
        "the network",
        &["networking.service", "systemd-networkd.service", "NetworkManager.service", "Raise network interfaces", "Network Manager"],
    ),
    (
        "cloud-init",
        &["cloud-init-local", "cloud-init.service", "cloud-init-main", "cloud-init-network", "Initial cloud-init job", "Cloud-init: "],
    ),
];

/// What systemd prints of a unit that did not start, and of one that did.
pub(super) const FAILED: &str = "Failed to start ";
const STARTED: &[&str] = &["Started ", "Finished "];
/// What cloud-init prints where it was not told who may log in.
const NOBODY: &str = "DataSourceNone";

/// Signs that the present boot will let nobody in, one line each: what is needed for a login and did not start, and has not since.
/// Unlike [`trouble`] they may pass: a service is tried again.
pub fn signs(console: &str) -> Vec<String> {
    let mut signs: Vec<(&str, String)> = Vec::new();
    for line in present(console).split(['\n', '\r']) {
        let said = [FAILED, NOBODY, STARTED[0], STARTED[1]].iter().any(|word| line.contains(word));
        if !said {
            continue;
        }
        let line = printable(line);
        let of = |unit: &str| NEEDED.iter().find(|(_, names)| names.iter().any(|n| unit.starts_with(n))).map(|(what, _)| *what);
        if let Some((_, unit)) = line.split_once(FAILED) {
            if let Some(what) = of(unit) {
                signs.retain(|(before, _)| *before != what);
                signs.push((what, format!("{what} did not start: {line}")));
            }
        } else if line.contains(NOBODY) {
            signs.retain(|(before, _)| *before != NOBODY);
            signs.push((NOBODY, format!("cloud-init found nothing that says who may log in: {line}")));
        } else if let Some((_, unit)) = STARTED.iter().find_map(|word| line.split_once(word)) {
            signs.retain(|(before, _)| of(unit) != Some(*before));
        }
    }
    signs.into_iter().map(|(_, sign)| sign).collect()
}

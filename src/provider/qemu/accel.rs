//! Chooses KVM if it demonstrably runs a machine, otherwise software emulation (TCG).
//!
//! An accessible /dev/kvm proves little: under some hypervisors (`kvm_pvm`, nested without VT-x)
//! the guest hangs, or dies with "KVM internal error" while QEMU stays. So a machine with a
//! one-sector disk is tried first.
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::store::replace;
use crate::model::facts::Lack;
use crate::provider::local_resources::builder;
use crate::system::cancel::Cancel;
use crate::system::exec::{self, Cmd, ExecError};

/// The requested acceleration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accel {
    /// KVM if it works.
    #[default]
    Auto,
    Tcg,
    /// KVM without a trial.
    Kvm,
}

/// The chosen acceleration, with a short reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub kvm: bool,
    pub why: String,
}

impl Choice {
    fn new(kvm: bool, why: impl Into<String>) -> Self {
        Self { kvm, why: why.into() }
    }

    /// "KVM", or "software emulation: reason".
    pub fn text(&self) -> String {
        format!("{}: {}", if self.kvm { "KVM" } else { "software emulation" }, self.why)
    }

    /// Arguments for QEMU. `qemu64` is the fastest model under TCG: as an AMD model it needs no
    /// page-table isolation in Linux (SSH after 37 s, with Nehalem after 70 s).
    pub fn args(&self) -> [&'static str; 4] {
        if self.kvm {
            ["-accel", "kvm", "-cpu", "host"]
        } else {
            ["-accel", "tcg,thread=multi", "-cpu", "qemu64"]
        }
    }
}

/// The kernel's KVM device.
pub const DEVICE: &str = "/dev/kvm";

/// Why machines cannot run as `wish` requests. An explicit request for KVM has no fallback.
pub fn lack(wish: Accel, device: &Path) -> Option<Lack> {
    let error = match wish {
        Accel::Kvm => open(device).err()?,
        Accel::Auto | Accel::Tcg => return None,
    };
    let closed = error.kind() == std::io::ErrorKind::PermissionDenied;
    let hint =
        if closed { LET_IN } else { "without `--accel kvm` machines run in software emulation" };
    Some((format!("KVM is asked for, and {}", why_closed(device, &error)), hint.into()))
}

const LET_IN: &str = "`sudo usermod -aG kvm USER`, then log in anew";

fn open(device: &Path) -> std::io::Result<()> {
    fs::File::options().read(true).write(true).open(device).map(drop)
}

fn why_closed(device: &Path, error: &std::io::Error) -> String {
    let device = device.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("{device} is missing"),
        std::io::ErrorKind::PermissionDenied => format!("{device} is not open to this user"),
        _ => format!("{device}: {error}"),
    }
}

/// Time limit; a working KVM needs well under a second.
const TRIAL: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Remembered {
    key: String,
    choice: Choice,
}

/// Chooses. `cache` holds a trial's result until the host reboots or the QEMU `version` changes.
pub async fn choose(
    wish: Accel,
    version: &str,
    cache: &Path,
    cancel: &Cancel,
) -> Result<Choice, crate::system::cancel::Cancelled> {
    match wish {
        Accel::Tcg => return Ok(Choice::new(false, "as asked for")),
        Accel::Kvm => {
            let but = open(Path::new(DEVICE))
                .err()
                .map(|e| format!(", but {}", why_closed(Path::new(DEVICE), &e)));
            return Ok(Choice::new(true, format!("as asked for{}", but.unwrap_or_default())));
        }
        Accel::Auto => {}
    }
    // Not remembered: a user may be let in at any time.
    if let Err(e) = open(Path::new(DEVICE)) {
        let hint = if e.kind() == std::io::ErrorKind::PermissionDenied {
            format!(" ({LET_IN})")
        } else {
            String::new()
        };
        return Ok(Choice::new(false, why_closed(Path::new(DEVICE), &e) + &hint));
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let (key, file) = (format!("{} {version}", boot.trim()), cache.join("kvm.json"));
    let remembered =
        fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Remembered>(&text).ok());
    if let Some(r) = remembered.filter(|r| r.key == key) {
        return Ok(r.choice);
    }
    let choice = match trial(cache, cancel).await {
        Ok(()) => Choice::new(true, "a trial machine ran"),
        Err(Failure::Cancelled(c)) => return Err(c),
        Err(Failure::Why(why)) => Choice::new(false, format!("/dev/kvm is there, but {why}")),
    };
    // A cache that cannot be written costs the next run a few seconds, no more.
    let text = serde_json::to_vec(&Remembered { key, choice: choice.clone() }).expect("plain data");
    let _ = replace(&file, &text);
    Ok(choice)
}

enum Failure {
    Cancelled(crate::system::cancel::Cancelled),
    Why(String),
}

/// `isa-debug-exit` makes QEMU exit with (value << 1) | 1.
const VALUE: u8 = 0x55;

async fn trial(cache: &Path, cancel: &Cancel) -> Result<(), Failure> {
    builder(true)
        .create(cache)
        .and_then(|()| replace(&cache.join("trial.img"), &sector()))
        .map_err(|e| {
            Failure::Why(format!(
                "a trial machine could not be written to {}: {e}",
                cache.display()
            ))
        })?;
    // `timeout` ends the machine even if we are killed in these seconds: no ledger knows of it.
    let guard = format!("{}", 2 * TRIAL.as_secs());
    let cmd = Cmd::new("timeout", TRIAL)
        .args([
            "--signal=KILL",
            &guard,
            "qemu-system-x86_64",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
        ])
        .args(["-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", "64", "-no-reboot"])
        .args([
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=1",
            "-drive",
            "if=none,id=d,file=trial.img,format=raw,readonly=on",
        ])
        .args(["-device", "virtio-blk-pci,drive=d,bootindex=0"])
        .dir(cache);
    let mut last = String::new();
    let status =
        exec::run(&cmd, cancel, |_, line| last = line.to_owned()).await.map_err(|e| match e {
            ExecError::Cancelled(c) => Failure::Cancelled(c),
            ExecError::Deadline { after, .. } => {
                Failure::Why(format!("a trial machine did nothing in {} s", after.as_secs()))
            }
            other => Failure::Why(format!("a trial machine did not start: {other}")),
        })?;
    if status.code() == Some(i32::from(VALUE) << 1 | 1) {
        return Ok(());
    }
    let said = if last.is_empty() { exec::status_text(status) } else { last };
    Err(Failure::Why(format!("a trial machine failed: {said}")))
}

/// A one-sector disk: `mov al, VALUE; out 0xf4, al; hlt`.
fn sector() -> Vec<u8> {
    let mut sector = vec![0; 512];
    sector[..6].copy_from_slice(&[0xb0, VALUE, 0xe6, 0xf4, 0xf4, 0xf4]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wish_is_not_questioned() {
        let cache = Path::new("/nonexistent");
        let cancel = Cancel::default();
        assert!(choose(Accel::Kvm, "7", cache, &cancel).await.unwrap().kvm);
        let tcg = choose(Accel::Tcg, "7", cache, &cancel).await.unwrap();
        assert_eq!(tcg.text(), "software emulation: as asked for");
    }

    #[test]
    fn kvm_that_is_asked_for_and_closed_is_lacking() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("kvm");
        let (what, hint) = lack(Accel::Kvm, &device).unwrap();
        assert!(what.ends_with("kvm is missing") && hint.contains("--accel kvm"), "{what}: {hint}");
        assert!(lack(Accel::Kvm, dir.path()).is_some(), "a directory is no device");
        assert_eq!((lack(Accel::Tcg, &device), lack(Accel::Auto, &device)), (None, None));
        fs::write(&device, "").unwrap();
        assert_eq!(lack(Accel::Kvm, &device), None);
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert_eq!(
            why_closed(&device, &denied),
            format!("{} is not open to this user", device.display())
        );
    }
}

//! What this machine can do, and what it lacks.
use std::time::Duration;

use super::accel::Choice;
use crate::cancel::Cancel;
use crate::exec::{self, Cmd, ExecError};

/// Version of QEMU ("7.2.22"); `None`: it is not installed or does not start.
pub async fn qemu_version(cancel: &Cancel) -> Result<Option<String>, crate::cancel::Cancelled> {
    let said = say_version("qemu-system-x86_64", cancel).await?;
    // QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)
    let version = |s: String| s.split_ascii_whitespace().skip_while(|w| *w != "version").nth(1).map(str::to_owned);
    Ok(said.and_then(version))
}

async fn say_version(program: &str, cancel: &Cancel) -> Result<Option<String>, crate::cancel::Cancelled> {
    match exec::output(&Cmd::new(program, Duration::from_secs(20)).arg("--version"), cancel).await {
        Ok(said) => Ok(Some(said)),
        Err(ExecError::Cancelled(c)) => Err(c),
        Err(_) => Ok(None),
    }
}

/// The first that reads and writes qcow2 images compressed with zstd, as the store has them.
const OLDEST: (u32, u32) = (5, 1);

/// Major and minor number of a version.
fn number(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Programs that are missing, each with what to do.
pub async fn lacks(qemu: Option<&str>, cancel: &Cancel) -> Result<Vec<(String, String)>, crate::cancel::Cancelled> {
    let hint = |package: &str| format!("run `make deps`, or install {package}");
    let mut lacks = Vec::new();
    match qemu {
        None => lacks.push(("qemu-system-x86_64 is not installed".into(), hint("qemu-system-x86"))),
        Some(version) if number(version) < OLDEST => {
            lacks.push((
                format!("QEMU {version} is too old: {}.{} or newer is needed", OLDEST.0, OLDEST.1),
                hint("a newer qemu-system-x86"),
            ));
        }
        Some(_) => {}
    }
    if say_version("qemu-img", cancel).await?.is_none() {
        lacks.push(("qemu-img is not installed".into(), hint("qemu-utils")));
    }
    Ok(lacks)
}

/// `accel`: `None` where it was not looked into.
pub fn how(qemu: Option<&str>, accel: Option<&Choice>) -> String {
    let accel = accel.map(|a| format!(", {}", a.text())).unwrap_or_default();
    format!("QEMU {}{accel}", qemu.unwrap_or("(not installed)"))
}

pub fn cpus() -> Option<u32> {
    std::thread::available_parallelism().ok().map(|n| n.get() as u32)
}

/// MiB of RAM that can be taken without swapping: `MemAvailable` of /proc/meminfo.
pub fn ram_mb() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(number("4.2.1") < OLDEST && number("10.0.2") >= OLDEST && number("5.1") >= OLDEST);
    }

    #[test]
    fn this_machine_has_something() {
        assert!(cpus().unwrap() > 0 && ram_mb().unwrap() > 0);
    }
}

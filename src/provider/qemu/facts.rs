//! Facts and missing prerequisites of this machine.
use super::accel::Choice;
use crate::model::facts::Lack;
use crate::system::cancel::Cancel;
use crate::system::exec::probe;

/// QEMU's version ("7.2.22"), or why it does not run.
pub async fn qemu_version(
    cancel: &Cancel,
) -> Result<Result<String, Lack>, crate::system::cancel::Cancelled> {
    let said = probe::version("qemu-system-x86_64", "--version", "qemu-system-x86", cancel).await?;
    // QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)
    let version = |s: String| {
        let found =
            s.split_ascii_whitespace().skip_while(|w| *w != "version").nth(1).map(str::to_owned);
        found.ok_or_else(|| {
            (
                format!("qemu-system-x86_64 does not say its version: {s}"),
                "is it QEMU's own?".to_owned(),
            )
        })
    };
    Ok(said.and_then(version))
}

/// Oldest supported QEMU: the first with zstd-compressed qcow2, as used by the store.
const OLDEST: (u32, u32) = (5, 1);

/// Major and minor version.
fn number(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Missing or broken programs, each with a fix.
pub async fn missing_prerequisites(
    qemu: Result<&str, &Lack>,
    cancel: &Cancel,
) -> Result<Vec<Lack>, crate::system::cancel::Cancelled> {
    let mut missing_prerequisites = Vec::new();
    match qemu {
        Err(lack) => missing_prerequisites.push(lack.clone()),
        Ok(version) if number(version) < OLDEST => {
            missing_prerequisites.push((
                format!("QEMU {version} is too old: {}.{} or newer is needed", OLDEST.0, OLDEST.1),
                "install a newer qemu-system-x86".into(),
            ));
        }
        Ok(_) => {}
    }
    missing_prerequisites
        .extend(probe::version("qemu-img", "--version", "qemu-utils", cancel).await?.err());
    Ok(missing_prerequisites)
}

/// `accel` is `None` if not determined.
pub fn how(qemu: Option<&str>, accel: Option<&Choice>) -> String {
    let accel = accel.map(|a| format!(", {}", a.text())).unwrap_or_default();
    format!("QEMU {}{accel}", qemu.unwrap_or("(none that runs)"))
}

pub fn cpus() -> Option<u32> {
    std::thread::available_parallelism().ok().map(|n| n.get() as u32)
}

/// MiB of RAM available without swapping: `MemAvailable` of /proc/meminfo.
pub fn ram_mib() -> Option<u64> {
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
        assert!(cpus().unwrap() > 0 && ram_mib().unwrap() > 0);
    }
}

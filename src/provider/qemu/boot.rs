//! Boots machines: an overlay on the image's disk, a config drive, QEMU.
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Child;

use super::accel::Choice;
use super::growth;
use super::machine::{
    CONSOLE, Hardware, LOG, MachineDir, OVERLAY, Record, RunDirs, SEED, convert_error,
};
use super::network::{self, Network, Reach};
use super::qmp::Qmp;
use super::seed::Seed;
use super::store::Store;
use crate::provider::ledger::{Kind, Made};
use crate::provider::{BootSpec, CloudError, Machine, RunCx};
use crate::system::exec::process::Proc;
use crate::system::exec::{self, Cmd, PROCESS_MARK};

/// Host settings shared by all machines.
pub struct Means<'a> {
    pub accel: &'a Choice,
    pub reach: &'a Reach,
    pub layout: &'a RunDirs,
    pub store: &'a Store,
}

pub async fn boot(cx: &RunCx, host: &Means<'_>, spec: &BootSpec) -> Result<Machine, CloudError> {
    let Means { layout, store, .. } = *host;
    let image = store.need(&spec.image)?;
    let place = layout.place(&cx.run, &spec.name)?;
    layout.secure_runtime()?;
    layout.0.make(cx, &place.dir).await?;
    layout.0.make(cx, &place.sockets).await?;
    overlay(cx, spec, &store.disk(&image.id), &place).await?;
    // A new identity for each machine: with a known one cloud-init and systemd take it for an
    // earlier boot of another.
    let uuid = uuid::Uuid::new_v4().to_string();
    let seed = Seed { uuid: &uuid, name: &spec.name, user_data: &spec.user_data };
    seed.write(&place.file(SEED))
        .map_err(CloudError::io(format!("write {}", place.file(SEED).display())))?;
    let hardware = Hardware { cpus: spec.cpus, ram_mib: spec.ram_mib, uuid, mac: mac() };
    let (hostname, overlay) = (spec.name.clone(), OVERLAY);
    let start = Start { hardware: &hardware, port: 0, overlay, hostname, memory: None };
    let port = power_on(cx, host, &place, start).await?;
    Ok(Machine {
        name: spec.name.clone(),
        id: format!("{}/{}", cx.run, spec.name),
        host: "127.0.0.1".into(),
        port,
    })
}

/// Powers a machine on again: a new QEMU on the same disks and port. A QEMU that rebooted in place
/// needed more than 15 minutes for its kernel under software emulation, probably because of stale
/// translations.
pub async fn again(cx: &RunCx, host: &Means<'_>, place: &MachineDir) -> Result<(), CloudError> {
    let gone =
        || CloudError::refused(format!("boot {}", place.name), "nothing is known of it here");
    let Record { hardware, port, overlay, hostname, .. } = place.record()?.ok_or_else(gone)?;
    let hostname = hostname.unwrap_or_else(|| place.name.clone());
    let start = Start { hardware: &hardware, port, overlay: &overlay, hostname, memory: None };
    power_on(cx, host, place, start).await.map(drop)
}

/// What is powered on.
pub struct Start<'s> {
    pub hardware: &'s Hardware,
    /// At which SSH is reached; 0: a free one.
    pub port: u16,
    /// File name of the disk that it writes to.
    pub overlay: &'s str,
    pub hostname: String,
    /// The state in which it begins, paused; `None`: it boots.
    pub memory: Option<Arc<OwnedFd>>,
}

/// Starts QEMU and notes it down; returns the port at which SSH is reached.
pub async fn power_on(
    cx: &RunCx,
    host: &Means<'_>,
    place: &MachineDir,
    start: Start<'_>,
) -> Result<u16, CloudError> {
    let Start { hardware, port, overlay, hostname, memory } = start;
    cx.cancel.check()?;
    let what = format!("boot {}", place.name);
    let goes_on = memory.as_ref().map(|_| hardware.mac.as_str());
    let network = network::start(cx, host.reach, place, (port, goes_on)).await?;
    let cmd = command((hardware, overlay), place, host.accel, &network);
    let cmd = match memory {
        Some(memory) => cmd.args(["-incoming", &format!("fd:{}", memory.as_raw_fd())]).hand(memory),
        None => cmd,
    };
    let begin = || async {
        let log = File::options()
            .create(true)
            .append(true)
            .open(place.file(LOG))
            .map_err(CloudError::io("make QEMU's log"))?;
        let child = exec::spawn(&cmd, &log).map_err(convert_error(&what))?;
        let proc = child.id().and_then(|pid| Proc::of(pid as i32));
        let proc = proc.ok_or_else(|| CloudError::refused(&what, "QEMU was gone at once"))?;
        Ok::<_, CloudError>(Made { id: proc.to_string(), value: (child, proc) })
    };
    let (mut child, proc) = cx.ledger.own(Kind::Process, &place.name, begin).await?;
    // From here on QEMU alone holds its end: when it ends, so does what carries its network.
    let Network { end, port, processes, .. } = network;
    drop((end, cmd));
    tokio::spawn(growth::bound_while(proc, place.growing()));
    let mut qmp = answering(cx, &mut child, place).await?;
    reap(child, place);
    let port = match port {
        Some(port) => port,
        None => forwarded_port(&mut qmp).await.map_err(|why| CloudError::refused(&what, why))?,
    };
    place.write(&Record {
        hardware: hardware.clone(),
        process: proc.to_string(),
        port,
        network: processes,
        overlay: overlay.to_owned(),
        hostname: Some(hostname),
        off: false,
    })?;
    Ok(port)
}

/// Creates the machine's writable disk on top of the shared image.
pub async fn overlay(
    cx: &RunCx,
    spec: &BootSpec,
    base: &Path,
    place: &MachineDir,
) -> Result<(), CloudError> {
    let cmd = Cmd::new("qemu-img", Duration::from_secs(60))
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(base)
        .args([OVERLAY.to_owned(), format!("{}G", spec.disk_gib)])
        .dir(&place.dir)
        .mark(&cx.run);
    exec::output(&cmd, &cx.cancel)
        .await
        .map(drop)
        .map_err(convert_error(format!("make the disk of {}", spec.name)))
}

/// Command line of QEMU. Matches Nova's machines (`pc`, virtio, serial console), so that an image
/// which boots here boots there.
pub fn command(
    (hardware, overlay): (&Hardware, &str),
    place: &MachineDir,
    accel: &Choice,
    network: &Network,
) -> Cmd {
    let (disk, seed) = (disk_node(DISK, overlay, false).to_string(), seed_node());
    // In QEMU's option lists a comma is written twice.
    let socket = place.qmp().display().to_string().replace(',', ",,");
    let cmd = Cmd::new("qemu-system-x86_64", Duration::MAX)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc"])
        .args(accel.args())
        .args([
            "-name",
            &place.name,
            "-uuid",
            &hardware.uuid,
            "-smp",
            &hardware.cpus.to_string(),
            "-m",
            &hardware.ram_mib.to_string(),
        ])
        // A guest that breaks out of QEMU starts no programs here.
        .args([
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        ])
        // After an orderly power-off QEMU stays in state `shutdown`, so a missing QEMU has crashed
        // or was killed.
        .arg("-no-shutdown")
        .args(["-blockdev", &disk, "-device", "virtio-blk-pci,drive=disk,bootindex=0"])
        .args(["-blockdev", &seed, "-device", "virtio-blk-pci,drive=seed"])
        .args(["-netdev", &network.option])
        .args(["-device", &format!("virtio-net-pci,netdev=net,mac={}", hardware.mac)])
        .args(["-device", "virtio-rng-pci", "-device", "pvpanic"])
        .args([
            "-chardev",
            &format!("file,id=console,path={CONSOLE},append=on"),
            "-serial",
            "chardev:console",
        ])
        .args(["-qmp", &format!("unix:{socket},server=on,wait=off")])
        .dir(&place.dir)
        .mark(&place.run)
        .env(PROCESS_MARK, &place.name);
    match &network.end {
        Some(end) => cmd.hand(end.clone()),
        None => cmd,
    }
}

/// Node name of the disk that a machine boots from.
const DISK: &str = "disk";

/// A disk of a machine as QEMU's block layer has it. `alone`: without what it lies over.
pub fn disk_node(name: &str, file: &str, alone: bool) -> Value {
    // Flushes of guest and host dominate a package manager's time, and a run does not survive a
    // crash of this host anyway.
    let cache = json!({ "no-flush": true });
    let mut node = json!({
        "node-name": name, "driver": "qcow2", "discard": "unmap", "detect-zeroes": "unmap",
        "cache": cache,
        "file": { "driver": "file", "filename": file, "discard": "unmap", "cache": cache },
    });
    if alone {
        node["backing"] = Value::Null;
    }
    node
}

/// The config drive, as `-blockdev` has it.
fn seed_node() -> String {
    let file = json!({ "driver": "file", "filename": SEED, "read-only": true });
    json!({ "node-name": "seed", "driver": "raw", "read-only": true, "file": file }).to_string()
}

/// A random MAC address in QEMU's range.
fn mac() -> String {
    let [a, b, c, ..] = uuid::Uuid::new_v4().into_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// Waits until QEMU answers on its socket. If it exited, the error holds its output.
async fn answering(cx: &RunCx, child: &mut Child, place: &MachineDir) -> Result<Qmp, CloudError> {
    let what = format!("boot {}", place.name);
    let mut wait = cx.wait(&what, Duration::from_millis(50));
    loop {
        if let Ok(qmp) = Qmp::connect(&place.qmp(), Duration::from_secs(10)).await {
            return Ok(qmp);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(CloudError::refused(
                &what,
                format!("QEMU ended ({}): {}", exec::status_text(status), place.last_words()),
            ));
        }
        wait.pause().await?;
    }
}

/// Waits for QEMU's exit status and appends it to the log.
fn reap(mut child: Child, place: &MachineDir) {
    let log = place.file(LOG);
    tokio::spawn(async move {
        use std::io::Write;
        if let Ok(status) = child.wait().await
            && let Ok(mut log) = File::options().append(true).open(log)
        {
            let _ = writeln!(log, "QEMU ended: {}", exec::status_text(status));
        }
    });
}

/// The port on 127.0.0.1 forwarded to the machine's port 22, as listed by QEMU: `TCP[HOST_FORWARD]
/// 11 127.0.0.1 37889 10.0.2.15 22 0 0`.
async fn forwarded_port(qmp: &mut Qmp) -> Result<u16, String> {
    let ask = json!({ "command-line": "info usernet" });
    let answer = qmp
        .execute("human-monitor-command", ask, Duration::from_secs(10))
        .await
        .map_err(|e| e.to_string())?;
    let text = answer.as_str().map(str::to_owned).unwrap_or_else(|| Value::to_string(&answer));
    port_in(&text).ok_or_else(|| format!("QEMU shows no forwarded port: {}", text.trim()))
}

fn port_in(usernet: &str) -> Option<u16> {
    let line = usernet.lines().find(|l| l.trim_start().starts_with("TCP[HOST_FORWARD]"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read() {
        let text = "Hub -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. \
            Address  Port RecvQ SendQ\r\n  \
                    TCP[HOST_FORWARD]  11       127.0.0.1 37889       10.0.2.15    22     0     \
                    0\r\n";
        assert_eq!(port_in(text), Some(37889));
        assert_eq!(port_in("nothing"), None);
    }
}

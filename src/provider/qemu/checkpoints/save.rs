//! Keeps the state of a running machine. It pauses while its disk is sealed under a new overlay and
//! its memory is written, and goes on; digests are taken beside it.
//!
//! An answer of QEMU may be lost or late. What became of the machine is then asked anew: QEMU runs
//! one command at a time, so that a later connection is served after what the earlier one sent.
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::shelf::{DISK, Kept, MEMORY, Shelf, Sum};
use super::{Local, Shape};
use crate::provider::checkpoints::{NewCheckpoint, Saved};
use crate::provider::qemu::backing::virtual_size;
use crate::provider::qemu::boot;
use crate::provider::qemu::machine::{MachineDir, Record, convert_error};
use crate::provider::qemu::qmp::{Qmp, QmpError};
use crate::provider::{CloudError, Machine, RunCx};
use crate::system::disk;
use crate::system::exec::process::{Proc, State};
use crate::system::exec::{self, Cmd};
use crate::system::wait::{Deadline, Wait};

/// Interval between polls of what takes tenths of seconds.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// Time limit of one command.
const COMMAND: Duration = Duration::from_secs(10);
/// Time limit for writing the memory.
const WRITE: Duration = Duration::from_secs(120);
/// Time limit for a machine to go on after that.
const GOES_ON: Duration = Duration::from_secs(120);
/// Longest interval between attempts of it.
const RARELY: Duration = Duration::from_secs(1);
/// Bytes per second; QEMU's default would take seconds for a fresh machine.
const BANDWIDTH: u64 = 8 << 30;
/// Bytes of disk that are left to others.
const LEFT: u64 = 2 << 30;

pub async fn save(
    cloud: &Local,
    cx: &RunCx,
    machine: &Machine,
    new: &NewCheckpoint<'_>,
) -> Result<Saved, CloudError> {
    let place = cloud.layout.place_of(machine)?;
    cloud.finished(&place).await?;
    let what = format!("keep the state of {}", place.name);
    let gone = || CloudError::refused(&what, "nothing is known of it here");
    let record = place.record()?.ok_or_else(gone)?;
    if let Some(why) = no_room(cloud, cx, &record).await? {
        return Ok(Saved::NoRoom(why));
    }
    let id = uuid::Uuid::new_v4().to_string();
    let dir = cloud.layout.0.work(&cx.run)?.join(format!("checkpoint-{id}"));
    cloud.layout.0.make(cx, &dir).await?;
    let sealed = place.file(&record.overlay);
    let disk_bytes = virtual_size(&sealed).map_err(CloudError::io(what.clone()))?;
    let (cpus, ram_mib) = (record.hardware.cpus, record.hardware.ram_mib);
    let shape = cloud.shape(cx, &Shape { cpus, ram_mib, disk_bytes }).await?;
    let overlay = next_overlay(&place);
    create(cx, &place, (&cloud.shelf.place(&id).join(DISK), disk_bytes), &overlay).await?;
    fs::hard_link(&sealed, dir.join(DISK)).map_err(CloudError::io(what.clone()))?;
    let memory = private(&dir.join(MEMORY)).map_err(CloudError::io(what.clone()))?;
    // First, so that whatever fails, what is captured is never a disk that is written no more.
    place.write(&Record { overlay: overlay.clone(), ..record.clone() })?;
    let paused = Paused { cloud, place: &place, qemu: record.proc(), what: &what };
    let (is_sealed, written) = paused.seal_and_write(cx, &overlay, &memory).await?;
    let written = written.map_err(|e| CloudError::refused(&what, e.to_string()));
    if !is_sealed {
        place.write(&record)?;
        return written.map(|()| Saved::Kept);
    }
    let none = Sum { bytes: 0, sha256: String::new() };
    let kept = Kept {
        key: new.key.to_owned(),
        shape,
        about: new.about.to_owned(),
        made: jiff::Timestamp::now(),
        hostname: record.hostname.clone().unwrap_or_else(|| place.name.clone()),
        hardware: record.hardware,
        note: new.note.clone(),
        disk: none.clone(),
        memory: none,
    };
    let (shelf, kept) = (cloud.shelf.clone(), written.is_ok().then_some(kept));
    let task = tokio::task::spawn_blocking(move || finish(&shelf, &dir, &id, kept));
    cloud.finishing.lock().expect("held for a look-up only").insert(place.dir, task);
    written.map(|()| Saved::Kept)
}

/// Makes room for one more state. The disk of the machine is there already; its memory is new.
async fn no_room(cloud: &Local, cx: &RunCx, record: &Record) -> Result<Option<String>, CloudError> {
    let (most, needs) = (cloud.config.checkpoints, record.hardware.ram_mib << 20);
    if disk::room(&cloud.config.home).is_some_and(|free| free < needs + LEFT) {
        return Ok(Some("the disk is nearly full".into()));
    }
    let Some(left) = most.checked_sub(needs) else {
        return Ok(Some(format!("checkpoints may take {} MiB (`cache`)", most >> 20)));
    };
    let _turn = cloud.shelf_turn(cx).await?;
    let in_use = cloud.checkpoints_in_use();
    let taken = cloud.shelf.shrink(left, &in_use).map_err(CloudError::io("remove checkpoints"))?;
    Ok((taken > left).then(|| {
        format!("checkpoints in use take {} of {} MiB (`cache`)", taken >> 20, most >> 20)
    }))
}

/// A name that no overlay of the machine has.
fn next_overlay(place: &MachineDir) -> String {
    let free = |name: &String| !place.file(name).exists();
    (1..).map(|n| format!("overlay-{n}.qcow2")).find(free).expect("numbers do not end")
}

/// An empty overlay over a disk that is going to be at `below`.
async fn create(
    cx: &RunCx,
    place: &MachineDir,
    (below, bytes): (&Path, u64),
    overlay: &str,
) -> Result<(), CloudError> {
    let cmd = Cmd::new("qemu-img", Duration::from_secs(60))
        .args(["create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(below)
        .args([overlay.to_owned(), bytes.to_string()])
        .dir(&place.dir)
        .mark(&cx.run);
    let made = exec::output(&cmd, &cx.cancel).await;
    made.map(drop).map_err(convert_error(format!("make a disk of {}", place.name)))
}

pub(super) struct Paused<'p> {
    pub cloud: &'p Local,
    pub place: &'p MachineDir,
    pub qemu: Proc,
    pub what: &'p str,
}

impl Paused<'_> {
    /// Whether the machine writes to the new overlay, and whether all went well. Whatever comes,
    /// the machine goes on; an error means that nothing is known of it.
    pub async fn seal_and_write(
        &self,
        cx: &RunCx,
        overlay: &str,
        memory: &File,
    ) -> Result<(bool, Result<(), QmpError>), CloudError> {
        let written = self.paused(overlay, memory).await;
        let node = self.goes_on(cx).await?;
        let is_sealed = node == node_of(overlay);
        let other = || QmpError::Broken(format!("it writes to `{node}`"));
        Ok((is_sealed, written.and(if is_sealed { Ok(()) } else { Err(other()) })))
    }

    /// The connection ends with it: after a lost answer it is of no use.
    async fn paused(&self, overlay: &str, memory: &File) -> Result<(), QmpError> {
        let (_turn, mut qmp) = self.cloud.turns.session(self.place).await?;
        qmp.execute("stop", json!({}), COMMAND).await?;
        seal(&mut qmp, overlay).await?;
        write(&mut qmp, memory).await
    }

    /// Lets the machine go on, as often as it takes. Returns the node to which it writes.
    async fn goes_on(&self, cx: &RunCx) -> Result<String, CloudError> {
        let deadline = Deadline::after(GOES_ON);
        let mut wait = Wait::new(self.what, &cx.cancel, deadline, POLL).backing_off_to(RARELY);
        loop {
            let why = match self.resumed().await {
                Ok(node) => return Ok(node),
                Err(e) => e,
            };
            if self.qemu.state() == State::Gone || wait.pause().await.is_err() {
                let (what, last) = (self.what.to_owned(), self.place.last_words());
                return Err(CloudError::Unknown { what, reason: format!("{why}; {last}") });
            }
        }
    }

    async fn resumed(&self) -> Result<String, QmpError> {
        let (_turn, mut qmp) = self.cloud.turns.session(self.place).await?;
        // At its end a migration stops the machine for good. None is left after `completed`.
        qmp.execute("migrate_cancel", json!({}), COMMAND).await?;
        qmp.execute("cont", json!({}), COMMAND).await?;
        writing_node(&qmp.execute("query-block", json!({}), COMMAND).await?)
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Node name of an overlay.
fn node_of(overlay: &str) -> &str {
    overlay.trim_end_matches(".qcow2")
}

/// From here on the guest writes to `overlay`.
async fn seal(qmp: &mut Qmp, overlay: &str) -> Result<(), QmpError> {
    let now = writing_node(&qmp.execute("query-block", json!({}), COMMAND).await?)?;
    let next = node_of(overlay);
    qmp.execute("blockdev-add", boot::disk_node(next, overlay, true), COMMAND).await?;
    let snapshot = json!({ "node": now, "overlay": next });
    qmp.execute("blockdev-snapshot", snapshot, COMMAND).await.map(drop)
}

async fn write(qmp: &mut Qmp, file: &File) -> Result<(), QmpError> {
    let limit = json!({ "max-bandwidth": BANDWIDTH });
    qmp.execute("migrate-set-parameters", limit, COMMAND).await?;
    let name = json!({ "fdname": MEMORY });
    qmp.hand("getfd", name, file.as_raw_fd(), COMMAND).await?;
    qmp.execute("migrate", json!({ "uri": format!("fd:{MEMORY}") }), COMMAND).await?;
    let deadline = Deadline::after(WRITE);
    loop {
        let told = qmp.execute("query-migrate", json!({}), COMMAND).await?;
        match told.get("status").and_then(Value::as_str).unwrap_or_default() {
            "completed" => return Ok(()),
            ended @ ("failed" | "cancelled") => {
                let why = told.get("error-desc").and_then(Value::as_str).unwrap_or(ended);
                return Err(QmpError::Refused { command: "migrate".into(), reason: why.into() });
            }
            _ if deadline.has_passed() => {
                let _ = qmp.execute("migrate_cancel", json!({}), COMMAND).await;
                return Err(QmpError::Deadline { command: "migrate".into(), after: WRITE });
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

/// The node to which the machine's own disk writes.
fn writing_node(blocks: &Value) -> Result<String, QmpError> {
    let names = blocks
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|block| block.get("inserted")?.get("node-name")?.as_str());
    let own = |name: &&str| *name == "disk" || name.starts_with("overlay-");
    let name = names.into_iter().find(own).map(str::to_owned);
    name.ok_or_else(|| QmpError::Broken("it shows no disk".into()))
}

/// Takes the digests and puts the checkpoint in its place: without a record where something
/// failed, for the machine's disk lies over it by now.
fn finish(shelf: &Shelf, dir: &Path, id: &str, kept: Option<Kept>) -> Result<(), String> {
    let recorded = kept.is_some_and(|kept| {
        let sums =
            Sum::of(&dir.join(DISK)).and_then(|disk| Ok((disk, Sum::of(&dir.join(MEMORY))?)));
        sums.and_then(|(disk, memory)| shelf.write(dir, &Kept { disk, memory, ..kept })).is_ok()
    });
    if !recorded {
        let _ = fs::remove_file(dir.join(MEMORY));
    }
    let place = shelf.place(id);
    fs::rename(dir, &place).map_err(|e| format!("{}: {e}", place.display()))
}

//! Keeps the state of a running machine. It pauses while its disk is sealed under a new overlay and
//! its memory is written, and goes on; digests are taken beside it.
//!
//! An answer of QEMU may be lost or late. What became of the machine is then asked anew: QEMU runs
//! one command at a time, so that a later connection is served after what the earlier one sent.
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::shelf::{DISK, Kept, MEMORY, POLL, RESERVED, Shelf, Sum};
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
    cloud.finished(&place.dir).await;
    let what = format!("keep the state of {}", place.name);
    let gone = || CloudError::refused(&what, "nothing is known of it here");
    let record = place.record()?.ok_or_else(gone)?;
    let sealed = place.file(&record.overlay);
    let disk_bytes = virtual_size(&sealed).map_err(CloudError::io(what.clone()))?;
    let (cpus, ram_mib) = (record.hardware.cpus, record.hardware.ram_mib);
    let shape = cloud.shape(cx, &Shape { cpus, ram_mib, disk_bytes }).await?;
    let Next { id, overlay } = match next(cloud, cx, (&place, &record), disk_bytes).await? {
        Ok(next) => next,
        Err(why) => return Ok(Saved::NoRoom(why)),
    };
    let memory =
        private(&cloud.shelf.place(&id).join(MEMORY)).map_err(CloudError::io(what.clone()))?;
    // First, so that whatever fails, what is captured is never a disk that is written no more.
    place.write(&Record { overlay: overlay.clone(), ..record.clone() })?;
    let paused = Paused { cloud, place: &place, qemu: record.proc(), what: &what };
    let (is_sealed, written) = paused.seal_and_write(cx, &overlay, &memory).await?;
    let written = written.map_err(|e| CloudError::refused(&what, e.to_string()));
    if !is_sealed {
        place.write(&record)?;
        cloud.shelf.remove(&id).map_err(CloudError::io(what.clone()))?;
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
    let kept = written.is_ok().then_some(kept);
    let (shelf, most, events) = (cloud.shelf.clone(), cloud.config.checkpoints, cx.events.clone());
    let task = tokio::task::spawn_blocking(move || {
        if let Err(why) = finish(&shelf, &id, most, kept) {
            events.warn(format!("{what}: {why}"));
        }
    });
    cloud.finishing.lock().expect("held for a look-up only").insert(place.dir, task);
    written.map(|()| Saved::Kept)
}

/// A checkpoint that is going to be made, and what the machine writes to after it.
pub(super) struct Next {
    pub id: String,
    pub overlay: String,
}

/// Makes room for one more state, and its place, which holds the room; or says why there is none.
pub(super) async fn next(
    cloud: &Local,
    cx: &RunCx,
    (place, record): (&MachineDir, &Record),
    disk_bytes: u64,
) -> Result<Result<Next, String>, CloudError> {
    let ram = record.hardware.ram_mib << 20;
    let (most, memory) = (cloud.config.checkpoints, written_bytes(ram));
    if disk::room(&cloud.config.home).is_some_and(|free| free < memory + LEFT) {
        return Ok(Err("the disk is nearly full".into()));
    }
    let what = || format!("make a checkpoint of {}", place.name);
    let sealed = place.file(&record.overlay);
    let sealed_bytes = fs::metadata(&sealed).map_err(CloudError::io(what()))?.blocks() * 512;
    let needs = memory + sealed_bytes;
    let Some(left) = most.checked_sub(needs) else {
        return Ok(Err(format!("checkpoints may take {} MiB (`cache`)", most >> 20)));
    };
    let _turn = cloud.shelf_turn(cx).await?;
    let taken = cloud.shelf.shrink(left, &cloud.shelf.in_use());
    let taken = taken.map_err(CloudError::io("remove checkpoints"))?;
    if taken > left {
        return Ok(Err(no_room(taken, most)));
    }
    let next = Next { id: uuid::Uuid::new_v4().to_string(), overlay: next_overlay(place) };
    let below = cloud.shelf.place(&next.id).join(DISK);
    let made = cloud.shelf.reserve(&next.id, needs).and_then(|()| fs::hard_link(&sealed, &below));
    made.map_err(CloudError::io(what()))?;
    create(cx, place, (&below, disk_bytes), &next.overlay).await?;
    Ok(Ok(next))
}

/// The most that this much memory takes in a file: each page has a header of 8 bytes, and devices
/// have a state.
fn written_bytes(ram: u64) -> u64 {
    ram + ram / 256 + (8 << 20)
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

fn private(path: &Path) -> io::Result<File> {
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

/// Takes the digests and writes the record, if nothing failed and there is room for what it came
/// to. The disk stays in any case, for the machine's own lies over it by now.
pub(super) fn finish(shelf: &Shelf, id: &str, most: u64, kept: Option<Kept>) -> io::Result<()> {
    let done = match kept {
        Some(kept) => record(shelf, (id, most), kept),
        None => shelf.condemn(id),
    };
    // Where that fails too, the rest is removed when the machine is gone: it has no record.
    done.inspect_err(|_| drop(shelf.condemn(id)))
}

fn record(shelf: &Shelf, (id, most): (&str, u64), kept: Kept) -> io::Result<()> {
    let place = shelf.place(id);
    let (disk, memory) = (Sum::of(&place.join(DISK))?, Sum::of(&place.join(MEMORY))?);
    let _turn = shelf.wait_for_turn()?;
    fs::remove_file(place.join(RESERVED))?;
    let taken = shelf.shrink(most, &shelf.in_use())?;
    if taken > most {
        return Err(io::Error::other(no_room(taken, most)));
    }
    shelf.write(&place, &Kept { disk, memory, ..kept })
}

fn no_room(taken: u64, most: u64) -> String {
    format!("checkpoints in use take {} of {} MiB (`cache`)", taken >> 20, most >> 20)
}

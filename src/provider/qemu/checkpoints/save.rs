//! Keeps the state of a running machine. It pauses while its disk is sealed under a new overlay and
//! its memory is written, and goes on; digests are taken beside it.
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
use crate::system::exec::{self, Cmd};
use crate::system::wait::Deadline;

/// Interval between polls of what takes tenths of seconds.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// Time limit of one command.
const COMMAND: Duration = Duration::from_secs(10);
/// Time limit for writing the memory.
const WRITE: Duration = Duration::from_secs(120);
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
    // First, so that whatever fails, what is captured is never a disk that is written no more.
    place.write(&Record { overlay: overlay.clone(), ..record.clone() })?;
    let paused = Paused { cloud, place: &place, what: &what };
    let (is_sealed, written) = paused.seal_and_write(&overlay, &dir.join(MEMORY)).await;
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

struct Paused<'p> {
    cloud: &'p Local,
    place: &'p MachineDir,
    what: &'p str,
}

impl Paused<'_> {
    /// Whether the machine writes to the new overlay, and whether all went well. Whatever comes,
    /// the machine goes on.
    async fn seal_and_write(&self, overlay: &str, memory: &Path) -> (bool, Result<(), CloudError>) {
        let refused = |e: QmpError| CloudError::refused(self.what, e.to_string());
        let begun = async {
            let file = private(memory).map_err(CloudError::io(self.what))?;
            let (turn, mut qmp) = self.cloud.turns.session(self.place).await.map_err(refused)?;
            qmp.execute("stop", json!({}), COMMAND).await.map_err(refused)?;
            Ok((file, turn, qmp))
        };
        let (file, _turn, mut qmp) = match begun.await {
            Ok(begun) => begun,
            Err(e) => return (false, Err(e)),
        };
        let sealed = seal(&mut qmp, overlay).await;
        let written = match &sealed {
            Ok(()) => write(&mut qmp, &file).await,
            Err(_) => Ok(()),
        };
        let goes_on = qmp.execute("cont", json!({}), COMMAND).await.map(drop);
        let is_sealed = sealed.is_ok();
        (is_sealed, sealed.and(written).and(goes_on).map_err(refused))
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// From here on the guest writes to `overlay`.
async fn seal(qmp: &mut Qmp, overlay: &str) -> Result<(), QmpError> {
    let now = writing_node(&qmp.execute("query-block", json!({}), COMMAND).await?)?;
    let next = overlay.trim_end_matches(".qcow2");
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

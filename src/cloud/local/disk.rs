//! A second disk for a machine that runs. It lies in the machine's directory and goes with it.
use std::time::{Duration, Instant};

use serde_json::json;

use super::machine::{Place, convert_error};
use super::power::Turns;
use super::qmp::QmpError;
use crate::cloud::{CloudError, Cx, Disk, Machine};
use crate::exec::{self, Cmd};

pub async fn attach(cx: &Cx, turns: &Turns, place: &Place, run: &str, machine: &Machine, size_gb: u64) -> Result<Disk, CloudError> {
    let what = format!("attach a disk to {}", machine.name);
    // A serial number of virtio has at most 20 characters.
    let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect();
    let id = format!("disk{id}");
    let file = format!("{id}.qcow2");
    let make = Cmd::new("qemu-img", Duration::from_secs(60)).args(["create", "-q", "-f", "qcow2", &file, &format!("{size_gb}G")]);
    exec::output(&make.dir(&place.dir).mark(run), &cx.cancel).await.map_err(convert_error(what.clone()))?;
    let refused = |e: QmpError| CloudError::refused(&what, e.to_string());
    let node = json!({ "node-name": id, "driver": "qcow2", "file": { "driver": "file", "filename": file } });
    turns.tell(place, "blockdev-add", node).await.map_err(refused)?;
    let device = json!({ "driver": "virtio-blk-pci", "id": format!("dev-{id}"), "drive": id, "serial": id });
    turns.tell(place, "device_add", device).await.map_err(refused)?;
    Ok(Disk { serial: id.clone(), id })
}

/// The guest has to let go of it first, and is asked again while it does not.
pub async fn detach(cx: &Cx, turns: &Turns, place: &Place, machine: &Machine, disk: &Disk, deadline: Duration) -> Result<(), CloudError> {
    let what = format!("detach the disk of {}", machine.name);
    let refused = |e: QmpError| CloudError::refused(&what, e.to_string());
    let (until, device) = (Instant::now() + deadline, format!("dev-{}", disk.id));
    let mut asked = None::<Instant>;
    loop {
        let there = turns.tell(place, "qom-list", json!({ "path": "/machine/peripheral" })).await.map_err(refused)?;
        if !there.as_array().is_some_and(|all| all.iter().any(|d| d["name"] == device.as_str())) {
            break;
        }
        if asked.is_none_or(|at| at.elapsed() > Duration::from_secs(10)) {
            // Refused while the last request is still with the guest.
            let _ = turns.tell(place, "device_del", json!({ "id": device })).await;
            asked = Some(Instant::now());
        }
        if Instant::now() > until {
            return Err(CloudError::Deadline { what, after: deadline });
        }
        cx.cancel.pause(Duration::from_millis(250)).await?;
    }
    turns.tell(place, "blockdev-del", json!({ "node-name": disk.id })).await.map_err(refused)?;
    let file = place.file(&format!("{}.qcow2", disk.id));
    std::fs::remove_file(&file).map_err(CloudError::io(format!("remove {}", file.display())))
}

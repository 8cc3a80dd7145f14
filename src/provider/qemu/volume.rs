//! A second disk for a running machine. Lies in the machine's directory, and is removed with it.
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;

use super::Local;
use super::machine::{MachineDir, convert_error};
use super::power::Turns;
use super::qmp::QmpError;
use crate::model::placement::VolumePlan;
use crate::provider::{AttachedVolume, CloudError, Machine, RunCx, Volumes};
use crate::system::exec::{self, Cmd};
use crate::system::wait::Wait;

#[async_trait]
impl Volumes for Local {
    async fn attach(
        &self,
        cx: &RunCx,
        machine: &Machine,
        wanted: &VolumePlan,
    ) -> Result<AttachedVolume, CloudError> {
        attach(cx, &self.turns, &self.layout.place_of(machine)?, wanted.size_gib).await
    }

    async fn detach(
        &self,
        cx: &RunCx,
        machine: &Machine,
        disk: &AttachedVolume,
    ) -> Result<(), CloudError> {
        detach(cx, &self.turns, &self.layout.place_of(machine)?, disk).await
    }
}

pub async fn attach(
    cx: &RunCx,
    turns: &Turns,
    place: &MachineDir,
    size_gib: u64,
) -> Result<AttachedVolume, CloudError> {
    let what = format!("attach a disk to {}", place.name);
    // A serial number of virtio has at most 20 characters.
    let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect();
    let id = format!("disk{id}");
    let file = format!("{id}.qcow2");
    let make = Cmd::new("qemu-img", Duration::from_secs(60)).args([
        "create",
        "-q",
        "-f",
        "qcow2",
        &file,
        &format!("{size_gib}G"),
    ]);
    exec::output(&make.dir(&place.dir).mark(&place.run), &cx.cancel)
        .await
        .map_err(convert_error(what.clone()))?;
    let refused = |e: QmpError| CloudError::refused(&what, e.to_string());
    let node = json!({ "node-name": id, "driver": "qcow2", "file": { "driver": "file",
        "filename": file } });
    turns.tell(place, "blockdev-add", node).await.map_err(refused)?;
    let device =
        json!({ "driver": "virtio-blk-pci", "id": format!("dev-{id}"), "drive": id, "serial": id });
    turns.tell(place, "device_add", device).await.map_err(refused)?;
    Ok(AttachedVolume { serial: id.clone(), id })
}

/// Interval between checks whether QEMU still uses the disk.
const LOOK: Duration = Duration::from_millis(250);
/// Delay before the guest is asked again to release its disk.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Detaches a disk. The guest must release it first, and is asked repeatedly. QEMU removes the
/// device from its list shortly before it releases the disk, so a disk in use is also retried.
pub async fn detach(
    cx: &RunCx,
    turns: &Turns,
    place: &MachineDir,
    disk: &AttachedVolume,
) -> Result<(), CloudError> {
    let what = format!("detach the disk of {}", place.name);
    let refused = |e: QmpError| CloudError::refused(&what, e.to_string());
    let (deadline, device) = (cx.deadline(), format!("dev-{}", disk.id));
    let mut wait = Wait::new(&what, &cx.cancel, deadline, LOOK);
    let mut asked = None::<Instant>;
    loop {
        let there = turns
            .tell(place, "qom-list", json!({ "path": "/machine/peripheral" }))
            .await
            .map_err(refused)?;
        if !there.as_array().is_some_and(|all| all.iter().any(|d| d["name"] == device.as_str())) {
            match turns.tell(place, "blockdev-del", json!({ "node-name": disk.id })).await {
                Ok(_) => break,
                Err(QmpError::Refused { reason, .. })
                    if reason.contains("in use") && !deadline.has_passed() => {}
                Err(e) => return Err(refused(e)),
            }
        } else if asked.is_none_or(|at| at.elapsed() > ASK_AGAIN) {
            // Refused while the last request is still with the guest.
            let _ = turns.tell(place, "device_del", json!({ "id": device })).await;
            asked = Some(Instant::now());
        }
        wait.pause().await?;
    }
    let file = place.file(&format!("{}.qcow2", disk.id));
    std::fs::remove_file(&file).map_err(CloudError::io(format!("remove {}", file.display())))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    use super::*;

    /// A QEMU whose device is off the list at once, and whose disk is let go of after `refusals`.
    /// Returns what it was told.
    async fn qemu(socket: std::path::PathBuf, mut refusals: usize) -> Vec<String> {
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        let mut told = Vec::new();
        loop {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            stream.get_mut().write_all(b"{\"QMP\": {}}\n").await.unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap() > 0 {
                let request: serde_json::Value = serde_json::from_str(&line).unwrap();
                line.clear();
                let command = request["execute"].as_str().unwrap().to_owned();
                let answer = match command.as_str() {
                    "blockdev-del" if refusals > 0 => {
                        refusals -= 1;
                        json!({ "id": request["id"], "error": { "class": "GenericError",
                            "desc": "Node disk1 is in use" } })
                    }
                    "qom-list" => {
                        json!({ "id": request["id"], "return": [{ "name": "type",
                            "type": "string" }] })
                    }
                    _ => json!({ "id": request["id"], "return": {} }),
                };
                let last = command == "blockdev-del" && answer.get("return").is_some();
                told.push(command);
                stream.get_mut().write_all(format!("{answer}\n").as_bytes()).await.unwrap();
                if last {
                    return told;
                }
            }
        }
    }

    #[tokio::test]
    async fn a_disk_that_is_let_go_of_a_moment_later_is_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = MachineDir {
            name: "m".into(),
            run: "r".into(),
            dir: dir.path().into(),
            sockets: dir.path().into(),
        };
        std::fs::write(place.file("disk1.qcow2"), "").unwrap();
        let cx = RunCx::outside(Default::default());
        let disk = AttachedVolume { id: "disk1".into(), serial: "disk1".into() };
        let (socket, turns) = (place.qmp(), Turns::default());
        let fake = tokio::spawn(qemu(socket.clone(), 2));
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        detach(&cx.within(Duration::from_secs(60)), &turns, &place, &disk).await.unwrap();
        assert_eq!(
            fake.await.unwrap().iter().filter(|command| *command == "blockdev-del").count(),
            3
        );
        assert!(!place.file("disk1.qcow2").exists());
    }

    #[tokio::test]
    async fn a_disk_that_is_never_let_go_of_is_told_with_what_qemu_said() {
        let dir = tempfile::tempdir().unwrap();
        let place = MachineDir {
            name: "m".into(),
            run: "r".into(),
            dir: dir.path().into(),
            sockets: dir.path().into(),
        };
        let cx = RunCx::outside(Default::default());
        let disk = AttachedVolume { id: "disk1".into(), serial: "disk1".into() };
        let (socket, turns) = (place.qmp(), Turns::default());
        let fake = tokio::spawn(qemu(socket.clone(), usize::MAX));
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let error =
            detach(&cx.within(Duration::from_secs(1)), &turns, &place, &disk).await.unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        fake.abort();
    }
}

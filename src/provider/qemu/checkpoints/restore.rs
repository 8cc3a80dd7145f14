//! Begins a machine from a checkpoint: a new overlay over its disk, and QEMU with its memory.
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Local;
use super::shelf::{DISK, Kept, POLL};
use crate::provider::qemu::boot::{self, Start};
use crate::provider::qemu::machine::{MachineDir, OVERLAY, SEED};
use crate::provider::qemu::qmp::QmpError;
use crate::provider::qemu::seed::Seed;
use crate::provider::{BootSpec, CloudError, Machine, RunCx};

/// Time limit for reading the memory.
const READ: Duration = Duration::from_secs(120);

pub async fn restore(
    cloud: &Local,
    cx: &RunCx,
    spec: &BootSpec,
    id: &str,
) -> Result<Machine, CloudError> {
    let what = format!("restore {}", spec.name);
    let host = cloud.means(&cx.cancel).await?;
    let place = cloud.layout.place(&cx.run, &spec.name)?;
    cloud.layout.secure_runtime()?;
    cloud.layout.0.make(cx, &place.dir).await?;
    cloud.layout.0.make(cx, &place.sockets).await?;
    let (kept, memory) = {
        // From here on it is in use.
        let _turn = cloud.shelf_turn(cx).await?;
        let opened = cloud.shelf.open(id).map_err(|why| CloudError::refused(&what, why))?;
        boot::overlay(cx, spec, &cloud.shelf.place(id).join(DISK), &place).await?;
        cloud.shelf.touch(id);
        opened
    };
    let Kept { hardware, hostname, .. } = kept;
    // The same instance, so that cloud-init takes a later boot for a restart, with the keys of this
    // run.
    let seed = Seed { uuid: &hardware.uuid, name: &hostname, user_data: &spec.user_data };
    seed.write(&place.file(SEED))
        .map_err(CloudError::io(format!("write {}", place.file(SEED).display())))?;
    let memory = Some(Arc::new(OwnedFd::from(memory)));
    let (shelf, of) = (cloud.shelf.clone(), id.to_owned());
    let verified = tokio::task::spawn_blocking(move || shelf.verify(&of));
    let start = Start { hardware: &hardware, port: 0, overlay: OVERLAY, hostname, memory };
    let started = async {
        let port = boot::power_on(cx, &host, &place, start).await?;
        goes_on(cloud, cx, &place).await.map(|()| port)
    };
    let started = started.await;
    // What is damaged may be what QEMU does not start with.
    if let Err(why) = verified.await.unwrap_or_else(|e| Err(e.to_string())) {
        // Refused again where that fails.
        let _ = cloud.shelf.condemn(id);
        return Err(CloudError::refused(what, why));
    }
    let port = started?;
    Ok(Machine {
        name: spec.name.clone(),
        id: format!("{}/{}", cx.run, spec.name),
        host: "127.0.0.1".into(),
        port,
    })
}

/// Waits until the memory is read, and lets the machine go on.
async fn goes_on(cloud: &Local, cx: &RunCx, place: &MachineDir) -> Result<(), CloudError> {
    let what = format!("restore {}", place.name);
    let refused = |e: QmpError| CloudError::refused(&what, format!("{e}; {}", place.last_words()));
    let within = cx.within(READ);
    let mut wait = within.wait(&what, POLL);
    loop {
        let told = match cloud.turns.ask(place, "query-status").await {
            // While it reads, and on a busy host, it may not answer in time.
            Err(QmpError::Deadline { .. }) => {
                wait.pause().await?;
                continue;
            }
            told => told.map_err(refused)?,
        };
        match told.get("status").and_then(Value::as_str).unwrap_or_default() {
            "running" => return Ok(()),
            "paused" | "postmigrate" => {
                match cloud.turns.tell(place, "cont", json!({})).await {
                    // What became of it, the next look shows.
                    Err(QmpError::Deadline { .. }) => wait.pause().await?,
                    told => return told.map(drop).map_err(refused),
                }
            }
            "inmigrate" | "prelaunch" => wait.pause().await?,
            other => return Err(CloudError::refused(&what, format!("QEMU says `{other}`"))),
        }
    }
}

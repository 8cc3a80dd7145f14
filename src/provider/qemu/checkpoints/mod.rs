//! Checkpoints of local machines: memory and disk, kept by what made them.
//!
//! [`save`] seals the disk of a running machine and writes its memory, [`restore`] begins a machine
//! from both, [`shelf`] keeps them.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::Local;
use super::network::Reach;
use crate::model::units::GIB;
use crate::provider::checkpoints::{Checkpoint, Checkpoints, Keeps, NewCheckpoint, Saved};
use crate::provider::ledger::{Kind, Leak};
use crate::provider::local_resources;
use crate::provider::{BootSpec, Cleared, CloudError, Machine, RunCx};
use crate::system::lock::Held;
use crate::system::wait::Wait;

mod restore;
mod save;
mod shelf;
#[cfg(test)]
mod tests;

pub use shelf::{Shelf, Standing};

/// Incremented when a state of an earlier factory cannot be used any more.
const EDITION: u32 = 1;

/// Checkpoints that are being finished, by the directory of their machine.
pub type Finishing = Mutex<BTreeMap<PathBuf, JoinHandle<()>>>;

/// A checkpoint for people.
#[derive(Debug, Clone)]
pub struct KeptState {
    pub id: String,
    pub about: String,
    /// On the file system.
    pub bytes: u64,
    pub used: SystemTime,
    /// A machine uses it.
    pub in_use: bool,
}

/// What decides whether a machine can be in a state, besides what made the state.
struct Shape {
    cpus: u32,
    ram_mib: u64,
    disk_bytes: u64,
}

impl Local {
    async fn shape(&self, cx: &RunCx, of: &Shape) -> Result<String, CloudError> {
        let version = self.version(&cx.cancel).await?.unwrap_or_default();
        let accel = self.accel(&cx.cancel).await?;
        let network = match self.reach(&cx.cancel).await? {
            Reach::Closed(_) => "wire",
            Reach::Nowhere | Reach::Open(_) => "qemu",
        };
        // The guest has seen this machine's own CPU.
        let cpu = if accel.kvm { cpu_of_host() } else { String::new() };
        let Shape { cpus, ram_mib, disk_bytes } = of;
        Ok(format!(
            "{EDITION}; {version}; {}; {network}; {cpus} CPUs; {ram_mib} MiB; {disk_bytes}; {cpu}",
            accel.args().join(" ")
        ))
    }

    /// All checkpoints, those used last first; what is too old is removed.
    pub fn checkpoints_kept(&self) -> Result<Vec<KeptState>, CloudError> {
        self.shelf.expire().map_err(CloudError::io(self.removing()))?;
        let in_use = self.shelf.in_use();
        let told = |Standing { id, kept, bytes, used, .. }: Standing| {
            let about = kept.map_or_else(|| "a disk under others".into(), |kept| kept.about);
            KeptState { in_use: in_use.contains(&id), id, about, bytes, used }
        };
        let mut all: Vec<KeptState> = self.shelf.all().into_iter().map(told).collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.used));
        Ok(all)
    }

    /// Removes checkpoints until they take at most `bytes`. Returns what they take.
    pub fn prune_checkpoints(&self, bytes: u64) -> Result<u64, CloudError> {
        let turn = self.shelf.turn().map_err(CloudError::io(self.removing()))?;
        let refused = || CloudError::refused(self.removing(), "a build uses one just now");
        let _turn = turn.ok_or_else(refused)?;
        self.shelf.shrink(bytes, &self.shelf.in_use()).map_err(CloudError::io(self.removing()))
    }

    /// Removes checkpoints that nobody can use, past failures.
    pub(super) fn clear_checkpoints(
        &self,
        dry_run: bool,
        cleared: &mut Cleared,
    ) -> Result<(), CloudError> {
        if !self.shelf.dir.is_dir() {
            return Ok(());
        }
        // A build that has the turn does the same.
        let turn = self.shelf.turn().map_err(CloudError::io(self.removing()))?;
        if turn.is_none() {
            return Ok(());
        }
        if !dry_run {
            self.shelf.expire().map_err(CloudError::io(self.removing()))?;
        }
        let (useless, _) = self.shelf.surplus(u64::MAX, &self.shelf.in_use());
        let path = |id: &String| self.shelf.place(id).display().to_string();
        let found = useless.iter().map(|id| (Kind::Directory, path(id), Some(id.clone())));
        for entry in local_resources::entries(found.collect()) {
            let id = entry.id.as_deref().unwrap_or_default();
            match if dry_run { Ok(()) } else { self.shelf.remove(id) } {
                Ok(()) => cleared.things.push(entry),
                Err(e) => cleared.leaks.push(Leak { entry, reason: e.to_string() }),
            }
        }
        Ok(())
    }

    fn removing(&self) -> String {
        format!("remove checkpoints in {}", self.shelf.dir.display())
    }

    /// Waits until the last state is whole that was kept of the machine with this directory.
    pub(super) async fn finished(&self, dir: &Path) {
        let task = self.finishing.lock().expect("held for a look-up only").remove(dir);
        let Some(task) = task else { return };
        task.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    }

    /// The shelf's lock.
    async fn shelf_turn(&self, cx: &RunCx) -> Result<Held, CloudError> {
        let what = format!("use checkpoints in {}", self.shelf.dir.display());
        let mut wait = Wait::new(&what, &cx.cancel, cx.deadline(), shelf::POLL);
        loop {
            if let Some(held) = self.shelf.turn().map_err(CloudError::io(what.clone()))? {
                return Ok(held);
            }
            wait.pause().await?;
        }
    }
}

fn cpu_of_host() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    format!("{} {}", of("model name"), of("flags"))
}

#[async_trait]
impl Checkpoints for Local {
    fn keeps(&self) -> Keeps {
        Keeps::Memory
    }

    async fn find(
        &self,
        cx: &RunCx,
        spec: &BootSpec,
        key: &str,
    ) -> Result<Vec<Checkpoint>, CloudError> {
        let disk_bytes = spec.disk_gib * GIB;
        let shape = Shape { cpus: spec.cpus, ram_mib: spec.ram_mib, disk_bytes };
        let shape = self.shape(cx, &shape).await?;
        self.shelf.expire().map_err(CloudError::io(self.removing()))?;
        let mut found: Vec<Checkpoint> = Vec::new();
        for Standing { id, kept, .. } in self.shelf.all() {
            let fits = |kept: &shelf::Kept| kept.key == key && kept.shape == shape;
            let Some(kept) = kept.filter(fits) else { continue };
            if self.shelf.whole(&id).is_ok() {
                found.push(Checkpoint { id, made: kept.made, note: kept.note });
            }
        }
        found.sort_by_key(|one| std::cmp::Reverse(one.made));
        Ok(found)
    }

    async fn restore(
        &self,
        cx: &RunCx,
        spec: &BootSpec,
        checkpoint: &Checkpoint,
    ) -> Result<Machine, CloudError> {
        restore::restore(self, cx, spec, &checkpoint.id).await
    }

    async fn save(
        &self,
        cx: &RunCx,
        machine: &Machine,
        new: &NewCheckpoint<'_>,
    ) -> Result<Saved, CloudError> {
        save::save(self, cx, machine, new).await
    }
}

//! Local machines without a QEMU.
use std::fs;
use std::path::Path;

use super::{Bench, disk};
use crate::model::event::Events;
use crate::provider::RunCx;
use crate::provider::ledger::Ledger;
use crate::provider::qemu::machine::{Hardware, MachineDir, OVERLAY, Record};
use crate::provider::qemu::{Local, LocalConfig};
use crate::system::exec::process::Proc;

/// A local cloud with so much room for checkpoints.
pub(super) fn cloud(home: &Path, checkpoints: u64) -> Local {
    Local::new(LocalConfig {
        home: home.into(),
        runtime: home.join("run"),
        accel: Default::default(),
        program: None,
        checkpoints,
    })
}

pub(super) fn cx() -> RunCx {
    RunCx::new("r", Ledger::none(), Events::default(), Default::default())
}

/// A machine of 1 MiB of memory, with this process for its QEMU.
pub(super) fn machine(bench: &Bench, cloud: &Local, name: &str) -> (MachineDir, Record) {
    let place = cloud.layout.place("r", name).unwrap();
    fs::create_dir_all(&place.dir).unwrap();
    fs::create_dir_all(&place.sockets).unwrap();
    let content = "x".repeat(4 << 20);
    fs::write(place.file(OVERLAY), disk(&bench.image(), &content)).unwrap();
    let record = Record {
        hardware: Hardware { cpus: 1, ram_mib: 1, uuid: "u".into(), mac: "m".into() },
        process: Proc::of(std::process::id() as i32).unwrap().to_string(),
        port: 1,
        network: Vec::new(),
        overlay: OVERLAY.into(),
        hostname: None,
        off: false,
    };
    (place, record)
}

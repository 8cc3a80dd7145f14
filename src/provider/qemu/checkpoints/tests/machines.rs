//! Local machines without a QEMU.
use std::fs;
use std::path::Path;

use super::{Bench, disk};
use crate::model::event::Events;
use crate::provider::ledger::Ledger;
use crate::provider::qemu::machine::{Hardware, MachineDir, OVERLAY, Record};
use crate::provider::qemu::{Local, LocalConfig};
use crate::provider::{Resources, RunCx};
use crate::system::exec::process::Proc;

const MIB: u64 = 1 << 20;

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

#[tokio::test]
async fn a_sweep_removes_what_nobody_can_use() {
    let bench = Bench::new();
    let cloud = cloud(bench.dir.path(), MIB);
    for id in ["dead", "old", "used", "young"] {
        bench.put(id, None, 0);
    }
    bench.shelf.condemn("dead").unwrap();
    bench.aged("old", 8);
    bench.aged("used", 8);
    bench.machine_over("used");
    for dry_run in [true, false] {
        let cleared = cloud.clear_debris(dry_run).await.unwrap();
        let mut ids: Vec<_> = cleared.things.into_iter().filter_map(|one| one.id).collect();
        ids.sort();
        assert_eq!(ids, ["dead", "old"]);
        assert!(cleared.leaks.is_empty());
        let memory = bench.shelf.place("used").join(super::MEMORY);
        assert_eq!(memory.exists(), dry_run, "it is of no use to the machine");
        assert_eq!(bench.ids().len(), if dry_run { 4 } else { 2 });
    }
    assert!(bench.shelf.whole("young").is_ok());
}

#[test]
fn a_list_removes_what_is_too_old() {
    let bench = Bench::new();
    bench.put("a", None, 0);
    bench.aged("a", 8);
    let kept = cloud(bench.dir.path(), MIB).checkpoints_kept().unwrap();
    assert_eq!((kept.len(), kept[0].about.as_str()), (1, "a disk under others"));
    assert!(!bench.shelf.place("a").join(super::MEMORY).exists());
}

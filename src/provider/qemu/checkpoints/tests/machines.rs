//! The shelf beside machines: room for builds at a time, and what is there when a run ends.
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Bench, disk};
use crate::model::event::Events;
use crate::provider::ledger::{Entry, Kind, Ledger};
use crate::provider::qemu::checkpoints::save;
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

/// Memory of 9 MiB at most, and a disk of 4 MiB.
#[tokio::test]
async fn builds_at_a_time_share_the_room() {
    let bench = Bench::new();
    let next = async |room: u64, name: &str| {
        let cloud = cloud(bench.dir.path(), room * MIB);
        let (place, record) = machine(&bench, &cloud, name);
        save::next(&cloud, &cx(), (&place, &record), 64 * MIB).await.unwrap()
    };
    let why = next(12, "a").await.err().expect("the disk counts as well");
    assert!(why.contains("may take 12 MiB"), "{why}");
    assert!(bench.ids().is_empty());
    assert!(next(20, "a").await.is_ok());
    let (ids, sum) = (bench.ids(), bench.sum());
    assert!(ids.len() == 1 && sum > 12 * MIB && sum < 20 * MIB, "{ids:?} {sum}");
    let why = next(20, "b").await.err().expect("the room of another build is taken");
    assert!(why.contains("checkpoints in use take"), "{why}");
    assert_eq!(bench.ids(), ids);
    assert!(next(30, "b").await.is_ok());
    assert_eq!(bench.ids().len(), 2);
    // What is left of them when they are gone is nobody's.
    fs::remove_dir_all(bench.dir.path().join("building")).unwrap();
    assert!(next(20, "c").await.is_ok());
    assert_eq!(bench.ids().len(), 1);
}

fn directory(path: &Path) -> Entry {
    let (name, kind) = (path.display().to_string(), Kind::Directory);
    Entry { seq: 0, kind, name, id: None, unanswered: None }
}

/// A step that fails at once costs no earlier one again.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_goes_when_its_last_state_is_whole() {
    let bench = Bench::new();
    let cloud = cloud(bench.dir.path(), MIB);
    let (place, _) = machine(&bench, &cloud, "a");
    let (whole, dir) = (Arc::new(AtomicBool::new(false)), place.dir.clone());
    let done = whole.clone();
    let task = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(300));
        done.store(dir.is_dir(), Ordering::SeqCst);
    });
    cloud.finishing.lock().unwrap().insert(place.dir.clone(), task);
    cloud.delete("r", &directory(&place.dir)).await.unwrap();
    assert!(whole.load(Ordering::SeqCst), "its disk was there as long");
    assert!(!place.dir.exists() && cloud.finishing.lock().unwrap().is_empty());
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

//! The shelf, without machines.
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::save::finish;
use super::shelf::{DISK, Kept, MEMORY, RECORD, RESERVED, Shelf, Sum};
use crate::provider::qemu::machine::{Hardware, OVERLAY};

mod late;
mod machines;

struct Bench {
    dir: tempfile::TempDir,
    shelf: Shelf,
}

/// The header of a qcow2 image over `below`, and some content.
fn disk(below: &std::path::Path, content: &str) -> Vec<u8> {
    let name = below.to_str().unwrap().as_bytes();
    let mut text = vec![0u8; 512];
    text[..4].copy_from_slice(b"QFI\xfb");
    text[8..16].copy_from_slice(&256u64.to_be_bytes());
    text[16..20].copy_from_slice(&(name.len() as u32).to_be_bytes());
    text[256..256 + name.len()].copy_from_slice(name);
    text.extend(content.as_bytes());
    text
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("images/i")).unwrap();
        fs::write(dir.path().join("images/i/disk.qcow2"), "base").unwrap();
        let shelf = Shelf::new(dir.path());
        Self { dir, shelf }
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("images/i/disk.qcow2")
    }

    /// A checkpoint of 64 KiB of memory, used so many seconds ago.
    fn put(&self, id: &str, over: Option<&str>, used: u64) {
        self.put_files(id, over);
        self.shelf.write(&self.shelf.place(id), &self.kept(id)).unwrap();
        let at = SystemTime::now() - Duration::from_secs(used);
        let record = self.shelf.place(id).join(RECORD);
        fs::File::open(record).unwrap().set_modified(at).unwrap();
    }

    fn put_files(&self, id: &str, over: Option<&str>) {
        let place = self.shelf.place(id);
        fs::create_dir_all(&place).unwrap();
        let below = over.map_or(self.image(), |over| self.shelf.place(over).join(DISK));
        fs::write(place.join(DISK), disk(&below, id)).unwrap();
        fs::write(place.join(MEMORY), vec![7; 64 << 10]).unwrap();
    }

    fn kept(&self, id: &str) -> Kept {
        let place = self.shelf.place(id);
        Kept {
            key: "k".into(),
            shape: "s".into(),
            about: id.into(),
            made: jiff::Timestamp::now(),
            hostname: "h".into(),
            hardware: Hardware { cpus: 1, ram_mib: 1, uuid: "u".into(), mac: "m".into() },
            note: serde_json::Value::Null,
            disk: Sum::of(&place.join(DISK)).unwrap(),
            memory: Sum::of(&place.join(MEMORY)).unwrap(),
        }
    }

    /// The checkpoint was made so many days ago, and used just now.
    fn aged(&self, id: &str, days: i64) {
        let made = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        let kept = Kept { made, ..self.shelf.kept(id).unwrap() };
        self.shelf.write(&self.shelf.place(id), &kept).unwrap();
    }

    /// A machine whose disk lies over the checkpoint.
    fn machine_over(&self, id: &str) -> PathBuf {
        let dir = self.dir.path().join("building/r").join(format!("over-{id}"));
        fs::create_dir_all(&dir).unwrap();
        let below = self.shelf.place(id).join(DISK);
        fs::write(dir.join(OVERLAY), disk(&below, "machine")).unwrap();
        dir
    }

    fn sum(&self) -> u64 {
        self.shelf.all().iter().map(|one| one.bytes).sum()
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.shelf.all().into_iter().map(|one| one.id).collect();
        ids.sort();
        ids
    }
}

fn used(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn what_was_used_longest_ago_goes_first_and_nothing_that_is_needed() {
    let bench = Bench::new();
    bench.put("a", None, 400);
    bench.put("b", Some("a"), 300);
    bench.put("c", Some("b"), 200);
    bench.put("d", Some("a"), 100);
    let sum: u64 = bench.shelf.all().iter().map(|one| one.bytes).sum();
    assert_eq!(bench.shelf.shrink(sum, &used(&[])).unwrap(), sum, "there is room");
    bench.shelf.shrink(sum - 1, &used(&[])).unwrap();
    assert_eq!(bench.ids(), ["a", "b", "d"], "b lies under c, and a under all");
    bench.shelf.shrink(1, &used(&["a", "d"])).unwrap();
    assert_eq!(bench.ids(), ["a", "d"], "they are in use");
    assert_eq!(bench.shelf.shrink(0, &used(&[])).unwrap(), 0);
    assert!(bench.ids().is_empty());
}

/// What a crash left, and what lies over an image that was deleted, is of no use to anybody.
#[test]
fn what_cannot_be_used_goes_even_where_there_is_room() {
    let bench = Bench::new();
    bench.put("a", None, 0);
    bench.put("b", Some("a"), 0);
    fs::remove_file(bench.shelf.place("b").join(RECORD)).unwrap();
    bench.shelf.shrink(u64::MAX, &used(&["b"])).unwrap();
    assert_eq!(bench.ids(), ["a", "b"], "a machine lies over it");
    bench.shelf.shrink(u64::MAX, &used(&[])).unwrap();
    assert_eq!(bench.ids(), ["a"]);
    fs::remove_file(bench.image()).unwrap();
    assert!(bench.shelf.disks("a").unwrap_err().contains("is gone"));
    bench.shelf.shrink(u64::MAX, &used(&[])).unwrap();
    assert!(bench.ids().is_empty());
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let bench = Bench::new();
    bench.put("a", None, 0);
    bench.put("b", Some("a"), 0);
    assert_eq!(bench.shelf.verify("b"), Ok(()));
    let flip = |path: PathBuf| {
        let mut text = fs::read(&path).unwrap();
        *text.last_mut().unwrap() ^= 1;
        fs::write(path, text).unwrap();
    };
    for (of, file) in [("a", DISK), ("b", DISK), ("b", MEMORY)] {
        let path = bench.shelf.place(of).join(file);
        flip(path.clone());
        let said = bench.shelf.verify("b").unwrap_err();
        assert!(said.contains("is damaged"), "{of}/{file}: {said}");
        flip(path);
        assert_eq!(bench.shelf.verify("b"), Ok(()));
    }
    // The memory below is not read.
    flip(bench.shelf.place("a").join(MEMORY));
    assert_eq!(bench.shelf.verify("b"), Ok(()));
    fs::remove_file(bench.shelf.place("a").join(RECORD)).unwrap();
    assert!(bench.shelf.verify("b").unwrap_err().contains("not whole"));
}

/// A machine, or another state, may lie over it.
#[test]
fn what_is_condemned_is_found_no_more_and_stays_below_others() {
    let bench = Bench::new();
    bench.put("a", None, 0);
    bench.put("b", Some("a"), 0);
    bench.shelf.condemn("a").unwrap();
    bench.shelf.shrink(u64::MAX, &used(&[])).unwrap();
    assert_eq!(bench.ids(), ["a", "b"]);
    assert!(bench.shelf.kept("a").is_none() && bench.shelf.disks("b").is_ok());
    bench.shelf.condemn("b").unwrap();
    bench.shelf.shrink(u64::MAX, &used(&[])).unwrap();
    assert!(bench.ids().is_empty());
}

/// The memory has whatever a step had in it.
#[test]
fn a_state_that_is_too_old_goes_and_its_memory_first() {
    let bench = Bench::new();
    bench.put("a", None, 0);
    bench.put("b", None, 0);
    bench.put("c", None, 0);
    bench.aged("a", 8);
    bench.aged("b", 6);
    bench.aged("c", -1);
    let (useless, _) = bench.shelf.surplus(u64::MAX, &used(&[]));
    assert_eq!((useless, bench.ids().len()), (vec!["a".to_owned()], 3), "nothing is removed yet");
    bench.shelf.shrink(u64::MAX, &used(&["a"])).unwrap();
    assert_eq!(bench.ids(), ["a", "b", "c"], "a machine lies over it");
    let place = bench.shelf.place("a");
    assert!(!place.join(MEMORY).exists() && !place.join(RECORD).exists());
    assert!(place.join(DISK).exists());
    bench.shelf.shrink(u64::MAX, &used(&[])).unwrap();
    assert_eq!(bench.ids(), ["b", "c"]);
    assert!(bench.shelf.whole("b").is_ok());
}

#[test]
fn a_state_that_lacks_a_file_is_condemned() {
    let bench = Bench::new();
    bench.put("a", None, 0);
    bench.put("b", Some("a"), 0);
    assert!(bench.shelf.open("b").is_ok());
    fs::remove_file(bench.shelf.place("a").join(MEMORY)).unwrap();
    assert!(bench.shelf.open("b").is_ok(), "the memory below is not read");
    let why = bench.shelf.open("a").err().unwrap();
    assert!(why.contains("memory is gone"), "{why}");
    assert!(bench.shelf.kept("a").is_none());
    fs::remove_file(bench.shelf.place("b").join(MEMORY)).unwrap();
    bench.shelf.shrink(u64::MAX, &used(&[])).unwrap();
    assert!(bench.ids().is_empty(), "nor does it wait to be tried");
}

#[test]
fn what_is_in_use_is_known_by_the_disks_of_machines() {
    let bench = Bench::new();
    bench.put("a", None, 0);
    bench.put("b", Some("a"), 0);
    bench.put("c", None, 0);
    assert!(bench.shelf.in_use().is_empty());
    let machine = bench.machine_over("b");
    assert_eq!(bench.shelf.in_use(), used(&["a", "b"]));
    fs::remove_dir_all(machine).unwrap();
    assert!(bench.shelf.in_use().is_empty());
}

#[test]
fn the_cap_holds_after_a_state_was_made() {
    let bench = Bench::new();
    bench.put("a", None, 10);
    bench.put_files("n", None);
    let (kept, n) = (bench.kept("n"), bench.shelf.standing("n").unwrap().bytes);
    bench.machine_over("n");
    fs::remove_dir_all(bench.shelf.place("n")).unwrap();
    bench.shelf.reserve("n", 1 << 20).unwrap();
    bench.put_files("n", None);
    assert_eq!(bench.shelf.standing("n").unwrap().bytes, 1 << 20, "it is going to be so much");
    let most = n + (8 << 10);
    finish(&bench.shelf, "n", most, Some(kept.clone())).unwrap();
    assert_eq!(bench.ids(), ["n"], "the older one went");
    assert!(bench.shelf.kept("n").is_some() && bench.sum() <= most);
    assert!(!bench.shelf.place("n").join(RESERVED).exists());
    // The step wrote more than there is room for.
    bench.put_files("m", Some("n"));
    fs::write(bench.shelf.place("m").join(RESERVED), "").unwrap();
    bench.machine_over("m");
    let why = finish(&bench.shelf, "m", most, Some(kept)).unwrap_err();
    assert!(why.to_string().contains("in use"), "{why}");
    let place = bench.shelf.place("m");
    assert!(bench.shelf.kept("m").is_none() && !place.join(MEMORY).exists());
    assert!(place.join(DISK).exists(), "the machine's own lies over it");
}

/// The record holds keys.
#[test]
fn a_record_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.put("a", None, 0);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bench.shelf.place("a").join(RECORD)), 0o600);
}

#[test]
fn other_users_do_not_enter_the_directory_of_checkpoints() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    fs::set_permissions(bench.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(bench.shelf.turn().unwrap());
    bench.shelf.reserve("a", 1).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bench.shelf.dir.clone()), 0o700);
    assert_eq!(mode(bench.shelf.place("a")), 0o700);
}

#[test]
fn one_at_a_time_chooses_or_removes() {
    let bench = Bench::new();
    let held = bench.shelf.turn().unwrap().expect("nobody has it");
    assert!(bench.shelf.turn().unwrap().is_none());
    drop(held);
    assert!(bench.shelf.turn().unwrap().is_some());
}

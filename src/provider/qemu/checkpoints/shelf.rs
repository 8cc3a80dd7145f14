//! The directory of checkpoints: `cache/checkpoints/<id>/{disk.qcow2, memory, checkpoint.json}`. A
//! disk is an overlay over the disk of the checkpoint before it, or over that of the base image.
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::digest::Algorithm;
use crate::provider::checkpoints::OLDEST;
use crate::provider::local_resources::{BUILDING, builder};
use crate::provider::qemu::backing::{DEEPEST, backing};
use crate::provider::qemu::machine::{Hardware, is_overlay};
use crate::system::digest::Hasher;
use crate::system::durable;
use crate::system::lock::Held;
use crate::system::wait::Deadline;

pub const DISK: &str = "disk.qcow2";
pub const MEMORY: &str = "memory";
pub const RECORD: &str = "checkpoint.json";
/// An empty file that is as long as a checkpoint will be that is being made.
pub const RESERVED: &str = "reserved";

/// Interval between attempts to get the turn.
pub const POLL: Duration = Duration::from_millis(20);
/// Time limit for getting the turn, which others have for parts of a second.
const TURN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Shelf {
    pub dir: PathBuf,
    /// Directories of runs, with those of their machines.
    building: PathBuf,
}

/// `checkpoint.json`, readable by the owner alone: it holds keys, and has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Kept {
    pub key: String,
    /// Of the machine and its hypervisor.
    pub shape: String,
    pub about: String,
    pub made: Timestamp,
    /// Hostname of the machine, which it keeps.
    pub hostname: String,
    pub hardware: Hardware,
    pub note: serde_json::Value,
    pub disk: Sum,
    pub memory: Sum,
}

/// Size and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub bytes: u64,
    pub sha256: String,
}

/// A checkpoint on the shelf.
#[derive(Clone)]
pub struct Standing {
    pub id: String,
    /// `None`: only a disk under others, or what a crash left.
    pub kept: Option<Kept>,
    pub used: SystemTime,
    /// On the file system, or reserved of it.
    pub bytes: u64,
    /// Checkpoint that its disk lies over.
    pub over: Option<String>,
}

impl Sum {
    pub fn of(path: &Path) -> io::Result<Self> {
        let (mut file, mut hasher) = (File::open(path)?, Hasher::new(Algorithm::Sha256));
        let (mut bytes, mut chunk) = (0, vec![0; 1 << 20]);
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(Self { bytes, sha256: hasher.finish().hex }),
                n => {
                    hasher.update(&chunk[..n]);
                    bytes += n as u64;
                }
            }
        }
    }

    /// Whether the file is what it was.
    fn holds(&self, path: &Path) -> Result<(), String> {
        let now = Self::of(path).map_err(|e| format!("{}: {e}", path.display()))?;
        if now == *self { Ok(()) } else { Err(format!("{} is damaged", path.display())) }
    }
}

impl Shelf {
    pub fn new(home: &Path) -> Self {
        Self { dir: home.join("cache/checkpoints"), building: home.join(BUILDING) }
    }

    pub fn place(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// Held while a checkpoint is chosen to be used, while the place of one is made, and while some
    /// are removed.
    pub fn turn(&self) -> io::Result<Option<Held>> {
        builder(true).create(&self.dir)?;
        Ok(Held::take(File::open(&self.dir)?).ok())
    }

    /// Waits for the turn.
    pub fn wait_for_turn(&self) -> io::Result<Held> {
        let deadline = Deadline::after(TURN);
        loop {
            match self.turn()? {
                Some(held) => return Ok(held),
                None if deadline.has_passed() => return Err(io::ErrorKind::TimedOut.into()),
                None => std::thread::sleep(POLL),
            }
        }
    }

    /// Makes the place of a new checkpoint, which counts as so many bytes from now on. Whoever has
    /// the turn makes an overlay over it at once: what is in use stays.
    pub fn reserve(&self, id: &str, bytes: u64) -> io::Result<()> {
        builder(false).create(self.place(id))?;
        File::create(self.place(id).join(RESERVED))?.set_len(bytes)
    }

    /// All checkpoints; an empty list if there was never one.
    pub fn all(&self) -> Vec<Standing> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.filter_map(|e| self.standing(&e.file_name().into_string().ok()?)).collect()
    }

    pub fn standing(&self, id: &str) -> Option<Standing> {
        let place = self.place(id);
        let files = fs::read_dir(&place).ok()?.flatten();
        let (mut bytes, mut reserved) = (0, 0);
        for (name, file) in files.filter_map(|f| Some((f.file_name(), f.metadata().ok()?))) {
            if name == RESERVED {
                reserved = file.len();
            } else {
                bytes += file.blocks() * 512;
            }
        }
        let kept = self.kept(id);
        let stamp = if kept.is_some() { place.join(RECORD) } else { place.clone() };
        let used = fs::metadata(stamp).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let below = backing(&place.join(DISK)).ok().flatten();
        let over = below.and_then(|disk| self.id_of(&disk));
        Some(Standing { id: id.to_owned(), kept, used, bytes: bytes.max(reserved), over })
    }

    pub fn kept(&self, id: &str) -> Option<Kept> {
        serde_json::from_slice(&fs::read(self.place(id).join(RECORD)).ok()?).ok()
    }

    /// The checkpoint whose disk this is.
    pub fn id_of(&self, disk: &Path) -> Option<String> {
        let dir = disk.strip_prefix(&self.dir).ok()?.parent()?;
        dir.to_str().filter(|id| !id.is_empty()).map(str::to_owned)
    }

    /// Its disk and those below it, down to that of the image. The error says what is missing.
    pub fn disks(&self, id: &str) -> Result<Vec<PathBuf>, String> {
        let mut all = vec![self.place(id).join(DISK)];
        loop {
            let disk = all.last().expect("there is one");
            if !disk.is_file() {
                return Err(format!("{} is gone", disk.display()));
            }
            if self.id_of(disk).is_none() {
                return Ok(all);
            }
            match backing(disk) {
                Ok(Some(below)) if all.len() < DEEPEST => all.push(below),
                _ => return Err(format!("what {} lies over is not known", disk.display())),
            }
        }
    }

    /// Whether all files are there that a machine in this state reads.
    pub fn whole(&self, id: &str) -> Result<(), String> {
        self.disks(id)?;
        let memory = self.place(id).join(MEMORY);
        if memory.is_file() { Ok(()) } else { Err(format!("{} is gone", memory.display())) }
    }

    /// The record and the memory of a state that a machine begins from. One that lacks a file is
    /// condemned.
    pub fn open(&self, id: &str) -> Result<(Kept, File), String> {
        let kept = self.kept(id).ok_or_else(|| format!("checkpoint {id} is gone"))?;
        if let Err(why) = self.whole(id) {
            // Where that fails it is found no more either, for it is not whole.
            let _ = self.condemn(id);
            return Err(why);
        }
        let memory = self.place(id).join(MEMORY);
        let file = File::open(&memory).map_err(|e| format!("{}: {e}", memory.display()))?;
        Ok((kept, file))
    }

    /// Checkpoints that disks of machines lie over.
    pub fn in_use(&self) -> BTreeSet<String> {
        let machines = entries(self.building.clone()).flat_map(|run| entries(run.path()));
        let files = machines.flat_map(|machine| entries(machine.path()));
        let mut used = BTreeSet::new();
        for overlay in files.filter(|file| is_overlay(&file.file_name())) {
            let mut below = backing(&overlay.path()).ok().flatten();
            while let Some(id) = below.as_deref().and_then(|disk| self.id_of(disk)) {
                below = backing(&self.place(&id).join(DISK)).ok().flatten();
                if !used.insert(id) {
                    break;
                }
            }
        }
        used
    }

    /// Compares everything that a machine in this state reads with its digests, but for the image.
    pub fn verify(&self, id: &str) -> Result<(), String> {
        let disks = self.disks(id)?;
        for disk in &disks {
            let Some(of) = self.id_of(disk) else { continue };
            let kept = self.kept(&of).ok_or_else(|| format!("checkpoint {of} is not whole"))?;
            kept.disk.holds(disk)?;
            if of == id {
                kept.memory.holds(&self.place(id).join(MEMORY))?;
            }
        }
        Ok(())
    }

    /// It was used now.
    pub fn touch(&self, id: &str) {
        let now = SystemTime::now();
        let set = |path: PathBuf| File::open(path)?.set_modified(now);
        // At worst it goes earlier than it would.
        let _ = set(self.place(id).join(RECORD));
    }

    pub fn write(&self, dir: &Path, kept: &Kept) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(kept)?;
        durable::replace_as(&dir.join(RECORD), &text, 0o600)
    }

    /// Takes a state out of use, and removes its memory. Its disk stays as long as a machine or
    /// another disk lies over it.
    pub fn condemn(&self, id: &str) -> io::Result<()> {
        [RECORD, MEMORY, RESERVED].iter().try_for_each(|file| gone(&self.place(id).join(file)))
    }

    /// Takes out of use what is too old for it: its memory holds what the builder knew.
    pub fn expire(&self) -> io::Result<()> {
        self.all().iter().filter(|one| one.is_old()).try_for_each(|one| self.condemn(&one.id))
    }

    /// Removes a checkpoint, its record first: what a crash leaves is used by nobody.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        let place = self.place(id);
        gone(&place.join(RECORD))?;
        fs::remove_dir_all(place)
    }

    /// What goes so that all take at most `bytes`, in this order, and what is left: first what is
    /// of no use any more, then what was used longest ago; never what is `in_use`, nor what others
    /// lie over.
    pub fn surplus(&self, bytes: u64, in_use: &BTreeSet<String>) -> (Vec<String>, u64) {
        let (mut all, mut surplus) = (self.all(), Vec::new());
        loop {
            let sum: u64 = all.iter().map(|one| one.bytes).sum();
            let below: BTreeSet<&String> = all.iter().filter_map(|one| one.over.as_ref()).collect();
            let free = |one: &&Standing| !in_use.contains(&one.id) && !below.contains(&one.id);
            let dead =
                |one: &Standing| one.kept.is_none() || one.is_old() || self.whole(&one.id).is_err();
            let next = all.iter().filter(free).min_by_key(|one| (!dead(one), one.used));
            let Some(next) = next.filter(|one| sum > bytes || dead(one)) else {
                return (surplus, sum);
            };
            let id = next.id.clone();
            all.retain(|one| one.id != id);
            surplus.push(id);
        }
    }

    /// Removes what goes. Returns what is left.
    pub fn shrink(&self, bytes: u64, in_use: &BTreeSet<String>) -> io::Result<u64> {
        self.expire()?;
        let (surplus, left) = self.surplus(bytes, in_use);
        surplus.iter().try_for_each(|id| self.remove(id))?;
        Ok(left)
    }
}

impl Standing {
    /// A clock that was set back tells nothing of its age.
    fn is_old(&self) -> bool {
        let age = |kept: &Kept| Duration::try_from(Timestamp::now().duration_since(kept.made));
        self.kept.as_ref().is_some_and(|kept| age(kept).is_ok_and(|age| age > OLDEST))
    }
}

fn entries(dir: PathBuf) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

/// Removes a file, which another may have done.
fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

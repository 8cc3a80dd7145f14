//! Records of warm builders, `<home>/pool/<run>.json`: one for each run that made one or is about
//! to. That of a builder which a build has taken is called `<run>.taken-by-<run of the build>`.
//!
//! A record holds the login key. Only this user may read it.
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::cloud_init;
use crate::engine::run_dir::{self, Home, IndexedRun};
use crate::model::facts::Named;
use crate::model::placement::Placement;
use crate::plan::{MachinePlan, Origin, Plan};
use crate::provider::Machine;
use crate::provider::local_resources::component;
use crate::system::durable::{self, Others};
use crate::system::lock::Held;

/// Age from which a warm builder is no build's any more.
pub const OLDEST: Duration = Duration::from_secs(4 * 3600);
/// Size limit of a record, in bytes.
const LONGEST: u64 = 1 << 20;
/// Time limit for the lock of the pool, which is held for milliseconds.
const COUNTING: Duration = Duration::from_secs(60);
const ENDING: &str = ".json";
const TAKEN: &str = ".taken-by-";

/// What a builder was booted from and how. A build takes one whose key is that of its own plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub cloud: String,
    /// ID of the project; `None` on a cloud without projects. A record that does not say is none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub project: Option<String>,
    /// ID and checksum of the base.
    pub base: (String, String),
    pub flavor: Option<Named>,
    /// CPUs, RAM in MiB, disk in GiB.
    size: (u32, u64, Option<u64>),
    place: Option<Placement>,
    ssh_user: String,
    /// Digest of the factory's own part of the user data.
    user_data: String,
}

impl Key {
    /// The key of the plan's builder in `project`. `None`: it can be no warm one, because its base
    /// is not there, or it boots from a volume.
    pub fn of(plan: &Plan, project: Option<String>) -> Option<Self> {
        let Origin::Base(base) = &plan.origin else { return None };
        let MachinePlan { cpus, ram_mib, disk_gib, flavor, .. } = plan.builder.as_ref()?;
        let on_volume = plan.site.as_ref().is_some_and(|site| site.volume.is_some());
        (base.is_built() && !on_volume).then(|| Self {
            cloud: plan.cloud.clone(),
            project,
            base: (base.id.clone(), base.checksum.clone()),
            flavor: flavor.clone(),
            size: (*cpus, *ram_mib, *disk_gib),
            place: plan.site.clone(),
            ssh_user: plan.ssh_user.clone(),
            user_data: cloud_init::warm_edition(),
        })
    }
}

/// A warm builder, as its record has it. It has no `Debug`, because of the login key.
#[derive(Clone, Serialize, Deserialize)]
pub struct WarmBuilder {
    /// The run that made it, whose ledger owns it.
    pub run: String,
    /// Label of the definition that it was made for.
    pub bundle: String,
    /// When the cloud had booted it, or was asked to.
    pub at: Timestamp,
    pub key: Key,
    /// `None` until the cloud has booted it.
    pub booted: Option<Booted>,
    /// The run of the build that took it.
    #[serde(skip)]
    pub taken_by: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Booted {
    pub machine: Machine,
    /// Private key, in OpenSSH's format.
    pub login: String,
    /// Public key, in one line.
    pub host_key: String,
}

/// What a warm builder is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// Its run is at work on it.
    Booting,
    /// A build may take it.
    Free,
    /// A build has it.
    Taken,
    /// The run of the build that has it left its machine up on purpose.
    Retained,
    /// Nobody's: too old, or its run or the build that took it is dead.
    Over,
}

impl WarmBuilder {
    pub fn age(&self) -> Duration {
        Timestamp::now().duration_since(self.at).try_into().unwrap_or_default()
    }

    /// `of`: the run with this ID in the index; `None` if there is none.
    pub fn state<'r>(&self, of: impl Fn(&str) -> Option<&'r IndexedRun>) -> Use {
        let is_alive = |run: &str| of(run).is_some_and(|one| !one.is_dead());
        match &self.taken_by {
            Some(by) if is_alive(by) || is_alive(&self.run) => Use::Taken,
            Some(by) if of(by).is_some_and(|one| one.kept) => Use::Retained,
            Some(_) => Use::Over,
            None if of(&self.run).is_none() => Use::Over,
            // Its run may be alive to the eye: who lists runs has the lock of each for a moment.
            None if self.booted.is_some() && self.age() < OLDEST => Use::Free,
            None if is_alive(&self.run) => Use::Booting,
            None => Use::Over,
        }
    }
}

/// The records of a home.
#[derive(Clone)]
pub struct Records {
    home: Home,
    dir: PathBuf,
}

impl Records {
    pub fn of(home: &Home) -> Self {
        Self { home: home.clone(), dir: home.data.join("pool") }
    }

    /// All warm builders, oldest first. A record that is not readable is none: its run is one that
    /// left its machine up.
    pub fn all(&self) -> Vec<WarmBuilder> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let read = |name: &str| {
            let (run, taken_by) = parsed(name)?;
            let text = durable::read(&self.dir.join(name), LONGEST).ok()?;
            let warm: WarmBuilder = serde_json::from_slice(&text).ok()?;
            (warm.run == run).then(|| WarmBuilder { taken_by: taken_by.map(str::to_owned), ..warm })
        };
        let mut all: Vec<WarmBuilder> =
            entries.filter_map(|entry| read(entry.file_name().to_str()?)).collect();
        all.sort_by(|a, b| a.run.cmp(&b.run));
        all
    }

    /// All, each with what it is good for.
    pub fn states(&self) -> io::Result<Vec<(WarmBuilder, Use)>> {
        let runs = run_dir::indexed(&self.home)?;
        let of = |run: &str| runs.iter().find(|one| one.run == run);
        let with_state = |warm: WarmBuilder| {
            let state = warm.state(of);
            (warm, state)
        };
        Ok(self.all().into_iter().map(with_state).collect())
    }

    /// How many of `key` there are for builds to come, those that boot included.
    pub fn count(&self, key: &Key) -> io::Result<u32> {
        let counts = |(warm, state): &(WarmBuilder, Use)| {
            warm.key == *key && matches!(state, Use::Booting | Use::Free)
        };
        Ok(self.states()?.iter().filter(|one| counts(one)).count() as u32)
    }

    /// Records that `warm` is about to be booted, unless there are `wanted` of its key already.
    pub async fn reserve(&self, warm: &WarmBuilder, wanted: u32) -> io::Result<bool> {
        durable::private_dir(&self.dir, Others::Nothing)?;
        let _held = self.counting().await?;
        let room = self.count(&warm.key)? < wanted;
        if room {
            self.write(warm)?;
        }
        Ok(room)
    }

    /// Lock held while builders are counted and one is added, so that two runs see each other.
    async fn counting(&self) -> io::Result<Held> {
        let begin = Instant::now();
        loop {
            match Held::take(durable::open_to_append(&self.dir.join("lock"))?) {
                Ok(held) => return Ok(held),
                Err((_, fs::TryLockError::WouldBlock)) if begin.elapsed() < COUNTING => {
                    tokio::time::sleep(COUNTING / 1000).await;
                }
                Err((_, e)) => return Err(e.into()),
            }
        }
    }

    pub fn write(&self, warm: &WarmBuilder) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(warm).expect("a record is plain data");
        durable::replace(&self.dir.join(format!("{}{ENDING}", warm.run)), &text)
    }

    /// Records that the run `by` has taken `warm`. False: it is not there any more, or taken.
    pub fn take(&self, warm: &WarmBuilder, by: &str) -> io::Result<bool> {
        let at = self.dir.join(format!("{}{ENDING}", warm.run));
        match fs::rename(at, self.dir.join(format!("{}{TAKEN}{by}", warm.run))) {
            Ok(()) => durable::sync_dir(&self.dir).map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Removes what is recorded of the builder of `run`.
    pub fn forget(&self, run: &str) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().and_then(parsed).is_some_and(|(of, _)| of == run) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes records of runs that are not in the index: they own nothing.
    pub fn tidy(&self) {
        let known = run_dir::indexed(&self.home);
        let Ok(known) = known else { return };
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let of = name.to_str().and_then(parsed).map(|(run, _)| run.to_owned());
            if of.is_some_and(|run| known.iter().all(|one| one.run != run)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The run of a warm builder, with its lock held by us, so that nobody else takes or removes
    /// it. `None`: somebody else has it.
    pub async fn claim(&self, run: &str) -> Option<IndexedRun> {
        // Who lists runs has each lock for a moment.
        for _ in 0..20 {
            match run_dir::claim(&self.home, run) {
                Some(claimed) => return Some(claimed),
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        None
    }

    /// Locks the runtime directory of `run`, for factories with another home.
    pub fn hold(&self, run: &str) -> Option<Held> {
        run_dir::hold(&self.home.runtime.join(component(run).ok()?)).ok()
    }
}

/// The run of a record with this name, and the run that took its builder.
fn parsed(name: &str) -> Option<(&str, Option<&str>)> {
    match name.split_once(TAKEN) {
        Some((run, by)) => Some((run, Some(by))),
        None => Some((name.strip_suffix(ENDING)?, None)),
    }
}

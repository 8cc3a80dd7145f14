//! Warm builders: machines that are booted for builds to come, on a cloud without checkpoints.
//!
//! A run of its own makes one and ends with the machine left up ([`make`]). The ledger of that run
//! stays the owner. A build takes one in place of a boot ([`taken`]), holds the lock of its run
//! meanwhile, and unwinds that run with its own ([`give_back`]).
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ssh_key::{PrivateKey, PublicKey};

use super::answer::say_as_root;
use super::machine::{self, BuilderKeys, Running};
use super::run_dir::{Home, IndexedRun};
use super::unwind::{Owner, delete_of};
use super::{BuildContext, BuildError, SshAccess, cloud_init, ready};
use crate::guest::{Target, keys};
use crate::model::image::Image;
use crate::plan::{MachinePlan, Plan};
use crate::provider::ledger::{Entry, Kind, Leak, Ledger};
use crate::provider::{CloudError, Machine, Power, Provider};
use crate::system::cancel::Cancel;
use crate::system::lock::Held;

mod record;

pub use record::{Booted, Key, Records, Use, WarmBuilder};

/// Time for SSH of a warm builder to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Time limit for the script that wakes it.
const WAKE: Duration = Duration::from_secs(60);

/// The warm builders of a definition that asks for some.
#[derive(Clone)]
pub struct Pool {
    records: Records,
    wanted: u32,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// A warm builder that this run has, with the lock of the run that made it.
struct Taken {
    warm: WarmBuilder,
    index: IndexedRun,
    _scratch: Option<Held>,
}

impl Pool {
    /// `None` if none are wanted, or the cloud is this machine, where checkpoints do it.
    pub fn of(cloud: &dyn Provider, home: &Home, wanted: u32) -> Option<Self> {
        let (records, taken) = (Records::of(home), Arc::default());
        (wanted > 0 && !cloud.is_here()).then_some(Self { records, wanted, taken })
    }

    fn mine(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().expect("the list is held for one change only, which does not panic")
    }

    /// The oldest warm builder of `key` that is free, taken by the run `by`.
    async fn take(&self, key: &Key, by: &str) -> std::io::Result<Option<WarmBuilder>> {
        for (warm, state) in self.records.states()? {
            if state != Use::Free || warm.key != *key {
                continue;
            }
            let Some(index) = self.records.claim(&warm.run).await else { continue };
            if !self.records.take(&warm, by)? {
                continue;
            }
            let _scratch = self.records.hold(&warm.run);
            self.mine().push(Taken { warm: warm.clone(), index, _scratch });
            return Ok(Some(warm));
        }
        Ok(None)
    }
}

/// A builder that was booted before, in place of a boot. One that is not as it should be is
/// removed, and the next one is taken. `None`: there is none, and one has to be booted.
pub(super) async fn taken(site: &BuildContext<'_>) -> Result<Option<Running>, BuildError> {
    let Some(pool) = &site.pool else { return Ok(None) };
    let Some(key) = key(site).await? else { return Ok(None) };
    loop {
        let warm = match pool.take(&key, &site.plan.run).await {
            Ok(Some(warm)) => warm,
            Ok(None) => {
                site.cx.events.note("no warm builder is there: one is booted");
                return Ok(None);
            }
            Err(e) => {
                site.cx.events.warn(format!("warm builders cannot be looked for: {e}"));
                return Ok(None);
            }
        };
        let minutes = warm.age().as_secs() / 60;
        let name = format!("warm builder of {minutes} minutes, run {}", warm.run);
        match woken(site, &warm).await {
            Ok(running) => {
                site.cx.events.note(format!("a {name}, takes the place of a boot"));
                return Ok(Some(running));
            }
            Err(e) if e.is_cancelled() => return Err(e),
            Err(e) => {
                site.cx.events.warn(format!("the {name}, is given up: {e}"));
                // What cannot be removed now is removed on the way home.
                give_back(site, None).await;
            }
        }
    }
}

async fn key(site: &BuildContext<'_>) -> Result<Option<Key>, CloudError> {
    Ok(Key::of(site.plan, site.cloud.project(&site.cx.cancel).await?))
}

/// The builder as a build finds one that it booted itself.
async fn woken(site: &BuildContext<'_>, warm: &WarmBuilder) -> Result<Running, BuildError> {
    let unreadable = |why: String| BuildError::from(CloudError::refused("read its record", why));
    let booted = warm.booted.as_ref().ok_or_else(|| unreadable("it has no machine".into()))?;
    let machine = booted.machine.clone();
    match site.cx.cancel.or(site.cloud.compute().power(&machine)).await?? {
        Power::On => {}
        other => {
            let reason = format!("the cloud says that it is not on: {other:?}");
            return Err(BuildError::NotReady {
                machine: machine.name,
                reason,
                console: Vec::new(),
            });
        }
    }
    machine::shows_consoles(site, &machine).await?;
    let key = PrivateKey::from_openssh(&booted.login).map_err(|e| unreadable(e.to_string()))?;
    let host = PublicKey::from_openssh(&booted.host_key).map_err(|e| unreadable(e.to_string()))?;
    let target = Target {
        host: machine.host.clone(),
        port: machine.port,
        user: site.plan.ssh_user.clone(),
        key: Arc::new(key),
        host_keys: vec![host],
    };
    // One that was made a moment ago still boots, and has the time of any other for it.
    let boots = Duration::from_secs(site.plan.timeouts.ssh);
    let left = boots.saturating_sub(warm.age()).max(ANSWER);
    let deadline = Instant::now() + left;
    let running = machine::reached(site, target, machine, deadline).await?;
    let script = format!(
        "NOW={}\n{}",
        Timestamp::now().as_second(),
        include_str!("../../templates/guest/warm-wake.sh")
    );
    if let Err(e) = site.cx.cancel.or(say_as_root(&*running.remote, &script, WAKE)).await? {
        return Err(machine::not_ready(site, &running.machine, format!("not woken: {e}")).await);
    }
    ready::builder(site, &running, deadline).await?;
    Ok(running)
}

/// Boots a builder for a build to come, and records it. Its login command; `None`: the pool has as
/// many as are wanted.
pub(super) async fn make(
    site: &BuildContext<'_>,
    wanted: &MachinePlan,
    base: &Image,
) -> Result<Option<SshAccess>, BuildError> {
    let (Some(pool), Some(key)) = (&site.pool, key(site).await?) else {
        let why = "the definition asks for none, or the cloud has no pool";
        return Err(CloudError::refused("keep a warm builder", why).into());
    };
    let Plan { run, bundle, ssh_user, .. } = site.plan;
    let io = |e| CloudError::io("record a warm builder")(e);
    let mut warm = WarmBuilder {
        run: run.clone(),
        bundle: bundle.clone(),
        at: Timestamp::now(),
        key,
        booted: None,
        taken_by: None,
    };
    if !pool.records.reserve(&warm, pool.wanted).await.map_err(io)? {
        return Ok(None);
    }
    let keys = BuilderKeys::new(run);
    let user_data = cloud_init::warm_user_data(keys.login.public_key(), &keys.host);
    let recorded = async {
        let machine = machine::boot(site, wanted, (base, 0), user_data).await?;
        let access = machine::access(site, &machine, &keys.target(&machine, ssh_user))?;
        (warm.at, warm.booted) = (Timestamp::now(), Some(Booted::new(machine, &keys)));
        pool.records.write(&warm).map_err(io)?;
        Ok(Some(access))
    };
    let recorded = recorded.await;
    if recorded.is_err() {
        pool.records.forget(run);
    }
    recorded
}

impl Booted {
    fn new(machine: Machine, keys: &BuilderKeys) -> Self {
        let encodes = "a key that was made can be written";
        Self {
            machine,
            login: keys::private_text(&keys.login).expect(encodes).to_string(),
            host_key: keys.host.public_key().to_openssh().expect(encodes),
        }
    }
}

/// Removes the warm builders that this run has, all but the machine `kept`. What could not be
/// deleted is returned, and tried again at the next call.
pub(super) async fn give_back(site: &BuildContext<'_>, kept: Option<&str>) -> Vec<Leak> {
    let Some(pool) = &site.pool else { return Vec::new() };
    let mine = std::mem::take(&mut *pool.mine());
    let mut leaks = Vec::new();
    for one in mine {
        let machine = one.warm.booted.as_ref().map(|booted| booted.machine.name.as_str());
        let left = match kept.is_some() && machine == kept {
            true => Err(Vec::new()),
            false => pool.records.remove(site.cloud, &one.index, &site.cx.cancel).await,
        };
        if let Err(left) = left {
            leaks.extend(left);
            pool.mine().push(one);
        }
    }
    leaks
}

impl Records {
    /// Deletes what the run of a warm builder owns, and its record. `run` is claimed. What could
    /// not be deleted stays on record.
    pub async fn remove(
        &self,
        cloud: &dyn Provider,
        run: &IndexedRun,
        cancel: &Cancel,
    ) -> Result<(), Vec<Leak>> {
        let ledger = Ledger::open(&run.ledger()).map_err(|e| {
            let (kind, name) = (Kind::Machine, format!("of run {}", run.run));
            let entry = Entry { seq: u64::MAX, kind, name, id: None, unanswered: None };
            vec![Leak { entry, reason: e.to_string() }]
        })?;
        let owner = Owner { run: &run.run, ledger: &ledger };
        let leaks = delete_of(cloud, owner, ledger.entries(), cancel).await;
        if !leaks.is_empty() {
            return Err(leaks);
        }
        // A record without a run is tidied; a run without its record would be left up.
        run.forget();
        self.forget(&run.run);
        Ok(())
    }

    /// Removes the warm builders of the project of `cloud` that are nobody's any more: too old, or
    /// gone. The runs that made them, and what could not be deleted.
    pub async fn clear(
        &self,
        cloud: &dyn Provider,
        cancel: &Cancel,
    ) -> Result<(Vec<String>, Vec<Leak>), CloudError> {
        let (mut removed, mut leaks) = (Vec::new(), Vec::new());
        let mut all = self.states().map_err(CloudError::io("read the index of runs"))?;
        all.retain(|(warm, _)| warm.key.cloud == cloud.name());
        if all.is_empty() {
            return Ok((removed, leaks));
        }
        // Machines of another project are not seen, as if they were gone.
        let project = cloud.project(cancel).await?;
        for (warm, state) in all.iter().filter(|(warm, _)| warm.key.project == project) {
            let over = match (state, &warm.booted) {
                (Use::Over, _) => true,
                (Use::Free, Some(booted)) => {
                    matches!(
                        cancel.or(cloud.compute().power(&booted.machine)).await?,
                        Ok(Power::Gone(_))
                    )
                }
                _ => false,
            };
            let Some(run) = (if over { self.claim(&warm.run).await } else { None }) else {
                continue;
            };
            match self.remove(cloud, &run, cancel).await {
                Ok(()) => removed.push(warm.run.clone()),
                Err(left) => leaks.extend(left),
            }
        }
        Ok((removed, leaks))
    }
}

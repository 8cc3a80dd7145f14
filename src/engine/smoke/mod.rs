//! Boots the captured image as two machines and tests them. The first is tested from inside; the
//! second proves that identities differ, and takes the disruptive checks.
//!
//! [`external`] checks from outside, [`guest`] runs scripts in the first, those that do not disturb
//! one another [`together`]; [`disruptive`] uses up the second.
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ssh_key::PrivateKey;

use super::heard::REASON;
use super::machine::{self, Identity, Running};
use super::signs::Signs;
use super::{BuildContext, BuildError, SshAccess, cloud_init, console};
use crate::guest::{Target, keys};
use crate::model::check::BOOTS;
use crate::model::event::{Abreast, Check, Event, Tally, Verdict, seconds};
use crate::model::image::Image;
use crate::model::units::GIB;
use crate::plan::{MachinePlan, SmokePlan};
use crate::provider::{Machine, RunCx};
use crate::system::lines;

mod guest;
mod external;
mod disruptive;
mod together;

pub use together::played;

/// A captured image, and what is known of its builder.
pub(super) struct Candidate<'c> {
    pub image: &'c Image,
    /// Identities that must not recur.
    pub earlier: &'c [Identity],
    /// Must not log in. `None`: no builder was logged in to.
    pub build_key: Option<Arc<PrivateKey>>,
}

/// Boots the image twice and runs the checks. Returns their results if none failed.
pub(super) async fn test(
    site: &BuildContext<'_>,
    smoke: &SmokePlan,
    candidate: &Candidate<'_>,
    up: &mut Option<SshAccess>,
) -> Result<Tally, BuildError> {
    let image = candidate.image;
    let results = Results { site, smoke, all: Mutex::default() };
    results.left_out();
    let begin = Instant::now();
    let (first, second) = match both(site, smoke, image).await {
        Ok(both) => both,
        Err(e @ BuildError::NotReady { .. }) => {
            results.always(BOOTS, begin, Finding::new(Verdict::Failed, e.to_string()));
            return results.verdict();
        }
        // Neither the cloud's refusal nor its loss of a machine is a fault of the image.
        Err(e) => return Err(e),
    };
    *up = Some(first.opened(site)?);
    match checked(candidate, begin, (first, second), &results).await {
        Ok(()) => results.missing(),
        // What failed has failed, whatever kept the other checks from their end.
        Err(e) if results.have_failed() && !e.is_cancelled() => {
            site.cx.events.warn(format!("not all checks came to an end: {e}"));
        }
        Err(e) => return Err(e),
    }
    results.verdict()
}

/// Runs the checks on both machines. Fails if something kept them from a verdict.
async fn checked(
    candidate: &Candidate<'_>,
    begin: Instant,
    (first, second): (Running, Running),
    results: &Results<'_>,
) -> Result<(), BuildError> {
    let Candidate { image, earlier, build_key } = candidate;
    let Results { site, smoke, .. } = *results;
    let build_key = build_key.as_ref().map(|k| k.public_key());
    let builder = earlier.first();
    let disk_bytes = machine::disk_gib(&smoke.first, image, smoke.grow_gib) * GIB;
    let tested = &guest::Tested { running: &first, build_key, builder, disk_bytes };
    let abreast = abreast(site);
    let lane = |wanted: &MachinePlan| site.cx.clone().with_events(abreast.lane(&wanted.name));
    // cloud-init lets root wait for ten seconds, so that this is begun first.
    let root = external::root_ssh(&first, results);
    let others = async {
        let outside = external::Pair { begin, first: &first, second: &second, candidate };
        outside.all(results).await?;
        let checks = in_lane(site, lane(&smoke.first), async |site: &BuildContext<'_>| {
            guest::all(site, tested, results).await
        });
        let trials = in_lane(site, lane(&smoke.second), async |site: &BuildContext<'_>| {
            disruptive::all(site, second, results).await
        });
        let (checked, tried) = tokio::join!(checks, trials);
        checked.and(tried)
    };
    let (root, others) = tokio::join!(root, others);
    root.and(others)
}

/// Lanes of the machines, which are named `factory-<run>-<role>`; the lane shows the role.
fn abreast(site: &BuildContext<'_>) -> Abreast {
    Abreast::new(&site.cx.events, &format!("factory-{}-", site.plan.run))
}

/// Runs work on one machine in a lane of its own.
async fn in_lane<T>(
    site: &BuildContext<'_>,
    cx: RunCx,
    work: impl AsyncFnOnce(&BuildContext<'_>) -> T,
) -> T {
    work(&site.with(&cx)).await
}

/// Boots both machines in parallel. The first failure is reported, and ends the wait for the other.
async fn both(
    site: &BuildContext<'_>,
    smoke: &SmokePlan,
    image: &Image,
) -> Result<(Running, Running), BuildError> {
    let abreast = abreast(site);
    let stop = site.cx.cancel.child();
    let failed: Mutex<Option<BuildError>> = Mutex::default();
    let one = async |wanted: &MachinePlan| {
        let cx = site.cx.clone().with_events(abreast.lane(&wanted.name)).with_cancel(stop.clone());
        boot(&site.with(&cx), smoke, wanted, image).await.map_err(|e| {
            failed.lock().expect("nothing panics with it").get_or_insert(e);
            stop.orderly();
        })
    };
    match tokio::join!(one(&smoke.first), one(&smoke.second)) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        _ => Err(failed.into_inner().expect("nothing panics with it").expect("one of them failed")),
    }
}

/// What a check found.
struct Finding {
    verdict: Verdict,
    reason: String,
    output: String,
}

impl Finding {
    fn new(verdict: Verdict, reason: String) -> Self {
        Self { verdict, reason, output: String::new() }
    }
}

/// Collects results and reports each immediately.
struct Results<'a> {
    site: &'a BuildContext<'a>,
    smoke: &'a SmokePlan,
    all: Mutex<Vec<Check>>,
}

impl Results<'_> {
    /// Reports the checks that the bundle disabled.
    fn left_out(&self) {
        for id in &self.smoke.skip {
            self.put(Check {
                id: id.clone(),
                verdict: Verdict::Skipped,
                seconds: 0.0,
                reason: "switched off by the bundle".into(),
                output: String::new(),
            });
        }
    }

    fn wants(&self, id: &str) -> bool {
        self.smoke.has(id)
    }

    /// Adds the result of a check, if enabled.
    fn add(&self, id: &str, begin: Instant, finding: Finding) {
        if self.wants(id) {
            self.always(id, begin, finding);
        }
    }

    fn always(&self, id: &str, begin: Instant, finding: Finding) {
        let Finding { verdict, reason, output } = finding;
        let reason = lines::cut(&reason, REASON);
        self.put(Check {
            id: id.into(),
            verdict,
            seconds: seconds(begin.elapsed()),
            reason,
            output,
        });
    }

    fn have_failed(&self) -> bool {
        let all = self.all.lock().expect("plain pushes do not panic");
        all.iter().any(|check| check.verdict == Verdict::Failed)
    }

    /// A check that was planned and that nobody carried out has not passed.
    fn missing(&self) {
        let own = self.smoke.tests.iter().map(|path| path.display().to_string());
        for id in self.smoke.checks.iter().cloned().chain(own) {
            let there = |all: &Vec<Check>| all.iter().any(|check| check.id == id);
            if !there(&self.all.lock().expect("plain pushes do not panic")) {
                let finding = Finding::new(Verdict::Failed, "not carried out".into());
                self.always(&id, Instant::now(), finding);
            }
        }
    }

    fn put(&self, check: Check) {
        self.site.cx.events.emit(Event::Check(check.clone()));
        self.all.lock().expect("plain pushes do not panic").push(check);
    }

    fn verdict(self) -> Result<Tally, BuildError> {
        let all = self.all.into_inner().expect("plain pushes do not panic");
        let (tally, of) = (all.iter().collect(), all.len());
        let failed: Vec<Check> = all.into_iter().filter(|c| c.verdict == Verdict::Failed).collect();
        if failed.is_empty() { Ok(tally) } else { Err(BuildError::Smoke { failed, of }) }
    }
}

/// Boots a machine whose image generates its host keys. Reads them from its console, which only the
/// cloud can write, and pins them.
async fn boot(
    site: &BuildContext<'_>,
    smoke: &SmokePlan,
    wanted: &MachinePlan,
    image: &Image,
) -> Result<Running, BuildError> {
    let login = Arc::new(keys::generate_key(&format!("factory smoke key {}", site.plan.run)));
    let user_data = cloud_init::smoke_user_data(login.public_key());
    // The first shows that the image grows; the second has no more than the image claims to need.
    let grow_gib = if wanted.name == smoke.first.name { smoke.grow_gib } else { 0 };
    let machine = machine::boot(site, wanted, (image, grow_gib), user_data).await?;
    let deadline = Instant::now() + Duration::from_secs(site.plan.timeouts.ssh);
    let host_keys = host_keys(site, &machine, deadline).await?;
    let target = Target {
        host: machine.host.clone(),
        port: machine.port,
        user: smoke.user.clone(),
        key: login,
        host_keys,
    };
    let remote = machine::reach(site, &machine, &target, deadline).await?;
    let running = Running::new(machine, target, remote);
    machine::cloud_init_done(site, &running, deadline).await?;
    Ok(running)
}

async fn host_keys(
    site: &BuildContext<'_>,
    machine: &Machine,
    deadline: Instant,
) -> Result<Vec<ssh_key::PublicKey>, BuildError> {
    site.cx
        .events
        .doing(format!("waiting for the console to show the host keys of {}", machine.name));
    let mut signs = Signs::default();
    loop {
        let keys = console::host_keys(&site.cloud.compute().console_log(machine).await?);
        if !keys.is_empty() {
            return Ok(keys);
        }
        signs.look(site, machine).await?;
        if Instant::now() > deadline {
            let reason = format!(
                "no host keys on its console after {} s: cloud-init did not get there",
                site.plan.timeouts.ssh
            );
            return Err(machine::not_ready(site, machine, reason).await);
        }
        site.cx.cancel.pause(site.cloud.compute().poll_interval()).await?;
    }
}

//! Disruptive checks on the second machine: reboots, a volume, its graphical console, rescue mode,
//! and an image of itself on a machine of another size. Each is a check; those that the cloud does
//! not support are skipped with a reason.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Finding, Results};
use crate::engine::answer::{self, BootId, NoAnswer, say, say_as_root};
use crate::engine::machine::{self, Running};
use crate::engine::{BuildContext, BuildError, cloud_init, console, signs};
use crate::guest::{Target, keys};
use crate::log::sentences;
use crate::model::check::{DISRUPTIVE, DisruptiveCheck};
use crate::model::event::Verdict;
use crate::model::placement::VolumePlan;
use crate::plan::MachinePlan;
use crate::provider::{CloudError, Reboot};

/// Time limit of a short script.
const SCRIPT: Duration = Duration::from_secs(180);
/// Time limit for attaching or detaching a volume.
const VOLUME: Duration = Duration::from_secs(240);

/// Why a disruptive check did not pass.
enum Failed {
    /// The cloud does not support it.
    Unable(String),
    /// The cloud refused or failed, which says nothing of the image.
    Refused(String),
    /// Nobody knows whether the cloud did it.
    Unknown(String),
    Bad(String),
    /// The run ends.
    Stop(BuildError),
}

impl From<CloudError> for Failed {
    fn from(e: CloudError) -> Self {
        match e {
            CloudError::Unable { reason, .. } => Self::Unable(reason),
            CloudError::Cancelled(_) | CloudError::Ledger(_) => Self::Stop(e.into()),
            CloudError::Unknown { .. } => Self::Unknown(e.to_string()),
            // A guest that does not shut down, or does not let go of a disk, shows in this.
            CloudError::Deadline { .. } => Self::Bad(e.to_string()),
            e => Self::Refused(e.to_string()),
        }
    }
}

/// An operation in which the guest has no part: whatever fails, it is not the image.
fn by_cloud(e: impl Into<BuildError>) -> Failed {
    match e.into() {
        BuildError::Cloud(e @ CloudError::Deadline { .. }) => Failed::Refused(e.to_string()),
        e => e.into(),
    }
}

impl From<BuildError> for Failed {
    fn from(e: BuildError) -> Self {
        match e {
            BuildError::Cloud(e) => e.into(),
            BuildError::NotReady { .. } => Self::Bad(e.to_string()),
            e => Self::Stop(e),
        }
    }
}

impl From<crate::system::cancel::Cancelled> for Failed {
    fn from(e: crate::system::cancel::Cancelled) -> Self {
        Self::Stop(e.into())
    }
}

impl From<NoAnswer> for Failed {
    fn from(e: NoAnswer) -> Self {
        Self::Bad(e.to_string())
    }
}

impl From<String> for Failed {
    fn from(text: String) -> Self {
        Self::Bad(text)
    }
}

/// When a check is made: the more it changes the machine, the later.
fn turn(check: DisruptiveCheck) -> u8 {
    match check {
        DisruptiveCheck::Screen => 0,
        DisruptiveCheck::Volume => 1,
        DisruptiveCheck::RebootSoft => 2,
        DisruptiveCheck::RebootHard => 3,
        DisruptiveCheck::Rescue => 4,
        DisruptiveCheck::Snapshot => 5,
    }
}

/// Runs all enabled disruptive checks. The machine is not usable afterwards.
pub(super) async fn all(
    site: &BuildContext<'_>,
    second: Running,
    results: &Results<'_>,
) -> Result<(), BuildError> {
    let mut lot = Subject { site, second };
    let mut broken: Option<String> = None;
    let mut wanted: Vec<_> = DISRUPTIVE.iter().filter(|(_, id, _)| results.wants(id)).collect();
    wanted.sort_by_key(|(check, ..)| turn(*check));
    for (check, id, _) in wanted {
        site.cx.cancel.check()?;
        if let Some(why) = &broken {
            // The machine's state is unknown, so later checks are skipped.
            let reason = format!("not tried, because {why}");
            results.add(id, Instant::now(), Finding::new(Verdict::Skipped, reason));
            continue;
        }
        site.cx.events.doing(format!("check {id}"));
        let begin = Instant::now();
        let tried = match check {
            DisruptiveCheck::Screen => lot.screen().await,
            DisruptiveCheck::Volume => lot.volume(&results.smoke.second_disk()).await,
            DisruptiveCheck::RebootSoft => lot.reboot(Reboot::Orderly).await,
            DisruptiveCheck::RebootHard => lot.reboot(Reboot::Hard).await,
            DisruptiveCheck::Rescue => lot.rescue().await,
            DisruptiveCheck::Snapshot => lot.snapshot(results.smoke.other.as_ref()).await,
        };
        let tried = match tried {
            Err(failed) => Err(lot.weighed(failed).await),
            passed => passed,
        };
        let (verdict, reason) = match tried {
            Ok(seen) => (Verdict::Passed, seen),
            Err(Failed::Unable(why)) => (Verdict::Skipped, why),
            Err(Failed::Unknown(why)) => {
                broken = Some(format!("what became of {id} is not known"));
                (Verdict::Skipped, why)
            }
            Err(Failed::Refused(why)) => {
                // The one that does nothing to the machine.
                if !matches!(check, DisruptiveCheck::Screen) {
                    broken = Some(format!("the cloud failed in {id}"));
                }
                (Verdict::Skipped, format!("the cloud did not do it: {why}"))
            }
            Err(Failed::Bad(why)) => {
                broken = Some(format!("{id} failed"));
                (Verdict::Failed, why)
            }
            Err(Failed::Stop(e)) => return Err(e),
        };
        results.add(id, begin, Finding::new(verdict, reason));
    }
    Ok(())
}

struct Subject<'a> {
    site: &'a BuildContext<'a>,
    second: Running,
}

impl Subject<'_> {
    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.site.plan.timeouts.ssh)
    }

    fn action_time(&self) -> Duration {
        Duration::from_secs(self.site.plan.timeouts.boot)
    }

    async fn said(&self, script: &str) -> Result<String, Failed> {
        Ok(sentences::first_line(
            &self.site.cx.cancel.or(say(&*self.second.remote, script, SCRIPT)).await??,
        ))
    }

    async fn said_as_root(&self, script: &str) -> Result<String, Failed> {
        Ok(sentences::first_line(
            &self.site.cx.cancel.or(say_as_root(&*self.second.remote, script, SCRIPT)).await??,
        ))
    }

    async fn boot_id(&self) -> Result<BootId, Failed> {
        Ok(self.site.cx.cancel.or(answer::boot_id(&*self.second.remote, SCRIPT)).await??)
    }

    /// Whose fault a failure is, as the machine's console and the cloud tell.
    async fn weighed(&self, failed: Failed) -> Failed {
        let machine = &self.second.machine;
        match failed {
            // One that has panicked does not do what the cloud asks of it.
            Failed::Refused(why) => match signs::trouble(self.site, machine).await {
                Some(seen) => Failed::Bad(format!("{why}; {seen}")),
                None => Failed::Refused(why),
            },
            Failed::Bad(why) => match signs::lost(self.site, machine).await {
                Ok(()) => Failed::Bad(why),
                Err(e) => Failed::Stop(e),
            },
            known => known,
        }
    }

    async fn screen(&mut self) -> Result<String, Failed> {
        let url = self.site.cloud.compute().console_url(&self.second.machine);
        let url = url.await.map_err(by_cloud)?;
        // With the address comes the right to use it; where it leads is enough.
        let place: String =
            url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect();
        if place.starts_with("http") || place.starts_with("ws") {
            Ok(place)
        } else {
            Err(format!("`{place}` is no address").into())
        }
    }

    async fn reboot(&mut self, how: Reboot) -> Result<String, Failed> {
        let before = self.boot_id().await?;
        if how == Reboot::Hard {
            self.rest().await?;
        }
        let begin = Instant::now();
        let within = self.site.cx.within(self.action_time());
        let done = self.site.cloud.compute().reboot(&within, &self.second.machine, how).await;
        done.map_err(|e| if how == Reboot::Hard { by_cloud(e) } else { e.into() })?;
        self.back(&before).await?;
        let seconds = begin.elapsed().as_secs();
        let state = self.said(include_str!("../../../templates/guest/trials/settled.sh")).await?;
        Ok(format!("back after {seconds} s, with the same host keys; {state}"))
    }

    /// Waits until the machine is settled and its data is on disk. In the first seconds even a
    /// sound machine loses new host keys in a power cycle.
    async fn rest(&mut self) -> Result<(), Failed> {
        self.said(include_str!("../../../templates/guest/trials/rest.sh")).await.map(drop)
    }

    /// Waits for SSH in another boot than `before`, with the same host keys.
    async fn back(&mut self, before: &BootId) -> Result<(), Failed> {
        let deadline = self.deadline();
        loop {
            self.second.remote =
                machine::reach(self.site, &self.second.machine, &self.second.target, deadline)
                    .await?;
            // It may be going down still, and then has no answer.
            if let Ok(now) = self.boot_id().await
                && now != *before
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "it did not boot again within {} s",
                    self.site.plan.timeouts.ssh
                )
                .into());
            }
            self.site.cx.cancel.pause(self.site.cloud.compute().poll_interval()).await?;
        }
    }

    async fn volume(&mut self, wanted: &VolumePlan) -> Result<String, Failed> {
        let cx = self.site.cx;
        let volumes = self
            .site
            .cloud
            .volumes()
            .ok_or_else(|| Failed::Unable("this cloud attaches no volumes".into()))?;
        let within = cx.within(VOLUME);
        let attached = volumes.attach(&within, &self.second.machine, wanted).await;
        let disk = attached.map_err(by_cloud)?;
        let script = |text: &str| format!("SERIAL={}\nGB={}\n{text}", disk.serial, wanted.size_gib);
        let used = self
            .said_as_root(&script(include_str!("../../../templates/guest/trials/volume-use.sh")))
            .await;
        let detached = volumes.detach(&cx.within(VOLUME), &self.second.machine, &disk).await;
        let used = used?;
        detached?;
        self.said_as_root(&script(include_str!("../../../templates/guest/trials/volume-gone.sh")))
            .await?;
        Ok(used)
    }

    async fn rescue(&mut self) -> Result<String, Failed> {
        let site = self.site;
        let rescue = site.cloud.rescue().ok_or_else(|| {
            let whose = if site.cloud.is_here() { "QEMU on this machine" } else { "this cloud" };
            Failed::Unable(format!("{whose} has no rescue mode"))
        })?;
        let before = self.boot_id().await?;
        let token = format!("TOKEN={}\n", site.plan.run);
        let mark = include_str!("../../../templates/guest/trials/rescue-mark.sh");
        self.said_as_root(&format!("{token}{mark}")).await?;
        let within = site.cx.within(self.action_time());
        rescue.rescue(&within, &self.second.machine).await.map_err(by_cloud)?;
        let rescued = self.rescued(&before).await?;
        let find = include_str!("../../../templates/guest/trials/rescue-find.sh");
        let found = site
            .cx
            .cancel
            .or(say_as_root(&*rescued.remote, &format!("{token}{find}"), SCRIPT))
            .await?;
        drop(rescued);
        let within = site.cx.within(self.action_time());
        rescue.unrescue(&within, &self.second.machine).await.map_err(by_cloud)?;
        self.back(&before).await?;
        Ok(format!("{}, and back", sentences::first_line(&found?)))
    }

    /// The rescue system. Booted from a new disk, it has its own host keys, which its console
    /// shows.
    async fn rescued(&self, before: &BootId) -> Result<Running, Failed> {
        let (site, own, deadline) = (self.site, &self.second, self.deadline());
        loop {
            let shown = console::host_keys(&site.cloud.compute().console_log(&own.machine).await?);
            let target = Target { host_keys: shown, ..own.target.clone() };
            if !target.host_keys.is_empty() && target.host_keys != own.target.host_keys {
                let remote = machine::reach(site, &own.machine, &target, deadline).await?;
                return Ok(Running::new(own.machine.clone(), target, remote));
            }
            if let Ok(session) = site
                .cx
                .cancel
                .or(site.connect.connect(&own.target, Duration::from_secs(15)))
                .await?
                && let Ok(now) = answer::boot_id(&*session, SCRIPT).await
                && now != *before
            {
                let why = "in rescue mode the machine runs from the very disk that is to be \
                    rescued: both disks have a file system of \
                           the same UUID or label, and the kernel is told its root by that";
                return Err(why.to_owned().into());
            }
            if Instant::now() > deadline {
                return Err(format!("no rescue system within {} s", site.plan.timeouts.ssh).into());
            }
            site.cx.cancel.pause(site.cloud.compute().poll_interval()).await?;
        }
    }

    async fn snapshot(&mut self, other: Option<&MachinePlan>) -> Result<String, Failed> {
        let Some(other) = other else {
            return Err(Failed::Unable("there is no other size of machine that it fits".into()));
        };
        let (site, plan) = (self.site, self.site.plan);
        let (cx, run, machine) = (site.cx, &plan.run, &self.second.machine);
        site.cloud
            .compute()
            .shutdown(&cx.within(Duration::from_secs(plan.timeouts.shutdown)), machine)
            .await?;
        let name = format!("{run}{}", crate::model::image::SNAPSHOT);
        let image = site
            .cloud
            .compute()
            .capture(&cx.within(Duration::from_secs(plan.timeouts.capture)), machine, &name)
            .await
            .map_err(by_cloud)?;
        // It is used up, and holds part of the quota.
        crate::engine::retire(site, &machine.name).await;
        let login = Arc::new(keys::generate_key(&format!("factory snapshot key {run}")));
        let host = keys::generate_key(&format!("factory snapshot host key {run}"));
        let begin = Instant::now();
        let user_data = cloud_init::builder_user_data(login.public_key(), &host);
        let booted = machine::boot(site, other, (&image, 0), user_data).await.map_err(by_cloud)?;
        // From here on it is the copy that is tried.
        self.second.target = Target {
            host: booted.host.clone(),
            port: booted.port,
            user: self.second.target.user.clone(),
            key: login,
            host_keys: vec![host.public_key().clone()],
        };
        self.second.machine = booted;
        let Running { machine, target, .. } = &self.second;
        self.second.remote = machine::reach(site, machine, target, self.deadline()).await?;
        let size = self.said(include_str!("../../../templates/guest/trials/size.sh")).await?;
        let flavor = other.flavor.as_ref().map(|f| format!("{}: ", f.name)).unwrap_or_default();
        Ok(format!("boots in {} s on {flavor}{size}", begin.elapsed().as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nova and Cinder refuse with 409 as with any other status: a conflict was the image's fault.
    #[test]
    fn a_refusal_blames_nobody_and_a_guest_that_does_not_let_go_its_image() {
        let refused = || CloudError::refused("detach the volume", "it is busy");
        let late = || CloudError::Deadline { what: "detach".into(), after: VOLUME };
        assert!(matches!(Failed::from(refused()), Failed::Refused(_)));
        assert!(matches!(by_cloud(refused()), Failed::Refused(_)));
        assert!(matches!(Failed::from(late()), Failed::Bad(_)));
        assert!(matches!(by_cloud(late()), Failed::Refused(_)));
    }
}

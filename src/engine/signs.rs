//! Observes a booting machine through the cloud and its console: reports problems as they appear,
//! and ends a hopeless wait. Says whether it was the cloud that lost a machine.
use std::time::{Duration, Instant};

use super::{BuildContext, BuildError, console, machine};
use crate::provider::{Machine, Power};

/// How long the console must be quiet before a possibly temporary problem counts. systemd retries a
/// service five times, cloud-init restarts sshd, and an emulated machine takes minutes from a
/// failed network card to sshd.
const GRACE: Duration = Duration::from_secs(120);

/// Observations so far.
#[derive(Default)]
pub(super) struct Signs {
    told: Vec<String>,
    /// The end of the console, and the time since it is unchanged.
    end: Option<(Vec<String>, Instant)>,
    /// Consecutive polls that found it not running.
    stuck: u32,
}

/// Consecutive polls before a machine counts as stuck; a single one may be a hiccup of a loaded
/// host.
const STUCK: u32 = 2;

/// Polls of a machine that is waited for are this many times rarer than where they are the only
/// source of information.
const SELDOM: u32 = 18;
/// Maximum interval between them: whoever waits learns of a machine's end within a minute.
const SELDOM_MOST: Duration = Duration::from_secs(20);

fn seldom(poll: Duration) -> Duration {
    (poll * SELDOM).min(SELDOM_MOST)
}

/// Looks at a machine that is waited for until it will not get any further; returns why. Safe to
/// drop.
pub(super) async fn hopeless(site: &BuildContext<'_>, machine: &Machine) -> BuildError {
    let poll = site.cloud.compute().poll_interval();
    let mut signs = Signs::default();
    loop {
        // What is seen once may be a hiccup, and is looked at again soon.
        let pause = if signs.stuck > 0 { poll } else { seldom(poll) };
        if let Err(e) = site.cx.cancel.pause(pause).await {
            return e.into();
        }
        if let Err(e) = signs.look(site, machine).await {
            return e;
        }
    }
}

/// Fails if the cloud lost the machine: it is gone, or does not run and did not panic. What failed
/// on it says nothing of its image then, nor where the cloud does not tell.
pub(super) async fn lost(site: &BuildContext<'_>, machine: &Machine) -> Result<(), BuildError> {
    let compute = site.cloud.compute();
    let mut stuck = 0;
    let reason = loop {
        match site.cx.cancel.or(compute.power(machine)).await?? {
            Power::On | Power::Off => return Ok(()),
            Power::Gone(why) => break format!("it is gone: {why}"),
            Power::Stuck(_) if stuck + 1 < STUCK => stuck += 1,
            Power::Stuck(_) if trouble(site, machine).await.is_some() => return Ok(()),
            Power::Stuck(why) => break format!("it does not run: {why}"),
        }
        site.cx.cancel.pause(compute.poll_interval()).await?;
    };
    let console = machine::shown_tail(site, machine).await;
    Err(BuildError::MachineLost { machine: machine.name.clone(), reason, console })
}

/// A fatal message on the machine's console.
pub(super) async fn trouble(site: &BuildContext<'_>, machine: &Machine) -> Option<String> {
    let text = site.cloud.compute().console_log(machine).await.ok()?;
    console::trouble(&text).map(|seen| format!("its console says: {seen}"))
}

impl Signs {
    /// Polls once. Fails if the machine will not get any further.
    pub(super) async fn look(
        &mut self,
        site: &BuildContext<'_>,
        machine: &Machine,
    ) -> Result<(), BuildError> {
        let power = site.cloud.compute().power(machine).await;
        self.stuck = if matches!(power, Ok(Power::Stuck(_))) { self.stuck + 1 } else { 0 };
        let reason = match power {
            Ok(Power::Stuck(_)) if self.stuck < STUCK => None,
            Ok(Power::On) | Err(_) => match site.cloud.compute().console_log(machine).await {
                Ok(text) => self.read(site, machine, &text, GRACE),
                Err(_) => None,
            },
            Ok(Power::Off) => Some("it powered itself off".into()),
            Ok(Power::Gone(why)) => Some(format!("it is gone: {why}")),
            Ok(Power::Stuck(why)) => match trouble(site, machine).await {
                Some(seen) => Some(seen),
                None => Some(format!("it does not run: {why}")),
            },
        };
        match reason {
            Some(reason) => Err(machine::not_ready(site, machine, reason).await),
            None => Ok(()),
        }
    }

    /// Why the wait is over, if it is. Reports possibly temporary problems once.
    fn read(
        &mut self,
        site: &BuildContext<'_>,
        machine: &Machine,
        text: &str,
        grace: Duration,
    ) -> Option<String> {
        if let Some(seen) = console::trouble(text) {
            return Some(format!("its console says: {seen}"));
        }
        let end = console::tail(text, 3);
        if self.end.as_ref().is_none_or(|(before, _)| *before != end) {
            self.end = Some((end, Instant::now()));
        }
        let signs = console::signs(text);
        for sign in signs.iter().filter(|sign| !self.told.contains(sign)) {
            site.cx.events.warn(format!("the console of {} says: {sign}", machine.name));
        }
        let quiet = self.end.as_ref().is_some_and(|(_, since)| since.elapsed() >= grace);
        let over = signs.first().filter(|_| quiet).map(|sign| format!("its console says: {sign}"));
        self.told = signs;
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Event, Events, Sink, Stamped};
    use crate::provider::fake::Memory;

    use crate::provider::{Provider, RunCx};
    use crate::system::cancel::Cancel;
    use std::sync::{Arc, Mutex};

    /// Each poll of OpenStack is a request, every 5 s at most. It was asked every 90 s, and twice
    /// before a server in ERROR counted as lost.
    #[test]
    fn a_machine_that_is_waited_for_is_seen_to_end_within_a_minute() {
        for (poll, pause) in [(500, 9_000), (5_000, 20_000), (30_000, 20_000)] {
            let poll = Duration::from_millis(poll);
            assert_eq!(seldom(poll), Duration::from_millis(pause));
        }
        let poll = Duration::from_secs(5);
        // A look that sees it stuck, those after it, and those of `lost`.
        let looks = seldom(poll) + poll * (STUCK - 1) + poll * (STUCK - 1);
        assert!(looks <= Duration::from_secs(30), "{looks:?}");
    }

    #[derive(Clone, Default)]
    struct Warned(Arc<Mutex<Vec<String>>>);

    impl Sink for Warned {
        fn take(&mut self, event: &Stamped) {
            if let Event::Warning { text } = &event.event {
                self.0.lock().unwrap().push(text.clone());
            }
        }
    }

    #[test]
    fn what_may_pass_is_told_once_and_ends_the_wait_in_the_end() {
        let (cloud, warned, dir) = (Memory::new(), Warned::default(), tempfile::tempdir().unwrap());
        let events = Events::default();
        events.add(Box::new(warned.clone()));
        let cx = RunCx::outside(Cancel::default()).with_events(events);
        let plan = crate::wall::example_plan(dir.path());
        let wall = crate::engine::tests::world::no_wall();
        let site = BuildContext {
            cloud: &cloud as &dyn Provider,
            connect: &crate::guest::ssh::Ssh,
            cx: &cx,
            plan: &plan,
            wall: &wall,
            definition: Box::leak(Box::default()),
            scratch: dir.path().into(),
            work: dir.path().into(),
            downloads: dir.path().into(),
            proxies: Default::default(),
            pool: None,
            until: crate::engine::Goal::Published,
            keep_on_failure: false,
            home: Default::default(),
            range: Default::default(),
        };
        let machine = Machine { name: "smoke-a".into(), id: "1".into(), host: "x".into(), port: 1 };
        let failed = "[FAILED] Failed to start ssh.service - OpenBSD Secure Shell server.\n";
        let mut signs = Signs::default();
        assert_eq!(signs.read(&site, &machine, failed, GRACE), None);
        assert_eq!(signs.read(&site, &machine, &failed.repeat(2), GRACE), None);
        assert_eq!(warned.0.lock().unwrap().len(), 1);
        // It starts after all.
        assert_eq!(
            signs.read(
                &site,
                &machine,
                &format!("{failed}[  OK  ] Started ssh.service.\n"),
                Duration::ZERO
            ),
            None
        );
        // A console on which something happens is not quiet, whatever its clock says.
        let short = Duration::from_millis(300);
        for line in 0..4 {
            assert_eq!(signs.read(&site, &machine, &format!("{failed}{line}\n"), short), None);
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(short);
        let over = signs.read(&site, &machine, &format!("{failed}3\n"), short).unwrap();
        assert!(over.starts_with("its console says: sshd did not start"), "{over}");
        // What is final is so at once.
        assert!(
            signs
                .read(&site, &machine, "[    1.000000] Kernel panic - not syncing: x\n", GRACE)
                .is_some()
        );
    }
}

//! The straight line on the in-memory cloud, with a fault at every call, and with machines that
//! misbehave.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::*;
use crate::cancel::Cancel;
use crate::cloud::ledger::Ledger;
use crate::cloud::memory::{Fault, Memory};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::disk::Format;
use crate::event::{Events, Sink, Stamped, Verdict};
use crate::fetch::{ChecksumSource, Download, SourceUri};
use crate::guest::{Command, Exit, OnOutput, OnProgress, Remote, Stream, Target};
use crate::plan::*;

/// Machines that answer every script; some answers can be set.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    /// A script that contains the text ends with this code.
    exits: Vec<(String, i32)>,
    /// The same machine-id for all.
    same_machine_id: bool,
    build_key_opens: bool,
    /// The key that the first machine was logged in to with.
    first_key: Option<String>,
    /// The same boot ID at every question, as of a machine that does not boot again.
    never_reboots: bool,
    /// Boot IDs told so far.
    boots: u32,
    /// Root is let in, and is root.
    root_opens: bool,
    /// Cancels the run when a script contains the text.
    stop_at: Option<(String, Cancel)>,
    /// A script that contains the text ends well, and takes all sessions that there are with it.
    restarts_at: Option<String>,
    /// Restarts so far; a session of before is lost.
    restarts: u32,
    /// What was run, with the port of the machine.
    scripts: Vec<(u16, String)>,
}

/// Port, and the restarts there had been at its begin.
struct FakeRemote(Fake, u16, u32);

impl FakeRemote {
    fn alive(&self) -> Result<(), RemoteError> {
        let restarts = self.0.0.lock().unwrap().restarts;
        if restarts == self.2 { Ok(()) } else { Err(RemoteError::Lost("it was restarted".into())) }
    }
}

/// What a machine prints that runs `script`: of a question the answer between its marks.
fn answer(script: &str, text: &str) -> String {
    let marks =
        script.split_once("trap 'printf \"\\036").and_then(|(_, rest)| rest.split_once(' '));
    marks.map_or(text.to_owned(), |(id, _)| format!("\x1e{id} answer\n{text}\x1e{id} end\n"))
}

#[async_trait]
impl Connect for Fake {
    async fn connect(&self, target: &Target, _: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        let mut answers = self.0.lock().unwrap();
        let key = target.key.public_key().to_openssh().unwrap();
        let first = answers.first_key.get_or_insert_with(|| key.clone()).clone();
        let root = target.user == "root" && !answers.root_opens;
        let foreign = key == first && target.port > 3 && !answers.build_key_opens;
        if root || foreign {
            return Err(RemoteError::Refused {
                user: target.user.clone(),
                host: target.host.clone(),
                port: target.port,
            });
        }
        Ok(Arc::new(FakeRemote(self.clone(), target.port, answers.restarts)))
    }
}

#[async_trait]
impl Remote for FakeRemote {
    async fn exec(&self, command: Command, mut output: OnOutput) -> Result<Exit, RemoteError> {
        self.alive()?;
        let mut answers = self.0.0.lock().unwrap();
        let script = String::from_utf8_lossy(&command.script).into_owned();
        answers.scripts.push((self.1, script.clone()));
        if answers.restarts_at.as_ref().is_some_and(|text| script.contains(text)) {
            answers.restarts += 1;
        }
        if let Some((text, cancel)) = &answers.stop_at
            && script.contains(text.as_str())
        {
            cancel.signal();
        }
        if script.contains("/etc/machine-id") && !command.sudo {
            let id = if answers.same_machine_id { 7 } else { self.1 };
            output(Stream::Stdout, answer(&script, &format!("{id:032x}\n")).as_bytes());
        } else if script.contains("boot_id") {
            answers.boots += u32::from(!answers.never_reboots);
            let id = format!("00000000-0000-4000-8000-{:012x}\n", answers.boots);
            output(Stream::Stdout, answer(&script, &id).as_bytes());
        } else if script.ends_with("\nid -u") {
            output(Stream::Stdout, answer(&script, "0\n").as_bytes());
        } else {
            output(Stream::Stdout, answer(&script, "all is well\n").as_bytes());
        }
        let code = answers
            .exits
            .iter()
            .find(|(text, _)| script.contains(text.as_str()))
            .map_or(0, |(_, code)| *code);
        Ok(Exit::Code(code))
    }

    async fn put(
        &self,
        _: &Path,
        _: &str,
        _: bool,
        _: Duration,
        _: OnProgress,
    ) -> Result<(), RemoteError> {
        Ok(())
    }

    async fn ping(&self, _: Duration) -> Result<(), RemoteError> {
        self.alive()
    }
}

/// What is built in here brings nothing that a wall would be for; `test-tools/it/wall.rs` has what
/// does.
fn no_wall() -> Wall {
    let settings =
        crate::settings::Settings { wall: crate::settings::Mode::Off, ..Default::default() };
    Wall::new(crate::wall::Config {
        settings,
        env: BTreeMap::new(),
        home: None,
        hidden: Vec::new(),
    })
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Event>>>);

impl Sink for Seen {
    fn take(&mut self, event: &Stamped) {
        self.0.lock().unwrap().push(event.event.clone());
    }
}

struct World {
    /// Checks besides those that a bundle has on.
    add: &'static [&'static str],
    cloud: Memory,
    fake: Fake,
    cancel: Cancel,
    seen: Seen,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let cloud = Memory::new();
        cloud.add_image("base", "base");
        Self {
            add: &[],
            cloud,
            fake: Fake::default(),
            cancel: Cancel::default(),
            seen: Seen::default(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn plan(&self) -> Plan {
        let base = futures_base(&self.cloud);
        let machine = |role: &str| MachinePlan {
            name: format!("factory-r1-{role}"),
            cpus: 1,
            ram_mib: 512,
            disk_gib: Some(4),
            flavor: None,
        };
        Plan {
            run: "r1".into(),
            at: Timestamp::UNIX_EPOCH,
            bundle: "images/x".into(),
            bundle_dir: self.dir.path().into(),
            family: "x".into(),
            image_name: "x-1".into(),
            cloud: "memory".into(),
            how: String::new(),
            site: None,
            origin: Origin::Base(Box::new(base)),
            builder: Some(machine("builder")),
            ssh_user: "debian".into(),
            steps: vec![StepPlan {
                name: "install".into(),
                action: StepAction::Shell { text: "install-it".into() },
                timeout: 60,
                retries: 0,
                env: BTreeMap::new(),
                sudo: false,
                key: None,
            }],
            tidy: vec!["logs".into()],
            smoke: Some({
                let mut smoke = SmokePlan::of_test(machine("smoke-a"), machine("smoke-b"));
                smoke.checks.extend(self.add.iter().map(|id| (*id).to_owned()));
                smoke.other = Some(machine("smoke-c"));
                smoke
            }),
            publish: Publication {
                name: "x-1".into(),
                family: "x".into(),
                properties: [("k".into(), "v".into()), (crate::image::RUN.into(), "r1".into())]
                    .into(),
                set_by: BTreeMap::new(),
                tags: Vec::new(),
                min_disk_gib: None,
                min_ram_mib: 0,
                visibility: crate::image::Visibility::Private,
                members: Vec::new(),
                protected: false,
                hidden: false,
            },
            templates: Vec::new(),
            timeouts: TimeoutPlan {
                boot: 5,
                ssh: 5,
                capture: 5,
                upload: 5,
                shutdown: 5,
                source: 5,
            },
            commit: None,
            asks: Default::default(),
            keep: None,
            ansible: None,
            notes: Vec::new(),
        }
    }

    async fn build(&self) -> Outcome {
        self.build_plan(self.plan()).await
    }

    async fn build_plan(&self, plan: Plan) -> Outcome {
        let ledger = Ledger::open(&self.dir.path().join("ledger.jsonl")).unwrap();
        let events = Events::default();
        events.add(Box::new(self.seen.clone()));
        let cx = Cx { ledger, events, cancel: self.cancel.clone() };
        let site = BuildContext {
            cloud: &self.cloud,
            connect: &self.fake,
            cx: &cx,
            plan: &plan,
            wall: &no_wall(),
            scratch: self.dir.path().into(),
            work: self.dir.path().into(),
            downloads: self.dir.path().join("downloads"),
            proxies: Default::default(),
            until: Goal::Published,
            keep_on_failure: false,
        };
        build(&site).await
    }

    fn failed_checks(&self) -> Vec<String> {
        self.checks(Verdict::Failed).into_iter().map(|(id, _)| id).collect()
    }

    /// IDs and reasons of the checks that ended so.
    fn checks(&self, verdict: Verdict) -> Vec<(String, String)> {
        let seen = self.seen.0.lock().unwrap();
        seen.iter()
            .filter_map(|e| match e {
                Event::Check(c) if c.verdict == verdict => Some((c.id.clone(), c.reason.clone())),
                _ => None,
            })
            .collect()
    }
}

fn futures_base(cloud: &Memory) -> Image {
    let images =
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(cloud.images()))
            .unwrap();
    images.into_iter().find(|i| i.family == "base").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exists_after_a_build_is_the_image() {
    let world = World::new();
    let before = world.cloud.snapshot();
    let outcome = world.build().await;
    let Ok(Built::Image(image)) = outcome.result else { panic!("{:?}", outcome.result) };
    assert!(outcome.leaks.is_empty());
    assert_eq!(
        (image.name.as_str(), image.state, image.properties["k"].as_str()),
        ("x-1", crate::image::State::Active, "v")
    );
    let passed = world.checks(Verdict::Passed).len();
    assert!(passed > 5);
    let skipped = world.checks(Verdict::Skipped).len();
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    assert_eq!(image.properties[crate::image::TESTS], format!("{passed} passed{skipped}"));
    let after: Vec<_> =
        world.cloud.snapshot().into_iter().filter(|l| !before.contains(l)).collect();
    assert_eq!(after.len(), 1, "{after:?}");
}

/// Whatever call fails, and however, nothing is left and no staged image is published.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_every_call_leaves_nothing() {
    let calls = {
        let world = World::new();
        world.build().await.result.unwrap();
        world.cloud.calls()
    };
    assert!(calls > 8, "{calls} mutating calls are too few to be a build");
    for fault in [Fault::Refuse, Fault::LoseReply] {
        for call in 1..=calls {
            let world = World::new();
            let before = world.cloud.snapshot();
            world.cloud.fail_at(call, fault);
            let outcome = world.build().await;
            let left: Vec<_> =
                world.cloud.snapshot().into_iter().filter(|l| !before.contains(l)).collect();
            let told = format!(
                "call {call} {fault:?}: {:?}, leaks {:?}, left {left:?}",
                outcome.result, outcome.leaks
            );
            match &outcome.result {
                // A deletion on the way home failed: the image is there, and what stayed is told.
                Ok(_) => {
                    let published = left.iter().filter(|l| l.contains(" active ")).count();
                    assert_eq!(published, 1, "{told}");
                    assert!(left.len() - 1 <= outcome.leaks.len(), "{told}");
                }
                Err(_) => assert!(left.is_empty() && outcome.leaks.is_empty(), "{told}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_publishes_nothing_and_is_named() {
    let world = World::new();
    let before = world.cloud.snapshot();
    world.fake.0.lock().unwrap().exits.push(("install-it".into(), 3));
    let outcome = world.build().await;
    let error = outcome.result.unwrap_err();
    assert_eq!(error.to_string(), "step 1, install: exit code 3: all is well");
    assert_eq!(before, world.cloud.snapshot());
}

/// A plan of a project: the machines have the flavors that are planned, the second smoke machine
/// the one that the image claims to suffice; a single one for all would prove nothing of the claim.
#[tokio::test(flavor = "multi_thread")]
async fn each_machine_boots_on_the_flavor_that_is_planned() {
    let world = World::new();
    let named = |name: &str| Named { id: format!("id-{name}"), name: name.into() };
    let mut plan = world.plan();
    plan.site = Some(site_admitting(Vec::new()));
    plan.builder.as_mut().unwrap().flavor = Some(named("small"));
    let smoke = plan.smoke.as_mut().unwrap();
    (smoke.first.flavor, smoke.second.flavor) = (Some(named("small")), Some(named("thin")));
    world.build_plan(plan).await.result.unwrap();
    let flavor = |role: &str| {
        let all = world.cloud.booted();
        let spec = all.iter().find(|spec| spec.name == format!("factory-r1-{role}")).unwrap();
        spec.place.as_ref().unwrap().flavor.id.clone()
    };
    assert_eq!(["builder", "smoke-a", "smoke-b"].map(flavor), ["id-small", "id-small", "id-thin"]);
}

fn site_admitting(ssh_from: Vec<String>) -> Placement {
    Placement {
        networks: Vec::new(),
        floating_network: Some(Named { id: "n".into(), name: "public".into() }),
        security: Security::Temporary { ssh_from },
        zone: None,
        volume: None,
        reached_on: None,
    }
}

/// SSH from another address than the group admits gets no answer, as from a machine that hangs: the
/// setting is named with the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_not_reached_is_told_with_the_setting() {
    struct Deaf;

    #[async_trait]
    impl Connect for Deaf {
        async fn connect(
            &self,
            target: &Target,
            _: Duration,
        ) -> Result<Arc<dyn Remote>, RemoteError> {
            Err(RemoteError::Unreachable {
                host: target.host.clone(),
                port: target.port,
                reason: "no answer in time".into(),
            })
        }
    }
    let (world, wall) = (World::new(), no_wall());
    for (ssh_from, said) in [
        (Vec::new(), "admits SSH from this machine's address"),
        (vec!["192.0.2.9/32".to_owned()], "admits SSH from 192.0.2.9/32"),
    ] {
        let mut plan = world.plan();
        (plan.site, plan.timeouts.ssh) = (Some(site_admitting(ssh_from)), 1);
        let ledger = Ledger::open(&world.dir.path().join("l")).unwrap();
        let cx = Cx { ledger, events: Events::default(), cancel: Cancel::default() };
        let outcome = build(&BuildContext {
            keep_on_failure: false,
            ..site(&world, &Deaf, &plan, &cx, &wall)
        })
        .await;
        let error = outcome.result.unwrap_err().to_string();
        assert!(outcome.leaks.is_empty(), "{:?}", outcome.leaks);
        for part in ["SSH not ready after 1 s", "no answer in time", said, "FACTORY_SSH_FROM"] {
            assert!(error.contains(part), "`{part}` is not in {error}");
        }
    }
}

/// What a base installs at its boot is waited for before the first step, and not again.
#[tokio::test(flavor = "multi_thread")]
async fn the_package_manager_is_waited_for_before_the_first_step() {
    let world = World::new();
    world.build().await.result.unwrap();
    let answers = world.fake.0.lock().unwrap();
    let places = |text: &str| {
        let of =
            answers.scripts.iter().enumerate().filter(|(_, (_, script))| script.contains(text));
        of.map(|(place, (port, _))| (place, *port)).collect::<Vec<_>>()
    };
    let (waits, steps) = (places("apt-daily.timer"), places("install-it"));
    let ([(wait, builder), ..], [(step, on)]) = (&waits[..], &steps[..]) else {
        panic!("{waits:?} {steps:?}")
    };
    assert!(wait < step && builder == on, "{waits:?} {steps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_publishes_nothing() {
    let world = World::new();
    let before = world.cloud.snapshot();
    world.fake.0.lock().unwrap().exits.push(("--failed".into(), 1));
    let outcome = world.build().await;
    assert!(matches!(outcome.result, Err(BuildError::Smoke { .. })), "{:?}", outcome.result);
    assert_eq!(world.failed_checks(), ["failed-units"]);
    assert_eq!(before, world.cloud.snapshot());
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_identities_are_noticed() {
    let world = World::new();
    world.fake.0.lock().unwrap().same_machine_id = true;
    let key =
        ssh_key::PrivateKey::random(&mut rand_core::OsRng, ssh_key::Algorithm::Ed25519).unwrap();
    world.cloud.set_host_keys(vec![key.public_key().to_openssh().unwrap()]);
    assert!(matches!(world.build().await.result, Err(BuildError::Smoke { .. })));
    assert_eq!(world.failed_checks(), ["host-keys-unique", "machine-id-unique"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_key_that_opens_the_image_is_noticed() {
    let world = World::new();
    world.fake.0.lock().unwrap().build_key_opens = true;
    assert!(matches!(world.build().await.result, Err(BuildError::Smoke { .. })));
    assert_eq!(world.failed_checks(), ["build-key-refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_gets_a_shell_is_noticed() {
    let world = World::new();
    world.fake.0.lock().unwrap().root_opens = true;
    assert!(matches!(world.build().await.result, Err(BuildError::Smoke { .. })));
    assert_eq!(world.failed_checks(), ["root-ssh"]);
}

const TRIALS: &[&str] = &["screen", "volume", "reboot-soft", "reboot-hard", "rescue", "snapshot"];

/// What the cloud cannot do is skipped and says why; what it can do is done, and nothing of it is
/// left.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_machine_is_put_through_what_the_cloud_can_do() {
    let world = World { add: TRIALS, ..World::new() };
    let before = world.cloud.snapshot();
    let outcome = world.build().await;
    assert!(matches!(outcome.result, Ok(Built::Image(_))), "{:?}", outcome.result);
    assert!(outcome.leaks.is_empty());
    let skipped = world.checks(Verdict::Skipped);
    assert_eq!(
        skipped.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
        ["screen", "volume", "rescue"]
    );
    assert!(skipped.iter().all(|(_, why)| why.contains("in memory")), "{skipped:?}");
    let passed: Vec<String> = world.checks(Verdict::Passed).into_iter().map(|(id, _)| id).collect();
    assert!(
        ["reboot-soft", "reboot-hard", "snapshot"].iter().all(|id| passed.iter().any(|p| p == id)),
        "{passed:?}"
    );
    let left: Vec<_> = world.cloud.snapshot().into_iter().filter(|l| !before.contains(l)).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_come_back_fails_and_is_tried_no_further() {
    let world = World { add: TRIALS, ..World::new() };
    world.fake.0.lock().unwrap().never_reboots = true;
    assert!(matches!(world.build().await.result, Err(BuildError::Smoke { .. })));
    assert_eq!(
        world.checks(Verdict::Failed),
        [("reboot-soft".to_owned(), "it did not boot again within 5 s".to_owned())]
    );
    let skipped = world.checks(Verdict::Skipped);
    let later = ["reboot-hard", "rescue", "snapshot"]
        .map(|id| (id.to_owned(), "not tried, because reboot-soft failed".to_owned()));
    assert!(later.iter().all(|one| skipped.contains(one)), "{skipped:?}");
}

/// Case 36: the power of a machine was cut seconds after its birth, with its new host keys in
/// memory alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cycle_is_asked_of_a_machine_at_rest() {
    let world = World { add: &["reboot-hard"], ..World::new() };
    assert!(matches!(world.build().await.result, Ok(Built::Image(_))));
    let scripts = world.fake.0.lock().unwrap().scripts.clone();
    let sync = scripts
        .iter()
        .position(|(_, script)| script.contains("\nsync\n"))
        .expect("nothing was synced");
    let of_it = |part: &[(u16, String)]| {
        part.iter().filter(|(port, s)| *port == scripts[sync].0 && s.contains("boot_id")).count()
    };
    assert_eq!(
        (of_it(&scripts[..sync]), of_it(&scripts[sync..])),
        (1, 1),
        "before the cut, and after the boot ID was asked"
    );
}

/// Of two machines side by side one has panicked, and the other takes its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_panicked_is_named_before_the_other_is_up() {
    let world = World::new();
    let before = world.cloud.snapshot();
    world.cloud.set_console("factory-r1-smoke-a", "[    0.000000] Linux version 6.1.0\n");
    world.cloud.set_console(
        "factory-r1-smoke-b",
        "[    0.000000] Linux version 6.1.0\n[    1.0] Kernel panic - not syncing: VFS\n",
    );
    let plan = world.plan();
    let plan = Plan { timeouts: TimeoutPlan { ssh: 300, ..plan.timeouts.clone() }, ..plan };
    let begin = std::time::Instant::now();
    assert!(matches!(world.build_plan(plan).await.result, Err(BuildError::Smoke { .. })));
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    let failed = world.checks(Verdict::Failed);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        failed[0],
        ("boots".into(), "factory-r1-smoke-b: its console says: the kernel panicked: VFS".into())
    );
    assert_eq!(before, world.cloud.snapshot());
}

/// A playbook with Ansible's `reboot`, a script that restarts the network: it went well, and our
/// own session went with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_restarts_the_machine_is_followed_by_the_next() {
    let world = World::new();
    world.fake.0.lock().unwrap().restarts_at = Some("install-it".into());
    let mut plan = world.plan();
    let next = StepPlan {
        action: StepAction::Shell { text: "second-it".into() },
        ..plan.steps[0].clone()
    };
    plan.steps.push(next);
    let result = world.build_plan(plan).await.result;
    assert!(matches!(result, Ok(Built::Image(_))), "{result:?}");
    assert!(world.fake.0.lock().unwrap().scripts.iter().any(|(_, s)| s.contains("second-it")));
}

/// What both machines do is named, and not what one of them did last.
#[tokio::test(flavor = "multi_thread")]
async fn what_both_machines_do_is_told() {
    let world = World::new();
    // One waits until time is up.
    world.cloud.set_console("factory-r1-smoke-a", "[    0.000000] Linux version 6.1.0\n");
    let plan = world.plan();
    let plan = Plan { timeouts: TimeoutPlan { ssh: 1, ..plan.timeouts.clone() }, ..plan };
    assert!(world.build_plan(plan).await.result.is_err());
    let seen = world.seen.0.lock().unwrap();
    let doing: Vec<&String> = seen
        .iter()
        .filter_map(|e| if let Event::Doing { what } = e { Some(what) } else { None })
        .collect();
    let both = |what: &&&String| what.contains("smoke-a") && what.contains("smoke-b");
    assert!(doing.iter().any(|what| both(&what)), "{doing:?}");
}

/// A machine on which a step never ends.
struct Hang(Fake);

struct HangRemote(Arc<dyn Remote>);

#[async_trait]
impl Connect for Hang {
    async fn connect(
        &self,
        target: &Target,
        limit: Duration,
    ) -> Result<Arc<dyn Remote>, RemoteError> {
        Ok(Arc::new(HangRemote(self.0.connect(target, limit).await?)))
    }
}

#[async_trait]
impl Remote for HangRemote {
    async fn exec(&self, command: Command, output: OnOutput) -> Result<Exit, RemoteError> {
        if String::from_utf8_lossy(&command.script).contains("install-it") {
            std::future::pending().await
        } else {
            self.0.exec(command, output).await
        }
    }
    async fn put(
        &self,
        a: &Path,
        b: &str,
        c: bool,
        d: Duration,
        e: OnProgress,
    ) -> Result<(), RemoteError> {
        self.0.put(a, b, c, d, e).await
    }
    async fn ping(&self, limit: Duration) -> Result<(), RemoteError> {
        self.0.ping(limit).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_powers_off_in_mid_step_is_named() {
    let world = World::new();
    let plan = world.plan();
    let cx = Cx {
        ledger: Ledger::open(&world.dir.path().join("l")).unwrap(),
        events: Events::default(),
        cancel: Cancel::default(),
    };
    let site = BuildContext {
        cloud: &world.cloud,
        connect: &Hang(world.fake.clone()),
        cx: &cx,
        plan: &plan,
        wall: &no_wall(),
        scratch: world.dir.path().into(),
        work: world.dir.path().into(),
        downloads: world.dir.path().join("downloads"),
        proxies: Default::default(),
        until: Goal::Published,
        keep_on_failure: false,
    };
    let off = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.cloud.set_power("factory-r1-builder", crate::cloud::Power::Gone("killed".into()));
    };
    let (outcome, ()) = tokio::join!(build(&site), off);
    assert_eq!(outcome.result.unwrap_err().to_string(), "the builder was lost: it is gone: killed");
}

/// What a script leaves running goes with a build that fails, though its machine stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_kept_keeps_nothing_else() {
    let (world, wall) = (World::new(), no_wall());
    world.fake.0.lock().unwrap().exits.push(("install-it".into(), 3));
    let plan = Plan { run: "r-kept".into(), ..world.plan() };
    let cx = Cx {
        ledger: Ledger::open(&world.dir.path().join("l")).unwrap(),
        events: Events::default(),
        cancel: Cancel::default(),
    };
    let mut left = std::process::Command::new("sleep")
        .arg("60")
        .env(exec::RUN_MARK, &plan.run)
        .spawn()
        .unwrap();
    let connect = world.fake.clone();
    let outcome = build(&site(&world, &connect, &plan, &cx, &wall)).await;
    let ended = left.try_wait().unwrap();
    let _ = left.kill();
    left.wait().unwrap();
    assert!(outcome.kept.is_some() && outcome.leaks.is_empty(), "{:?}", outcome.leaks);
    assert!(ended.is_some(), "it still runs");
}

/// A guest or a script that fills the disk: the run ends before the ledger cannot be written, and
/// everything is unwound.
#[test]
fn a_disk_that_gets_full_ends_the_run() {
    on_small_disk(async |dir| fill(dir, Goal::Published).await);
}

/// `shell` ends as a build does: its prompt is not opened, and one signal is no second one for it.
#[test]
fn a_disk_that_gets_full_before_the_prompt_leaves_nothing() {
    on_small_disk(async |dir| fill(dir, Goal::Provisioned(&Nobody)).await);
}

fn on_small_disk(test: impl AsyncFnOnce(&Path) + Send) {
    crate::disk::tests::small_disk::on_small_disk(64, |dir| {
        tokio::runtime::Runtime::new().unwrap().block_on(test(dir))
    });
}

/// Nothing is left of a disk of 64 MiB.
fn fill_up(dir: &Path) {
    std::fs::write(dir.join("overlay"), vec![1; 60 << 20]).unwrap();
}

struct Nobody;

#[async_trait]
impl Interactive for Nobody {
    async fn open(&self, _: &SshAccess, _: Option<&BuildError>) {
        panic!("a prompt that nobody wants");
    }
}

/// The write of a publication is not taken back by ending the run: it is told.
#[test]
fn what_was_published_is_told_though_the_disk_got_full() {
    on_small_disk(async |dir| {
        let (world, wall) = (World::new(), no_wall());
        let cx = Cx {
            ledger: Ledger::open(&dir.join("l")).unwrap(),
            events: Events::default(),
            cancel: Cancel::default(),
        };
        let (connect, plan) = (Hang(world.fake.clone()), world.plan());
        let site = BuildContext { work: dir.into(), ..site(&world, &connect, &plan, &cx, &wall) };
        let publishing = async {
            fill_up(dir);
            tokio::time::sleep(Duration::from_millis(1200)).await;
            Ok("published")
        };
        assert_eq!(site.stage(Stage::Publish, publishing).await.unwrap(), "published");
        assert!(cx.cancel.check().is_ok());
    });
}

/// The cloud in memory is elsewhere: none but the run's own files and its source are a reason to
/// end it.
#[test]
fn a_disk_that_others_fill_ends_no_run_elsewhere() {
    on_small_disk(async |dir| {
        let (world, wall) = (World::new(), no_wall());
        let (connect, plan, own) = (world.fake.clone(), world.plan(), dir.join("own"));
        std::fs::create_dir(&own).unwrap();
        for (stage, filled, ends) in [
            (Stage::Capture, dir, false),
            (Stage::Source, dir, true),
            (Stage::Provision, &own, true),
        ] {
            let cx =
                Cx { ledger: Ledger::none(), events: Events::default(), cancel: Cancel::default() };
            let site =
                BuildContext { work: own.clone(), ..site(&world, &connect, &plan, &cx, &wall) };
            let filling = async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                fill_up(filled);
                tokio::time::sleep(Duration::from_millis(1800)).await;
                Ok(())
            };
            let result = site.stage(stage, filling).await;
            assert_eq!(matches!(result, Err(BuildError::Space(_))), ends, "{stage:?}: {result:?}");
            std::fs::remove_file(filled.join("overlay")).unwrap();
        }
    });
}

/// Of a build to its end, on machines that `connect` reaches.
fn site<'a>(
    world: &'a World,
    connect: &'a dyn Connect,
    plan: &'a Plan,
    cx: &'a Cx,
    wall: &'a Wall,
) -> BuildContext<'a> {
    BuildContext {
        cloud: &world.cloud,
        connect,
        cx,
        plan,
        wall,
        scratch: world.dir.path().into(),
        work: world.dir.path().into(),
        downloads: world.dir.path().join("downloads"),
        proxies: Default::default(),
        until: Goal::Published,
        keep_on_failure: true,
    }
}

async fn fill(dir: &Path, until: Goal<'_>) {
    let world = World::new();
    let before = world.cloud.snapshot();
    let plan = world.plan();
    let all = Cancel::default();
    let cx = Cx {
        ledger: Ledger::open(&dir.join("l")).unwrap(),
        events: Events::default(),
        cancel: all.child(),
    };
    let (connect, wall) = (Hang(world.fake.clone()), no_wall());
    let site = BuildContext {
        work: dir.into(),
        downloads: dir.join("downloads"),
        until,
        ..site(&world, &connect, &plan, &cx, &wall)
    };
    let filling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fill_up(dir);
    };
    let begin = std::time::Instant::now();
    let (outcome, ()) = tokio::join!(build(&site), filling);
    let error = outcome.result.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("nearly full") && said.contains("overlay with 60 MiB"), "{said}");
    assert!(
        !error.is_cancelled() && outcome.kept.is_none() && outcome.leaks.is_empty(),
        "{:?}",
        outcome.leaks
    );
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(world.cloud.snapshot(), before);
    assert_eq!(cx.ledger.entries(), [], "the ledger was written to the end");
    assert!(all.check().is_ok() && !cx.cancel.is_fast(), "other runs go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_in_mid_step_unwinds_everything() {
    let world = World::new();
    let before = world.cloud.snapshot();
    world.fake.0.lock().unwrap().stop_at = Some(("install-it".into(), world.cancel.clone()));
    let outcome = world.build().await;
    assert!(outcome.result.unwrap_err().is_cancelled() && outcome.leaks.is_empty());
    assert_eq!(before, world.cloud.snapshot());
}

/// `shell` that is stopped in its steps: whoever stopped it wants no prompt.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_before_the_prompt_opens_none() {
    let world = World::new();
    let before = world.cloud.snapshot();
    world.fake.0.lock().unwrap().stop_at = Some(("install-it".into(), world.cancel.clone()));
    let cx = Cx {
        ledger: Ledger::open(&world.dir.path().join("l")).unwrap(),
        events: Events::default(),
        cancel: world.cancel.clone(),
    };
    let (connect, plan, wall) = (world.fake.clone(), world.plan(), no_wall());
    let outcome = build(&BuildContext {
        until: Goal::Provisioned(&Nobody),
        ..site(&world, &connect, &plan, &cx, &wall)
    })
    .await;
    assert!(outcome.result.unwrap_err().is_cancelled() && outcome.leaks.is_empty());
    assert_eq!(before, world.cloud.snapshot());
}

/// A packed disk of this machine, with its checksum: unpacked, looked into, taken in, and published
/// without a builder.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_from_elsewhere_becomes_the_image_only_if_it_is_right() {
    use std::io::Write;
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&disk).unwrap();
    let packed = packed.finish().unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&packed);
    let right = hasher.finish();
    let wrong = Digest { hex: "0".repeat(64), ..right.clone() };

    for (digest, format, told) in [
        (&right, None, ""),
        (&right, Some(Format::Raw), ""),
        (&right, Some(Format::Qcow2), "disk.raw.gz: is raw, and not qcow2 as `source.format` says"),
        (&wrong, None, "disk.raw.gz is not what it should be"),
    ] {
        let world = World::new();
        let before = world.cloud.snapshot();
        let file = world.dir.path().join("disk.raw.gz");
        std::fs::write(&file, &packed).unwrap();
        let wish = Download {
            from: SourceUri::File(file),
            sum: Some(ChecksumSource::Given(digest.clone())),
        };
        let plan = Plan {
            origin: Origin::Url { wish, format },
            builder: None,
            steps: Vec::new(),
            ..world.plan()
        };
        let outcome = world.build_plan(plan).await;
        match outcome.result {
            Ok(Built::Image(image)) => {
                assert_eq!((told, image.size, image.name.as_str()), ("", (1 << 20) / 10, "x-1"));
                assert!(world.seen.0.lock().unwrap().iter().any(
                    |e| matches!(e, Event::Note { text } if text.ends_with(&right.to_string()))
                ));
            }
            Ok(other) => panic!("{other:?}"),
            Err(e) => {
                assert!(!told.is_empty() && e.to_string().contains(told), "{e}");
                assert_eq!(before, world.cloud.snapshot());
            }
        }
        assert!(outcome.leaks.is_empty());
    }
}

//! The straight line on the in-memory cloud, with a fault at every call, and with machines that misbehave.
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
use crate::event::{Events, Sink, Stamped, Verdict};
use crate::plan::*;
use crate::remote::{Command, Exit, OnOutput, OnProgress, Remote, Stream, Target};

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
    /// Cancels the run when a script contains the text.
    stop_at: Option<(String, Cancel)>,
}

struct FakeRemote(Fake, u16);

#[async_trait]
impl Connect for Fake {
    async fn connect(&self, target: &Target, _: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        let mut answers = self.0.lock().unwrap();
        let key = target.key.public_key().to_openssh().unwrap();
        let first = answers.first_key.get_or_insert_with(|| key.clone()).clone();
        let foreign = target.user == "root" || (key == first && target.port > 3);
        if foreign && !answers.build_key_opens {
            return Err(RemoteError::Refused { user: target.user.clone(), host: target.host.clone(), port: target.port });
        }
        Ok(Arc::new(FakeRemote(self.clone(), target.port)))
    }
}

#[async_trait]
impl Remote for FakeRemote {
    async fn exec(&self, command: Command, mut output: OnOutput) -> Result<Exit, RemoteError> {
        let answers = self.0.0.lock().unwrap();
        if let Some((text, cancel)) = &answers.stop_at
            && command.script.contains(text.as_str())
        {
            cancel.signal();
        }
        if command.script.contains("/etc/machine-id") && !command.sudo {
            let id = if answers.same_machine_id { 7 } else { self.1 };
            output(Stream::Stdout, format!("{id:032x}\n").as_bytes());
        } else {
            output(Stream::Stdout, b"all is well\n");
        }
        let code = answers.exits.iter().find(|(text, _)| command.script.contains(text.as_str())).map_or(0, |(_, code)| *code);
        Ok(Exit::Code(code))
    }

    async fn put(&self, _: &Path, _: &str, _: bool, _: Duration, _: OnProgress) -> Result<(), RemoteError> {
        Ok(())
    }

    async fn ping(&self, _: Duration) -> Result<(), RemoteError> {
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Event>>>);

impl Sink for Seen {
    fn take(&mut self, event: &Stamped) {
        self.0.lock().unwrap().push(event.event.clone());
    }
}

struct World {
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
        Self { cloud, fake: Fake::default(), cancel: Cancel::default(), seen: Seen::default(), dir: tempfile::tempdir().unwrap() }
    }

    fn plan(&self) -> Plan {
        let base = futures_base(&self.cloud);
        let machine = |role: &str| MachinePlan { name: format!("factory-r1-{role}"), cpus: 1, ram_mb: 512, disk_gb: Some(4), flavor: None };
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
                action: ActionPlan::Shell { text: "install-it".into() },
                timeout: 60,
                retries: 0,
                env: BTreeMap::new(),
                sudo: false,
            }],
            tidy: vec!["logs".into()],
            smoke: Some(SmokePlan {
                first: machine("smoke-a"),
                second: machine("smoke-b"),
                grow_gb: 1,
                tests: Vec::new(),
                skip: Vec::new(),
                check_timeout: 60,
            }),
            publish: Publication {
                name: "x-1".into(),
                family: "x".into(),
                properties: [("k".into(), "v".into())].into(),
                tags: Vec::new(),
                min_disk_gb: None,
                min_ram_mb: 0,
                visibility: crate::image::Visibility::Private,
                members: Vec::new(),
                protected: false,
                hidden: false,
            },
            templates: Vec::new(),
            timeouts: TimeoutPlan { boot: 5, ssh: 5, capture: 5, upload: 5, shutdown: 5, source: 5 },
            commit: None,
            keep: None,
        }
    }

    async fn build(&self) -> Outcome {
        let ledger = Ledger::open(&self.dir.path().join("ledger.jsonl")).unwrap();
        let events = Events::default();
        events.add(Box::new(self.seen.clone()));
        let cx = Cx { ledger, events, cancel: self.cancel.clone() };
        let plan = self.plan();
        let site = Site {
            cloud: &self.cloud,
            connect: &self.fake,
            cx: &cx,
            plan: &plan,
            scratch: self.dir.path().into(),
            work: self.dir.path().into(),
            until: Until::Published,
            keep_on_failure: false,
        };
        build(&site).await
    }

    fn failed_checks(&self) -> Vec<String> {
        self.checks(Verdict::Failed)
    }

    fn checks(&self, verdict: Verdict) -> Vec<String> {
        let seen = self.seen.0.lock().unwrap();
        seen.iter()
            .filter_map(|e| match e {
                Event::Check(c) if c.verdict == verdict => Some(c.id.clone()),
                _ => None,
            })
            .collect()
    }
}

fn futures_base(cloud: &Memory) -> Image {
    let images = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(cloud.images())).unwrap();
    images.into_iter().find(|i| i.family == "base").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exists_after_a_build_is_the_image() {
    let world = World::new();
    let before = world.cloud.snapshot();
    let outcome = world.build().await;
    let Ok(Built::Image(image)) = outcome.result else { panic!("{:?}", outcome.result) };
    assert!(outcome.leaks.is_empty());
    assert_eq!((image.name.as_str(), image.state, image.properties["k"].as_str()), ("x-1", crate::image::State::Active, "v"));
    let passed = world.checks(Verdict::Passed).len();
    assert!(passed > 5);
    assert_eq!(image.properties[crate::image::TESTS], format!("{passed} passed"));
    let after: Vec<_> = world.cloud.snapshot().into_iter().filter(|l| !before.contains(l)).collect();
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
            let left: Vec<_> = world.cloud.snapshot().into_iter().filter(|l| !before.contains(l)).collect();
            let told = format!("call {call} {fault:?}: {:?}, leaks {:?}, left {left:?}", outcome.result, outcome.leaks);
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
    let key = ssh_key::PrivateKey::random(&mut rand_core::OsRng, ssh_key::Algorithm::Ed25519).unwrap();
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
async fn a_builder_that_powers_off_in_mid_step_is_named() {
    let world = World::new();
    // The step never ends; the watch must.
    struct Hang(Fake);
    struct HangRemote(Arc<dyn Remote>);
    #[async_trait]
    impl Connect for Hang {
        async fn connect(&self, target: &Target, limit: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
            Ok(Arc::new(HangRemote(self.0.connect(target, limit).await?)))
        }
    }
    #[async_trait]
    impl Remote for HangRemote {
        async fn exec(&self, command: Command, output: OnOutput) -> Result<Exit, RemoteError> {
            if command.script.contains("install-it") { std::future::pending().await } else { self.0.exec(command, output).await }
        }
        async fn put(&self, a: &Path, b: &str, c: bool, d: Duration, e: OnProgress) -> Result<(), RemoteError> {
            self.0.put(a, b, c, d, e).await
        }
        async fn ping(&self, limit: Duration) -> Result<(), RemoteError> {
            self.0.ping(limit).await
        }
    }
    let plan = world.plan();
    let cx = Cx { ledger: Ledger::open(&world.dir.path().join("l")).unwrap(), events: Events::default(), cancel: Cancel::default() };
    let site = Site {
        cloud: &world.cloud,
        connect: &Hang(world.fake.clone()),
        cx: &cx,
        plan: &plan,
        scratch: world.dir.path().into(),
        work: world.dir.path().into(),
        until: Until::Published,
        keep_on_failure: false,
    };
    let off = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.cloud.set_power("factory-r1-builder", crate::cloud::Power::Gone("killed".into()));
    };
    let (outcome, ()) = tokio::join!(build(&site), off);
    assert_eq!(outcome.result.unwrap_err().to_string(), "the builder was lost: it is gone: killed");
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

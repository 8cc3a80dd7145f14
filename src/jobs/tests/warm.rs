//! The pool of warm builders on the cloud in memory: who gets one, and what becomes of the others.
use std::os::unix::fs::PermissionsExt;

use super::model::Obedient;
use super::*;
use crate::engine::pool::{Records, Use, WarmBuilder};
use crate::engine::run_dir::indexed;
use crate::guest::{Command, Exit, OnOutput, OnProgress, Transfer};
use crate::provider::fake::Fault;
use crate::provider::ledger::{Entry, Kind};
use crate::sweep::{self, State};

/// Machines on which all goes well, and which have the host key that they were booted with.
struct Pinned(Arc<Memory>);

#[async_trait::async_trait]
impl Connect for Pinned {
    async fn connect(&self, to: &Target, limit: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        let pinned = to.host_keys[0].to_openssh().unwrap();
        match self.0.booted().iter().any(|spec| spec.user_data.contains(&pinned)) {
            true => Ok(Arc::new(Willing(Obedient.connect(to, limit).await?))),
            false => Err(RemoteError::HostKey {
                host: to.host.clone(),
                port: to.port,
                shown: "another".into(),
            }),
        }
    }
}

/// Does what it is told, but for `fail-it`.
struct Willing(Arc<dyn Remote>);

#[async_trait::async_trait]
impl Remote for Willing {
    async fn exec(&self, command: Command, output: OnOutput) -> Result<Exit, RemoteError> {
        match String::from_utf8_lossy(&command.script).contains("fail-it") {
            true => Ok(Exit::Code(3)),
            false => self.0.exec(command, output).await,
        }
    }

    async fn put(&self, what: &Transfer<'_>, progress: OnProgress) -> Result<(), RemoteError> {
        self.0.put(what, progress).await
    }

    async fn ping(&self, limit: Duration) -> Result<(), RemoteError> {
        self.0.ping(limit).await
    }
}

struct Pool {
    dir: tempfile::TempDir,
    cloud: Arc<Memory>,
    factory: Arc<Factory>,
    bundle: Definition,
}

impl Pool {
    fn new(warm: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().canonicalize().unwrap();
        let bundle = tree.join("images/x");
        fs::create_dir_all(&bundle).unwrap();
        let vars = format!(
            "bundle: {{name: x, img_base: b}}\nsteps: [{{shell: 'true'}}]\n\
             timeouts: {{ssh: 1s}}\nwarm: {warm}\n"
        );
        fs::write(bundle.join("build-vars.yml"), vars).unwrap();
        let bundle = frontend::load(&tree, &bundle).unwrap().bundle;
        let cloud = Arc::new(Memory::new());
        cloud.add_image("b", "b");
        let plain = factory(&tree, cloud.clone());
        let factory = Arc::new(Factory {
            connect: Arc::new(Pinned(cloud.clone())),
            provider: plain.provider.clone(),
            wall: Arc::new(crate::engine::tests::world::no_wall()),
            proxies: Default::default(),
            home: plain.home.clone(),
            templates: report::Renderer::new("/nonexistent", "render"),
        });
        Self { dir, cloud, factory, bundle }
    }

    async fn fill(&self) -> Filled {
        self.factory.fill(&quiet(), &self.bundle).await.unwrap_or_else(|e| panic!("{e}"))
    }

    async fn build(&self) -> (RunOutcome, Vec<String>) {
        self.build_so(quiet()).await
    }

    /// With what was said.
    async fn build_so(&self, options: RunOptions) -> (RunOutcome, Vec<String>) {
        let definition = self.bundle.clone();
        let handle = self.factory.run(RunRequest { definition, options });
        let recorder = log::Recorder::default();
        handle.events.add(Box::new(recorder.clone()));
        let ended = handle.outcome().await;
        let text = |e: Stamped| match e.event {
            Event::Warning { text } | Event::Note { text } => Some(text),
            _ => None,
        };
        (ended, recorder.events().into_iter().filter_map(text).collect())
    }

    fn records(&self) -> Records {
        Records::of(&self.factory.home)
    }

    fn states(&self) -> Vec<Use> {
        self.records().states().unwrap().into_iter().map(|(_, state)| state).collect()
    }

    fn one(&self) -> WarmBuilder {
        let mut all = self.records().all();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn machines(&self) -> Vec<String> {
        self.cloud.snapshot().into_iter().filter(|line| line.starts_with("machine ")).collect()
    }

    async fn sweep(&self, only: Option<&str>) -> Vec<State> {
        let swept = sweep::sweep(&*self.cloud, &self.factory.home, only, false).await.unwrap();
        swept.into_iter().map(|one| one.state).collect()
    }

    /// Neither a machine, nor a record of a run or of a builder.
    #[track_caller]
    fn is_empty(&self) {
        assert_eq!(self.machines(), [""; 0]);
        assert_eq!(indexed(&self.factory.home).unwrap().len(), 0);
        assert_eq!(self.records().all().len(), 0);
    }
}

fn said(told: &[String], what: &str) -> bool {
    told.iter().any(|text| text.contains(what))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_takes_a_warm_builder_and_removes_it() {
    let pool = Pool::new(1);
    let filled = pool.fill().await;
    assert_eq!((filled.there, filled.runs.len(), pool.states()), (1, 1, vec![Use::Free]));
    assert_eq!(filled.runs[0].outcome, crate::model::outcome::Outcome::Warm);
    let record = pool.factory.home.data.join(format!("pool/{}.json", pool.one().run));
    assert_eq!(fs::metadata(record).unwrap().permissions().mode() & 0o777, 0o600);
    let filled = pool.fill().await;
    assert_eq!((filled.there, filled.runs.len()), (1, 0), "there are as many as are wanted");
    // A sweep knows it.
    assert_eq!(pool.sweep(None).await, [State::Warm]);
    assert_eq!((pool.machines().len(), pool.states()), (1, vec![Use::Free]));

    let (ended, told) = pool.build().await;
    let image = ended.result.unwrap().unwrap();
    assert!(said(&told, "takes the place of a boot"), "{told:?}");
    assert!(pool.cloud.booted().len() == 1 && ended.leaks.is_empty());
    // It is owned by the build, as if that had booted its builder.
    assert_ne!(image.properties[crate::model::image::RUN], filled_run(&pool));
    pool.is_empty();
    // The next one has none.
    let (ended, told) = pool.build().await;
    assert!(ended.result.is_ok() && said(&told, "no warm builder is there"), "{told:?}");
    assert_eq!(pool.cloud.booted().len(), 2);
    pool.is_empty();
}

/// The run whose machine was booted first.
fn filled_run(pool: &Pool) -> String {
    let name = &pool.cloud.booted()[0].name;
    name.trim_start_matches("factory-").trim_end_matches("-builder").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_at_once_do_not_take_the_same() {
    for (warm, booted) in [(1, 2), (2, 2)] {
        let pool = Pool::new(warm);
        pool.fill().await;
        let ((one, _), (other, _)) = tokio::join!(pool.build(), pool.build());
        assert!(one.result.is_ok() && other.result.is_ok());
        assert_eq!(pool.cloud.booted().len(), booted, "{warm} warm");
        pool.is_empty();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_fill_at_once_boot_no_more_than_are_wanted() {
    let pool = Pool::new(2);
    tokio::join!(pool.fill(), pool.fill(), pool.fill());
    assert_eq!((pool.states(), pool.cloud.booted().len()), (vec![Use::Free; 2], 2));
    assert_eq!(pool.machines().len(), 2);
    // Of those that came too late nothing is left.
    assert_eq!(indexed(&pool.factory.home).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_whose_taker_died_is_swept() {
    let pool = Pool::new(1);
    pool.fill().await;
    assert!(pool.records().take(&pool.one(), "20261128-000000-abcdef").unwrap());
    assert!(!pool.records().take(&pool.one(), "20261128-000000-fedcba").unwrap(), "it is taken");
    assert_eq!(pool.states(), [Use::Over]);
    let (_, told) = pool.build().await;
    assert!(said(&told, "no warm builder is there"), "{told:?}");
    assert_eq!(pool.machines().len(), 1);
    assert_eq!(pool.sweep(None).await, [State::Dead]);
    pool.is_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_while_it_made_one_is_swept() {
    let pool = Pool::new(1);
    pool.fill().await;
    let cut = WarmBuilder { booted: None, ..pool.one() };
    pool.records().write(&cut).unwrap();
    assert_eq!(pool.states(), [Use::Over]);
    assert_eq!(pool.sweep(None).await, [State::Dead]);
    pool.is_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_is_too_old_is_nobodys() {
    let pool = Pool::new(1);
    let age = async |hours: i64| {
        pool.fill().await;
        let at = pool.one().at - jiff::SignedDuration::from_hours(hours);
        pool.records().write(&WarmBuilder { at, ..pool.one() }).unwrap();
    };
    age(3).await;
    assert_eq!(pool.states(), [Use::Free]);
    age(5).await;
    assert_eq!(pool.states(), [Use::Over]);
    let (_, told) = pool.build().await;
    assert!(said(&told, "no warm builder is there"), "{told:?}");
    let old = pool.one().run;
    let filled = pool.fill().await;
    assert_eq!((filled.removed, filled.there), (vec![old], 1));
    assert_eq!(pool.machines().len(), 1);
    let at = pool.one().at - jiff::SignedDuration::from_hours(5);
    pool.records().write(&WarmBuilder { at, ..pool.one() }).unwrap();
    assert_eq!(pool.sweep(None).await, [State::Dead]);
    pool.is_empty();
}

/// It cost on where the next builds were of other bundles, failed, or found nothing to build.
#[tokio::test(flavor = "multi_thread")]
async fn builds_of_whatever_bundle_remove_what_is_too_old() {
    let pool = Pool::new(1);
    pool.fill().await;
    let after = pool.factory.after_builds(&quiet(), &[]).await;
    assert_eq!((after.cleared.unwrap().0, pool.states()), (vec![], vec![Use::Free]));
    let at = pool.one().at - jiff::SignedDuration::from_hours(5);
    let old = pool.one().run;
    pool.records().write(&WarmBuilder { at, ..pool.one() }).unwrap();
    let after = pool.factory.after_builds(&quiet(), &[]).await;
    assert_eq!((after.cleared.unwrap().0, after.filled.len()), (vec![old], 0));
    pool.is_empty();
    // The pool of what was published is filled as well.
    let after = pool.factory.after_builds(&quiet(), std::slice::from_ref(&pool.bundle)).await;
    assert!(matches!(&after.filled[..], [(label, Ok(_))] if *label == pool.bundle.label));
    assert_eq!(pool.states(), [Use::Free]);
}

/// A cloud that only the environment names is called by its address, whatever the project. Who
/// asked for another one was told that the builders were gone, and forgot them.
#[tokio::test(flavor = "multi_thread")]
async fn a_builder_of_another_project_is_not_taken_and_not_forgotten() {
    let pool = Pool::new(1);
    pool.cloud.set_project("one");
    pool.fill().await;
    let first = pool.one();
    let name = &first.booted.as_ref().unwrap().machine.name;
    pool.cloud.set_project("two");
    pool.cloud.set_power(name, crate::provider::Power::Gone("it is not seen".into()));
    let (ended, told) = pool.build().await;
    assert!(ended.result.is_ok() && said(&told, "no warm builder is there"), "{told:?}");
    let filled = pool.fill().await;
    assert_eq!((filled.removed.len(), filled.runs.len(), filled.there), (0, 1, 1));
    assert_eq!((pool.machines().len(), pool.states()), (2, vec![Use::Free; 2]));
    // Too old, or named: a sweep would find nothing, and forget what is there.
    assert_eq!(pool.sweep(Some(&first.run)).await, [State::OtherCloud]);
    let at = first.at - jiff::SignedDuration::from_hours(5);
    pool.records().write(&WarmBuilder { at, ..first.clone() }).unwrap();
    assert_eq!(pool.sweep(None).await, [State::OtherCloud, State::Warm]);
    assert_eq!(pool.fill().await.removed, [""; 0]);
    assert_eq!((pool.machines().len(), pool.records().all().len()), (2, 2));

    pool.cloud.set_project("one");
    let filled = pool.fill().await;
    assert_eq!((filled.removed, filled.there), (vec![first.run], 1));
}

/// Deleted by a person, switched off, or another machine by now: each is given up, and the next is
/// taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_is_not_as_it_was_is_given_up() {
    for what in ["gone", "off", "key"] {
        let pool = Pool::new(2);
        pool.fill().await;
        let bad = pool.records().all().remove(0);
        let mut booted = bad.booted.clone().unwrap();
        match what {
            "gone" => {
                let (kind, name) = (Kind::Machine, booted.machine.name.clone());
                let id = Some(booted.machine.id.clone());
                let entry = Entry { seq: 0, kind, name, id, unanswered: None };
                pool.cloud.resources().delete(&bad.run, &entry).await.unwrap();
            }
            "off" => pool.cloud.set_power(&booted.machine.name, crate::provider::Power::Off),
            _ => {
                let other = crate::guest::keys::generate_key("x");
                booted.host_key = other.public_key().to_openssh().unwrap();
                pool.records().write(&WarmBuilder { booted: Some(booted), ..bad.clone() }).unwrap();
            }
        }
        let (ended, told) = pool.build().await;
        assert!(ended.result.is_ok() && ended.leaks.is_empty());
        let given_up = format!("run {}, is given up: ", bad.run);
        assert!(said(&told, &given_up) && said(&told, "takes the place"), "{what}: {told:?}");
        assert_eq!(pool.cloud.booted().len(), 2, "{what}: none is booted");
        pool.is_empty();
    }
}

/// `warm` and `build` look before they count.
#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_is_gone_is_made_again() {
    let pool = Pool::new(1);
    pool.fill().await;
    let machine = pool.one().booted.unwrap().machine;
    let (kind, id) = (Kind::Machine, Some(machine.id));
    let entry = Entry { seq: 0, kind, name: machine.name, id, unanswered: None };
    pool.cloud.resources().delete(&pool.one().run, &entry).await.unwrap();
    let filled = pool.fill().await;
    assert_eq!((filled.removed.len(), filled.runs.len(), filled.there), (1, 1, 1));
    assert_eq!(pool.machines().len(), 1);
}

/// It stays with the run that left it up, and goes with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_is_left_up_after_a_failure_is_swept_with_its_build() {
    let mut pool = Pool::new(1);
    pool.fill().await;
    let warm = pool.one();
    pool.bundle.steps[0].action = crate::model::step::StepKind::Shell { text: "fail-it".into() };
    let options = RunOptions { keep_on_failure: true, ..quiet() };
    let (ended, _) = pool.build_so(options).await;
    let Some(kept) = ended.kept else { panic!("{:?}", ended.result.err().map(|e| e.to_string())) };
    assert_eq!(kept.opened.machine, warm.booted.unwrap().machine.name);
    assert_eq!(pool.sweep(None).await, [State::RetainedMachine; 2]);
    assert_eq!((pool.machines().len(), pool.states()), (1, vec![Use::Retained]));
    assert_eq!(pool.sweep(Some(&kept.run)).await, [State::Dead; 2]);
    pool.is_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_builder_that_is_named_is_swept() {
    let pool = Pool::new(1);
    pool.fill().await;
    let run = pool.one().run;
    assert_eq!(pool.sweep(Some(&run)).await, [State::Dead]);
    pool.is_empty();
}

/// What no build of this definition would boot is left for whom it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_builder_of_another_key_is_not_taken() {
    let pool = Pool::new(1);
    pool.fill().await;
    // A newer image of the base.
    pool.cloud.add_image("b-2", "b");
    let mut pool = pool;
    pool.bundle.base = Some(crate::model::definition::Base::Image("b-2".into()));
    let (ended, told) = pool.build().await;
    assert!(ended.result.is_ok() && said(&told, "no warm builder is there"), "{told:?}");
    assert_eq!((pool.machines().len(), pool.states()), (1, vec![Use::Free]));
}

/// Whatever call fails, and however: after one sweep there is nothing but images.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_every_call_leaves_nothing_that_a_sweep_does_not_find() {
    let calls = {
        let pool = Pool::new(1);
        pool.fill().await;
        pool.build().await.0.result.unwrap();
        pool.cloud.calls()
    };
    assert!(calls >= 5, "{calls} mutating calls are too few");
    for fault in [Fault::Refuse, Fault::LoseReply] {
        for call in 1..=calls {
            let pool = Pool::new(1);
            pool.cloud.fail_at(call, fault);
            pool.fill().await;
            let (ended, _) = pool.build().await;
            let leaks = ended.leaks.len();
            let told =
                format!("call {call} {fault:?}: {:?}", ended.result.map_err(|e| e.to_string()));
            assert!(pool.machines().len() <= leaks, "{told}, {leaks} leaks: {:?}", pool.machines());
            pool.sweep(None).await;
            assert_eq!(pool.machines(), [""; 0], "{told}");
            assert_eq!(pool.records().all().len(), 0, "{told}");
        }
    }
}

/// There checkpoints do it.
#[tokio::test]
async fn machines_of_this_host_are_no_pool() {
    let pool = Pool::new(1);
    let home = pool.factory.home.clone();
    let local = crate::provider::qemu::Local::new(crate::provider::qemu::LocalConfig {
        home: home.data.clone(),
        runtime: home.runtime.clone(),
        accel: Default::default(),
        program: None,
        checkpoints: 0,
    });
    assert!(crate::engine::pool::Pool::of(&local, &home, 1).is_none());
    let here = factory(pool.dir.path(), Arc::new(local));
    assert!(matches!(here.fill(&quiet(), &pool.bundle).await, Err(NotKept::Here)));
}

#[tokio::test]
async fn who_asks_for_none_has_none() {
    let pool = Pool::new(0);
    assert!(matches!(pool.factory.fill(&quiet(), &pool.bundle).await, Err(NotKept::NotWanted(_))));
    let (_, told) = pool.build().await;
    assert!(!said(&told, "warm"), "{told:?}");
    assert!(!pool.dir.path().join("home/pool").exists());
}

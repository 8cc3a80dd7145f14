//! A machine that goes silent and comes back, and one that does not, with seconds made short.
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::engine::{BuildError, machine};
use crate::guest::{Command, Connect, Exit, OnOutput, OnProgress, Transfer, keys};
use crate::model::event::{Event, Events, Sink, Stamped};
use crate::provider::fake::Memory;
use crate::provider::ledger::Ledger;
use crate::provider::{BootSpec, Provider, RunCx};
use crate::system::cancel::Cancel;

const FAST: Pace = Pace {
    ask: Duration::from_millis(50),
    answer: Duration::from_millis(500),
    silence: Duration::from_millis(300),
};
/// Longer than anything here takes, on a loaded machine too.
const LONG: Duration = Duration::from_secs(60);

/// Answers while it is not silent.
#[derive(Clone, Default)]
struct Moody(Arc<Mutex<bool>>);

impl Moody {
    fn silent(&self, silent: bool) {
        *self.0.lock().unwrap() = silent;
    }

    fn answer(&self) -> Result<(), RemoteError> {
        if *self.0.lock().unwrap() { Err(RemoteError::Lost("silence".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Connect for Moody {
    async fn connect(&self, _: &Target, _: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        self.answer().map(|()| Arc::new(self.clone()) as Arc<dyn Remote>)
    }
}

#[async_trait]
impl Remote for Moody {
    async fn exec(&self, _: Command, _: OnOutput) -> Result<Exit, RemoteError> {
        self.answer().map(|()| Exit::Code(0))
    }
    async fn put(&self, _: &Transfer<'_>, _: OnProgress) -> Result<(), RemoteError> {
        self.answer()
    }
    async fn ping(&self, _: Duration) -> Result<(), RemoteError> {
        self.answer()
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Sink for Told {
    fn take(&mut self, event: &Stamped) {
        if let Event::Warning { text } | Event::Note { text } = &event.event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

impl Told {
    async fn until(&self, text: &str) {
        let begin = Instant::now();
        while !self.0.lock().unwrap().iter().any(|t| t.contains(text)) {
            assert!(begin.elapsed() < LONG, "{:?}", self.0.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Runs `test` with a machine that is up.
async fn with_machine(test: impl AsyncFnOnce(&BuildContext<'_>, &Running, &Memory, &Moody, &Told)) {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, moody, told) = (Memory::new(), Moody::default(), Told::default());
    cloud.look_every(Duration::from_millis(50));
    let events = Events::default();
    events.add(Box::new(told.clone()));
    let cx = RunCx::new(
        "r1",
        Ledger::open(&dir.path().join("ledger.jsonl")).unwrap(),
        events,
        Cancel::default(),
    );
    let plan = crate::wall::example_plan(dir.path());
    let settings =
        crate::settings::Settings { wall: crate::settings::Mode::Off, ..Default::default() };
    let wall = crate::wall::Wall::new(crate::wall::Config {
        settings,
        env: Default::default(),
        home: None,
        hidden: Vec::new(),
    });
    let site = BuildContext {
        cloud: &cloud,
        connect: &moody,
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
    let spec = BootSpec {
        name: "builder".into(),
        image: cloud.add_image("base", "base").id,
        cpus: 1,
        ram_mib: 1,
        disk_gib: 1,
        user_data: String::new(),
        place: None,
    };
    let machine = cloud.compute().boot(&cx.within(LONG), &spec).await.unwrap();
    let key = Arc::new(keys::generate_key("x"));
    let target = Target {
        host: "memory".into(),
        port: 1,
        user: "debian".into(),
        host_keys: vec![key.public_key().clone()],
        key,
    };
    let running = Running::new(machine, target, Arc::new(moody.clone()));
    test(&site, &running, &cloud, &moody, &told).await;
}

/// Ansible's `reboot`: silent for long, its power on, then there again. The old watch ended the
/// step after 30 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_the_step_may_mean_is_waited_for() {
    with_machine(async |site, running, _, moody, told| {
        let story = async {
            moody.silent(true);
            told.until("it is given 1m00s").await;
            // Many times the silence that is told of.
            tokio::time::sleep(FAST.silence * 3).await;
            moody.silent(false);
            told.until("the builder answers again").await;
        };
        tokio::select! {
            reason = lost(site, running, LONG, FAST) => panic!("{reason}"),
            () = story => {}
        }
        assert_eq!(verdict(site, running, FAST).await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_without_end_is_a_loss_when_patience_is_over() {
    with_machine(async |site, running, _, moody, _| {
        moody.silent(true);
        let patience = FAST.silence * 2;
        let begin = Instant::now();
        let reason = lost(site, running, patience, FAST).await;
        assert!(
            reason.starts_with("its power is on, but it has not answered over SSH for "),
            "{reason}"
        );
        assert!(begin.elapsed() >= patience, "{:?}", begin.elapsed());
        assert!(verdict(site, running, FAST).await.unwrap().contains("has not answered"));
    })
    .await;
}

/// Patience is for machines that run: one that is off, gone, or panicked is named however long the
/// step would wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_come_back_is_not_waited_for() {
    type End = fn(&Memory);
    let ends: [(&str, End); 3] = [
        ("it was powered off", |cloud| cloud.set_power("builder", Power::Off)),
        ("it is gone: killed", |cloud| cloud.set_power("builder", Power::Gone("killed".into()))),
        ("its console says: the kernel panicked: Attempted to kill init!", |cloud| {
            cloud.set_console(
                "builder",
                "] Linux version 6\n[   1.000000] Kernel panic - not \
                syncing: Attempted to kill init!\n",
            );
        }),
    ];
    for (told, end) in ends {
        with_machine(async |site, running, cloud, moody, _| {
            moody.silent(true);
            end(cloud);
            assert_eq!(lost(site, running, LONG, FAST).await, told);
            assert_eq!(verdict(site, running, FAST).await.as_deref(), Some(told));
        })
        .await;
    }
}

#[test]
fn only_what_logs_in_again_by_itself_has_the_whole_time() {
    let hour = Duration::from_secs(3600);
    let play = StepKind::Ansible {
        playbook: "p".into(),
        extra_vars: Default::default(),
        tags: Vec::new(),
        local: false,
        plain: false,
    };
    assert_eq!(patience(&play, hour), hour);
    assert_eq!(patience(&StepKind::Shell { text: "x".into() }, hour), SESSION);
}

/// As in a step: stuck once, a machine that is waited for is not given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_stuck_once_is_waited_for() {
    with_machine(async |site, running, cloud, _, _| {
        let mut signs = crate::engine::signs::Signs::default();
        for (power, over) in [
            (Power::Stuck("busy".into()), false),
            (Power::On, false),
            (Power::Stuck("busy".into()), false),
            (Power::Stuck("busy".into()), true),
        ] {
            cloud.set_power("builder", power);
            let looked = signs.look(site, &running.machine).await;
            assert_eq!(looked.is_err(), over, "{looked:?}");
        }
    })
    .await;
}

/// SSH of a machine that has ended gets no answer at all, and each login takes its time.
struct Hangs;

#[async_trait]
impl Connect for Hangs {
    async fn connect(&self, _: &Target, _: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        std::future::pending().await
    }
}

/// The cloud was looked at between two logins alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_hangs_hides_no_machine_that_has_ended() {
    for (power, told) in [
        (Power::Off, "builder: it powered itself off"),
        (Power::Gone("killed".into()), "builder: it is gone: killed"),
        (Power::Stuck("ERROR".into()), "builder: it does not run: ERROR"),
    ] {
        with_machine(async |site, running, cloud, _, _| {
            cloud.set_power("builder", power.clone());
            let site = BuildContext { connect: &Hangs, ..site.with(site.cx) };
            let deadline = Instant::now() + LONG;
            let reach = machine::reach(&site, &running.machine, &running.target, deadline);
            let reached = tokio::time::timeout(LONG, reach).await.expect("in time");
            let error = reached.err().expect("nobody answers");
            assert_eq!(error.to_string(), told);
            let lost = matches!(error, BuildError::MachineLost { .. });
            assert_eq!(lost, power != Power::Off, "{error:?}");
        })
        .await;
    }
}

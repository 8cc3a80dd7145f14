//! A build on the in-memory cloud, with what was heard of it.
use crate::model::publication::Publication;
use crate::model::step::StepKind;
use jiff::Timestamp;

use super::*;

/// What is built in here brings nothing that a wall would be for; `test-tools/it/wall.rs` has what
/// does.
pub(crate) fn no_wall() -> Wall {
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
pub(crate) struct Seen(pub Arc<Mutex<Vec<Event>>>);

impl Sink for Seen {
    fn take(&mut self, event: &Stamped) {
        self.0.lock().unwrap().push(event.event.clone());
    }
}

pub(crate) struct World {
    /// Checks besides those that a bundle has on.
    pub add: &'static [&'static str],
    pub cloud: Memory,
    pub fake: Fake,
    pub cancel: Cancel,
    pub seen: Seen,
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
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

    pub fn plan(&self) -> Plan {
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
            larger: Default::default(),
            origin: Origin::Base(Box::new(base)),
            builder: Some(machine("builder")),
            ssh_user: "debian".into(),
            base_key: None,
            steps: vec![StepPlan {
                name: "install".into(),
                action: StepKind::Shell { text: "install-it".into() },
                timeout: 60,
                retries: 0,
                env: BTreeMap::new(),
                sudo: false,
                fresh: None,
                key: None,
                outline: None,
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
                chosen: false,
                family: "x".into(),
                properties: [
                    ("k".into(), "v".into()),
                    (crate::model::image::RUN.into(), "r1".into()),
                ]
                .into(),
                set_by: BTreeMap::new(),
                tags: Vec::new(),
                min_disk_gib: None,
                min_ram_mib: 0,
                visibility: crate::model::image::Visibility::Private,
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

    pub async fn build(&self) -> Outcome {
        self.build_plan(self.plan()).await
    }

    pub async fn build_plan(&self, plan: Plan) -> Outcome {
        let ledger = Ledger::open(&self.dir.path().join("ledger.jsonl")).unwrap();
        let events = Events::default();
        events.add(Box::new(self.seen.clone()));
        let cx = RunCx::new(&plan.run, ledger, events, self.cancel.clone());
        let site = BuildContext {
            cloud: &self.cloud,
            connect: &self.fake,
            cx: &cx,
            plan: &plan,
            wall: &no_wall(),
            definition: Box::leak(Box::default()),
            scratch: self.dir.path().into(),
            work: self.dir.path().into(),
            downloads: self.dir.path().join("downloads"),
            proxies: Default::default(),
            pool: None,
            until: Goal::Published,
            keep_on_failure: false,
            home: self.dir.path().into(),
            range: Default::default(),
        };
        build(&site).await
    }

    pub fn failed_checks(&self) -> Vec<String> {
        self.checks(Verdict::Failed).into_iter().map(|(id, _)| id).collect()
    }

    /// IDs and reasons of the checks that ended so.
    pub fn checks(&self, verdict: Verdict) -> Vec<(String, String)> {
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
    let images = tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(cloud.artifacts().list())
    })
    .unwrap();
    images.into_iter().find(|i| i.family == "base").unwrap()
}

/// Of a build to its end, on machines that `connect` reaches.
pub(crate) fn site<'a>(
    world: &'a World,
    connect: &'a dyn Connect,
    plan: &'a Plan,
    cx: &'a RunCx,
    wall: &'a Wall,
) -> BuildContext<'a> {
    BuildContext {
        cloud: &world.cloud,
        connect,
        cx,
        plan,
        wall,
        definition: Box::leak(Box::default()),
        scratch: world.dir.path().into(),
        work: world.dir.path().into(),
        downloads: world.dir.path().join("downloads"),
        proxies: Default::default(),
        pool: None,
        until: Goal::Published,
        keep_on_failure: true,
        home: world.dir.path().into(),
        range: Default::default(),
    }
}

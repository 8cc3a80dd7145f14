//! Builds on a cloud in memory that keeps states of machines.
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::engine::checkpoints::trail::seen;
use crate::engine::checkpoints::{Range, Trail, keys};
use crate::engine::tests::world::{World, no_wall, site};
use crate::engine::{
    BuildContext, BuildError, Built, Goal, Interactive, Outcome, SshAccess, build,
};
use crate::model::event::{Event, Events};
use crate::model::facts::{CloudFacts, FactsQuery};
use crate::model::image;
use crate::model::step::StepKind;
use crate::plan::StepPlan;
use crate::provider::checkpoints::{Checkpoint, Keeps, NewCheckpoint, Saved};
use crate::provider::fake::Memory;
use crate::provider::ledger::Ledger;
use crate::provider::{
    Artifacts, BootSpec, Checkpoints, CloudError, Compute, Power, Provider, Resources, RunCx,
};
use crate::settings::{Rule, Settings};
use crate::wall::{Config, Wall};

/// A cloud in memory, with a shelf.
pub(super) struct Shelved<'w> {
    cloud: &'w Memory,
    pub(super) shelf: Mutex<Vec<(String, Checkpoint)>>,
    /// IDs of states that cannot be restored.
    pub(super) broken: Vec<String>,
    restored: Mutex<Vec<String>>,
    has_room: bool,
    pub(super) keeps: Keeps,
    /// Machines whose state was saved, and their power whenever the states were settled.
    saved: Mutex<Vec<Machine>>,
    pub(super) settled: Mutex<Vec<Power>>,
    /// Nothing is known of a machine whose state was to be kept.
    loses: bool,
}

impl<'w> Shelved<'w> {
    pub(super) fn new(cloud: &'w Memory) -> Self {
        Self {
            cloud,
            shelf: Mutex::default(),
            broken: Vec::new(),
            restored: Mutex::default(),
            has_room: true,
            keeps: Keeps::Memory,
            saved: Mutex::default(),
            settled: Mutex::default(),
            loses: false,
        }
    }

    pub(super) fn kept(&self) -> usize {
        self.shelf.lock().unwrap().len()
    }
}

#[async_trait]
impl Provider for Shelved<'_> {
    fn name(&self) -> &str {
        self.cloud.name()
    }

    async fn facts(&self, wanted: &FactsQuery, cx: &RunCx) -> Result<CloudFacts, CloudError> {
        self.cloud.facts(wanted, cx).await
    }

    fn compute(&self) -> &dyn Compute {
        self.cloud.compute()
    }

    fn artifacts(&self) -> &dyn Artifacts {
        self.cloud.artifacts()
    }

    fn resources(&self) -> &dyn Resources {
        self.cloud.resources()
    }

    fn checkpoints(&self) -> Option<&dyn Checkpoints> {
        Some(self)
    }
}

#[async_trait]
impl Checkpoints for Shelved<'_> {
    fn keeps(&self) -> Keeps {
        self.keeps
    }

    async fn find(
        &self,
        _: &RunCx,
        _: &BootSpec,
        key: &str,
    ) -> Result<Vec<Checkpoint>, CloudError> {
        let shelf = self.shelf.lock().unwrap();
        Ok(shelf.iter().rev().filter(|(of, _)| of == key).map(|(_, one)| one.clone()).collect())
    }

    async fn restore(
        &self,
        cx: &RunCx,
        spec: &BootSpec,
        checkpoint: &Checkpoint,
    ) -> Result<Machine, CloudError> {
        self.restored.lock().unwrap().push(checkpoint.id.clone());
        let machine = self.cloud.compute().boot(cx, spec).await?;
        match self.broken.contains(&checkpoint.id) {
            true => Err(CloudError::refused("restore", "it is damaged")),
            false => Ok(machine),
        }
    }

    async fn save(
        &self,
        _: &RunCx,
        machine: &Machine,
        new: &NewCheckpoint<'_>,
    ) -> Result<Saved, CloudError> {
        self.saved.lock().unwrap().push(machine.clone());
        if self.loses {
            let (what, reason) = ("keep it".into(), "no answer".into());
            return Err(CloudError::Unknown { what, reason });
        }
        if !self.has_room {
            return Ok(Saved::NoRoom("all is taken".into()));
        }
        let mut shelf = self.shelf.lock().unwrap();
        let id = format!("c{}", shelf.len());
        let one = Checkpoint { id, made: Timestamp::now(), note: new.note.clone() };
        shelf.push((new.key.to_owned(), one));
        Ok(Saved::Kept)
    }

    async fn settle(&self, _: &RunCx) -> Result<(), CloudError> {
        let last = self.saved.lock().unwrap().last().cloned();
        let Some(machine) = last else { return Ok(()) };
        let power = self.cloud.compute().power(&machine).await?;
        self.settled.lock().unwrap().push(power);
        match self.broken.contains(&"settle".to_owned()) {
            true => Err(CloudError::refused("keep it", "no answer")),
            false => Ok(()),
        }
    }
}

/// Steps `a`, `b` and `c` of a definition in `tree`.
pub(super) fn plan(world: &World, definition: &Definition, texts: [&str; 3]) -> Plan {
    let mut plan = world.plan();
    let inputs = frontend::inputs(definition).unwrap();
    plan.publish.properties.insert(image::INPUTS.into(), inputs.sha256);
    plan.base_key = Some("base".into());
    plan.smoke = None;
    let mut outline = String::new();
    plan.steps = texts
        .iter()
        .map(|text| {
            outline += text;
            StepPlan {
                name: (*text).to_owned(),
                action: StepKind::Shell { text: format!("run-{text}") },
                outline: Some(outline.clone()),
                ..plan.steps[0].clone()
            }
        })
        .collect();
    plan
}

/// Somebody who looks, and leaves.
struct Leaves;

#[async_trait]
impl Interactive for Leaves {
    async fn open(&self, _: &SshAccess, _: Option<&BuildError>) {}
}

/// What one build came to, and the steps that it ran.
pub(super) async fn built(
    (world, cloud): (&World, &Shelved<'_>),
    (definition, plan): (&Definition, &Plan),
    range: Range,
) -> (Outcome, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.jsonl")).unwrap();
    let events = Events::default();
    world.seen.0.lock().unwrap().clear();
    events.add(Box::new(world.seen.clone()));
    let cx = RunCx::new(&plan.run, ledger, events, world.cancel.clone());
    let wall = no_wall();
    // A part of the steps is run for a person alone.
    let until = match range.until {
        Some(_) => Goal::Provisioned(Arc::new(Leaves)),
        None => Goal::Published,
    };
    let site = BuildContext {
        cloud,
        definition,
        keep_on_failure: false,
        range,
        until,
        home: dir.path().into(),
        ..site(world, &world.fake, plan, &cx, &wall)
    };
    {
        let mut fake = world.fake.0.lock().unwrap();
        fake.scripts.clear();
        // That of the run which made a state.
        fake.build_key_opens = true;
    }
    let outcome = build(&site).await;
    let scripts = &world.fake.0.lock().unwrap().scripts;
    let ran = |(_, script): &(u16, String)| {
        let name = script.split("run-").nth(1)?;
        Some(name.chars().take(1).collect())
    };
    (outcome, scripts.iter().filter_map(ran).collect())
}

pub(super) fn events(world: &World, of: impl Fn(&Event) -> bool) -> usize {
    world.seen.0.lock().unwrap().iter().filter(|event| of(event)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_begins_from_the_longest_known_prefix() {
    let (world, tree) = (World::new(), Tree::new());
    let (cloud, definition) = (Shelved::new(&world.cloud), tree.definition());
    let run = async |texts| {
        let plan = plan(&world, &definition, texts);
        let (outcome, ran) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
        assert!(outcome.result.is_ok() && outcome.leaks.is_empty(), "{:?}", outcome.result);
        ran.concat()
    };
    assert_eq!(run(["a", "b", "c"]).await, "abc");
    assert_eq!(cloud.kept(), 4, "after the boot, and after each step");
    assert_eq!(run(["a", "b", "c"]).await, "");
    assert_eq!(events(&world, |e| matches!(e, Event::StepRestored { .. })), 3);
    assert_eq!(run(["a", "b", "d"]).await, "d");
    assert_eq!(events(&world, |e| matches!(e, Event::MachineRestored { .. })), 1);
    assert_eq!(run(["a", "d", "c"]).await, "dc");
    assert_eq!(run(["a", "d", "c"]).await, "", "what it came to from there is known as well");
    assert_eq!(run(["d", "b", "c"]).await, "dbc");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_fresh_is_not_restored() {
    let (world, tree) = (World::new(), Tree::new());
    let (cloud, definition) = (Shelved::new(&world.cloud), tree.definition());
    let plan = plan(&world, &definition, ["a", "b", "c"]);
    let run = async |range| {
        let (outcome, ran) = built((&world, &cloud), (&definition, &plan), range).await;
        assert!(outcome.result.is_ok(), "{:?}", outcome.result);
        ran.concat()
    };
    assert_eq!(run(Range::default()).await, "abc");
    assert_eq!(run(Range { fresh: true, ..Range::default() }).await, "abc");
    assert!(cloud.restored.lock().unwrap().is_empty());
    let from = |from, until| Range { fresh: false, from, until };
    assert_eq!(run(from(Some(1), None)).await, "bc");
    assert_eq!(run(from(Some(2), Some(2))).await, "c");
    assert_eq!(run(from(None, Some(0))).await, "", "the first step is known");
    assert_eq!(run(from(Some(0), Some(0))).await, "a");
    assert_eq!(run(from(Some(7), Some(7))).await, "", "there are no more than three");
}

/// Any of them may be left in the image.
#[tokio::test(flavor = "multi_thread")]
async fn the_smoke_checks_know_the_builders_names_in_all_runs_that_came_to_it() {
    let (world, tree) = (World::new(), Tree::new());
    let (cloud, definition) = (Shelved::new(&world.cloud), tree.definition());
    let names = async |run: &str, texts| {
        let mut plan = plan(&world, &definition, texts);
        plan.run = run.into();
        plan.builder.as_mut().unwrap().name = format!("factory-{run}-builder");
        plan.smoke = world.plan().smoke;
        world.fake.0.lock().unwrap().told.clear();
        built((&world, &cloud), (&definition, &plan), Range::default()).await;
        let told = &world.fake.0.lock().unwrap().told;
        let names = told.values().find_map(|env| env.get("FACTORY_RUN_BUILDER"));
        names.expect("checks were run").clone()
    };
    let (one, two) = ("factory-r1-builder", "factory-r2-builder");
    assert_eq!(names("r1", ["a", "b", "c"]).await, one);
    assert_eq!(names("r2", ["a", "b", "d"]).await, format!("{one} {two}"));
    let three = "factory-r3-builder";
    assert_eq!(names("r3", ["a", "b", "d"]).await, format!("{one} {two} {three}"));
}

/// The next one is tried, and at last a machine is booted; nothing is left of the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_restored_is_passed_over() {
    let (world, tree) = (World::new(), Tree::new());
    let (mut cloud, definition) = (Shelved::new(&world.cloud), tree.definition());
    let plan = plan(&world, &definition, ["a", "b", "c"]);
    built((&world, &cloud), (&definition, &plan), Range::default()).await;
    cloud.broken = vec!["c3".into(), "c1".into()];
    let (outcome, ran) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
    assert!(outcome.result.is_ok() && outcome.leaks.is_empty(), "{:?}", outcome.result);
    assert_eq!(
        (ran.concat().as_str(), cloud.restored.lock().unwrap().join(" ")),
        ("c", "c3 c2".into())
    );
    cloud.broken = (0..9).map(|n| format!("c{n}")).collect();
    let (outcome, ran) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
    assert!(outcome.result.is_ok() && outcome.leaks.is_empty(), "{:?}", outcome.result);
    assert_eq!(ran.concat(), "abc");
    let warned = events(
        &world,
        |e| matches!(e, Event::Warning { text } if text.contains("a checkpoint is not used")),
    );
    assert!(warned >= 4, "{warned}");
}

/// A machine that does not take the run's keys is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_renew_its_keys_is_passed_over() {
    let (world, tree) = (World::new(), Tree::new());
    let (cloud, definition) = (Shelved::new(&world.cloud), tree.definition());
    let plan = plan(&world, &definition, ["a", "b", "c"]);
    built((&world, &cloud), (&definition, &plan), Range::default()).await;
    world.fake.0.lock().unwrap().exits.push(("OLD_LOGIN=".into(), 1));
    let (outcome, ran) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
    assert!(outcome.result.is_ok() && outcome.leaks.is_empty(), "{:?}", outcome.result);
    assert_eq!(ran.concat(), "abc");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_without_room_says_so_once() {
    let (world, tree) = (World::new(), Tree::new());
    let definition = tree.definition();
    let cloud = Shelved { has_room: false, ..Shelved::new(&world.cloud) };
    let plan = plan(&world, &definition, ["a", "b", "c"]);
    let (outcome, ran) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    assert_eq!(ran.concat(), "abc");
    let said = events(
        &world,
        |e| matches!(e, Event::Warning { text } if text.contains("keeps no more checkpoints")),
    );
    assert_eq!(said, 1);
}

/// Its image might lack what follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_builder_of_which_nothing_is_known_is_lost() {
    let (world, tree) = (World::new(), Tree::new());
    let definition = tree.definition();
    let cloud = Shelved { loses: true, ..Shelved::new(&world.cloud) };
    let plan = plan(&world, &definition, ["a", "b", "c"]);
    let (outcome, ran) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
    let lost = matches!(outcome.result, Err(BuildError::BuilderLost { .. }));
    assert!(lost && outcome.leaks.is_empty() && ran.is_empty(), "{:?}", outcome.result);
}

/// They are others than the plan was made of: nothing is known of what they lead to.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_changed_since_the_plan_are_not_known() {
    let (world, tree) = (World::new(), Tree::new());
    let (cloud, definition) = (Shelved::new(&world.cloud), tree.definition());
    let plan = plan(&world, &definition, ["a", "b", "c"]);
    tree.write("tests/t", "#!/bin/sh\nother\n");
    built((&world, &cloud), (&definition, &plan), Range::default()).await;
    assert_eq!(cloud.kept(), 0);
}

/// That is how long no build is told that the image is what it would make.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_says_until_when_its_steps_are_fresh() {
    let (world, tree) = (World::new(), Tree::new());
    let (cloud, definition) = (Shelved::new(&world.cloud), tree.definition());
    let until = async |fresh: [Option<u64>; 3]| {
        let mut plan = plan(&world, &definition, ["a", "b", "c"]);
        plan.steps.iter_mut().zip(fresh).for_each(|(step, fresh)| step.fresh = fresh);
        let (outcome, _) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
        let Ok(Built::Image(image)) = outcome.result else { panic!("{:?}", outcome.result) };
        let until = image.properties.get(image::FRESH_UNTIL)?;
        Some(until.parse::<Timestamp>().unwrap())
    };
    let before = Timestamp::now();
    let first = until([None, Some(60), Some(7200)]).await.unwrap();
    let begin = before + SignedDuration::from_secs(60);
    assert!(begin <= first && first <= Timestamp::now() + SignedDuration::from_secs(60));
    let again = until([None, Some(60), Some(7200)]).await;
    assert_eq!(again, Some(first), "a step that is restored is no younger");
    assert_eq!(until([None; 3]).await, None);
}

/// A build whose only step is a playbook.
struct Playing {
    world: World,
    home: tempfile::TempDir,
    plan: Plan,
}

impl Playing {
    fn new() -> Self {
        let (world, home) = (World::new(), tempfile::tempdir().unwrap());
        fs::create_dir(home.path().join("roles")).unwrap();
        let mut plan = world.plan();
        plan.base_key = Some("base".into());
        plan.asks.env = vec!["TOKEN".into()];
        let shell = StepPlan { outline: Some("o".into()), ..plan.steps[0].clone() };
        let action = StepKind::Ansible {
            playbook: "p.yml".into(),
            extra_vars: Default::default(),
            tags: Vec::new(),
            plain: false,
            local: false,
        };
        plan.steps = vec![shell.clone(), StepPlan { action, ..shell }];
        Self { world, home, plan }
    }

    fn wall(&self, env: &[(&str, &str)]) -> Wall {
        let mut settings = Settings::default();
        settings.ansible.roles = vec![self.home.path().join("roles")];
        settings.allow = vec![Rule {
            definition: "images/x".into(),
            env: vec!["TOKEN".into()],
            ..Rule::default()
        }];
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Wall::new(Config { settings, env: env.collect(), home: None, hidden: Vec::new() })
    }

    fn change_role(&self, text: &str) {
        fs::write(self.home.path().join("roles/main.yml"), text).unwrap();
    }

    async fn keys(&self, env: &[(&str, &str)]) -> Vec<Option<String>> {
        let (wall, cx) = (self.wall(env), RunCx::outside(Default::default()));
        let site = BuildContext {
            home: self.home.path().into(),
            ..site(&self.world, &self.world.fake, &self.plan, &cx, &wall)
        };
        let around = seen(&site).await.unwrap();
        assert!(around.is_some(), "there is Ansible");
        keys::of(&site, around.as_deref()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_playbook_sees_of_the_factory_is_in_its_key() {
    let mut playing = Playing::new();
    let env = [("TOKEN", "one"), ("TZ", "UTC"), ("http_proxy", "http://p")];
    let before = playing.keys(&env).await;
    assert!(before.iter().all(Option::is_some), "{before:?}");
    assert_eq!(playing.keys(&env).await, before);
    for (index, value) in ["two", "Europe/Zurich", "http://q"].into_iter().enumerate() {
        let mut env = env;
        env[index].1 = value;
        let after = playing.keys(&env).await;
        assert_eq!(after[..2], before[..2], "a script sees nothing of it");
        assert_ne!(after[2], before[2], "{value}");
    }
    playing.plan.ansible = Some("2.15".into());
    assert_ne!(playing.keys(&env).await[2], before[2], "another version");
    playing.plan.ansible = None;
    assert_eq!(playing.keys(&env).await, before);
    playing.change_role("- command: 'true'\n");
    assert_ne!(playing.keys(&env).await[2], before[2], "what the owner shows");
}

/// Nobody knows which of both a playbook saw.
#[tokio::test(flavor = "multi_thread")]
async fn surroundings_that_change_while_a_playbook_runs_are_not_told() {
    let playing = Playing::new();
    let told = async |change: bool| {
        let (wall, cx) = (playing.wall(&[]), RunCx::outside(Default::default()));
        let site = BuildContext {
            home: playing.home.path().into(),
            ..site(&playing.world, &playing.world.fake, &playing.plan, &cx, &wall)
        };
        let crate::plan::Origin::Base(base) = &playing.plan.origin else { unreachable!() };
        let mut trail = Trail::new(&site, base).await.unwrap();
        trail.past.ran.push(Timestamp::now());
        let mut builder = running();
        trail.passed(&site, &mut builder).await.unwrap();
        if change {
            playing.change_role("- command: 'false'\n");
        }
        trail.passed(&site, &mut builder).await.unwrap();
        trail.properties(&playing.plan).remove(image::SURROUNDINGS)
    };
    assert!(told(false).await.is_some_and(|digest| digest.len() == 64));
    assert_eq!(told(true).await, None);
}

//! Builds on a cloud in memory that keeps states of machines.
use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::engine::checkpoints::Range;
use crate::engine::tests::world::{World, no_wall, site};
use crate::engine::{BuildContext, BuildError, Goal, Interactive, Outcome, SshAccess, build};
use crate::model::event::{Event, Events};
use crate::model::facts::{CloudFacts, FactsQuery};
use crate::model::image;
use crate::model::step::StepKind;
use crate::plan::StepPlan;
use crate::provider::checkpoints::{Checkpoint, NewCheckpoint, Saved};
use crate::provider::fake::Memory;
use crate::provider::ledger::Ledger;
use crate::provider::{
    Artifacts, BootSpec, Checkpoints, CloudError, Compute, Provider, Resources, RunCx,
};
use crate::settings::{Rule, Settings};
use crate::wall::{Config, Wall};

/// A cloud in memory, with a shelf.
struct Shelved<'w> {
    cloud: &'w Memory,
    shelf: Mutex<Vec<(String, Checkpoint)>>,
    /// IDs of states that cannot be restored.
    broken: Vec<String>,
    restored: Mutex<Vec<String>>,
    has_room: bool,
}

impl<'w> Shelved<'w> {
    fn new(cloud: &'w Memory) -> Self {
        Self {
            cloud,
            shelf: Mutex::default(),
            broken: Vec::new(),
            restored: Mutex::default(),
            has_room: true,
        }
    }

    fn kept(&self) -> usize {
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
        _: &Machine,
        new: &NewCheckpoint<'_>,
    ) -> Result<Saved, CloudError> {
        if !self.has_room {
            return Ok(Saved::NoRoom("all is taken".into()));
        }
        let mut shelf = self.shelf.lock().unwrap();
        let id = format!("c{}", shelf.len());
        let one = Checkpoint { id, made: Timestamp::now(), note: new.note.clone() };
        shelf.push((new.key.to_owned(), one));
        Ok(Saved::Kept)
    }
}

/// Steps `a`, `b` and `c` of a definition in `tree`.
fn plan(world: &World, definition: &Definition, texts: [&str; 3]) -> Plan {
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
async fn built(
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

fn events(world: &World, of: impl Fn(&Event) -> bool) -> usize {
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_playbook_sees_of_the_factory_is_in_its_key() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    let shown = home.path().join("roles");
    fs::create_dir(&shown).unwrap();
    let keys = async |value: &str, ansible: &str| {
        let mut plan = world.plan();
        plan.base_key = Some("base".into());
        plan.asks.env = vec!["TOKEN".into()];
        plan.ansible = Some(ansible.into());
        let shell = StepPlan { outline: Some("o".into()), ..plan.steps[0].clone() };
        let action = StepKind::Ansible {
            playbook: "p.yml".into(),
            extra_vars: Default::default(),
            tags: Vec::new(),
            plain: false,
            local: false,
        };
        plan.steps = vec![shell.clone(), StepPlan { action, ..shell }];
        let mut settings = Settings::default();
        settings.ansible.roles = vec![shown.clone()];
        settings.allow = vec![Rule {
            definition: "images/x".into(),
            env: vec!["TOKEN".into()],
            ..Rule::default()
        }];
        let env = BTreeMap::from([("TOKEN".to_owned(), value.to_owned())]);
        let wall = Wall::new(Config { settings, env, home: None, hidden: Vec::new() });
        let cx = RunCx::outside(Default::default());
        let site = BuildContext {
            home: home.path().into(),
            ..site(&world, &world.fake, &plan, &cx, &wall)
        };
        crate::engine::checkpoints::keys::of(&site).await.unwrap()
    };
    let before = keys("one", "2.14").await;
    assert!(before.iter().all(Option::is_some), "{before:?}");
    assert_eq!(keys("one", "2.14").await, before);
    for after in [keys("two", "2.14").await, keys("one", "2.15").await] {
        assert_eq!(after[..2], before[..2], "a script sees nothing of it");
        assert_ne!(after[2], before[2]);
    }
    fs::write(shown.join("main.yml"), "- command: 'true'\n").unwrap();
    assert_ne!(keys("one", "2.14").await[2], before[2], "what the owner shows");
    assert!(!before[2].as_ref().unwrap().contains("one"));
}

//! Runs that end in mid-step: a signal, a builder that is lost, a machine that is kept.
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_powers_off_in_mid_step_is_named() {
    let world = World::new();
    let plan = world.plan();
    let cx = RunCx::new(
        "r1",
        Ledger::open(&world.dir.path().join("l")).unwrap(),
        Events::default(),
        Cancel::default(),
    );
    let site = BuildContext {
        cloud: &world.cloud,
        connect: &Hang(world.fake.clone()),
        cx: &cx,
        plan: &plan,
        wall: &no_wall(),
        definition: Box::leak(Box::default()),
        scratch: world.dir.path().into(),
        work: world.dir.path().into(),
        downloads: world.dir.path().join("downloads"),
        proxies: Default::default(),
        pool: None,
        until: Goal::Published,
        keep_on_failure: false,
        home: Default::default(),
        range: Default::default(),
    };
    let off = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.cloud.set_power("factory-r1-builder", crate::provider::Power::Gone("killed".into()));
    };
    let (outcome, ()) = tokio::join!(build(&site), off);
    assert_eq!(outcome.result.unwrap_err().to_string(), "the builder was lost: it is gone: killed");
}

/// One machine was announced, and the other stayed up unsaid.
#[tokio::test(flavor = "multi_thread")]
async fn beside_a_machine_that_is_kept_nothing_stays_unsaid() {
    let (world, wall) = (World::new(), no_wall());
    world.fake.0.lock().unwrap().exits.push(("--failed".into(), 1));
    let plan = world.plan();
    let events = Events::default();
    events.add(Box::new(world.seen.clone()));
    let ledger = Ledger::open(&world.dir.path().join("l")).unwrap();
    let cx = RunCx::new(&plan.run, ledger, events, Cancel::default());
    let connect = world.fake.clone();
    let outcome = build(&site(&world, &connect, &plan, &cx, &wall)).await;
    assert!(outcome.leaks.is_empty(), "{:?}", outcome.leaks);
    let kept = outcome.kept.expect("a machine is kept").machine;
    let owned: Vec<String> = cx.ledger.entries().into_iter().map(|e| e.name).collect();
    let others = ["builder", "smoke-a", "smoke-b"].map(|role| format!("factory-r1-{role}"));
    let up: Vec<&String> = others.iter().filter(|name| owned.contains(name)).collect();
    assert_eq!(up, [&kept], "{owned:?}");
    let seen = world.seen.0.lock().unwrap();
    let told = |name: &str| {
        seen.iter().any(|e| {
            matches!(e, Event::Note { text } if text.contains(name)
            && text.contains(&format!("stays up for {kept}")))
        })
    };
    for name in owned.iter().filter(|name| **name != kept && !name.starts_with('/')) {
        assert!(told(name), "{name} stays up, and nobody says so");
    }
    assert!(owned.len() > 1, "the staged image is what it boots from: {owned:?}");
}

/// What a script leaves running goes with a build that fails, though its machine stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_kept_keeps_nothing_else() {
    let (world, wall) = (World::new(), no_wall());
    world.fake.0.lock().unwrap().exits.push(("install-it".into(), 3));
    let plan = Plan { run: "r-kept".into(), ..world.plan() };
    let cx = RunCx::new(
        &plan.run,
        Ledger::open(&world.dir.path().join("l")).unwrap(),
        Events::default(),
        Cancel::default(),
    );
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
    let cx = RunCx::new(
        "r1",
        Ledger::open(&world.dir.path().join("l")).unwrap(),
        Events::default(),
        world.cancel.clone(),
    );
    let (connect, plan, wall) = (world.fake.clone(), world.plan(), no_wall());
    let outcome = build(&BuildContext {
        until: Goal::Provisioned(Arc::new(Nobody)),
        ..site(&world, &connect, &plan, &cx, &wall)
    })
    .await;
    assert!(outcome.result.unwrap_err().is_cancelled() && outcome.leaks.is_empty());
    assert_eq!(before, world.cloud.snapshot());
}

/// A missing base was published with the first of its steps alone, for `try --until 1` of a bundle
/// on it.
#[tokio::test(flavor = "multi_thread")]
async fn no_image_is_made_of_a_part_of_the_steps() {
    let world = World::new();
    let before = world.cloud.snapshot();
    let ledger = Ledger::open(&world.dir.path().join("l")).unwrap();
    let cx = RunCx::new("r1", ledger, Events::default(), world.cancel.clone());
    let (connect, mut plan, wall) = (world.fake.clone(), world.plan(), no_wall());
    plan.steps.push(plan.steps[0].clone());
    let built = async |until| {
        let range = checkpoints::Range { until: Some(until), ..Default::default() };
        let site = site(&world, &connect, &plan, &cx, &wall);
        build(&BuildContext { range, ..site }).await.result.map(drop).map_err(|e| e.to_string())
    };
    let error = built(0).await.unwrap_err();
    assert!(error.contains("only 1 of 2 steps were to be run"), "{error}");
    assert_eq!((before, world.cloud.calls()), (world.cloud.snapshot(), 0));
    built(1).await.expect("the second is the last");
}

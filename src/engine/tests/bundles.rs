//! What a bundle's own steps and checks are promised.
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::provider::Power;

/// Builds with these scripts as the bundle's checks.
async fn tested(world: &World, checks: &[(&str, &str)]) -> Outcome {
    let plan = world.plan();
    let mut smoke = plan.smoke.clone().unwrap();
    std::fs::create_dir(world.dir.path().join("tests")).unwrap();
    for (path, text) in checks {
        let file = world.dir.path().join(path);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        smoke.tests.push(path.into());
    }
    world.build_plan(Plan { smoke: Some(smoke), ..plan }).await
}

fn of_the_bundle(world: &World, verdict: Verdict) -> Vec<(String, String)> {
    let mut checks = world.checks(verdict);
    checks.retain(|(id, _)| id.starts_with("tests/"));
    checks
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_pass_with_0_skip_with_77_and_fail_otherwise() {
    let world = World::new();
    {
        let mut answers = world.fake.0.lock().unwrap();
        answers.exits.extend([("one that skips".into(), 77), ("one that fails".into(), 3)]);
    }
    let checks = ["passes", "skips", "fails"];
    let texts = checks.map(|end| (format!("tests/{end}"), format!("# one that {end}")));
    let texts = texts.each_ref().map(|(path, text)| (path.as_str(), text.as_str()));
    let outcome = tested(&world, &texts).await;
    assert!(matches!(outcome.result, Err(BuildError::Smoke { .. })), "{:?}", outcome.result);
    for (verdict, id) in
        [Verdict::Passed, Verdict::Skipped, Verdict::Failed].into_iter().zip(checks)
    {
        let expected = (format!("tests/{id}"), "all is well".to_owned());
        assert_eq!(of_the_bundle(&world, verdict), [expected], "the last line is the reason");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_and_steps_are_told_what_they_run_for() {
    let world = World::new();
    assert!(tested(&world, &[("tests/page.sh", "# ask for it")]).await.result.is_ok());
    let answers = world.fake.0.lock().unwrap();
    let env = |part: &str| {
        let (_, env) = answers.told.iter().find(|(script, _)| script.contains(part)).unwrap();
        env.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<BTreeMap<_, _>>()
    };
    let check = env("# ask for it");
    for (key, value) in [
        ("FACTORY_HOSTNAME", "factory-r1-smoke-a"),
        ("FACTORY_USER", "debian"),
        ("FACTORY_BUNDLE", "x"),
        ("FACTORY_IMAGE_NAME", "x-1"),
    ] {
        assert_eq!(check[key], value, "{key}");
    }
    for number in ["FACTORY_DISK_BYTES", "FACTORY_NOW"] {
        assert!(check[number].parse::<u64>().is_ok_and(|n| n > 1 << 20), "{number}");
    }
    let ran = answers.scripts.iter().filter(|(_, script)| script.contains("# ask for it"));
    assert_eq!(ran.count(), 1, "in the first machine alone");
    let step = env("install-it");
    assert_eq!(step["FACTORY_BUNDLE"], "x");
    let of_run = |key: &&str| step.contains_key(key);
    assert!(!["FACTORY_RUN", "FACTORY_IMAGE_NAME"].iter().any(of_run), "it names neither");
}

/// What a step prints of its environment is in its checkpoint, and so in another run's image.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_told_of_its_run_if_it_names_it() {
    let world = World::new();
    let mut plan = world.plan();
    plan.steps[0].action = StepKind::Shell { text: "name-it $FACTORY_RUN; env".into() };
    assert!(world.build_plan(plan).await.result.is_ok());
    let answers = world.fake.0.lock().unwrap();
    let (_, env) = answers.told.iter().find(|(script, _)| script.contains("name-it")).unwrap();
    assert_eq!(env.get("FACTORY_RUN").map(String::as_str), Some("r1"));
    assert!(env.contains_key("FACTORY_IMAGE_NAME") && env.contains_key("FACTORY_BUNDLE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_from_outside_reaches_the_machine_with_its_host_key_pinned() {
    let world = World::new();
    let text = "# image-factory: outside\n\
         grep -q '^Host machine$' \"$FACTORY_SSH_CONFIG\" || exit 1\n\
         grep -q '^StrictHostKeyChecking yes$' \"$FACTORY_SSH_CONFIG\" || exit 2\n\
         grep -q \"^Port $FACTORY_PORT$\" \"$FACTORY_SSH_CONFIG\" || exit 3\n\
         [ -n \"$FACTORY_HOST\" ] && [ -d tests ] && echo \"$FACTORY_HOSTNAME\"";
    let inside = format!("# {}\n{text}", "1\n# ".repeat(9));
    let checks = [("tests/outside", text), ("tests/too-late", inside.as_str())];
    let outcome = tested(&world, &checks).await;
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    assert_eq!(
        of_the_bundle(&world, Verdict::Passed),
        [("tests/outside", "factory-r1-smoke-a"), ("tests/too-late", "all is well")]
            .map(|(id, reason)| (id.to_owned(), reason.to_owned())),
        "the second has its mark below the first ten lines"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_tried_again_as_often_as_it_says() {
    for retries in [0, 2] {
        let world = World::new();
        world.fake.0.lock().unwrap().exits.push(("install-it".into(), 1));
        let mut plan = world.plan();
        plan.steps[0].retries = retries;
        let result = world.build_plan(plan).await.result;
        assert!(matches!(result, Err(BuildError::Step { .. })), "{result:?}");
        let answers = world.fake.0.lock().unwrap();
        let tries = answers.scripts.iter().filter(|(_, script)| script.contains("install-it"));
        assert_eq!(tries.count(), 1 + retries as usize);
    }
}

/// `--keep-on-failure`, of a build and of `test`.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_check_leaves_the_machine_up_where_it_is_to_be_kept() {
    let (world, wall) = (World::new(), no_wall());
    world.fake.0.lock().unwrap().exits.push(("--failed".into(), 1));
    let plan = world.plan();
    let ledger = Ledger::open(&world.dir.path().join("ledger.jsonl")).unwrap();
    let cx = RunCx::new(&plan.run, ledger, Events::default(), Cancel::default());
    let outcome = build(&site(&world, &world.fake.clone(), &plan, &cx, &wall)).await;
    assert!(matches!(outcome.result, Err(BuildError::Smoke { .. })), "{:?}", outcome.result);
    let kept = outcome.kept.expect("a machine that was kept");
    assert_eq!(kept.machine, "factory-r1-smoke-a");
    assert!(kept.ssh[0].ends_with("ssh") && kept.ssh.len() > 3, "{:?}", kept.ssh);
    assert!(outcome.leaks.is_empty(), "{:?}", outcome.leaks);
}

/// A check on the factory sees nothing but an address that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_from_outside_says_nothing_of_a_machine_that_is_gone() {
    let world = World::new();
    world.cloud.set_power("factory-r1-smoke-a", Power::Gone("deleted".into()));
    let result = tested(&world, &[("tests/page", "# image-factory: outside\nexit 1")]).await.result;
    assert!(matches!(result, Err(BuildError::MachineLost { .. })), "{result:?}");
    assert_eq!(world.failed_checks(), [""; 0]);
}

/// It was told as the cloud's fault, and not tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_come_back_from_a_reboot_is_the_steps_fault() {
    let gone = Power::Gone("killed".into());
    for (retries, power) in [(0, Power::On), (1, Power::On), (1, gone)] {
        let world = World::new();
        world.fake.0.lock().unwrap().never_reboots = true;
        world.cloud.set_power("factory-r1-builder", power.clone());
        let mut plan = world.plan();
        let step = &mut plan.steps[0];
        (step.action, step.name) = (StepKind::Reboot, "restart".into());
        (step.timeout, step.retries) = (1, retries);
        let error = world.build_plan(plan).await.result.unwrap_err();
        let answers = world.fake.0.lock().unwrap();
        let tries = answers.scripts.iter().filter(|(_, s)| s.contains("systemctl reboot")).count();
        match power {
            Power::On => {
                let said = "step 1, restart: the machine did not restart within 1 s";
                assert_eq!((error.to_string().as_str(), tries), (said, 1 + retries as usize));
            }
            _ => {
                assert!(matches!(error, BuildError::BuilderLost { .. }), "{error:?}");
                assert_eq!(tries, 1, "of a machine that is gone nothing is asked again");
            }
        }
    }
}

/// A session does not break for a minute or two after its machine has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_dies_while_it_comes_back_is_named() {
    let world = World::new();
    world.cloud.look_every(Duration::from_millis(50));
    world.cloud.set_power("factory-r1-builder", Power::Gone("killed".into()));
    let hang = ("systemctl reboot".to_owned(), "cloud-init status".to_owned());
    world.fake.0.lock().unwrap().hangs_after = Some(hang);
    let mut plan = world.plan();
    plan.steps[0].action = StepKind::Reboot;
    let built = tokio::time::timeout(Duration::from_secs(30), world.build_plan(plan)).await;
    let error = built.expect("in time").result.unwrap_err();
    assert_eq!(error.to_string(), "the builder was lost: it is gone: killed");
}

/// Reached until a step takes its network away.
struct Cut(Fake);

#[async_trait]
impl Connect for Cut {
    async fn connect(
        &self,
        target: &Target,
        limit: Duration,
    ) -> Result<Arc<dyn Remote>, RemoteError> {
        if self.0.0.lock().unwrap().restarts == 0 {
            return self.0.connect(target, limit).await;
        }
        let (host, port, reason) = (target.host.clone(), target.port, "no route".into());
        Err(RemoteError::Unreachable { host, port, reason })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_takes_the_network_away_for_good_is_named() {
    let (world, wall) = (World::new(), no_wall());
    world.fake.0.lock().unwrap().restarts_at = Some("install-it".into());
    let mut plan = world.plan();
    plan.timeouts.ssh = 1;
    let ledger = Ledger::open(&world.dir.path().join("ledger.jsonl")).unwrap();
    let cx = RunCx::new(&plan.run, ledger, Events::default(), Cancel::default());
    let cut = Cut(world.fake.clone());
    let site = site(&world, &cut, &plan, &cx, &wall);
    let outcome = build(&BuildContext { keep_on_failure: false, ..site }).await;
    let error = outcome.result.unwrap_err();
    assert!(matches!(error, BuildError::Step { .. }), "{error:?}");
    let error = error.to_string();
    assert!(error.starts_with("step 1, install: SSH not ready after "), "{error}");
}

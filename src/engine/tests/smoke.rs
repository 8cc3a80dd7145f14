//! Images that do not pass, and machines that the checks cannot make up their mind about.
use super::*;

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
    let whys = ["in memory", "this cloud attaches no volumes", "this cloud has no rescue mode"];
    assert!(skipped.iter().zip(whys).all(|((_, why), has)| why.contains(has)), "{skipped:?}");
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

/// A check that somebody listed, and for which no runner was written, does not pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_nobody_carries_out_fails() {
    let world = World::new();
    let before = world.cloud.snapshot();
    let mut plan = world.plan();
    plan.smoke.as_mut().unwrap().checks.push("forgotten".into());
    assert!(matches!(world.build_plan(plan).await.result, Err(BuildError::Smoke { .. })));
    let failed = world.checks(Verdict::Failed);
    assert_eq!(failed, [("forgotten".to_owned(), "not carried out".to_owned())]);
    assert_eq!(before, world.cloud.snapshot());
}

/// Quotas are used up, and a cloud has bad days: neither says anything of the image. Of the calls
/// of the check, the guest has a part in its shutdown alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_refuses_an_image_of_the_machine_blames_nobody() {
    let world = || World { add: &["snapshot"], ..World::new() };
    let calls = {
        let world = world();
        world.build().await.result.unwrap();
        world.cloud.calls()
    };
    let (mut skipped, mut failed) = (0, 0);
    for call in 1..=calls {
        let world = world();
        world.cloud.fail_at(call, Fault::Refuse);
        let outcome = world.build().await;
        for (id, why) in world.checks(Verdict::Skipped) {
            assert!(
                id == "snapshot" && why.starts_with("the cloud did not do it: "),
                "{id}: {why}"
            );
            assert!(matches!(outcome.result, Ok(Built::Image(_))), "{:?}", outcome.result);
            skipped += 1;
        }
        failed += usize::from(matches!(outcome.result, Err(BuildError::Smoke { .. })));
    }
    assert_eq!((skipped, failed), (2, 1), "of the capture and of the boot; of the shutdown");
}

//! Images that do not pass, and machines that the checks cannot make up their mind about.
use super::*;
use crate::provider::Power;

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

/// Quotas are used up, and a cloud has bad days: neither says anything of the image.
#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_refuses_what_a_check_asks_of_it_blames_nobody() {
    let world = || World { add: &["reboot-soft", "reboot-hard", "snapshot"], ..World::new() };
    let calls = {
        let world = world();
        world.build().await.result.unwrap();
        world.cloud.calls()
    };
    let mut skipped = Vec::new();
    for call in 1..=calls {
        let world = world();
        world.cloud.fail_at(call, Fault::Refuse);
        let outcome = world.build().await;
        assert_eq!(world.failed_checks(), [""; 0], "call {call}: {:?}", outcome.result);
        for (id, why) in world.checks(Verdict::Skipped) {
            assert!(matches!(outcome.result, Ok(Built::Image(_))), "{:?}", outcome.result);
            if let Some(id) = why.strip_prefix("not tried, because the cloud failed in ") {
                assert!(id.starts_with("reboot-"), "{id}");
            } else {
                assert!(why.starts_with("the cloud did not do it: "), "{id}: {why}");
                skipped.push(id);
            }
        }
    }
    let copy = "snapshot";
    let refused = ["reboot-soft", "reboot-hard", copy, copy, copy];
    assert_eq!(skipped, refused, "of the copy: shutdown, capture and boot");
}

/// Somebody deleted the server, or Nova says ERROR: while it comes up, or in a check, which then
/// sees nothing but a session that is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_the_cloud_lost_is_no_fault_of_its_image() {
    let alone = crate::model::check::SCRIPTS.iter().find(|check| check.id == "leftovers");
    let second = "/proc/sys/kernel/random/boot_id";
    let lost = [None, Some("--failed"), Some(alone.unwrap().script), Some(second)];
    let ends = [Power::Gone("deleted".into()), Power::Stuck("Nova says ERROR".into()), Power::On];
    for (lost, power) in lost.iter().flat_map(|lost| ends.iter().map(move |end| (lost, end))) {
        let world = World::new();
        let mut plan = world.plan();
        plan.timeouts.ssh = 1;
        let mut name = "factory-r1-smoke-a";
        if *lost == Some(second) {
            // What loses one session loses all, and the first machine has nothing to do.
            name = "factory-r1-smoke-b";
            plan.smoke.as_mut().unwrap().checks = vec!["reboot-soft".into()];
        }
        match lost {
            None => world.cloud.set_console(name, "[    0.000000] Linux version 6.1.0\n"),
            Some(text) => world.fake.0.lock().unwrap().lost_at = Some((*text).to_owned()),
        }
        world.cloud.set_power(name, power.clone());
        let result = world.build_plan(plan).await.result;
        let failed = world.failed_checks();
        match (&result, power) {
            (Err(BuildError::Smoke { .. }), Power::On) => assert!(!failed.is_empty()),
            (Err(BuildError::MachineLost { machine, .. }), Power::Gone(_) | Power::Stuck(_)) => {
                assert_eq!((machine.as_str(), failed.len()), (name, 0), "{failed:?}");
            }
            _ => panic!("{lost:?} {power:?}: {result:?}, {failed:?}"),
        }
    }
}

/// A machine that panicked is stopped by the cloud, which did not lose it.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_stopped_for_its_panic_fails() {
    let world = World::new();
    let panic = "[    0.0] Linux version 6.1.0\n[    1.0] Kernel panic - not syncing: VFS\n";
    world.cloud.set_console("factory-r1-smoke-a", panic);
    world.cloud.set_power("factory-r1-smoke-a", Power::Stuck("QEMU says `guest-panicked`".into()));
    assert!(matches!(world.build().await.result, Err(BuildError::Smoke { .. })));
    let reason = "factory-r1-smoke-a: its console says: the kernel panicked: VFS";
    assert_eq!(world.checks(Verdict::Failed), [("boots".to_owned(), reason.to_owned())]);
}

/// `cat` ends with 1 where there is no such file. That ended the build as a machine that is not
/// ready, whether anybody asked for the check or not.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_a_machine_id_fails_that_check_alone() {
    for wanted in [true, false] {
        let world = World::new();
        world.fake.0.lock().unwrap().exits.push(("cat /etc/machine-id".into(), 1));
        let mut plan = world.plan();
        plan.smoke.as_mut().unwrap().checks.retain(|id| wanted || id != "machine-id-unique");
        let result = world.build_plan(plan).await.result;
        match result {
            Err(BuildError::Smoke { .. }) if wanted => {
                assert_eq!(world.failed_checks(), ["machine-id-unique"]);
            }
            Ok(Built::Image(_)) if !wanted => {}
            other => panic!("{wanted}: {other:?}"),
        }
        let passed = world.checks(Verdict::Passed);
        assert!(passed.iter().any(|(id, _)| id == "failed-units"), "{passed:?}");
    }
}

/// A file of the bundle that cannot be read ended a build whose image had failed with another code.
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_has_failed_whatever_becomes_of_the_other_checks() {
    for fails in [true, false] {
        let world = World::new();
        if fails {
            world.fake.0.lock().unwrap().exits.push(("--failed".into(), 1));
        }
        let mut plan = world.plan();
        plan.smoke.as_mut().unwrap().tests.push("tests/none".into());
        match world.build_plan(plan).await.result {
            Err(BuildError::Smoke { .. }) if fails => {
                assert_eq!(world.failed_checks(), ["failed-units"]);
                let seen = world.seen.0.lock().unwrap();
                let told =
                    |e: &Event| matches!(e, Event::Warning { text } if text.contains("none"));
                assert!(seen.iter().any(told), "{seen:?}");
            }
            Err(BuildError::Unreadable { .. }) if !fails => {}
            other => panic!("{fails}: {other:?}"),
        }
    }
}

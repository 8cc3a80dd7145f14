//! The straight line on the in-memory cloud, with a fault at every call, and with machines that
//! misbehave.
use crate::model::facts::{Flavor, Named};
use crate::model::placement::Placement;
use crate::model::placement::Security;
use crate::model::step::StepKind;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::guest::{Connect, Remote, RemoteError, Target};
use crate::model::digest::{Algorithm, Digest};
use crate::model::event::{Event, Events, Sink, Stamped, Verdict};
use crate::model::format::Format;
use crate::model::source::{ChecksumSource, Download};
use crate::model::source_uri::SourceUri;
use crate::plan::*;
use crate::provider::fake::{Fault, Memory};
use crate::provider::ledger::Ledger;
use crate::provider::{Provider, RunCx};
use crate::system::cancel::Cancel;
use crate::system::digest::Hasher;
use crate::system::exec;
use crate::wall::Wall;

mod bundles;
pub(crate) mod fake;
mod pool;
mod smoke;
mod source;
mod space;
mod stopped;
pub(crate) mod world;

use fake::{Fake, Hang, Nobody};
use world::{World, no_wall, site};

#[tokio::test(flavor = "multi_thread")]
async fn what_exists_after_a_build_is_the_image() {
    let world = World::new();
    let before = world.cloud.snapshot();
    let outcome = world.build().await;
    let Ok(Built::Image(image)) = outcome.result else { panic!("{:?}", outcome.result) };
    assert!(outcome.leaks.is_empty());
    assert_eq!(
        (image.name.as_str(), image.state, image.properties["k"].as_str()),
        ("x-1", crate::model::image::State::Active, "v")
    );
    let passed = world.checks(Verdict::Passed).len();
    assert!(passed > 5);
    let skipped = world.checks(Verdict::Skipped).len();
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    assert_eq!(image.properties[crate::model::image::TESTS], format!("{passed} passed{skipped}"));
    let after: Vec<_> =
        world.cloud.snapshot().into_iter().filter(|l| !before.contains(l)).collect();
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
            let left: Vec<_> =
                world.cloud.snapshot().into_iter().filter(|l| !before.contains(l)).collect();
            let told = format!(
                "call {call} {fault:?}: {:?}, leaks {:?}, left {left:?}",
                outcome.result, outcome.leaks
            );
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

/// A plan of a project: the machines have the flavors that are planned, the second smoke machine
/// the one that the image claims to suffice; a single one for all would prove nothing of the claim.
#[tokio::test(flavor = "multi_thread")]
async fn each_machine_boots_on_the_flavor_that_is_planned() {
    let world = World::new();
    let named = |name: &str| Named { id: format!("id-{name}"), name: name.into() };
    let mut plan = world.plan();
    plan.site = Some(site_admitting(Vec::new()));
    plan.builder.as_mut().unwrap().flavor = Some(named("small"));
    let smoke = plan.smoke.as_mut().unwrap();
    (smoke.first.flavor, smoke.second.flavor) = (Some(named("small")), Some(named("thin")));
    world.build_plan(plan).await.result.unwrap();
    let flavor = |role: &str| {
        let all = world.cloud.booted();
        let spec = all.iter().find(|spec| spec.name == format!("factory-r1-{role}")).unwrap();
        spec.place.as_ref().unwrap().flavor.id.clone()
    };
    assert_eq!(["builder", "smoke-a", "smoke-b"].map(flavor), ["id-small", "id-small", "id-thin"]);
}

fn site_admitting(ssh_from: Vec<String>) -> Placement {
    Placement {
        networks: Vec::new(),
        floating_network: Some(Named { id: "n".into(), name: "public".into() }),
        security: Security::Temporary { ssh_from },
        zone: None,
        volume: None,
        reached_on: None,
    }
}

/// SSH from another address than the group admits gets no answer, as from a machine that hangs: the
/// setting is named with the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_not_reached_is_told_with_the_setting() {
    struct Deaf;

    #[async_trait]
    impl Connect for Deaf {
        async fn connect(
            &self,
            target: &Target,
            _: Duration,
        ) -> Result<Arc<dyn Remote>, RemoteError> {
            Err(RemoteError::Unreachable {
                host: target.host.clone(),
                port: target.port,
                reason: "no answer in time".into(),
            })
        }
    }
    let (world, wall) = (World::new(), no_wall());
    for (ssh_from, said) in [
        (Vec::new(), "admits SSH from this machine's address"),
        (vec!["192.0.2.9/32".to_owned()], "admits SSH from 192.0.2.9/32"),
    ] {
        let mut plan = world.plan();
        (plan.site, plan.timeouts.ssh) = (Some(site_admitting(ssh_from)), 1);
        let ledger = Ledger::open(&world.dir.path().join("l")).unwrap();
        let cx = RunCx::new(&plan.run, ledger, Events::default(), Cancel::default());
        let outcome = build(&BuildContext {
            keep_on_failure: false,
            home: Default::default(),
            range: Default::default(),
            ..site(&world, &Deaf, &plan, &cx, &wall)
        })
        .await;
        let error = outcome.result.unwrap_err().to_string();
        assert!(outcome.leaks.is_empty(), "{:?}", outcome.leaks);
        for part in ["SSH not ready after 1 s", "no answer in time", said, "FACTORY_SSH_FROM"] {
            assert!(error.contains(part), "`{part}` is not in {error}");
        }
    }
}

/// What a base installs at its boot is waited for before the first step, and not again.
#[tokio::test(flavor = "multi_thread")]
async fn the_package_manager_is_waited_for_before_the_first_step() {
    let world = World::new();
    world.build().await.result.unwrap();
    let answers = world.fake.0.lock().unwrap();
    let places = |text: &str| {
        let of =
            answers.scripts.iter().enumerate().filter(|(_, (_, script))| script.contains(text));
        of.map(|(place, (port, _))| (place, *port)).collect::<Vec<_>>()
    };
    let (waits, steps) = (places("apt-daily.timer"), places("install-it"));
    let ([(wait, builder), ..], [(step, on)]) = (&waits[..], &steps[..]) else {
        panic!("{waits:?} {steps:?}")
    };
    assert!(wait < step && builder == on, "{waits:?} {steps:?}");
}

/// A playbook with Ansible's `reboot`, a script that restarts the network: it went well, and our
/// own session went with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_restarts_the_machine_is_followed_by_the_next() {
    let world = World::new();
    world.fake.0.lock().unwrap().restarts_at = Some("install-it".into());
    let mut plan = world.plan();
    let next =
        StepPlan { action: StepKind::Shell { text: "second-it".into() }, ..plan.steps[0].clone() };
    plan.steps.push(next);
    let result = world.build_plan(plan).await.result;
    assert!(matches!(result, Ok(Built::Image(_))), "{result:?}");
    assert!(world.fake.0.lock().unwrap().scripts.iter().any(|(_, s)| s.contains("second-it")));
}

/// The connection broke while a script ran, which goes on in the machine.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_attempt_left_running_is_ended_before_the_next() {
    let world = World::new();
    world.fake.0.lock().unwrap().lost_at = Some("install-it".into());
    let mut plan = world.plan();
    plan.steps[0].retries = 1;
    let result = world.build_plan(plan).await.result;
    assert!(matches!(result, Ok(Built::Image(_))), "{result:?}");
    let answers = world.fake.0.lock().unwrap();
    let of_it = |script: &str| script.contains("install-it") || script.contains("kill -s TERM");
    let done: Vec<bool> = answers
        .scripts
        .iter()
        .filter(|(_, script)| of_it(script))
        .map(|(_, script)| script.contains("kill -s TERM"))
        .collect();
    assert_eq!(done, [false, true, false], "tried, ended, tried again");
}

/// Nova cuts the power of a machine a minute after it was asked to stop it, whatever is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_synced_and_asked_to_go_off_before_the_cloud_is() {
    for (goes_off, falls_silent) in [(true, false), (true, true), (false, false)] {
        let world = World::new();
        {
            let mut fake = world.fake.0.lock().unwrap();
            (fake.goes_off, fake.falls_silent) = (goes_off, falls_silent);
        }
        let mut plan = world.plan();
        (plan.tidy, plan.timeouts.shutdown) = (Vec::new(), 1);
        assert!(matches!(world.build_plan(plan).await.result, Ok(Built::Image(_))));
        let answers = world.fake.0.lock().unwrap();
        let place = |text: &str| answers.scripts.iter().position(|(_, s)| s.contains(text));
        let (tidy, asked) = (place("sync || {").unwrap(), place("[ -p /run/image-factory-off ]"));
        assert!(asked.is_some_and(|asked| tidy < asked), "{tidy} {asked:?}");
        let told = world.seen.0.lock().unwrap().iter().any(
            |e| matches!(e, Event::Warning { text } if text.contains("did not power itself off")),
        );
        let waited_for = goes_off && !falls_silent;
        assert_eq!(told, waited_for, "one that says it goes, and is on for all that");
    }
}

/// A source larger than the disks that were planned: Nova refused the boot, after download and
/// upload.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_needs_more_gets_more_or_is_refused_before_it_is_sent() {
    let flavor = |name: &str, disk_gib| Flavor {
        id: format!("id-{name}"),
        name: name.into(),
        cpus: 1,
        ram_mib: 1024,
        disk_gib,
    };
    for (larger, boots) in [
        (vec![flavor("middle", 1), flavor("large", 3)], Some("id-large")),
        (vec![flavor("middle", 1)], None),
    ] {
        let world = World::new();
        let file = world.dir.path().join("disk.raw");
        let disk = std::fs::File::create(&file).unwrap();
        disk.set_len(2 << 30).unwrap();
        std::os::unix::fs::FileExt::write_at(&disk, &[0x55, 0xaa], 510).unwrap();
        let mut plan = world.plan();
        let wish = Download { from: SourceUri::File(file), sum: None };
        plan.origin = Origin::Url { wish, format: Some(Format::Raw) };
        plan.timeouts.source = 600; // its checksum is taken
        plan.site = Some(site_admitting(Vec::new()));
        let small = || Some(Named { id: "id-small".into(), name: "small".into() });
        let smoke = plan.smoke.as_mut().unwrap();
        smoke.grow_gib = 0;
        for machine in [plan.builder.as_mut().unwrap(), &mut smoke.first, &mut smoke.second] {
            (machine.flavor, machine.disk_gib) = (small(), Some(1));
            plan.larger.insert(machine.name.clone(), larger.clone());
        }
        let before = world.cloud.snapshot();
        let outcome = world.build_plan(plan).await;
        let booted: Vec<_> =
            world.cloud.booted().into_iter().map(|spec| spec.place.unwrap().flavor.id).collect();
        match boots {
            Some(id) => {
                assert!(matches!(outcome.result, Ok(Built::Image(_))), "{:?}", outcome.result);
                assert_eq!(booted, [id; 3], "builder and smoke machines");
            }
            None => {
                let error = outcome.result.unwrap_err().to_string();
                assert!(error.contains("needs a disk of 2 GiB, and flavor small"), "{error}");
                assert_eq!((booted.len(), world.cloud.snapshot()), (0, before));
            }
        }
    }
}

/// A packed disk of this machine, with its checksum: unpacked, looked into, taken in, and published
/// without a builder.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_from_elsewhere_becomes_the_image_only_if_it_is_right() {
    use std::io::Write;
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&disk).unwrap();
    let packed = packed.finish().unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&packed);
    let right = hasher.finish();
    let wrong = Digest { hex: "0".repeat(64), ..right.clone() };

    for (digest, format, told) in [
        (&right, None, ""),
        (&right, Some(Format::Raw), ""),
        (&right, Some(Format::Qcow2), "disk.raw.gz: is raw, and not qcow2 as `source.format` says"),
        (&wrong, None, "disk.raw.gz is not what it should be"),
    ] {
        let world = World::new();
        let before = world.cloud.snapshot();
        let file = world.dir.path().join("disk.raw.gz");
        std::fs::write(&file, &packed).unwrap();
        let wish = Download {
            from: SourceUri::File(file),
            sum: Some(ChecksumSource::Given(digest.clone())),
        };
        let mut plan = Plan {
            origin: Origin::Url { wish, format },
            builder: None,
            steps: Vec::new(),
            ..world.plan()
        };
        // The planner leaves it out where nobody logs in to build.
        plan.smoke.as_mut().unwrap().checks.retain(|id| id != "build-key-refused");
        let outcome = world.build_plan(plan).await;
        match outcome.result {
            Ok(Built::Image(image)) => {
                assert_eq!((told, image.size, image.name.as_str()), ("", (1 << 20) / 10, "x-1"));
                assert!(world.seen.0.lock().unwrap().iter().any(
                    |e| matches!(e, Event::Note { text } if text.ends_with(&right.to_string()))
                ));
            }
            Ok(other) => panic!("{other:?}"),
            Err(e) => {
                assert!(!told.is_empty() && e.to_string().contains(told), "{e}");
                assert_eq!(before, world.cloud.snapshot());
            }
        }
        assert!(outcome.leaks.is_empty());
    }
}

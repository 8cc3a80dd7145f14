//! Builds on a cloud that keeps disks: only if the definition asks for it, and only where that
//! costs less than the steps.
use std::time::Instant;

use super::builds::{Shelved, built, events, plan};
use super::*;
use crate::engine::checkpoints::keys::booted;
use crate::engine::checkpoints::{Range, traces};
use crate::engine::tests::world::World;
use crate::model::event::Event;
use crate::model::placement::{Placement, Security, VolumePlan};
use crate::provider::Power;

fn asking(tree: &Tree) -> Definition {
    Definition { checkpoints: true, ..tree.definition() }
}

fn shelved<'w>(world: &'w World, worth: Duration) -> Shelved<'w> {
    let mut cloud = Shelved::new(&world.cloud);
    cloud.keeps = Keeps::Disk { worth };
    cloud
}

/// Scripts of the last build that contain `text`.
fn scripts(world: &World, text: &str) -> Vec<String> {
    let answers = world.fake.0.lock().unwrap();
    let all = answers.scripts.iter().map(|(_, script)| script.clone());
    all.filter(|script| script.contains(text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_boots_from_the_disk_of_another_run() {
    let (world, tree) = (World::new(), Tree::new());
    let (cloud, definition) = (shelved(&world, Duration::ZERO), asking(&tree));
    let run = async |texts| {
        let plan = plan(&world, &definition, texts);
        let (outcome, ran) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
        assert!(outcome.result.is_ok() && outcome.leaks.is_empty(), "{:?}", outcome.result);
        ran.concat()
    };
    assert_eq!(run(["a", "b", "c"]).await, "abc");
    assert_eq!(cloud.kept(), 3, "the base is the state after the boot");
    assert_eq!(scripts(&world, "sync").len(), 3 + 1, "before each, and tidy");
    let login = {
        let shelf = cloud.shelf.lock().unwrap();
        shelf[0].1.note["login_public"].as_str().unwrap().to_owned()
    };
    assert_eq!(run(["a", "b", "d"]).await, "d");
    assert_eq!(events(&world, |e| matches!(e, Event::StepRestored { .. })), 2);
    let [removal] = &scripts(&world, "OLD_NAME=")[..] else { panic!("the traces stay") };
    let blob = login.split(' ').nth(1).unwrap();
    assert!(removal.contains(blob), "the login key of the first run");
    assert!(scripts(&world, "OLD_HOST=").is_empty(), "its old keys open nothing");
    let booted = world.cloud.booted();
    let of_run = &booted.last().unwrap().user_data;
    assert!(of_run.contains("ed25519_private") && !of_run.contains(blob), "new keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_unless_it_is_asked_for_and_worth_it() {
    let (world, tree) = (World::new(), Tree::new());
    let kept = async |definition: &Definition, worth, volume: bool| {
        let cloud = shelved(&world, worth);
        let mut plan = plan(&world, definition, ["a", "b", "c"]);
        plan.site = volume.then(|| Placement {
            networks: Vec::new(),
            floating_network: None,
            security: Security::None,
            zone: None,
            volume: Some(VolumePlan { size_gib: 4, kind: None, zone: None }),
            reached_on: None,
        });
        let (outcome, _) = built((&world, &cloud), (definition, &plan), Range::default()).await;
        assert!(outcome.result.is_ok(), "{:?}", outcome.result);
        cloud.kept()
    };
    assert_eq!(kept(&asking(&tree), Duration::ZERO, false).await, 3);
    assert_eq!(kept(&tree.definition(), Duration::ZERO, false).await, 0);
    assert_eq!(kept(&asking(&tree), Duration::from_secs(60), false).await, 0);
    assert_eq!(kept(&asking(&tree), Duration::ZERO, true).await, 0, "it is on a volume");
}

#[test]
fn what_a_state_cost_decides_when_the_next_is_kept() {
    let trail = |done: usize, since: u64, cost: u64| Trail {
        keys: Vec::new(),
        past: Past { ran: vec![Timestamp::now(); done + 1], read: Vec::new() },
        inputs: None,
        around: None,
        full: false,
        since: Instant::now().checked_sub(Duration::from_secs(since)).unwrap(),
        cost: Duration::from_secs(cost),
    };
    let keeps = Keeps::Disk { worth: Duration::from_secs(60) };
    assert!(!trail(1, 50, 0).is_worth_it(keeps), "the first");
    assert!(trail(1, 70, 0).is_worth_it(keeps));
    assert!(trail(2, 70, 30).is_worth_it(keeps));
    assert!(!trail(2, 70, 40).is_worth_it(keeps), "the last one cost more than half of it");
    assert!(!trail(0, 999, 0).is_worth_it(keeps), "that is the base");
    assert!(trail(0, 0, 40).is_worth_it(Keeps::Memory));
}

/// Nova does not see a machine go off while its disk is being uploaded.
#[tokio::test(flavor = "multi_thread")]
async fn states_are_settled_before_the_builder_is_turned_off() {
    let (world, tree) = (World::new(), Tree::new());
    let (mut cloud, definition) = (shelved(&world, Duration::ZERO), asking(&tree));
    let plan = plan(&world, &definition, ["a", "b", "c"]);
    cloud.broken = vec!["settle".into()];
    let (outcome, _) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
    assert!(outcome.result.is_ok(), "a state that is not kept fails no build");
    assert_eq!(cloud.settled.lock().unwrap()[0], Power::On);
    let warned = |e: &Event| matches!(e, Event::Warning { text } if text.contains("is not kept"));
    assert!(events(&world, warned) > 0);
}

/// What was kept before a step failed is what the next build begins from.
#[tokio::test(flavor = "multi_thread")]
async fn states_are_settled_when_a_step_fails() {
    let (world, tree) = (World::new(), Tree::new());
    let (cloud, definition) = (shelved(&world, Duration::ZERO), asking(&tree));
    let plan = plan(&world, &definition, ["a", "b", "c"]);
    world.fake.0.lock().unwrap().exits.push(("run-b".into(), 1));
    let (outcome, ran) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
    assert!(outcome.result.is_err() && outcome.leaks.is_empty(), "{:?}", outcome.result);
    assert_eq!(cloud.settled.lock().unwrap()[..], [Power::On]);
    world.fake.0.lock().unwrap().exits.clear();
    assert_eq!(ran.concat(), "ab");
    let (_, ran) = built((&world, &cloud), (&definition, &plan), Range::default()).await;
    assert_eq!(ran.concat(), "bc");
}

/// The script runs for real, on directories of the test.
#[test]
fn what_another_run_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let place = |path: &str| dir.path().join(path.trim_start_matches('/'));
    let write = |path: &str, text: &str| {
        fs::create_dir_all(place(path).parent().unwrap()).unwrap();
        fs::write(place(path), text).unwrap();
    };
    let read = |path: &str| fs::read_to_string(place(path)).unwrap();
    let key = keys::generate_key("factory build key r1");
    let line = key.public_key().to_openssh().unwrap();
    let name = "factory-r1-builder".to_owned();
    let traces = crate::engine::checkpoints::note::Traces {
        login: key.public_key().clone(),
        name,
        past: Past::default(),
    };
    write("/home/debian/.ssh/authorized_keys", &format!("ssh-ed25519 AAAA person\n{line}\nnew\n"));
    write("/root/.ssh/authorized_keys", &format!("no-pty,command=\"echo\" {line}\n"));
    write("/var/lib/cloud/instances/old/user-data.txt", "a host key");
    write("/var/lib/cloud/instances/new/user-data.txt", "its own");
    std::os::unix::fs::symlink(
        place("/var/lib/cloud/instances/new"),
        place("/var/lib/cloud/instance"),
    )
    .unwrap();
    write("/etc/mailname", "factory-r1-builder.novalocal\n");
    write("/etc/postfix/main.cf", "myhostname = factory-r1-builder\nrelayhost =\n");
    write("/etc/other", "factory-r9-builder\n");
    write("/var/spool/postfix/etc/hosts", "127.0.1.1 factory-r1-builder\n");
    let root = dir.path().display().to_string();
    let getent =
        format!("getent() {{ printf 'a:x:0:0::{root}/root:\nb:x:1:1::{root}/home/debian:\n'; }}\n");
    let script = traces::script(&traces, "factory-r2-builder")
        .replace("/var/lib/cloud", &format!("{root}/var/lib/cloud"))
        .replace("/var/spool", &format!("{root}/var/spool"))
        .replace(" /etc", &format!(" {root}/etc"));
    let run = || {
        let out =
            std::process::Command::new("sh").args(["-c", &(getent.clone() + &script)]).output();
        let out = out.unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    };
    run();
    assert_eq!(read("/home/debian/.ssh/authorized_keys"), "ssh-ed25519 AAAA person\nnew\n");
    assert_eq!(read("/root/.ssh/authorized_keys"), "");
    assert!(!place("/var/lib/cloud/instances/old").exists());
    assert_eq!(read("/var/lib/cloud/instances/new/user-data.txt"), "its own");
    assert_eq!(read("/etc/mailname"), "factory-r2-builder.novalocal\n");
    assert_eq!(read("/etc/postfix/main.cf"), "myhostname = factory-r2-builder\nrelayhost =\n");
    assert_eq!(read("/etc/other"), "factory-r9-builder\n");
    assert_eq!(read("/var/spool/postfix/etc/hosts"), "127.0.1.1 factory-r2-builder\n");
    run();
}

/// Another release of the factory boots another machine.
#[test]
fn what_a_booted_machine_is_told_is_in_its_key() {
    let all = [("base", ["a", "b"]), ("base", ["c", "b"]), ("base", ["a", "c"]), ("x", ["a", "b"])];
    let keys = all.map(|(base, own)| booted(base, own));
    let different: std::collections::BTreeSet<&String> = keys.iter().collect();
    assert_eq!(different.len(), all.len());
}

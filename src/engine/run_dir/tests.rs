//! The index of runs, with entries of every kind that should not be there beside good ones.
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::dir::{COMING, GOING, LEDGER, LOCK};
use super::record::Heard;
use super::*;
use crate::engine::SshAccess;
use crate::model::event::Event;
use crate::provider::fake::Memory;
use crate::provider::ledger::{Kind, Ledger, LedgerError, Made};
use crate::provider::{CloudError, Provider};
use crate::sweep::{self, State};
use crate::system::lock::Held;

struct World {
    dir: tempfile::TempDir,
    home: Home,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { data: dir.path().join("home"), runtime: dir.path().join("run") };
        home.secure().unwrap();
        fs::create_dir(home.index()).unwrap();
        Self { dir, home }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.index().join(name)
    }

    /// A record as a run makes it, but for its plan.
    fn record(&self, dir: &Path, cloud: &str) -> Ledger {
        fs::create_dir_all(dir).unwrap();
        File::create(dir.join(LOCK)).unwrap();
        let ledger = Ledger::open(&dir.join(LEDGER)).unwrap();
        ledger
            .begin(&dir.file_name().unwrap().to_string_lossy(), cloud, &self.home.runtime)
            .unwrap();
        ledger
    }

    fn life(&self, run: &str) -> String {
        let all = indexed(&self.home).unwrap();
        match all.iter().find(|r| r.run == run).map(|r| &r.life) {
            None => "absent".into(),
            Some(Life::Unknown(why)) => format!("unknown: {why}"),
            Some(Life::Alive) => "alive".into(),
            Some(Life::Dead(_)) => "dead".into(),
        }
    }

    async fn sweep(&self, cloud: &Memory, only: Option<&str>) -> Vec<(String, State)> {
        let swept = sweep::sweep(cloud, &self.home, only, false).await.unwrap();
        swept.into_iter().map(|s| (s.run, s.state)).collect()
    }
}

fn fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// As if it lay there for an hour.
fn old(dir: &Path) {
    let hour = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    File::open(dir).unwrap().set_modified(hour).unwrap();
}

async fn owns(ledger: &Ledger, name: &str) {
    let create = || async { Ok::<_, LedgerError>(Made { id: format!("id-{name}"), value: () }) };
    ledger.own(Kind::Image, name, create).await.unwrap();
}

/// Entries that make no sense, each with what is said of it.
fn odd(world: &World) -> Vec<(&'static str, &'static str)> {
    File::create(world.at("a-file")).unwrap();
    fifo(&world.at("a-fifo"));
    world.record(&world.at("no-lock"), "memory");
    fs::remove_file(world.at("no-lock").join(LOCK)).unwrap();
    world.record(&world.at("lock-dir"), "memory");
    fs::remove_file(world.at("lock-dir").join(LOCK)).unwrap();
    fs::create_dir(world.at("lock-dir").join(LOCK)).unwrap();
    world.record(&world.at("lock-fifo"), "memory");
    fs::remove_file(world.at("lock-fifo").join(LOCK)).unwrap();
    fifo(&world.at("lock-fifo").join(LOCK));
    symlink(world.dir.path().join("wiped"), world.at("old-wiped")).unwrap();
    symlink(world.at("loop"), world.at("loop")).unwrap();
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"odd-\xff");
    File::create(world.home.index().join(name)).unwrap();
    let mut all = vec![
        ("a-file", "is no directory"),
        ("a-fifo", "is no directory"),
        ("no-lock", "lock cannot be opened"),
        ("lock-dir", "lock cannot be opened"),
        ("lock-fifo", "lock"),
        ("old-wiped", "is gone, and what it wrote down with it"),
        ("loop", "unknown"),
        ("odd-\u{fffd}", "is no directory"),
    ];
    world.record(&world.at("foreign"), "memory");
    if std::os::unix::fs::chown(world.at("foreign"), Some(12345), None).is_ok() {
        all.push(("foreign", "belongs to user 12345"));
    }
    all
}

#[tokio::test]
async fn what_makes_no_sense_is_told_and_stops_no_other() {
    let world = World::new();
    let odd = odd(&world);
    world.record(&world.at("a-dead"), "memory");
    world.record(&world.at("z-dead"), "memory");
    for (run, why) in &odd {
        let life = world.life(run);
        assert!(life.starts_with("unknown: ") && life.contains(why), "{run}: {life}");
    }
    assert_eq!(bases_of_live_runs(&world.home).unwrap().len(), 0);
    let swept = world.sweep(&Memory::new(), None).await;
    for (run, state) in &swept {
        let unclear = odd.iter().any(|(odd, _)| odd == run);
        let wanted = if unclear { State::Unclear } else { State::Dead };
        assert_eq!(*state, wanted, "{run}");
    }
    // Who is not root cannot give a record to somebody else: it is a dead one more.
    let given_away = odd.iter().any(|(run, _)| *run == "foreign");
    assert_eq!(swept.len(), 2 + odd.len() + usize::from(!given_away));
    assert!(!world.at("a-dead").exists() && !world.at("z-dead").exists());
    for (run, _) in odd.iter().filter(|(run, _)| run.is_ascii()) {
        assert!(fs::symlink_metadata(world.at(run)).is_ok(), "{run} is still there");
        world.sweep(&Memory::new(), Some(run)).await;
        assert_eq!(world.life(run), "absent", "{run}, asked for by name");
        let aside = fs::read_dir(world.at(".aside")).unwrap().flatten();
        assert_eq!(
            aside.filter(|e| e.file_name().to_string_lossy().starts_with(run)).count(),
            1,
            "{run}"
        );
    }
}

#[tokio::test]
async fn locks_tell_the_living_from_the_dead_in_both_layouts() {
    let world = World::new();
    world.record(&world.at("new"), "memory");
    let workspace = world.dir.path().join("tree/images/target/x/runs/old");
    world.record(&workspace, "memory");
    symlink(&workspace, world.at("old")).unwrap();
    for (run, dir) in [("new", world.at("new")), ("old", workspace.clone())] {
        let held = Held::take(File::options().write(true).open(dir.join(LOCK)).unwrap()).unwrap();
        assert_eq!(world.life(run), "alive");
        world.sweep(&Memory::new(), Some(run)).await;
        assert_eq!(world.life(run), "alive", "not even by name");
        drop(held);
        assert_eq!(world.life(run), "dead");
        world.sweep(&Memory::new(), Some(run)).await;
        assert_eq!(world.life(run), "absent");
    }
    assert!(workspace.join(LEDGER).is_file(), "the workspace is its owner's");
}

/// Of the same user, with the same runtime directory.
#[tokio::test]
async fn a_live_run_of_another_home_is_no_stranger() {
    let world = World::new();
    let cloud = Memory::new();
    let mut staged = cloud.add_image("theirs-staged", "");
    staged.state = crate::model::image::State::Staged;
    staged.properties = [
        (crate::model::image::STATE.into(), "building".into()),
        (crate::model::image::RUN.into(), "theirs".into()),
    ]
    .into();
    cloud.put(staged);
    let dir = world.home.runtime.join("theirs");
    fs::create_dir(&dir).unwrap();
    let held = hold(&dir).unwrap();
    assert!(hold(&dir).is_err());
    for only in [None, Some("theirs")] {
        assert_eq!(world.sweep(&cloud, only).await, [("theirs".to_owned(), State::Alive)]);
    }
    drop(held);
    assert_eq!(world.sweep(&cloud, None).await, [("theirs".to_owned(), State::Foreign)]);
    assert_eq!(world.sweep(&cloud, Some("theirs")).await, [("theirs".to_owned(), State::Dead)]);
}

/// A sweep of another cloud would find nothing of it, and must not take that for the end of it.
#[tokio::test]
async fn a_run_of_another_cloud_or_of_an_unknown_one_is_not_forgotten() {
    let world = World::new();
    world.record(&world.at("elsewhere"), "https://another");
    let torn = [("empty", ""), ("torn", "{\"record\":\"ru"), ("zeros", "\0\0\0\0\n")];
    for (run, text) in torn {
        world.record(&world.at(run), "x");
        fs::write(world.at(run).join(LEDGER), text).unwrap();
        fs::write(world.at(run).join("plan.json"), text).unwrap();
    }
    let swept = world.sweep(&Memory::new(), None).await;
    let unclear = torn.map(|(run, _)| (run.to_owned(), State::Unclear));
    assert_eq!(swept, [&[("elsewhere".to_owned(), State::OtherCloud)][..], &unclear].concat());
    for run in ["elsewhere", "empty", "torn", "zeros"] {
        assert_eq!(world.life(run), "dead", "{run}");
    }
    assert_eq!(world.sweep(&Memory::new(), Some("elsewhere")).await[0].1, State::OtherCloud);
    assert_eq!(world.life("elsewhere"), "dead");
}

#[tokio::test]
async fn what_a_damaged_ledger_still_tells_is_removed_and_the_record_set_aside() {
    let world = World::new();
    let name = Memory::new().name().to_owned();
    let ledger = world.record(&world.at("r"), &name);
    owns(&ledger, "one").await;
    owns(&ledger, "two").await;
    let text = fs::read_to_string(world.at("r").join(LEDGER)).unwrap();
    fs::write(world.at("r").join(LEDGER), text.replace("\"name\":\"one\"", "\"na")).unwrap();
    world.record(&world.at("s"), &name);
    fs::remove_file(world.at("s").join(LEDGER)).unwrap();
    fifo(&world.at("s").join(LEDGER));
    let swept = sweep::sweep(&Memory::new(), &world.home, None, true).await.unwrap();
    assert!(swept[0].notes[0].contains("line 2 is no record") && world.at("r").exists());
    let swept = sweep::sweep(&Memory::new(), &world.home, None, false).await.unwrap();
    assert!(swept[0].notes.last().unwrap().contains("set aside"), "{swept:?}");
    assert_eq!((world.life("r").as_str(), swept[1].state), ("absent", State::Unclear));
}

/// The run did not learn what became of its publication; a sweep tells, and ends its record.
#[tokio::test]
async fn an_image_that_turns_out_to_be_published_is_told() {
    let (world, cloud) = (World::new(), Memory::new());
    let [old, new] = ["web-1", "web-2"].map(|name| cloud.add_image(name, "web"));
    for (image, current) in [(&old, false), (&new, true)] {
        let run = format!("run-of-{}", image.id);
        let ledger = world.record(&world.at(&run), cloud.name());
        let seq = ledger.intend(Kind::Image, "staged").unwrap();
        ledger.made(seq, &image.id).unwrap();
        for dry_run in [true, false] {
            let swept = sweep::sweep(&cloud, &world.home, Some(&run), dry_run).await.unwrap();
            let [told] = &swept[..] else { panic!("{swept:?}") };
            assert!(told.things.is_empty() && told.leaks.is_empty(), "{told:?}");
            let [published] = &told.published[..] else { panic!("{told:?}") };
            let said = sweep::stays(published);
            assert!(said.starts_with(&format!("image {} ({}) is", image.name, image.id)), "{said}");
            assert_eq!(said.ends_with("is published; family web means it"), current, "{said}");
        }
        assert_eq!(world.life(&run), "absent");
    }
    assert_eq!(cloud.snapshot().len(), 2);
}

#[test]
fn what_was_killed_while_it_came_or_went_is_cleared_away() {
    let world = World::new();
    for name in [format!("{COMING}a"), format!("{GOING}b"), format!("{COMING}alive")] {
        world.record(&world.at(&name), "memory");
    }
    let _held =
        Held::take(File::open(world.at(&format!("{COMING}alive")).join(LOCK)).unwrap()).unwrap();
    assert_eq!(indexed(&world.home).unwrap().len(), 0);
    old(&world.at(&format!("{COMING}a")));
    world.record(&world.at(&format!("{COMING}new")), "memory");
    tidy(&world.home);
    let mut left: Vec<_> =
        fs::read_dir(world.home.index()).unwrap().flatten().map(|e| e.file_name()).collect();
    left.sort();
    // Who makes the new one may not have its lock yet.
    assert_eq!(left, [format!("{COMING}alive").as_str(), format!("{COMING}new").as_str()]);
}

/// Whether its workspace is there or not: the record under the home says it.
#[tokio::test]
async fn a_machine_that_was_left_up_is_kept_until_it_is_asked_for() {
    let world = World::new();
    world.record(&world.at("r"), "memory");
    let opened = SshAccess { machine: "m".into(), ssh: vec!["ssh".into()] };
    let record = Record {
        run: "r".into(),
        bundle: "images/x".into(),
        cloud: "memory".into(),
        started: Timestamp::now(),
        seconds: 1.0,
        outcome: "failed".into(),
        image: None,
        error: None,
        leaks: Vec::new(),
        kept: Some(opened),
    };
    fs::write(world.at("r").join("result.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    assert_eq!(world.sweep(&Memory::new(), None).await, [("r".to_owned(), State::RetainedMachine)]);
    assert_eq!(world.sweep(&Memory::new(), Some("r")).await, [("r".to_owned(), State::Dead)]);
    assert_eq!(world.life("r"), "absent");
}

/// A tree may bring links and FIFOs in the place of what runs write.
#[test]
fn nothing_outside_of_the_tree_is_read_as_the_record_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, secret) = (dir.path().join("tree"), dir.path().join("secret"));
    fs::write(&secret, "secret").unwrap();
    let run = |name: &str| {
        let run = tree.join("os/target/zz/runs").join(name);
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("plan.json"), "{}").unwrap();
        run
    };
    let (good, linked, stuck, planless) = (run("1"), run("2"), run("3"), run("4"));
    fs::write(good.join("build.log"), "said").unwrap();
    symlink(&secret, linked.join("build.log")).unwrap();
    fifo(&stuck.join("build.log"));
    File::create(stuck.join("events.jsonl")).unwrap().set_len(10 << 30).unwrap();
    fs::rename(planless.join("plan.json"), dir.path().join("plan.json")).unwrap();
    symlink(dir.path().join("plan.json"), planless.join("plan.json")).unwrap();
    assert_eq!(read_text(&good, "build.log").unwrap(), "said");
    for (run, name) in
        [(&linked, "build.log"), (&stuck, "build.log"), (&stuck, "events.jsonl"), (&good, "none")]
    {
        assert!(read_text(run, name).is_err(), "{} {name}", run.display());
    }
    // Directories themselves may be links.
    fs::create_dir_all(dir.path().join("away/runs/9")).unwrap();
    fs::write(dir.path().join("away/runs/9/plan.json"), "{}").unwrap();
    fs::create_dir_all(tree.join("images/target/x/runs")).unwrap();
    symlink(dir.path().join("away"), tree.join("images/target/away")).unwrap();
    symlink(dir.path().join("away/runs/9"), tree.join("images/target/x/runs/9")).unwrap();
    assert_eq!(directories(&tree), [good, linked, stuck]);
}

/// Whoever can write there can put another image in the place of one.
#[test]
fn the_store_is_closed_to_groups() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    for dir in ["images", "cache", "cache/downloads"] {
        let dir = world.home.data.join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o2775)).unwrap();
    }
    world.home.secure().unwrap();
    for dir in ["images", "cache", "cache/downloads"] {
        assert_eq!(
            fs::metadata(world.home.data.join(dir)).unwrap().permissions().mode() & 0o022,
            0,
            "{dir}"
        );
    }
}

/// The hint began with "or", after words that name no other way.
#[test]
fn a_directory_of_another_user_is_told_with_a_whole_sentence() {
    let dir = tempfile::tempdir().unwrap();
    // Root gives a directory away; others see what root made.
    let given = std::os::unix::fs::chown(dir.path(), Some(12345), None).is_ok();
    let foreign = if given { dir.path().to_owned() } else { PathBuf::from("/usr") };
    let home = Home { data: foreign.clone(), runtime: foreign };
    let CloudError::Refused { hint: Some(hint), .. } = home.check().unwrap_err() else { panic!() };
    assert_eq!(hint, "set IMAGE_FACTORY_HOME to a directory that you alone can change");
}

/// The workspace may be emptied, and the home forgets what has ended.
#[test]
fn the_latest_run_is_of_the_tree_or_of_the_home() {
    let world = World::new();
    let tree = world.dir.path().join("tree");
    assert_eq!(latest(Some(&world.home), &tree), None);
    let ended = "20261120-231501-a1b2c3";
    let dir = tree.join("os/target/x/runs").join(ended);
    fs::create_dir_all(&dir).unwrap();
    File::create(dir.join(EVENTS)).unwrap();
    let alive = "20261121-000000-000000";
    for name in [alive, "zz", ".coming-20301121-000000-000000"] {
        world.record(&world.at(name), "memory");
    }
    assert_eq!(latest(None, &tree).as_deref(), Some(ended));
    assert_eq!(latest(Some(&world.home), &tree).as_deref(), Some(alive));
}

/// Its result was lost, or it was killed after its publication: `swept`, and no image.
#[test]
fn events_tell_the_end_of_a_run_without_a_result() {
    let dir = tempfile::tempdir().unwrap();
    let hears = |events: &[serde_json::Value]| {
        let lines = events.iter().map(|event| {
            let mut event = event.clone();
            event["at"] = "2026-11-20T23:15:01Z".into();
            format!("{event}\n")
        });
        // The last line may be cut.
        let text = lines.collect::<String>() + "{\"at\":";
        fs::write(dir.path().join(EVENTS), text).unwrap();
        hear(dir.path())
    };
    let began = serde_json::json!({ "event": "stage_started", "stage": "publish" });
    let note = |text: &str| serde_json::json!({ "event": "note", "text": text });
    let done = serde_json::json!({ "event": "stage_done", "stage": "publish", "seconds": 1.0 });
    let meant = note("family x means x-2 now");
    assert_eq!(hear(dir.path()), Heard::default());
    assert_eq!(hears(&[meant.clone(), began.clone()]), Heard::default());
    let named = Some(Some("x-2".to_owned()));
    assert_eq!(hears(&[began.clone(), meant, done.clone()]).published, named);
    let other = note("x-2 is not current: it is hidden, and `x` means no image");
    assert_eq!(hears(&[began.clone(), other]).published, named);
    assert_eq!(hears(&[began, done]).published, Some(None));
    let finished = serde_json::json!({ "event": "finished", "outcome": "incomplete",
        "seconds": 2.5, "image": { "id": "i", "name": "x-2" }, "error": "e", "leaks": [] });
    let heard = hears(&[finished]).finished;
    assert!(matches!(heard, Some(Event::Finished { image: Some(i), .. }) if i.id == "i"));
}

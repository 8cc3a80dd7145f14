//! Runs of the fake provider, and what they find out before they begin.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::base::lacking;
use super::planning::host_facts;
use super::*;
use crate::engine::Goal;
use crate::engine::checkpoints::Range;
use crate::engine::run_dir::Home;
use crate::frontend;
use crate::guest::{Connect, Remote, RemoteError, Target};
use crate::model::definition::Definition;
use crate::model::event::{Event, Sink, Stamped};
use crate::model::facts::BaseLookup;
use crate::provider::Provider;
use crate::provider::fake::Memory;
use crate::system::cancel::Cancel;
use crate::{log, report, wall};

mod heat;
mod model;
mod records;
mod warm;

/// Of a tree with `images/x`, and where it lies.
fn bundle_in(tree: &Path) -> Definition {
    let dir = tree.join("images/x");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("build-vars.yml"), "bundle: {name: x, img_base: b}\n").unwrap();
    frontend::load(tree, &dir).unwrap().bundle
}

#[test]
fn no_link_in_the_place_of_outputs_leads_out_of_the_tree() {
    for link in ["images/target", "images/target/x", "images/target/x/runs"] {
        let (tree, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bundle = bundle_in(tree.path());
        let place = tree.path().join(link);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        assert!(Results::of(&bundle).in_tree().is_ok(), "{link}");
        symlink(away.path(), &place).unwrap();
        assert!(matches!(Results::of(&bundle).in_tree(), Err(RunError::Refused(_))), "{link}");
    }
}

#[tokio::test]
async fn a_change_of_what_a_link_brings_in_is_one_of_the_definition() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().canonicalize().unwrap();
    let bundle = bundle_in(&root);
    fs::create_dir_all(root.join("shared/web")).unwrap();
    fs::write(root.join("shared/web/f"), "1").unwrap();
    symlink("../../shared/web", root.join("images/x/web")).unwrap();
    for words in ["init -q", "add .", "-c user.name=n -c user.email=e commit -qm a"] {
        let git =
            std::process::Command::new("git").current_dir(&root).args(words.split(' ')).status();
        assert!(git.unwrap().success(), "{words}");
    }
    let commit =
        || async { host_facts(&bundle, &Cancel::default()).await.unwrap().0.commit.unwrap() };
    assert!(!commit().await.ends_with("-dirty"));
    fs::remove_file(root.join("shared/web/f")).unwrap();
    assert!(commit().await.ends_with("-dirty"));
}

/// Git was asked of the shared directory alone.
#[tokio::test]
async fn a_change_of_settings_that_lie_elsewhere_is_one_of_the_definition() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().canonicalize().unwrap();
    let settings = root.join("os/x/build-vars.yml");
    for dir in ["os/x", "os/shared/ansible"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join("os/shared/ansible/bootstrap.yml"), "- hosts: all\n").unwrap();
    fs::write(&settings, "bundle: {name: x, img_base: b, path: os/shared}\n").unwrap();
    for words in ["init -q", "add .", "-c user.name=n -c user.email=e commit -qm a"] {
        let git =
            std::process::Command::new("git").current_dir(&root).args(words.split(' ')).status();
        assert!(git.unwrap().success(), "{words}");
    }
    let bundle = frontend::load(&root, &root.join("os/x")).unwrap().bundle;
    assert!(bundle.dir.ends_with("os/shared"));
    let commit =
        || async { host_facts(&bundle, &Cancel::default()).await.unwrap().0.commit.unwrap() };
    assert!(!commit().await.ends_with("-dirty"));
    fs::write(&settings, "bundle: {name: x, img_base: c, path: os/shared}\n").unwrap();
    assert!(commit().await.ends_with("-dirty"));
}

#[test]
fn a_base_that_is_there_and_not_ours_is_not_called_missing() {
    let said = [
        BaseLookup::Missing { near: Vec::new() },
        BaseLookup::Doubtful(Vec::new()),
        BaseLookup::Ambiguous(Vec::new()),
    ];
    let said = said.each_ref().map(lacking);
    assert_eq!(said[0], Some("is missing"));
    assert!(said[1].is_some_and(|why| !why.contains("missing")) && said[2].is_none());
}

struct Silent;

impl Sink for Silent {
    fn take(&mut self, _: &Stamped) {}
}

struct Nobody;

#[async_trait::async_trait]
impl Connect for Nobody {
    async fn connect(&self, _: &Target, _: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        Err(RemoteError::Lost("there is nobody".into()))
    }
}

pub(super) fn factory(dir: &Path, provider: Arc<dyn Provider>) -> Arc<Factory> {
    let wall = wall::Wall::new(wall::Config {
        settings: Default::default(),
        env: Default::default(),
        home: None,
        hidden: Vec::new(),
    });
    Arc::new(Factory {
        provider,
        connect: Arc::new(Nobody),
        wall: Arc::new(wall),
        proxies: Default::default(),
        home: Home { data: dir.join("home"), runtime: dir.join("run") },
        templates: report::Renderer::new("/nonexistent", "render"),
    })
}

pub(super) fn quiet() -> RunOptions {
    RunOptions {
        goal: Goal::Published,
        keep_on_failure: false,
        range: Default::default(),
        smoke: false,
        force: true,
        check_templates: false,
        show: Arc::new(|_: &str| Box::new(Silent) as Box<dyn Sink>),
        cancel: Cancel::default(),
    }
}

/// `images/x` on `os/m` on `os/t`, of which the cloud has none.
fn chain(tree: &Path) -> Definition {
    for (label, base) in [("os/t", "nothing"), ("os/m", "os/t"), ("images/x", "os/m")] {
        fs::create_dir_all(tree.join(label)).unwrap();
        let name = label.rsplit('/').next().unwrap();
        let vars = format!("bundle: {{name: {name}, img_base: {base}}}\n");
        fs::write(tree.join(label).join("build-vars.yml"), vars).unwrap();
    }
    frontend::load(tree, &tree.join("images/x")).unwrap().bundle
}

/// Both built it, side by side, and their images stood on different ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_another_process_makes_is_waited_for_and_found() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    let cloud = Arc::new(Memory::new());
    let factory = factory(&tree, cloud.clone());
    let base = "bundle: {name: t, img_base: nothing}\n";
    let child = "bundle: {name: x, img_base: os/t}\ntimeouts: {ssh: 1s}\n";
    for (label, vars) in [("os/t", base), ("images/x", child)] {
        fs::create_dir_all(tree.join(label)).unwrap();
        fs::write(tree.join(label).join("build-vars.yml"), vars).unwrap();
    }
    let load = |label: &str| frontend::load(&tree, &tree.join(label)).unwrap().bundle;
    let (base, definition) = (load("os/t"), load("images/x"));
    // As the other process does.
    let held = factory.lock(&base).unwrap().unwrap();
    assert!(factory.lock(&base).unwrap().is_none(), "there is one of it");
    let recorder = log::Recorder::default();
    let shown = recorder.clone();
    let options = RunOptions {
        show: Arc::new(move |_: &str| Box::new(shown.clone()) as Box<dyn Sink>),
        ..quiet()
    };
    let build = factory.build(RunRequest { definition, options });
    let other = async {
        let waits = |e: &Stamped| {
            matches!(&e.event, Event::Note { text } if text == "another build makes os/t: waiting \
                for it")
        };
        while !recorder.events().iter().any(waits) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cloud.add_image("t-1", "t");
        drop(held);
    };
    let (outcome, ()) = tokio::join!(build, other);
    let error = outcome.result.unwrap_err().to_string();
    assert!(!error.contains("base os/t"), "it was found: {error}");
    let booted: Vec<String> = cloud.booted().into_iter().map(|spec| spec.name).collect();
    assert!(booted.len() == 1 && booted[0].ends_with("-builder"), "{booted:?}");
    assert!(!tree.join("os/target/t/runs").exists(), "the base was not built here");
    assert!(factory.lock(&base).unwrap().is_some(), "and the lock is free");
}

/// They were withdrawn when the turn of each came: a kill while `os/t` was built left those of
/// `os/m`, and a link in their place was found after it.
#[tokio::test(flavor = "multi_thread")]
async fn results_of_all_bases_are_withdrawn_before_the_first_is_built() {
    let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tree = dir.path().canonicalize().unwrap();
    let definition = chain(&tree);
    let factory = factory(&tree, Arc::new(Memory::new()));
    let build = || factory.build(RunRequest { definition: definition.clone(), options: quiet() });
    fs::create_dir_all(tree.join("os/target")).unwrap();
    symlink(away.path(), tree.join("os/target/m")).unwrap();
    let error = build().await.result.unwrap_err().to_string();
    assert!(error.starts_with("base os/m: ") && error.contains("leads out of"), "{error}");
    assert!(!tree.join("os/target/t").exists(), "nothing was begun");

    fs::remove_file(tree.join("os/target/m")).unwrap();
    let of_m = tree.join("os/target/m/image.properties");
    fs::create_dir_all(of_m.parent().unwrap()).unwrap();
    fs::write(&of_m, "RESULT=success\n").unwrap();
    // A signal comes while nothing is begun, and nothing more is written.
    let stopped = RunRequest { definition: definition.clone(), options: quiet() };
    stopped.options.cancel.signal();
    let error = factory.build(stopped).await.result.unwrap_err();
    assert!(!fs::read_to_string(&of_m).unwrap_or_default().contains("success"), "{error}");

    fs::write(&of_m, "RESULT=success\n").unwrap();
    let error = build().await.result.unwrap_err().to_string();
    assert!(error.starts_with("base os/m: base os/t: "), "{error}");
    assert!(fs::read_to_string(&of_m).unwrap().starts_with("RESULT=failed"));
}

/// A service has many at once: each is owned, has its own events, and ends by its own handle.
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_factory_are_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = Arc::new(Memory::new());
    cloud.add_image("b", "b");
    let before = cloud.snapshot();
    let factory = factory(dir.path(), cloud.clone());
    let run = |name: &str| {
        let options = quiet();
        let definition = bundle_in(&dir.path().join(name));
        let (factory, recorder) = (factory.clone(), log::Recorder::default());
        let handle = factory.run(RunRequest { definition, options });
        handle.events.add(Box::new(recorder.clone()));
        let cancel = handle.cancel.clone();
        (tokio::spawn(async move { (handle.outcome().await, recorder) }), cancel)
    };
    let ((one, stop), (other, stop_other)) = (run("one"), run("other"));
    stop.signal();
    let (ended, _) = one.await.unwrap();
    assert!(ended.result.is_err() && ended.leaks.is_empty(), "{:?}", ended.leaks);
    assert!(stop_other.check().is_ok(), "the other goes on");
    stop_other.signal();
    let (ended, recorder) = other.await.unwrap();
    assert!(ended.result.is_err() && ended.leaks.is_empty(), "{:?}", ended.leaks);
    let finished = |e: &Stamped| matches!(e.event, Event::Finished { .. });
    assert_eq!(recorder.events().iter().filter(|e| finished(e)).count(), 1);
    assert_eq!(cloud.snapshot(), before, "nothing is left of either");
}

/// `os/t`, which is a file, and bundles on it with these lines.
fn on_a_file(tree: &Path, bundles: &[(&str, &str)]) -> Vec<Definition> {
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::create_dir_all(tree.join("os/t")).unwrap();
    fs::write(tree.join("os/t/disk.img"), disk).unwrap();
    let vars = "bundle: {name: t}\nsource: {url: disk.img}\n";
    fs::write(tree.join("os/t/build-vars.yml"), vars).unwrap();
    let of = |(name, more): &(&str, &str)| {
        let dir = tree.join("images").join(name);
        fs::create_dir_all(&dir).unwrap();
        let vars = format!(
            "bundle: {{name: {name}, img_base: os/t}}\nsteps: [{{shell: 'true'}}]\n\
             timeouts: {{ssh: 1s}}\n{more}"
        );
        fs::write(dir.join("build-vars.yml"), vars).unwrap();
        frontend::load(tree, &dir).unwrap().bundle
    };
    bundles.iter().map(of).collect()
}

/// The base was built for as long as that takes, and then the bundle was told to be wrong.
#[tokio::test(flavor = "multi_thread")]
async fn no_base_is_built_for_a_bundle_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    let bundles = on_a_file(&tree, &[("x", "bundle_target_name: taken\n"), ("y", "")]);
    let cloud = Arc::new(Memory::new());
    cloud.add_image("taken", "other");
    let before = cloud.snapshot();
    let factory = factory(&tree, cloud.clone());
    let (definition, options) = (bundles[0].clone(), quiet());
    let ended = factory.build(RunRequest { definition, options }).await;
    let error = ended.result.unwrap_err();
    assert!(matches!(&error, RunError::Bad(_)) && error.to_string().contains("taken"), "{error}");
    assert_eq!(cloud.snapshot(), before);

    // Of several, the others go on; each is told.
    let jobs = factory.jobs(&quiet(), bundles[..1].to_vec()).await.unwrap();
    assert_eq!(jobs.len(), 1, "nobody needs its base");
    let jobs = factory.jobs(&quiet(), bundles).await.unwrap();
    let mut ends = Vec::new();
    let on_end = |index: usize, end: End| {
        let End::RunOutcome(ended, _) = end else { panic!("{index} is skipped") };
        ends.push((jobs[index].bundle.label.clone(), ended.result.err().map(|e| e.to_string())));
    };
    factory.build_all(&quiet(), &jobs, 1, on_end).await;
    let labels: Vec<&str> = ends.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["images/x", "os/t", "images/y"]);
    assert!(ends[0].1.as_ref().is_some_and(|e| e.contains("taken")) && ends[1].1.is_none());
}

/// It ended after the same step as the bundle on it, and was published.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_base_runs_all_of_its_steps_whatever_part_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    let bundles = on_a_file(&tree, &[("x", "")]);
    let factory = factory(&tree, Arc::new(Memory::new()));
    let range = Range { fresh: true, from: Some(1), until: Some(2) };
    let options = RunOptions { range, ..quiet() };
    let jobs = factory.jobs(&options, bundles).await.unwrap();
    let ranges: Vec<_> = jobs.iter().map(|job| job.request(&options).options.range).collect();
    assert_eq!(ranges, [range, Range { fresh: true, ..Range::default() }]);
}

/// The last line was "image t is published", and there was no word of the bundle.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_base_left_behind_does_not_stop_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    let definition = on_a_file(&tree, &[("x", "")]).remove(0);
    let cloud = Arc::new(Memory::new());
    // Import, publish, and the first deletion.
    cloud.fail_at(3, crate::provider::fake::Fault::Refuse);
    let factory = factory(&tree, cloud.clone());
    let ended = factory.build(RunRequest { definition, options: quiet() }).await;
    let error = ended.result.unwrap_err().to_string();
    assert!(error.contains("-builder: ") && error.contains("there is nobody"), "{error}");
    assert_eq!(ended.leaks.len(), 1, "what the base's run left is told");
    assert!(ended.leaks[0].reason.contains("refused"), "{}", ended.leaks[0].reason);
}

/// A definition that hides its images: the family's name goes on to mean another one, or none.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_does_not_become_current_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    on_a_file(&tree, &[]);
    let mut definition = frontend::load(&tree, &tree.join("os/t")).unwrap().bundle;
    let factory = factory(&tree, Arc::new(Memory::new()));
    let build = async |definition: &Definition| {
        let handle = factory.run(RunRequest { definition: definition.clone(), options: quiet() });
        let recorder = log::Recorder::default();
        handle.events.add(Box::new(recorder.clone()));
        handle.outcome().await.result.unwrap();
        let warning = |e: Stamped| match e.event {
            Event::Warning { text } | Event::Note { text } => Some(text),
            _ => None,
        };
        let warnings = recorder.events().into_iter().filter_map(warning);
        warnings.filter(|text| text.contains("not current")).collect::<Vec<String>>()
    };
    assert_eq!(build(&definition).await, [""; 0]);
    definition.glance.hidden = Some(true);
    let told = build(&definition).await;
    assert!(told.len() == 1 && told[0].contains("it is hidden, and `t` means t-"), "{told:?}");
    // What it has built is what it is compared with.
    let needs = factory.needs(&[definition], true, &Cancel::default()).await.unwrap();
    assert_eq!(needs, [Need::Fresh(None)]);
}

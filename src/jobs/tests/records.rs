//! What is left in the tree by a build that was asked for, a test and a visit, whatever their end.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use super::super::latest::LatestLogs;
use super::*;
use crate::engine::run_dir::{directories, read_record};
use crate::engine::{BuildError, Interactive, SshAccess};

/// Events of each bundle, by label.
type Seen = Arc<Mutex<BTreeMap<String, Vec<Event>>>>;

struct Watch(String, Seen);

impl Sink for Watch {
    fn take(&mut self, stamped: &Stamped) {
        self.1.lock().unwrap().entry(self.0.clone()).or_default().push(stamped.event.clone());
    }
}

fn watched() -> (RunOptions, Seen) {
    let seen = Seen::default();
    let of_runs = seen.clone();
    let show = move |label: &str| Box::new(Watch(label.into(), of_runs.clone())) as Box<dyn Sink>;
    (RunOptions { show: Arc::new(show), ..quiet() }, seen)
}

/// Every stream begins as a run does, and ends as one does.
#[track_caller]
fn whole(seen: &Seen, labels: &[&str]) {
    let seen = seen.lock().unwrap();
    assert_eq!(seen.keys().collect::<Vec<_>>(), labels);
    for (label, events) in &*seen {
        // That a base is built first is said before.
        let mut events = events.iter().filter(|e| !matches!(e, Event::Note { .. }));
        assert!(matches!(events.next(), Some(Event::Started { .. })), "{label}");
        assert!(matches!(events.next_back(), Some(Event::Finished { .. })), "{label}");
    }
}

fn read(tree: &Path, path: &str) -> String {
    fs::read_to_string(tree.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The bundle that was asked for, and the base between, had neither events nor a run.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_base_fails_is_a_run_with_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    let definition = chain(&tree);
    let factory = factory(&tree, Arc::new(Memory::new()));
    let (options, seen) = watched();
    let ended = factory.build(RunRequest { definition: definition.clone(), options }).await;
    let code = ended.exit_code();
    whole(&seen, &["images/x", "os/m", "os/t"]);
    let runs = directories(&tree);
    let ended: Vec<_> = runs.iter().filter_map(|run| read_record(run)).collect();
    let bundles: Vec<&str> = ended.iter().map(|record| record.bundle.as_str()).collect();
    assert_eq!(bundles, ["os/t", "os/m", "images/x"], "oldest first");
    assert!(ended.iter().all(|record| record.outcome == "failed" && record.image.is_none()));
    for target in ["os/target/t", "os/target/m", "images/target/x"] {
        let properties = read(&tree, &format!("{target}/image.properties"));
        assert!(properties.starts_with("RESULT=failed\n"), "{properties}");
        assert!(properties.contains(&format!("\nEXIT_CODE={code}\n")), "{properties}");
    }
    // The same of a batch, and of one that no signal lets begin.
    for stopped in [false, true] {
        let (options, seen) = watched();
        if stopped {
            options.cancel.signal();
        }
        let jobs = factory.jobs(&quiet(), vec![definition.clone()]).await.unwrap();
        factory.build_all(&options, &jobs, 2, |_, _| {}).await;
        whole(&seen, &["images/x", "os/m", "os/t"]);
    }
    assert!(read(&tree, "images/target/x/image.properties").contains("\nEXIT_CODE=130\n"));
}

/// Nothing can be written for it in the home: the stream ended before it began, and the results of
/// the last build were gone without any of this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_begin_is_told_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    let definition = bundle_in(&tree);
    fs::write(tree.join("home"), "in its place").unwrap();
    let factory = factory(&tree, Arc::new(Memory::new()));
    let (options, seen) = watched();
    let ended = factory.build(RunRequest { definition, options }).await;
    whole(&seen, &["images/x"]);
    assert_eq!(directories(&tree), [ended.dir.clone().unwrap()]);
    let properties = read(&tree, "images/target/x/image.properties");
    assert!(properties.contains("\nEXIT_CODE=20\n"), "{properties}");
    let latest = read(&tree, "build.latest.log");
    assert!(latest.contains(&ended.result.unwrap_err().to_string()), "{latest}");
}

struct Leaves;

#[async_trait::async_trait]
impl Interactive for Leaves {
    async fn open(&self, _: &SshAccess, _: Option<&BuildError>) {}
}

/// A visit showed its log in the place of a build's of the same minute. A test wrote where a bundle
/// called `x-test` has its own, and into the tree's root.
#[tokio::test(flavor = "multi_thread")]
async fn visits_and_tests_write_into_places_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    let definition = bundle_in(&tree);
    let factory = factory(&tree, Arc::new(Memory::new()));
    let (target, before) = (tree.join("images/target/x"), names(&tree));
    let run = |definition: Definition, goal: Goal| {
        let request = RunRequest { definition, options: RunOptions { goal, ..quiet() } };
        factory.build(request)
    };
    let visited = run(definition.clone(), Goal::Provisioned(Arc::new(Leaves))).await;
    assert!(visited.result.is_err() && visited.outputs.is_empty());
    assert_eq!(names(&target), ["runs"]);
    let tested = run(definition.clone().testing("b"), Goal::Tested).await;
    assert!(tested.result.is_err());
    assert_eq!(names(&target), ["runs", "test"]);
    assert!(read(&target, "test/image.properties").contains("OUTCOME=untested\n"));
    let new: Vec<String> = names(&tree).into_iter().filter(|name| !before.contains(name)).collect();
    assert!(!new.iter().any(|name| name.ends_with(".log")), "{new:?}");
    let mut both = [visited.dir.unwrap(), tested.dir.unwrap()];
    both.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    assert_eq!(directories(&tree), both, "both are in `run list`");
}

/// Its outputs went to a path that was taken from another directory than it was meant from, and its
/// runs were never listed.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_outside_of_the_tree_has_its_runs_in_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (tree, away) = (root.join("tree"), root.join("away/images/foo"));
    fs::create_dir_all(tree.join("images/deep")).unwrap();
    fs::create_dir_all(&away).unwrap();
    fs::write(away.join("build-vars.yml"), "bundle: {name: foo, img_base: b}\n").unwrap();
    let named = tree.join("images/deep/../../../away/images/foo");
    let definition = frontend::load(&tree, &named).unwrap().bundle;
    assert_eq!(definition.label, away.display().to_string());
    let factory = factory(&root, Arc::new(Memory::new()));
    let ended =
        factory.build(RunRequest { definition: definition.clone(), options: quiet() }).await;
    assert!(ended.result.is_err());
    assert_eq!(directories(&tree), [ended.dir.unwrap()]);
    let results = Results::of(&definition);
    assert_eq!(results.dir(), Results::of_directory(&tree, &named).dir());
    let place = results.dir();
    assert!(place.starts_with(tree.join("images/target/foo")) && place.join("junit.xml").exists());
    let beside: Vec<String> =
        names(&root).into_iter().filter(|n| n != "home" && n != "run").collect();
    assert_eq!(beside, ["away", "tree"]);
    assert_eq!(names(&root.join("away/images")), ["foo"]);
    // One of the same name in the tree is another.
    fs::create_dir_all(tree.join("images/foo")).unwrap();
    assert_ne!(Results::of_directory(&tree, &tree.join("images/foo")).dir(), place);
}

/// The log of the one that ended last was shown, mostly a good one.
#[test]
fn the_log_of_what_failed_is_the_latest() {
    let dir = tempfile::tempdir().unwrap();
    let latest = LatestLogs::of(&quiet(), dir.path());
    let end = |name: &str, result: Result<(), &str>| {
        let run = dir.path().join(name);
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("build.log"), format!("of {name}\n")).unwrap();
        let error = |why: &str| RunError::Build(BuildError::Tidy(why.into()));
        let ended = RunOutcome {
            result: result.map(|()| None).map_err(error),
            dir: Some(run),
            ..RunOutcome::not_begun(error(""))
        };
        assert_eq!(latest.ended("images/x", ended).result.is_ok(), result.is_ok());
        ["build.latest.log", "packer.latest.log"].map(|name| read(dir.path(), name))
    };
    let both = |text: &str| [text.to_owned(), text.to_owned()];
    fs::write(dir.path().join("build.latest.log"), "of the last command\n").unwrap();
    latest.withdraw().unwrap();
    assert!(!dir.path().join("build.latest.log").exists(), "a kill leaves none of the last");
    assert_eq!(end("a", Ok(())), both("of a\n"));
    assert_eq!(end("b", Ok(())), both("of b\n"));
    assert_eq!(end("c", Err("x")), both("of c\n"));
    assert_eq!(end("d", Ok(())), both("of c\n"));
    assert_eq!(end("e", Err("y")), both("of c\nof e\n"));
}

/// The end of a run is told before: it is what it was.
#[test]
fn a_last_log_that_cannot_be_shown_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("build.latest.log")).unwrap();
    fs::write(dir.path().join("build.log"), "").unwrap();
    let ended = RunOutcome {
        result: Ok(None),
        dir: Some(PathBuf::from(dir.path())),
        ..RunOutcome::not_begun(RunError::Build(BuildError::Tidy(String::new())))
    };
    let (options, seen) = watched();
    let ended = LatestLogs::of(&options, dir.path()).ended("images/x", ended);
    assert_eq!(ended.exit_code(), 0);
    let seen = seen.lock().unwrap();
    let [Event::Warning { text }] = &seen["images/x"][..] else { panic!("{seen:?}") };
    assert!(text.contains("build.latest.log"), "{text}");
}

//! What the last build left is never taken for what this one did: results, runs and names of builds
//! that fail early, are stopped, or go on side by side.
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::support::{Factory, Ran};
use super::tiny_disk::tiny_disk;

const VARS: &str = "bundle: {name: tiny}\nsource: {script: build.sh}\n";
const BUILD: [&str; 5] = ["--accel", "tcg", "build", "--no-smoke", "--force"];

/// `os/tiny`, which is built at once where `os/tiny/go` is there, and waits for it elsewhere.
fn tiny() -> Factory {
    let factory = Factory::new();
    let dir = factory.tree().join("os/tiny");
    std::fs::create_dir_all(&dir).unwrap();
    tiny_disk(&dir);
    let script = "#!/bin/sh\necho waiting\nwhile [ ! -e go ]; do [ -e \"$0\" ] || exit 1; sleep \
        0.1; done\ncp tiny.img \"$OUT\"\n";
    factory.bundle("os/tiny", VARS).script("os/tiny/build.sh", script)
}

/// The same, built once, with a template.
fn built() -> Factory {
    let factory =
        tiny().file("os/tiny/go", "").file("os/tiny/output/x.txt.j2", "{{ result_img_id }}\n");
    factory.run(&[&BUILD[..], &["os/tiny"]].concat()).exits(0);
    let properties = read(&factory, "image.properties");
    assert!(
        properties.starts_with("RESULT=success\n") && properties.contains("\nIMAGE_ID="),
        "{properties}"
    );
    factory
}

fn target(factory: &Factory) -> PathBuf {
    factory.tree().join("os/target/tiny")
}

fn read(factory: &Factory, name: &str) -> String {
    std::fs::read_to_string(target(factory).join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Nothing there says that an image was built, or names one; what was rendered for the last image
/// is in the directory of its run alone.
#[track_caller]
fn failed(factory: &Factory, why: &str) {
    let properties = read(factory, "image.properties");
    assert!(
        properties.starts_with("RESULT=failed\n") && !properties.contains("IMAGE_ID="),
        "{properties}"
    );
    let error = properties.lines().find(|line| line.starts_with("ERROR=")).unwrap_or_default();
    assert!(error.contains(why), "{why}: {properties}");
    let junit = read(factory, "junit.xml");
    assert!(junit.contains("failures=\"1\"") && junit.contains("<failure"), "{junit}");
    assert!(read(factory, "report.html").contains(why));
    assert!(
        std::fs::read_to_string(target(factory).join("manifest.json"))
            .is_ok_and(|m| m.contains("\"image\": null"))
            || !target(factory).join("manifest.json").exists()
    );
    assert!(!target(factory).join("output").exists(), "an image of another build is deployed");
    let kept = std::fs::read_dir(target(factory).join("runs")).unwrap().flatten();
    let kept =
        kept.filter_map(|run| std::fs::read_to_string(run.path().join("rendered/x.txt")).ok());
    assert!(kept.last().is_some_and(|id| id.trim().len() == 36), "of the image that is published");
    let code = properties.lines().find_map(|line| line.strip_prefix("EXIT_CODE=")).unwrap_or("");
    assert!(["10", "20", "130"].contains(&code), "{properties}");
    let run = properties.lines().find_map(|line| line.strip_prefix("RUN_ID=")).unwrap_or("");
    let list = factory.run(&["run", "list"]).exits(0).out;
    let latest = list.lines().rfind(|line| line.contains(" os/tiny ")).unwrap_or_default();
    assert!(!run.is_empty() && latest.starts_with(run), "{run} is not the latest:\n{list}");
    factory.run(&["run", "log", run]).exits(0).says(why);
    for log in ["build.latest.log", "packer.latest.log"] {
        let text = std::fs::read_to_string(factory.tree().join(log)).unwrap();
        assert!(text.contains(why) && !text.contains("is published, built"), "{log}: {text}");
    }
}

/// The ID that a run printed, which can be looked up.
#[track_caller]
fn known_run(factory: &Factory, err: &str, outcome: &str) -> String {
    let begin = err
        .lines()
        .find(|line| line.contains(", run 2"))
        .unwrap_or_else(|| panic!("no run: {err}"));
    let run = begin.rsplit(' ').next().unwrap().to_owned();
    let list = factory.run(&["run", "list"]).exits(0).out;
    assert!(
        list.lines().any(|line| line.starts_with(&run) && line.contains(outcome)),
        "{run} {outcome}\n{list}"
    );
    factory.run(&["run", "log"]).exits(0).says(&run);
    factory.run(&["run", "show", &run]).exits(0).says(&format!("outcome   {outcome}"));
    run
}

#[test]
fn a_build_that_fails_early_leaves_no_results_of_the_last_one() {
    let factory = built();
    // The definition is wrong.
    let mut factory = factory.bundle("os/tiny", &format!("{VARS}stepps: []\n"));
    for named in [&["os/tiny"][..], &["tiny"], &["./os/tiny/"]] {
        factory.run(&[&BUILD[..], named].concat()).exits(10).says("stepps");
        failed(&factory, "stepps");
        factory = again(factory);
    }
    // Another one is, or is not there: nothing is built.
    let factory = again(factory.bundle("os/tiny", VARS))
        .bundle("images/bad", "bundle: {name: bad, img_bse: x}\n");
    factory.run(&[&BUILD[..], &["os/tiny", "images/bad"]].concat()).exits(10).says("img_bse");
    failed(&factory, "img_bse");
    let factory = again(factory);
    factory.run(&[&BUILD[..], &["os/tiny", "images/none"]].concat()).exits(10);
    failed(&factory, "none");
    // What is only looked at says nothing of builds.
    let factory = again(factory);
    let before = read(&factory, "image.properties");
    factory.run(&["plan", "os/tiny"]).exits(0);
    factory.run(&["build", "--stale", "--dry-run", "os/tiny"]).exits(0);
    factory.run(&["build", "--stale", "os/tiny"]).exits(0).says("up to date");
    assert_eq!(before, read(&factory, "image.properties"));
    // The definition is gone, and jobs still name it.
    std::fs::rename(factory.tree().join("os/tiny"), factory.tree().join("away")).unwrap();
    factory.run(&[&BUILD[..], &["os/tiny"]].concat()).exits(10);
    failed(&factory, "tiny");
}

/// A good build again.
fn again(factory: Factory) -> Factory {
    let broken = std::fs::read_to_string(factory.tree().join("os/tiny/build-vars.yml")).unwrap();
    let factory = factory.bundle("os/tiny", VARS);
    factory.run(&[&BUILD[..], &["os/tiny"]].concat()).exits(0);
    assert!(read(&factory, "image.properties").starts_with("RESULT=success\n"));
    factory.bundle("os/tiny", &broken)
}

/// Of the image that is to come only the ID is not known before: with it, this template fails.
const FAILS_AT_THE_END: &str = "{{ 1 // (1 if result_img_id == \
    '00000000-0000-4000-8000-000000000000' else 0) }}\n";

/// The image is published and current: it is named everywhere, and the build has a code of its own.
#[test]
fn an_image_whose_outputs_fail_is_published_and_named() {
    let factory = tiny()
        .file("os/tiny/go", "")
        .file("os/tiny/output/x.txt.j2", FAILS_AT_THE_END)
        .bundle("os/tiny", &format!("{VARS}keep: 1\n"));
    factory.run(&["validate", "os/tiny"]).exits(0);
    for _ in 0..2 {
        factory.run(&[&BUILD[..], &["os/tiny"]].concat()).exits(70).says("is published, but");
    }
    let properties = read(&factory, "image.properties");
    let id = properties.lines().find_map(|line| line.strip_prefix("IMAGE_ID=")).unwrap();
    assert!(properties.starts_with("RESULT=incomplete\nOUTCOME=incomplete\n"), "{properties}");
    let list = factory.run(&["image", "list"]).exits(0).out;
    assert!(list.contains(id), "{list}");
    // The family is kept at its size all the same.
    let shown = factory.run(&["image", "list", "--json"]).exits(0).out;
    assert_eq!(shown.matches("\"hidden\": true").count(), 1, "{shown}");

    let told = factory.run(&[&BUILD[..], &["--json", "os/tiny", "os/tiny"]].concat()).exits(70).out;
    assert!(told.contains("\"code\": 70") && !told.contains("\"image\": null"), "{told}");
    // It is up to date, and yet something is due.
    factory.run(&["build", "--stale", "--dry-run", "os/tiny"]).exits(0).says("outputs missing");
    factory.run(&["build", "--stale", "os/tiny"]).exits(70).says("outputs missing");
}

#[test]
fn missing_outputs_are_made_without_a_build() {
    let template = "{{ result_img_id }} {{ run_id }} {{ build_date }}\n";
    let factory = built().file("os/tiny/output/x.txt.j2", template);
    factory.run(&[&BUILD[..], &["os/tiny"]].concat()).exits(0);
    let before = read(&factory, "output/x.txt");
    factory.run(&["build", "--stale", "os/tiny"]).exits(0).says("up to date");
    std::fs::remove_dir_all(target(&factory)).unwrap();
    let images = factory.run(&["image", "list"]).exits(0).out;
    factory.run(&["build", "--stale", "os/tiny"]).exits(0).says("outputs missing");
    assert_eq!(read(&factory, "output/x.txt"), before);
    assert_eq!(factory.run(&["image", "list"]).exits(0).out, images, "nothing was built");
    factory.run(&["build", "--stale", "os/tiny"]).exits(0).says("up to date");
}

/// A template that needs a commit, in a tree without git: told before anything is created.
#[test]
fn templates_are_rendered_with_the_plan_before_anything_is_created() {
    let factory = tiny()
        .file("os/tiny/go", "")
        .file("os/tiny/output/x.txt.j2", "{{ 1 // (git_commit | length) }}\n");
    factory.run(&["validate", "os/tiny"]).exits(0).says("`git_commit` is empty");
    for command in [&BUILD[..], &["plan"]] {
        factory.run(&[command, &["os/tiny"]].concat()).exits(10).says("os/tiny/output/x.txt.j2:1");
    }
    let list = factory.run(&["image", "list", "--json"]).exits(0).out;
    assert_eq!(list.trim(), "[]");
}

/// Placeholders are what the real values are like.
#[test]
fn placeholders_have_the_shape_of_the_values() {
    let lengths = "{{ result_img_id | length }} {{ result_img_checksum | length }} {{ run_id | \
        length }} {{ build_date | length }} {{ result_img_name | length }} {{ \
        bundle_target_name | length }}\n";
    let factory = built().file("os/tiny/output/x.txt.j2", lengths);
    let preview = factory.run(&["render", "os/tiny"]).exits(0).out;
    factory.run(&[&BUILD[..], &["os/tiny"]].concat()).exits(0);
    // Two builds in one minute: the second name has a suffix.
    let built = read(&factory, "output/x.txt");
    let of = |text: &str| text.split(' ').take(4).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(of(&preview), of(&built));
    assert!(built.starts_with("36 128 "), "{built}");
}

fn clouds(factory: Factory, port: u16) -> Factory {
    let entry = format!(
        "{{auth: {{auth_url: 'http://127.0.0.1:{port}/v3', username: u, password: p, project_name: \
            p}}}}"
    );
    factory.file("../clouds.yaml", &format!("clouds:\n  other: {entry}\n"))
}

#[test]
fn a_run_that_has_no_plan_is_a_run_all_the_same() {
    let factory = built().bundle(
        "os/tiny",
        "bundle: {name: tiny, img_base: nothing-of-that-name}\nsteps: [{shell: 'true'}]\n",
    );
    let ran = factory
        .run(&[&BUILD[..], &["os/tiny"]].concat())
        .exits(10)
        .says("`nothing-of-that-name` does not exist");
    failed(&factory, "nothing-of-that-name");
    let run = known_run(&factory, &ran.err, "failed");
    assert!(read(&factory, "image.properties").contains(&format!("RUN_ID={run}\n")));
    let shown: Vec<String> = logs(&factory);
    assert_eq!(shown.len(), 2, "the good build's log is not replaced: {shown:?}");
    assert_eq!(
        std::fs::read_dir(factory.home().join("runs")).unwrap().count(),
        0,
        "it owned nothing"
    );

    // A cloud that is not reached, before a run has begun or in its plan.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let factory = clouds(factory, port);
    let ran =
        factory.run(&["--cloud", "other", "build", "os/tiny"]).exits(20).says("is not reached");
    failed(&factory, "is not reached");
    known_run(&factory, &ran.err, "failed");
    let factory = factory
        .bundle("images/x", "bundle: {name: x, img_base: os/tiny}\nsteps: [{shell: 'true'}]\n");
    let of_x = factory.tree().join("images/target/x");
    std::fs::create_dir_all(&of_x).unwrap();
    std::fs::write(of_x.join("image.properties"), "RESULT=success\nIMAGE_ID=old\n").unwrap();
    std::fs::write(of_x.join("junit.xml"), "<testsuites/>").unwrap();
    factory.run(&["--cloud", "other", "build", "images/x"]).exits(20).says("is not reached");
    let properties = std::fs::read_to_string(of_x.join("image.properties")).unwrap();
    assert!(
        properties.starts_with("RESULT=failed\n")
            && properties.contains("is not reached")
            && !properties.contains("old")
    );
    factory.run(&["--cloud", "none-such", "build", "os/tiny"]).exits(20).says("no such cloud");
    failed(&factory, "no such cloud");
}

fn logs(factory: &Factory) -> Vec<String> {
    let names = std::fs::read_dir(target(factory))
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("build.") && name.ends_with(".log")).collect()
}

fn spawn(factory: &Factory, args: &[&str]) -> Child {
    factory.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "it did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ctrl-\ is a signal as the others are; and Ctrl-C in `plan` leaves no results of the last build.
/// The cloud takes the connection and says nothing.
#[test]
fn a_signal_in_plan_ends_the_run_and_its_results_say_so() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let factory = clouds(built(), silent.local_addr().unwrap().port());
    for signal in [libc::SIGQUIT, libc::SIGINT] {
        let child = spawn(&factory, &["--cloud", "other", "build", "os/tiny"]);
        let (mut asked, _) = silent.accept().unwrap();
        let _ = asked.read(&mut [0; 16]);
        assert!(
            !target(&factory).join("image.properties").exists(),
            "a kill would leave none, too"
        );
        // SAFETY: plain system call on a child of ours that is not waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
        let ran = Ran::of(child.wait_with_output().unwrap()).exits(130);
        failed(&factory, "stopped by a signal");
        assert!(read(&factory, "image.properties").contains("OUTCOME=stopped\n"));
        known_run(&factory, &ran.err, "stopped");
    }
}

/// Two within a minute had one name, and one log.
#[test]
fn two_builds_at_once_have_names_of_their_own() {
    let factory = tiny();
    let args = [&BUILD[..], &["os/tiny"]].concat();
    let waiting = |run: PathBuf| {
        std::fs::read_to_string(run.join("build.log")).is_ok_and(|log| log.contains("waiting"))
    };
    let runs = |dir: &Path| {
        std::fs::read_dir(dir.join("runs"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect::<Vec<_>>()
    };
    let both = [spawn(&factory, &args), spawn(&factory, &args)];
    soon(|| {
        (runs(&target(&factory)).into_iter().filter(|run| waiting(run.clone())).count() == 2)
            .then_some(())
    });
    factory.run(&["plan", "os/tiny"]).exits(0);
    std::fs::write(factory.tree().join("os/tiny/go"), "").unwrap();
    for child in both {
        Ran::of(child.wait_with_output().unwrap()).exits(0);
    }
    let images = factory.run(&["image", "list", "--json"]).exits(0).out;
    let images: serde_json::Value = serde_json::from_str(&images).unwrap();
    let names: Vec<&str> =
        images.as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert!(names.len() == 2 && names[0] != names[1], "{names:?}");
    for name in names {
        factory.run(&["image", "show", name]).exits(0);
        let log = read(&factory, &format!("build.{name}.log"));
        assert!(log.lines().last().unwrap().contains(&format!("image {name} (")), "{name}: {log}");
    }
}

/// A name that the definition chose is one image's.
#[test]
fn a_chosen_name_is_taken_by_the_build_that_is_at_work() {
    let factory = tiny().bundle("os/tiny", &format!("bundle_target_name: mine\n{VARS}"));
    let args = [&BUILD[..], &["os/tiny"]].concat();
    let first = spawn(&factory, &args);
    let log = || std::fs::read_to_string(target(&factory).join("build.mine.log"));
    soon(|| log().is_ok_and(|log| log.contains("waiting")).then_some(()));
    factory.run(&args).exits(10).says("image name `mine` is taken by run 2").says("at work");
    std::fs::write(factory.tree().join("os/tiny/go"), "").unwrap();
    Ran::of(first.wait_with_output().unwrap()).exits(0);
    assert!(log().unwrap().contains("image mine ("), "its log is its own");
    assert!(read(&factory, "image.properties").starts_with("RESULT=success\n"));
}

/// What is wrong was told to programs by the lack of everything, and so was one build.
#[test]
fn programs_are_told_the_same_of_one_build_as_of_many() {
    let factory = tiny().file("os/tiny/go", "").bundle("images/bad", "bundle: {name: bad, x: 1}\n");
    let rows = |args: &[&str], code: i32| -> Vec<serde_json::Value> {
        let out = factory.run(&[&BUILD[..], args].concat()).exits(code).out;
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    };
    let of = |row: &serde_json::Value| {
        let mut keys: Vec<String> = row.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, ["bundle", "code", "error", "image", "outcome", "seconds"]);
        format!("{} {} {}", row["bundle"], row["outcome"], row["code"]).replace('"', "")
    };
    let built = rows(&["os/tiny", "--json"], 0);
    assert_eq!(built.iter().map(of).collect::<Vec<_>>(), ["os/tiny built 0"]);
    assert!(built[0]["image"]["id"].is_string() && built[0]["error"].is_null(), "{built:?}");
    let failed = rows(&["images/bad", "--json"], 10);
    assert_eq!(failed.iter().map(of).collect::<Vec<_>>(), ["images/bad failed 10"]);
    assert!(failed[0]["error"].as_str().unwrap().contains("img_base"), "{failed:?}");

    let lines = |args: &[&str], code: i32| -> Vec<serde_json::Value> {
        let all = [&BUILD[..], &["--json", "--progress", "json"], args].concat();
        let out = factory.run(&all).exits(code).out;
        let line =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        out.lines().map(line).collect()
    };
    for (args, code) in
        [(&["os/tiny"][..], 0), (&["images/bad"], 10), (&["os/tiny", "images/bad"], 10)]
    {
        let all = lines(args, code);
        let event =
            |at: usize| all[all.len() - at]["event"].as_str().unwrap_or_default().to_owned();
        assert_eq!([event(2), event(1)], ["finished", "summary"], "{all:?}");
        assert_eq!(all.last().unwrap()["builds"].as_array().unwrap().len(), args.len());
        let events = &all[..all.len() - 1];
        for label in args {
            let mut mine = events.iter().filter(|e| e["bundle"] == *label);
            assert_eq!(mine.next().unwrap()["event"], "started", "{label}: {all:?}");
            assert_eq!(mine.next_back().unwrap()["event"], "finished", "{label}: {all:?}");
        }
    }
    let told = factory.run(&["image", "show", "none", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(error["error"]["code"], told.code);
    assert!(error["error"]["errors"][0].as_str().unwrap().contains("none"), "{error}");
}

/// A run that was killed was "dead" for ever, swept or not.
#[test]
fn a_run_that_died_is_swept_once_and_said_to_be() {
    let id = "20261120-231501-a1b2c3";
    let started = serde_json::json!({ "at": "2026-11-20T23:15:01Z", "event": "started", "run": id,
        "bundle": "os/tiny", "purpose": "building", "image_name": "", "cloud": "local" });
    let ledger = r#"{"record":"run","run":"ID","cloud":"local","runtime":"/nowhere"}"#;
    let (started, ledger) = (format!("{started}\n"), format!("{ledger}\n").replace("ID", id));
    let factory = tiny()
        .file(&format!("os/target/tiny/runs/{id}/events.jsonl"), &started)
        .file(&format!("../home/runs/{id}/lock"), "")
        .file(&format!("../home/runs/{id}/ledger.jsonl"), &ledger);
    let said = |word: &str| {
        let list = factory.run(&["run", "list"]).exits(0).out;
        assert_eq!(list.lines().last().unwrap().split_whitespace().nth(2), Some(word), "{list}");
        factory.run(&["run", "show"]).exits(0).says(&format!("outcome   {word}"));
        factory.run(&["run", "list", "--json"]).exits(0).says(&format!("\"state\": \"{word}\""));
    };
    said("died");
    factory.run(&["sweep", "--run", "zzz"]).exits(2).says("no run zzz owns anything");
    factory.run(&["sweep", "--run", "a1b2c3"]).exits(0);
    said("swept");
}

/// The disk was full when the result was written: a run that had published was `swept`, image `-`.
#[test]
fn a_run_whose_result_is_lost_is_told_by_its_last_event() {
    let id = "20261120-231501-a1b2c3";
    let event = |event: serde_json::Value| {
        let mut event = event;
        event["at"] = "2026-11-20T23:15:01Z".into();
        format!("{event}\n")
    };
    let started = event(serde_json::json!({ "event": "started", "run": id, "bundle": "os/tiny",
        "purpose": "building", "image_name": "", "cloud": "local" }));
    let publishing = event(serde_json::json!({ "event": "stage_started", "stage": "publish" }));
    let meant =
        event(serde_json::json!({ "event": "note", "text": "family tiny means tiny-2 now" }));
    let finished = event(serde_json::json!({ "event": "finished", "outcome": "incomplete",
        "seconds": 2.5, "image": { "id": "i-1", "name": "tiny-2" }, "error": "full",
        "leaks": [] }));
    let dir = format!("os/target/tiny/runs/{id}");
    let killed = started + &publishing + &meant;
    let factory = tiny()
        .file(&format!("{dir}/events.jsonl"), &killed)
        .file(&format!("{dir}/result.json"), "");
    factory.run(&["run", "list"]).exits(0).says("swept").says("tiny-2 (published)");
    factory.run(&["run", "show"]).exits(0).says("image     tiny-2 (published)");
    let factory = factory.file(&format!("{dir}/events.jsonl"), &(killed + &finished));
    factory.run(&["run", "list"]).exits(0).says("incomplete").says("tiny-2 i-1");
    factory.run(&["run", "show"]).exits(0).says("outcome   incomplete").says("error     full");
    factory.run(&["run", "list", "--json"]).exits(0).says("\"state\": \"ended\"");
}

/// Two of one minute: the first line, the log and the stream of the second named the image of the
/// first.
#[test]
fn a_run_names_the_image_that_its_plan_names() {
    let factory = built();
    // Within a minute of the first; if the minute turns, again.
    let again = || {
        let ran = factory.run(&[&BUILD[..], &["--progress", "json", "os/tiny"]].concat()).exits(0);
        let events: Vec<serde_json::Value> =
            ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |event: &str, of: fn(&serde_json::Value) -> &serde_json::Value| {
            let found = events.iter().find(|e| e["event"] == event);
            of(found.unwrap_or_else(|| panic!("no {event}"))).as_str().unwrap().to_owned()
        };
        let name = of("finished", |e| &e["image"]["name"]);
        assert_eq!(of("started", |e| &e["image_name"]), "", "it has none yet");
        assert_eq!(of("planned", |e| &e["image_name"]), name);
        let log = read(&factory, &format!("build.{name}.log"));
        let named = log.lines().filter(|line| line.contains("tiny-2")).collect::<Vec<_>>();
        assert!(named.iter().all(|line| line.contains(&name)), "{name}: {named:?}");
        name
    };
    let is_plain = |name: &String| name.matches('-').count() == 3;
    assert!((0..3).map(|_| again()).any(|name| !is_plain(&name)), "no two within a minute");
}

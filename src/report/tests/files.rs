//! Record, JUnit, properties, manifest, and how they get onto the disk.
use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use super::{bundle, events, image, plan};
use crate::frontend::inputs;
use crate::log::sentences::{TESTED, UNTESTED};
use crate::model::event::{Event, Stamped};
use crate::report::record::Record;
use crate::report::templates::Job;
use crate::report::{Built, OutputError, Outputs, junit, properties, show_logs, withdraw};

fn record(fail: bool) -> Record {
    let (image, exit_code) = (image(), Some(if fail { 40 } else { 0 }));
    Record { exit_code, ..Record::new(&plan(), &events(fail), (!fail).then_some(&image)) }
}

/// Made in the run's directory, and shown.
fn write(dir: &Path, built: &Built) -> Result<Vec<PathBuf>, Vec<OutputError>> {
    let (outputs, mut errors) = Outputs::of_build(&dir.join("runs").join(&built.plan.run), built);
    let files = outputs.show(dir).unwrap_or_else(|more| {
        errors.extend(more);
        Vec::new()
    });
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

#[test]
fn record_folds_the_events() {
    let r = record(false);
    let stages: Vec<String> =
        r.stages.iter().map(|s| format!("{} +{} {}s", s.name, s.offset, s.seconds)).collect();
    assert_snapshot!(stages.join("\n"), @"
    plan +0 0.4s
    boot +0.4 21.3s
    provision +21.7 67.6s
    tidy +89.3 2.1s
    capture +91.399 38.2s
    smoke +129.6 51.4s
    publish +180.999 0.3s
    output +181.299 0.1s
    unwind +181.399 1.2s
    ");
    assert_snapshot!(format!("{} {:?} own {:.1} s, {:.1} \
        %", r.outcome, r.error, r.own_seconds, r.own_percent), @"built None own 4.5 s, 2.5 %");
    assert!(
        r.is_success()
            && r.steps.iter().all(|s| s.attempts == 1)
            && r.steps[0].output.starts_with("TASK [nginx")
    );
}

/// It makes no image, and a job that asks for RESULT took every test for a failure.
#[test]
fn a_test_that_is_passed_is_a_success() {
    let finished = |outcome: &str, error: Option<&str>| {
        let (outcome, error) = (outcome.to_owned(), error.map(str::to_owned));
        let event =
            Event::Finished { outcome, seconds: 1.0, image: None, error, leaks: Vec::new() };
        let record =
            Record::new(&plan(), &[Stamped { at: jiff::Timestamp::UNIX_EPOCH, event }], None);
        properties::text(&record).lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(finished(TESTED, None), "RESULT=success");
    assert_eq!(finished("rejected", Some("a check failed")), "RESULT=failed");
    assert_eq!(finished(UNTESTED, Some("no cloud")), "RESULT=failed");
}

#[test]
fn record_of_a_run_that_has_not_ended() {
    let (image, mut events) = (image(), events(false));
    let output = events
        .iter()
        .position(|e| serde_json::to_string(e).unwrap().contains(r#""stage":"output""#))
        .unwrap();
    events.truncate(output + 1);
    let r = Record::new(&plan(), &events, Some(&image));
    assert_eq!((r.outcome.as_str(), r.is_success()), ("built", true));
    let r = Record::new(&plan(), &events[..8], None);
    assert_eq!((r.outcome.as_str(), r.is_success()), ("failed", false));
    let r = Record::new(&plan(), &[], None);
    assert_eq!((r.seconds, r.own_percent), (0.0, 0.0));
}

#[test]
fn junit_is_xml_with_every_case() {
    let xml = junit::xml(&record(true)).unwrap();
    let mut reader = quick_xml::Reader::from_str(&xml);
    let (mut cases, mut failures) = (0, 0);
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(e) | quick_xml::events::Event::Empty(e) => {
                match e.name().as_ref() {
                    b"testcase" => cases += 1,
                    b"failure" => failures += 1,
                    _ => {}
                }
            }
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((cases, failures), (7 + 3 + 5, 2));
    assert!(
        xml.contains(r#"classname="images_bundle-nginx.smoke""#)
            && xml.contains(r#"<skipped message="switched off"#),
        "{xml}"
    );
}

#[test]
fn junit_output_is_bounded() {
    let mut r = record(true);
    r.checks[4].output = "é".repeat(200_000);
    assert!(junit::xml(&r).unwrap().len() < 100_000);
}

#[test]
fn properties_for_jenkins() {
    assert_snapshot!(properties::text(&record(false)), @r"
    RESULT=success
    OUTCOME=built
    EXIT_CODE=0
    IMAGE_ID=0c8e1f7a-3d52-4a7e-9f64-5a2b8d1c6e90
    IMAGE_NAME=bundle-nginx-2026-11-20-2315
    IMAGE_CHECKSUM=abababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababab
    IMAGE_SIZE=641728512
    IMAGE_FAMILY=bundle-nginx
    BASE_ID=6f1c2a7e-0b1d-4c55-9a38-2d7f0c9e1b44
    BASE_NAME=debian-12-2026-11-01-0400
    BUNDLE=images/bundle-nginx
    CLOUD=local
    RUN_ID=20261120-231501-a1b2c3
    GIT_COMMIT=52da0ba1c7e94e6d8f0a
    BUILD_SECONDS=183
    ");
    let mut r = record(true);
    r.bundle = " a\\b $HOME\nIMAGE_ID=evil é ".into();
    assert_snapshot!(properties::text(&r), @r"
    RESULT=failed
    OUTCOME=failed
    EXIT_CODE=40
    ERROR=smoke check tests/page failed: exit status 22
    IMAGE_FAMILY=bundle-nginx
    BASE_ID=6f1c2a7e-0b1d-4c55-9a38-2d7f0c9e1b44
    BASE_NAME=debian-12-2026-11-01-0400
    BUNDLE=\u0020a\\b \u0024HOME\nIMAGE_ID=evil \u00e9\u0020
    CLOUD=local
    RUN_ID=20261120-231501-a1b2c3
    GIT_COMMIT=52da0ba1c7e94e6d8f0a
    BUILD_SECONDS=172
    ");
}

#[test]
fn written_and_written_again() {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(
        tree.path(),
        &[
            ("x.heat.yml.j2", "image: {{ result_img_id }}\n"),
            ("sub/y.txt.j2", "{{ build_date }} {{ run_id }}"),
        ],
    );
    let (image, plan, events) = (image(), plan(), events(false));
    let templates = Job::for_image(&bundle, &plan, &image).render(|_| ());
    let dir = tree.path().join("images/target/demo");
    std::fs::create_dir_all(dir.join("output/old")).unwrap();
    std::fs::write(dir.join("output/old/stale.yml"), "old").unwrap();
    let built = Built {
        bundle: &bundle,
        plan: &plan,
        events: &events,
        image: Some(&image),
        templates: &templates,
        exit_code: None,
    };
    let of_run = dir.join("runs").join(&plan.run);
    let (_, errors) = Outputs::of_build(&of_run, &built);
    assert!(errors.is_empty() && of_run.join("rendered/x.heat.yml").exists());
    assert!(!dir.join("manifest.json").exists(), "nothing is shown while the run goes on");
    let built = Built { exit_code: Some(0), ..built };
    let files = write(&dir, &built).unwrap();
    let names: Vec<String> =
        files.iter().map(|f| f.strip_prefix(tree.path()).unwrap().display().to_string()).collect();
    assert_snapshot!(names.join("\n"), @"
    images/target/demo/output/x.heat.yml
    images/target/demo/output/sub/y.txt
    images/target/demo/manifest.json
    images/target/demo/report.html
    images/target/demo/junit.xml
    images/target/demo/image.properties
    ");
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    assert_eq!(read("output/x.heat.yml"), "image: 0c8e1f7a-3d52-4a7e-9f64-5a2b8d1c6e90\n");
    assert_eq!(read("output/sub/y.txt"), "2026-11-20T23:15:01Z 20261120-231501-a1b2c3");
    assert!(!dir.join("output/old").exists());
    let manifest: serde_json::Value = serde_json::from_str(&read("manifest.json")).unwrap();
    assert_eq!(manifest["outputs"][0]["path"], "output/x.heat.yml");
    assert_eq!(manifest["inputs"]["files"].as_array().unwrap().len(), 2);

    // The run has its own, whatever later builds make of the latest.
    let of_run = |name: &str| std::fs::read_to_string(dir.join("runs").join(&plan.run).join(name));
    for path in ["image.properties", "junit.xml", "manifest.json"] {
        assert_eq!(of_run(path).unwrap(), read(path));
    }
    assert_eq!(of_run("rendered/sub/y.txt").unwrap(), read("output/sub/y.txt"));
    let below = walkdir::WalkDir::new(dir.join("runs")).into_iter().flatten();
    assert_eq!(below.filter(|e| e.file_name() == "output").count(), 0, "jobs archive those");
    let properties_of_run = read("image.properties");

    // A failed build shows nothing of the older image, whose own are in the directory of its run.
    let failed = super::events(true);
    let next = crate::plan::Plan { run: "20261120-241501-b2c3d4".into(), ..plan.clone() };
    let none = Ok(Vec::new());
    let not_built = Built {
        plan: &next,
        events: &failed,
        image: None,
        templates: &none,
        exit_code: Some(40),
        ..built
    };
    write(&dir, &not_built).unwrap();
    assert!(!dir.join("output").exists() && of_run("rendered/x.heat.yml").is_ok());
    assert_eq!(of_run("image.properties").unwrap(), properties_of_run);
    let properties = read("image.properties");
    assert!(properties.starts_with("RESULT=failed\n") && !properties.contains("IMAGE_ID"));
    assert!(properties.contains("\nEXIT_CODE=40\n"), "{properties}");
    assert!(
        std::fs::read_dir(&dir).unwrap().all(|e| !e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".new-"))
    );
}

/// Its last template was removed: the output with the ID of the image before went on being
/// deployed.
#[test]
fn an_image_without_templates_leaves_no_output_of_the_one_before() {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path(), &[]);
    std::fs::create_dir_all(&bundle.dir).unwrap();
    let (image, plan, events) = (image(), plan(), events(false));
    let dir = tree.path().join("images/target/demo");
    std::fs::create_dir_all(dir.join("output/sub")).unwrap();
    std::fs::write(dir.join("output/sub/x.yml"), "image: old").unwrap();
    let built = Built {
        bundle: &bundle,
        plan: &plan,
        events: &events,
        image: Some(&image),
        templates: &Ok(Vec::new()),
        exit_code: Some(0),
    };
    write(&dir, &built).unwrap();
    assert!(!dir.join("output").exists());
    // What is withdrawn, too.
    std::fs::create_dir_all(dir.join("output")).unwrap();
    withdraw(&dir).unwrap();
    let mut left: Vec<_> =
        std::fs::read_dir(&dir).unwrap().flatten().map(|e| e.file_name()).collect();
    left.sort();
    assert_eq!(left, ["runs"]);
}

/// Two processes: the files of one were shown beside those of the other.
#[test]
fn the_latest_are_of_one_run_however_many_end_at_once() {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path(), &[("x.txt.j2", "{{ run_id }}")]);
    let (image, events) = (image(), events(false));
    let dir = tree.path().join("images/target/demo");
    let end = |run: &str| {
        let plan = crate::plan::Plan { run: run.into(), ..plan() };
        let templates = Job::for_image(&bundle, &plan, &image).render(|_| ());
        let (plan, events, templates) = (&plan, &events, &templates);
        let built = Built {
            bundle: &bundle,
            plan,
            events,
            image: Some(&image),
            templates,
            exit_code: Some(0),
        };
        write(&dir, &built).unwrap();
    };
    let end = &end;
    std::thread::scope(|scope| {
        for run in ["20261120-231501-a1b2c3", "20261120-231501-b2c3d4", "20261120-231501-c3d4e5"] {
            scope.spawn(move || end(run));
        }
    });
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let run = read("output/x.txt");
    for name in ["image.properties", "manifest.json", "report.html", "junit.xml"] {
        assert!(read(name).contains(&run), "{name} is not of {run}");
        let own = dir.join("runs").join(&run).join(name);
        assert_eq!(read(name), std::fs::read_to_string(own).unwrap(), "{name}");
    }
}

/// `output` replaced by a link to somebody's directory: everything in it that was not rendered was
/// removed.
#[test]
fn a_link_in_the_place_of_output_leads_nowhere() {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path(), &[("x.txt.j2", "x"), ("sub/y.txt.j2", "y")]);
    let (image, plan, events) = (image(), plan(), events(false));
    let templates = Job::for_image(&bundle, &plan, &image).render(|_| ());
    let built = Built {
        bundle: &bundle,
        plan: &plan,
        events: &events,
        image: Some(&image),
        templates: &templates,
        exit_code: Some(0),
    };
    let dir = tree.path().join("images/target/demo");
    let foreign = tree.path().join("foreign");
    std::fs::create_dir_all(foreign.join("sub")).unwrap();
    std::fs::create_dir_all(&dir).unwrap();
    for name in ["kept", "sub/kept"] {
        std::fs::write(foreign.join(name), "mine").unwrap();
    }
    let listing = || {
        walkdir::WalkDir::new(&foreign)
            .sort_by_file_name()
            .into_iter()
            .map(|e| e.unwrap().into_path())
            .collect::<Vec<_>>()
    };
    let before = listing();
    std::os::unix::fs::symlink(&foreign, dir.join("output")).unwrap();
    write(&dir, &built).unwrap();
    assert_eq!(listing(), before);
    std::fs::remove_dir_all(dir.join("output/sub")).unwrap();
    std::os::unix::fs::symlink(foreign.join("sub"), dir.join("output/sub")).unwrap();
    std::fs::remove_file(dir.join("image.properties")).unwrap();
    std::os::unix::fs::symlink(foreign.join("kept"), dir.join("image.properties")).unwrap();
    write(&dir, &built).unwrap();
    assert_eq!(listing(), before);
    assert_eq!(
        std::fs::read_to_string(foreign.join("kept")).unwrap(),
        "mine",
        "a file is replaced, not written through a link"
    );
    assert_eq!(std::fs::read_to_string(dir.join("output/sub/y.txt")).unwrap(), "y");
}

#[test]
fn one_bad_output_does_not_keep_the_others_back() {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path(), &[("x.yml.j2", "{{ nope }}")]);
    let (image, plan, events) = (image(), plan(), events(false));
    let templates = Job::for_image(&bundle, &plan, &image).render(|_| ());
    let built = Built {
        bundle: &bundle,
        plan: &plan,
        events: &events,
        image: Some(&image),
        templates: &templates,
        exit_code: Some(20),
    };
    let errors = write(&tree.path().join("t"), &built).unwrap_err();
    let text = errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
        .replace(&tree.path().display().to_string(), "<tree>");
    assert_snapshot!(text, @"
    an error in the templates: images/demo/output/x.yml.j2:1:4: error: `nope` is undefined
        hint: did you mean `none`?
    ");
    assert!(tree.path().join("t/report.html").exists());
    let missing = show_logs(tree.path(), &[tree.path().join("no.log")]).unwrap_err();
    assert!(missing.to_string().starts_with("cannot write "), "{missing}");
}

#[test]
fn digest_of_a_definition_is_what_sha256sum_gives() {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path(), &[("b.j2", "b"), ("a.j2", "a")]);
    let inputs = inputs(&bundle).unwrap();
    let shell = "find . -type f | LC_ALL=C sort | xargs sha256sum | sed 's/  / - /' | sha256sum";
    let out = std::process::Command::new("sh")
        .args(["-c", shell])
        .current_dir(&bundle.dir)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap().split(' ').next().unwrap(), inputs.sha256);
}

/// Definitions may share a directory; what is their own counts too.
#[test]
fn settings_that_lie_apart_from_the_directory_are_part_of_the_digest() {
    let tree = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        std::fs::create_dir_all(tree.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(tree.path().join(path), text).unwrap();
    };
    write("os/families/f/ansible/bootstrap.yml", "- hosts: local\n  tasks: []\n");
    let inputs = |ram: &str| {
        write(
            "images/a/build-vars.yml",
            &format!(
                "bundle: {{name: a, img_base: b, path: os/families/f}}\nmachine: {{ram: {ram}}}\n"
            ),
        );
        inputs(&crate::frontend::load(tree.path(), &tree.path().join("images/a")).unwrap().bundle)
            .unwrap()
    };
    let (one, two) = (inputs("1G"), inputs("2G"));
    let paths: Vec<_> = one.files.iter().map(|f| f.path.display().to_string()).collect();
    assert_eq!(paths, ["ansible/bootstrap.yml", "images/a/build-vars.yml"]);
    assert_ne!(one.sha256, two.sha256);
}

//! Builds of a family beside one another: `run compare`, and the chart of the report page.
use super::*;

/// IDs of the runs of `os/tiny`, oldest first.
fn runs(factory: &Factory) -> Vec<String> {
    let dir = factory.tree().join("os/target/tiny/runs");
    let names = std::fs::read_dir(dir).unwrap().map(|run| run.unwrap().file_name());
    let mut runs: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    runs.sort();
    runs
}

#[test]
fn a_build_that_became_slow_is_named() {
    let factory = tree();
    build(&factory, &["os/tiny"]).exits(0);
    let first = runs(&factory).remove(0);
    factory.run(&["run", "compare", &first]).exits(2).says("no later run of os/tiny");
    let slow = "#!/bin/sh\nset -e\nsleep 3\ncp tiny.img \"$OUT\"\n";
    let factory = factory.script("os/tiny/build.sh", slow);
    build(&factory, &["os/tiny"]).exits(0);
    let second = runs(&factory).remove(1);
    // It built nothing, and is not what a build is compared with.
    std::fs::remove_file(factory.tree().join("os/target/tiny/image.properties")).unwrap();
    build(&factory, &["--stale", "os/tiny"]).exits(0).says("is unchanged");

    let told = factory.run(&["run", "compare", &first[first.len() - 6..]]).exits(0);
    assert!(
        told.out.contains(&format!("after     {second}  os/tiny on local, built")),
        "{}",
        told.out
    );
    let grew = told.out.lines().find(|line| line.starts_with("grew")).unwrap();
    assert!(grew.contains("source (") && grew.contains("total ("), "{}", told.out);
    assert!(!grew.contains("publish"), "{}", told.out);
    factory.run(&["run", "compare", &second, &first]).exits(0).says("shrank    source (");
    factory.run(&["run", "compare", "none"]).exits(2).says("no run `none`");

    let json = factory.run(&["run", "compare", &first, &second, "--json"]).exits(0).out;
    let compared: Value = serde_json::from_str(&json).unwrap();
    let rows = compared["rows"].as_array().unwrap();
    let source = rows.iter().find(|row| row["name"] == "source").unwrap();
    assert_eq!((&source["kind"], &source["change"]), (&json!("stage"), &json!("grew")));
    assert!(source["after"]["seconds"].as_f64().unwrap() > 3.0, "{source}");
    assert_eq!(rows.last().unwrap()["kind"], "total");

    let page = factory.tree().join("os/target/tiny/runs").join(&second).join("report.html");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Critical path") && page.contains("Last builds"), "{page}");
    for run in [&first, &second] {
        assert!(page.contains(&format!("aria-label=\"{run}, built after")), "{page}");
    }
}

/// A tree may bring any record.
#[test]
fn hostile_records_are_compared_in_plain_text() {
    let id = "20261120-231501-a1b2c3";
    let name = "a\u{1b}[31m\nnote  b\u{202e}";
    let lines = |seconds: f64| {
        let events = [
            json!({ "event": "started", "run": id, "bundle": name, "purpose": "building",
                "image_name": "", "cloud": "local" }),
            json!({ "event": "stage_started", "stage": "provision" }),
            json!({ "event": "step_started", "index": 0, "of": 1, "name": name }),
            json!({ "event": "step_done", "index": 0, "seconds": seconds }),
            json!({ "event": "stage_done", "stage": "provision", "seconds": seconds }),
            json!({ "event": "finished", "outcome": name, "seconds": seconds, "image": null,
                "error": null, "leaks": [] }),
        ];
        let stamped = |mut event: Value| {
            event["at"] = "2026-11-20T23:15:01Z".into();
            format!("{event}\n")
        };
        events.map(stamped).concat()
    };
    let dir = |id: &str| format!("os/target/tiny/runs/{id}/events.jsonl");
    let factory =
        tree().file(&dir(id), &lines(1.0)).file(&dir("20261121-231501-a1b2c4"), &lines(1e300));
    let told = factory.run(&["run", "compare", id]).exits(0);
    assert!(told.out.contains("grew      a note") || told.out.contains("step a"), "{}", told.out);
    let hidden = |c: &char| *c == '\u{202e}' || (c.is_control() && *c != '\n');
    assert_eq!(told.out.chars().find(hidden), None, "{}", told.out);
    assert!(!told.out.lines().any(|line| line.starts_with("note  b")), "{}", told.out);
    let json = factory.run(&["run", "compare", id, "--json"]).exits(0).out;
    assert!(!json.contains('\u{202e}') && !json.contains('\u{1b}'), "{json}");
}

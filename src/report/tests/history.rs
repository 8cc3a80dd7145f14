//! The chart of a family's last builds.
use std::fs;
use std::path::{Path, PathBuf};

use super::{HOSTILE, events, image, plan};
use crate::log::json_line;
use crate::model::event::{Event, Stamped};
use crate::report::history::History;
use crate::report::page;
use crate::report::record::Record;

/// Writes the events of a run as its directory has them, changed by `edit`.
fn ran(runs: &Path, id: &str, fail: bool, edit: impl Fn(&mut Event)) -> PathBuf {
    let dir = runs.join(id);
    fs::create_dir_all(&dir).unwrap();
    let mut all = events(fail);
    for Stamped { event, .. } in &mut all {
        if let Event::Started { run, .. } = event {
            *run = id.into();
        }
        edit(event);
    }
    let lines: String = all.iter().map(json_line).collect();
    fs::write(dir.join("events.jsonl"), lines).unwrap();
    dir
}

fn as_it_was(_: &mut Event) {}

fn on(other: &'static str) -> impl Fn(&mut Event) {
    move |event| {
        if let Event::Started { cloud, .. } = event {
            *cloud = other.into();
        }
    }
}

fn ended(word: &'static str) -> impl Fn(&mut Event) {
    move |event| {
        if let Event::Finished { outcome, .. } = event {
            *outcome = word.into();
        }
    }
}

/// The chart of the build with this directory.
fn chart(dir: &Path) -> (History, String) {
    let mut plan = plan();
    plan.run = dir.file_name().unwrap().to_str().unwrap().into();
    let record = Record::new(&plan, &events(false), Some(&image()));
    let history = History::of(dir, &record);
    let html = page::html(&record, &history);
    // To look at: REPORT_DIR=/tmp cargo test --lib report
    if let Some(dir) = std::env::var_os("REPORT_DIR") {
        fs::write(Path::new(&dir).join("report-history.html"), &html).unwrap();
    }
    (history, html)
}

fn runs_of(history: &History) -> Vec<&str> {
    history.builds.iter().map(|build| build.run.as_str()).collect()
}

#[test]
fn the_last_ten_builds_of_the_cloud_are_shown_whatever_their_end() {
    let tree = tempfile::tempdir().unwrap();
    let runs = tree.path();
    for day in 10..20 {
        ran(runs, &format!("202611{day}-000000-aaaaaa"), day % 4 == 0, as_it_was);
    }
    ran(runs, "20261119-010000-bbbbbb", false, on("north"));
    ran(runs, "20261119-020000-cccccc", false, ended("unchanged"));
    ran(runs, "20261119-030000-dddddd", false, |event| {
        if let Event::Started { purpose, .. } = event {
            *purpose = "opening the builder".into();
        }
    });
    // Killed: it has no end.
    let killed = ran(runs, "20261119-040000-eeeeee", false, as_it_was).join("events.jsonl");
    let text = fs::read_to_string(&killed).unwrap();
    let (cut, _) = text.trim_end().rsplit_once('\n').unwrap();
    fs::write(&killed, cut).unwrap();
    // Of the definition when it had another name.
    let renamed = ran(runs, "20261119-050000-ffffff", false, as_it_was);
    let mut other = plan();
    other.family = "other".into();
    fs::write(renamed.join("plan.json"), serde_json::to_string(&other).unwrap()).unwrap();
    std::os::unix::fs::symlink("20261119-000000-aaaaaa", runs.join("20261119-060000-111111"))
        .unwrap();

    let (history, html) = chart(&runs.join("20261120-231501-a1b2c3"));
    let days: Vec<String> = (11..20).map(|day| format!("202611{day}-000000-aaaaaa")).collect();
    let mut shown: Vec<&str> = days.iter().map(String::as_str).collect();
    shown.push("20261120-231501-a1b2c3");
    assert_eq!(runs_of(&history), shown);
    assert_eq!(history.elsewhere, 1);
    let failed: Vec<bool> = history.builds.iter().map(|build| !build.ok).collect();
    assert_eq!(failed.iter().filter(|failed| **failed).count(), 2, "{failed:?}");
    let longest = history.builds.iter().map(|build| build.seconds).fold(0.0, f64::max);
    assert!((longest - 183.0).abs() < 0.01, "{longest}");

    assert!(html.contains("Last builds <small>of bundle-nginx on local, in this tree; 1 on other"));
    let text = "aria-label=\"20261112-000000-aaaaaa, failed after 2 min 52 s: plan 0.4 s, boot 21 \
        s, provision 1 min 08 s, tidy 2.1 s, capture 38 s, smoke 40 s, failed, unwind 1.4 s\"";
    assert!(html.contains(text), "{html}");
    assert!(html.contains("class=\"broken\" fill=\"#b3261e\"><title>smoke 40 s</title>"), "{html}");
    assert_eq!(html.matches("✗ failed</span>").count(), 2);
}

#[test]
fn there_is_no_chart_of_one_build() {
    let tree = tempfile::tempdir().unwrap();
    let (history, html) = chart(&tree.path().join("20261120-231501-a1b2c3"));
    assert_eq!(runs_of(&history), ["20261120-231501-a1b2c3"]);
    assert!(!html.contains("Last builds"), "{html}");
}

/// A tree may bring any record.
#[test]
fn hostile_records_are_only_text_and_numbers() {
    let tree = tempfile::tempdir().unwrap();
    ran(tree.path(), "20261101-000000-aaaaaa", false, |event| match event {
        Event::Started { run, .. } => *run = HOSTILE.into(),
        Event::StageDone { seconds, .. } => *seconds = 1e300,
        Event::Finished { outcome, seconds, .. } => {
            (*outcome, *seconds) = (HOSTILE.into(), -1e300);
        }
        _ => {}
    });
    let long = ran(tree.path(), "20261102-000000-aaaaaa", false, as_it_was).join("events.jsonl");
    let text = fs::read_to_string(&long).unwrap();
    fs::write(&long, format!("{{\"at\":\"{}\"}}\n{text}", "x".repeat(2 << 20))).unwrap();
    let (history, html) = chart(&tree.path().join("20261120-231501-a1b2c3"));
    assert_eq!(history.builds.len(), 2, "{:?}", runs_of(&history));
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{html}");
    assert!(!html.contains("NaN") && !html.contains("inf\"") && !html.contains("1e300"), "{html}");
    let hidden = |c: &char| crate::text::is_hidden(*c) || (c.is_control() && *c != '\n');
    assert_eq!(html.chars().find(hidden), None);
}

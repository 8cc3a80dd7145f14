//! The kept records, with times that do not move.
use std::fs;

use insta::assert_snapshot;

use super::*;
use crate::model::event::{FinishedImage, Stage};

fn at(ms: i64, event: Event) -> Stamped {
    Stamped { at: Timestamp::from_millisecond(1_795_217_462_000 + ms).unwrap(), event }
}

fn output(line: &str) -> Event {
    Event::Output { source: "ansible".into(), line: line.into() }
}

#[test]
fn a_log_reads_well_and_ends_with_the_final_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("build.x.log");
    let mut log = LogFile::create(&path).unwrap();
    let image = FinishedImage { id: "0193c0de".into(), name: "nginx-1".into() };
    let finished = Event::Finished {
        outcome: "built".into(),
        seconds: 50.0,
        image: Some(image),
        error: None,
        leaks: vec!["port p1".into()],
    };
    let started = Event::Started {
        run: "r1".into(),
        bundle: "nginx".into(),
        purpose: "building".into(),
        image_name: "nginx-1".into(),
        cloud: "local".into(),
    };
    let check = Check {
        id: "tests/page".into(),
        verdict: Verdict::Failed,
        seconds: 0.2,
        reason: "got 404".into(),
        output: "a\nb\n".into(),
    };
    for (ms, event) in [
        (0, started),
        (100, Event::StageStarted { stage: Stage::Provision }),
        (100, Event::MachineRestored { age_seconds: 59 }),
        (105, Event::StepRestored { index: 0, of: 2, name: "a\nb".into(), age_seconds: 3725 }),
        (110, Event::StepStarted { index: 0, of: 2, name: "ansible/bootstrap.yml".into() }),
        (200, output("\x1b[0;32mok: [builder]\x1b[0m\r")),
        (201, output("")),
        (202, output("\u{1b}]0;evil\u{7}x\ny\u{8}")),
        (
            300,
            Event::StepFailed {
                index: 0,
                seconds: 0.19,
                error: "exit status 2\nhint: look".into(),
            },
        ),
        (400, Event::StageDone { stage: Stage::Provision, seconds: 47.31 }),
        (500, Event::Check(check)),
        (600, finished.clone()),
    ] {
        log.take(&at(ms, event));
    }
    let text = fs::read_to_string(&path).unwrap();
    assert_snapshot!(text, @r"
    2026-11-20T23:31:02.000Z nginx: building image nginx-1 on local, run r1
    2026-11-20T23:31:02.100Z ==== provision =============================================================
    2026-11-20T23:31:02.100Z the machine is restored from a checkpoint, made 59s ago
    2026-11-20T23:31:02.105Z ---- step 1 of 2: a
    2026-11-20T23:31:02.105Z ---- b: restored from a checkpoint, made 1h02m ago
    2026-11-20T23:31:02.110Z ---- step 1 of 2: ansible/bootstrap.yml
    2026-11-20T23:31:02.200Z ansible | ok: [builder]
    2026-11-20T23:31:02.201Z ansible |
    2026-11-20T23:31:02.202Z ansible | x
    2026-11-20T23:31:02.202Z ansible | y␈
    2026-11-20T23:31:02.300Z error: exit status 2
    2026-11-20T23:31:02.300Z error: hint: look
    2026-11-20T23:31:02.300Z ---- step 1 FAILED, 0.2 s
    2026-11-20T23:31:02.400Z ==== provision done, 47.3 s ================================================
    2026-11-20T23:31:02.500Z check tests/page FAILED, 0.2 s: got 404
    2026-11-20T23:31:02.500Z tests/page | a
    2026-11-20T23:31:02.500Z tests/page | b
    2026-11-20T23:31:02.600Z ==== built, 50.0 s =========================================================
    2026-11-20T23:31:02.600Z left behind: port p1
    image nginx-1 (0193c0de) is published, built in 50.0 s; 1 thing is left behind, `image-factory sweep` removes it
    ");
    assert_eq!(text.lines().last(), sentences::final_line(&finished).as_deref());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn the_event_file_is_appended_to_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let events =
        [at(0, Event::StageStarted { stage: Stage::Boot }), at(1, output("two\nlines \u{1b}[1m"))];
    for event in &events {
        EventFile::open(&path).unwrap().take(event);
    }
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().next(),
        Some(r#"{"at":"2026-11-20T23:31:02Z","event":"stage_started","stage":"boot"}"#)
    );
    let back: Vec<Stamped> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(back, events);
}

#[test]
fn the_recorder_bounds_output_and_keeps_the_order() {
    let recorder = Recorder::default();
    let mut sink = recorder.clone();
    sink.take(&at(0, Event::StageStarted { stage: Stage::Provision }));
    for n in 0..OUTPUT_KEPT + 10 {
        sink.take(&at(1, output(&n.to_string())));
    }
    for done in 0..100 {
        sink.take(&at(2, Event::Progress { done, of: 100, unit: "percent".into() }));
    }
    sink.take(&at(3, output("last")));
    let events = recorder.events();
    assert_eq!(events.len(), 1 + OUTPUT_KEPT + 1);
    assert_eq!(events[0].event, Event::StageStarted { stage: Stage::Provision });
    assert_eq!(events[1].event, output("11"));
    assert_eq!(
        events[OUTPUT_KEPT].event,
        Event::Progress { done: 99, of: 100, unit: "percent".into() }
    );
    assert_eq!(events[OUTPUT_KEPT + 1].event, output("last"));
    assert_eq!(recorder.output(Some("ansible"), 2), ["2009", "last"]);
    assert!(recorder.output(Some("shell"), 2).is_empty());
}

/// The old records grew with whatever a machine said.
#[test]
fn records_are_bounded_and_say_what_was_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (log_path, events_path) = (dir.path().join("build.log"), dir.path().join("events.jsonl"));
    let (mut log, mut events) =
        (LogFile::create(&log_path).unwrap(), EventFile::open(&events_path).unwrap());
    (log.1, events.1) = (Budget::new(10_000), Budget::new(10_000));
    let recorder = Recorder::default();
    let finished = Event::Finished {
        outcome: "failed".into(),
        seconds: 1.0,
        image: None,
        error: Some("exit code 1".into()),
        leaks: vec![],
    };
    let warned = Event::Warning { text: "a warning of ours".into() };
    let line = "x".repeat(900);
    let all = (0..20_000).map(|_| output(&line)).chain([warned, finished.clone()]);
    for event in all.map(|event| at(0, event)) {
        log.take(&event);
        events.take(&event);
        recorder.clone().take(&event);
    }
    for path in [&log_path, &events_path] {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.len() < 13_000, "{}", text.len());
        assert_eq!(text.matches("from here on it is left out").count(), 1);
        assert!(
            text.contains("lines of output (")
                && text.contains("a warning of ours")
                && text.contains("exit code 1"),
            "{text}"
        );
    }
    assert_eq!(
        fs::read_to_string(&log_path).unwrap().lines().last().unwrap(),
        sentences::final_line(&finished).unwrap()
    );
    let kept: usize = recorder.output(None, usize::MAX).iter().map(String::len).sum();
    assert!(kept <= OUTPUT_BYTES, "{kept}");
    (0..5000).for_each(|_| recorder.clone().take(&at(0, output(&"y".repeat(100_000)))));
    assert!(
        recorder.output(None, usize::MAX).iter().map(String::len).sum::<usize>() <= OUTPUT_BYTES
    );
}

/// A run that goes on under another process stays within one budget.
#[test]
fn what_an_event_file_holds_already_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    File::create(&path).unwrap().set_len(budget::OUTPUT).unwrap();
    EventFile::open(&path).unwrap().take(&at(0, output("no more")));
    let text = fs::read(&path).unwrap();
    assert!(String::from_utf8_lossy(&text[budget::OUTPUT as usize..]).contains("left out"));
}

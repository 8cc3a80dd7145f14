//! The sinks, line by line, with times that do not move.
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use jiff::Timestamp;

use super::bar::Story;
use super::plain::Pace;
use super::*;
use crate::model::event::{Check, Event, FinishedImage, Stage, Stamped, Verdict};

const BEGAN: i64 = 1_795_217_462_000;

fn at(seconds: f64, event: Event) -> Stamped {
    Stamped { at: Timestamp::from_millisecond(BEGAN + (seconds * 1000.0) as i64).unwrap(), event }
}

/// What a sink wrote; clones share it.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn output(line: &str) -> Event {
    Event::Output { source: "ansible".into(), line: line.into() }
}

fn check(id: &str, verdict: Verdict, reason: &str, output: &str) -> Event {
    Event::Check(Check {
        id: id.into(),
        verdict,
        seconds: 0.2,
        reason: reason.into(),
        output: output.into(),
    })
}

fn begin() -> Vec<Stamped> {
    vec![
        at(
            0.0,
            Event::Started {
                run: "r1".into(),
                bundle: "nginx".into(),
                purpose: "building".into(),
                image_name: "nginx-1".into(),
                cloud: "local".into(),
            },
        ),
        at(0.0, Event::StageStarted { stage: Stage::Boot }),
        at(0.1, Event::Doing { what: "waiting for SSH".into() }),
        at(1.0, Event::Warning { text: "a slow disk\x1b[2J\nlook at it".into() }),
        at(47.3, Event::StageDone { stage: Stage::Boot, seconds: 47.3 }),
        at(47.3, Event::StageStarted { stage: Stage::Provision }),
        at(47.3, Event::StepStarted { index: 0, of: 2, name: "ansible/bootstrap.yml".into() }),
        at(50.0, output("TASK [install nginx] **********")),
        at(50.1, output("")),
    ]
}

fn success() -> Vec<Stamped> {
    let mut events = begin();
    let image = FinishedImage { id: "0193c0de".into(), name: "nginx-1".into() };
    events.extend([
        at(80.0, Event::StepDone { index: 0, seconds: 32.7 }),
        at(80.0, Event::StageDone { stage: Stage::Provision, seconds: 32.7 }),
        at(80.0, Event::StageStarted { stage: Stage::Smoke }),
        at(90.0, check("host-keys-unique", Verdict::Passed, "", "")),
        at(91.0, check("ipv6", Verdict::Skipped, "no subnet", "")),
        at(92.0, Event::Note { text: "all is well".into() }),
        at(92.0, Event::StageDone { stage: Stage::Smoke, seconds: 12.0 }),
        at(
            100.0,
            Event::Finished {
                outcome: "built".into(),
                seconds: 100.0,
                image: Some(image),
                error: None,
                leaks: vec![],
            },
        ),
    ]);
    events
}

fn failure() -> Vec<Stamped> {
    let mut events = begin();
    events.extend((0..20).map(|n| at(60.0, output(&format!("line {n}")))));
    let step = "task \"install nginx\" on builder: no package";
    let stage = format!("step 1/2: {step}");
    events.extend([
        at(61.0, output(r#"fatal: [builder]: FAILED! => {"changed": false, "msg": "no package"}"#)),
        at(61.0, output("PLAY RECAP ****")),
        at(61.0, Event::StepFailed { index: 0, seconds: 13.7, error: step.into() }),
        at(
            61.0,
            Event::StageFailed { stage: Stage::Provision, seconds: 13.7, error: stage.clone() },
        ),
        at(61.0, Event::StageStarted { stage: Stage::Unwind }),
        at(62.0, Event::StageDone { stage: Stage::Unwind, seconds: 1.0 }),
        at(
            62.0,
            Event::Finished {
                outcome: "failed".into(),
                seconds: 62.0,
                image: None,
                error: Some(stage),
                leaks: vec!["port p1".into()],
            },
        ),
    ]);
    events
}

/// The beginning of a run whose machine and first step came from a checkpoint.
fn restored() -> Vec<Stamped> {
    let name = "ansible/\u{1b}[2Jbootstrap.yml".to_owned();
    vec![
        begin().remove(0),
        at(0.0, Event::StageStarted { stage: Stage::Boot }),
        at(1.0, Event::MachineRestored { age_seconds: 725 }),
        at(2.0, Event::StageDone { stage: Stage::Boot, seconds: 2.0 }),
        at(2.0, Event::StageStarted { stage: Stage::Provision }),
        at(2.0, Event::StepRestored { index: 0, of: 2, name, age_seconds: 725 }),
    ]
}

#[test]
fn what_came_from_a_checkpoint_is_told_with_its_age() {
    assert_snapshot!(plain(&restored(), 0), @r"
    [00:00] nginx: building image nginx-1 on local, run r1
    [00:00] boot
    [00:01] the machine is restored from a checkpoint, made 12m05s ago
    [00:02] boot done, 2.0 s
    [00:02] provision
    [00:02] provision 1/2: ansible/bootstrap.yml: restored from a checkpoint, made 12m05s ago
    ");
    assert_snapshot!(bar(&restored(), 100), @r"
    nginx: building image nginx-1 on local
      run r1
      the machine is restored from a checkpoint, made 12m05s ago
      ✓ boot         2.0 s
      • provision
          ✓                 ansible/bootstrap.yml  restored from a checkpoint, made 12m05s ago
    ");
}

fn plain(events: &[Stamped], verbosity: i8) -> String {
    let page = Page::default();
    let mut sink = Plain::new(Box::new(page.clone()), Paint(false), verbosity, Pace::default());
    events.iter().for_each(|event| sink.take(event));
    page.text()
}

fn bar(events: &[Stamped], width: usize) -> String {
    let mut story = Story::new(Paint(false), 0);
    events.iter().flat_map(|event| story.take(event, width)).collect::<Vec<_>>().join("\n")
}

#[test]
fn plain_tells_a_run_in_lines() {
    assert_snapshot!(plain(&success(), 0), @r"
    [00:00] nginx: building image nginx-1 on local, run r1
    [00:00] boot
    [00:01] warning: a slow disk
            look at it
    [00:47] boot done, 47.3 s
    [00:47] provision
    [00:47] provision 1/2: ansible/bootstrap.yml
    [01:20] provision 1/2 done, 32.7 s
    [01:20] provision done, 32.7 s
    [01:20] smoke
    [01:30] check host-keys-unique passed, 0.2 s
    [01:31] check ipv6 skipped, 0.2 s: no subnet
    [01:32] all is well
    [01:32] smoke done, 12.0 s
    image nginx-1 (0193c0de) is published, built in 1m40s
    ");
}

#[test]
fn plain_shows_the_end_of_what_failed_and_says_the_error_once() {
    assert_snapshot!(plain(&failure(), 0), @r#"
    [00:00] nginx: building image nginx-1 on local, run r1
    [00:00] boot
    [00:01] warning: a slow disk
            look at it
    [00:47] boot done, 47.3 s
    [00:47] provision
    [00:47] provision 1/2: ansible/bootstrap.yml
            | line 6
            | line 7
            | line 8
            | line 9
            | line 10
            | line 11
            | line 12
            | line 13
            | line 14
            | line 15
            | line 16
            | line 17
            | line 18
            | line 19
            | fatal: [builder]: FAILED! => no package
    [01:01] provision 1/2: ansible/bootstrap.yml failed after 13.7 s: task "install nginx" on builder: no package
    [01:01] provision failed after 13.7 s
    [01:01] unwind
    [01:02] unwind done, 1.0 s
    left behind: port p1
    build failed after 1m02s, nothing is published: step 1/2: task "install nginx" on builder: no package; 1 thing is left behind, `image-factory sweep` removes it
    "#);
}

#[test]
fn quiet_says_only_what_is_wrong_and_how_it_ended() {
    assert_snapshot!(plain(&success(), -1), @r"
    [00:01] warning: a slow disk
            look at it
    image nginx-1 (0193c0de) is published, built in 1m40s
    ");
}

#[test]
fn a_second_run_begins_anew() {
    let mut twice = failure();
    twice.extend(
        failure()
            .into_iter()
            .map(|event| Stamped { at: event.at + jiff::SignedDuration::from_secs(500), ..event }),
    );
    assert_eq!(plain(&twice, 0), plain(&failure(), 0).repeat(2));
}

#[test]
fn verbose_has_the_output_too() {
    let text = plain(&success(), 1);
    assert!(
        text.contains("[00:50] ansible | TASK [install nginx] **********\n[00:50] ansible |\n"),
        "{text}"
    );
    assert!(text.contains("[00:00] boot: waiting for SSH\n"), "{text}");
}

#[test]
fn the_heart_beats_while_nothing_is_said_and_stops_with_the_sink() {
    let page = Page::default();
    let now = || Timestamp::from_millisecond(BEGAN + 137_400).unwrap();
    let pace = Pace { interval: Duration::from_millis(20), now };
    let mut sink = Plain::new(Box::new(page.clone()), Paint(false), 0, pace);
    begin().iter().for_each(|event| sink.take(event));
    let deadline = Instant::now() + Duration::from_secs(10);
    while page.text().matches('…').count() < 2 {
        assert!(Instant::now() < deadline, "no heartbeat in {}", page.text());
        thread::sleep(Duration::from_millis(5));
    }
    drop(sink);
    let text = page.text();
    assert!(
        text.ends_with(
            "[02:17] … provision: ansible/bootstrap.yml, 1m30s, last: TASK [install nginx]\n"
        ),
        "{text}"
    );
    thread::sleep(Duration::from_millis(60));
    assert_eq!(page.text(), text);
}

#[test]
fn the_heart_is_silent_between_runs() {
    let page = Page::default();
    let pace = Pace { interval: Duration::from_millis(5), now: Timestamp::now };
    let mut sink = Plain::new(Box::new(page.clone()), Paint(false), 0, pace);
    sink.take(&at(0.0, Event::Note { text: "hello".into() }));
    thread::sleep(Duration::from_millis(60));
    assert_eq!(page.text(), "[00:00] hello\n");
}

#[test]
fn the_bar_leaves_a_line_per_stage() {
    assert_snapshot!(bar(&success(), 80), @r"
    nginx: building image nginx-1 on local
      run r1
      warning: a slow disk
        look at it
      ✓ boot        47.3 s
      • provision
          ✓         32.7 s  ansible/bootstrap.yml
      ✓ provision   32.7 s
      • smoke
          ✓          0.2 s  host-keys-unique
          -        skipped  ipv6  no subnet
          all is well
      ✓ smoke       12.0 s

    image nginx-1 (0193c0de) is published, built in 1m40s
    ");
}

#[test]
fn the_bar_quotes_what_failed() {
    let mut events = failure();
    events.retain(|e| !matches!(&e.event, Event::Output { line, .. } if line.starts_with("line")));
    assert_snapshot!(bar(&events, 40), @r#"
    nginx: building image nginx-1 on local
      run r1
      warning: a slow disk
        look at it
      ✓ boot        47.3 s
      • provision
          ✗         13.7 s  ansible/bootstrap.yml
            │ TASK [install nginx]
            │ fatal: [builder]: FAILED! =>
            │ no package
            task "install nginx" on
            builder: no package
      ✗ provision   13.7 s
      ✓ unwind       1.0 s

    left behind: port p1
    build failed after 1m02s, nothing is published: step 1/2: task "install nginx" on builder: no package; 1 thing is left behind, `image-factory sweep` removes it
    "#);
    let check = check("tests/page", Verdict::Failed, "expected 200, got 404", "one\n\ntwo\n");
    assert_snapshot!(bar(&[at(0.0, Event::StageStarted { stage: Stage::Smoke }), at(1.0, check)], 80), @r"
      • smoke
          ✗          0.2 s  tests/page
            expected 200, got 404
            │ one
            │ two
    ");
}

#[test]
fn the_live_line_fits_the_terminal() {
    let mut story = Story::new(Paint(false), 0);
    let now = Timestamp::from_millisecond(BEGAN + 137_400).unwrap();
    assert_eq!(story.live(now, 80), "");
    begin().iter().for_each(|event| drop(story.take(event, 80)));
    assert_eq!(
        story.live(now, 80),
        "  ⠼ provision    1m30s  1/2 ansible/bootstrap.yml · TASK [install nginx]"
    );
    assert_eq!(story.live(now, 41), "  ⠼ provision    1m30s  1/2 ansible/boo…");
    story.take(&at(80.0, Event::StageStarted { stage: Stage::Capture }), 80);
    story.take(&at(80.0, Event::Doing { what: "copying the disk".into() }), 80);
    story.take(&at(80.0, Event::Progress { done: 1 << 30, of: 4 << 30, unit: "bytes".into() }), 80);
    assert_eq!(
        story.live(now, 100),
        "  ⠼ capture        57s  ━━━━──────────── 1.0 of 4.0 GiB · copying the disk"
    );
    let mut coloured = Story::new(Paint(true), 0);
    begin().iter().for_each(|event| drop(coloured.take(event, 80)));
    for width in 0..100 {
        assert!(console::measure_text_width(&coloured.live(now, width)) <= width.saturating_sub(1));
    }
}

#[test]
fn json_is_the_events() {
    let page = Page::default();
    let mut sink = Json::of("nginx", page.clone());
    success().iter().for_each(|event| sink.take(event));
    let bundles = page.text().matches(r#""bundle":"nginx""#).count();
    assert_eq!(bundles, success().len(), "each, as with several builds: {}", page.text());
    let back: Vec<Stamped> =
        page.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(back, success());
}

#[test]
fn the_environment_decides_about_colours_and_the_live_line() {
    let set = |text: &str| Some(text.to_owned());
    let xterm = Terminal { is_terminal: true, term: set("xterm"), ..Terminal::default() };
    assert!(xterm.is_live() && xterm.has_colours() && !xterm.is_ci());
    let dumb = Terminal { term: set("dumb"), ..xterm.clone() };
    assert!(!dumb.is_live() && !dumb.has_colours());
    assert!(!Terminal { no_color: set("1"), ..xterm.clone() }.has_colours());
    assert!(Terminal { no_color: set(""), ..xterm.clone() }.has_colours());
    assert!(!Terminal { clicolor: set("0"), ..xterm.clone() }.has_colours());
    assert!(!Terminal { is_terminal: false, ..xterm.clone() }.has_colours());
    assert!(Terminal { clicolor_force: set("1"), ..Terminal::default() }.has_colours());
    assert!(Terminal { ci: set("true"), ..xterm.clone() }.is_ci());
    assert!(!Terminal { ci: set("false"), ..xterm }.is_ci());
}

#[test]
fn the_last_line_is_the_same_everywhere() {
    for events in [success(), failure()] {
        let last = crate::log::sentences::final_line(&events.last().unwrap().event).unwrap();
        assert_eq!(plain(&events, 0).lines().last(), Some(&*last));
        assert_eq!(plain(&events, -1).lines().last(), Some(&*last));
        assert_eq!(bar(&events, 60).lines().last(), Some(&*last));
    }
}

/// They publish nothing, and were red.
#[test]
fn what_ends_as_it_was_asked_for_is_green() {
    for (outcome, error, colour) in [
        ("tested", None, "\x1b[1;32m"),
        ("visited", None, "\x1b[1;32m"),
        ("rejected", Some("a check".to_owned()), "\x1b[1;31m"),
    ] {
        let outcome = outcome.to_owned();
        let end = Event::Finished { outcome, seconds: 1.0, image: None, error, leaks: vec![] };
        let page = Page::default();
        Plain::new(Box::new(page.clone()), Paint(true), -1, Pace::default())
            .take(&at(0.0, end.clone()));
        let last = Story::new(Paint(true), 0).take(&at(0.0, end), 80).pop().unwrap();
        assert!(last.starts_with(colour) && page.text().ends_with(&format!("{last}\n")), "{last}");
    }
}

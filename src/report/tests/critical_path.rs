//! What a run waited for.
use super::{image, plan};
use crate::model::event::{Check, Event, Stage, Stamped, Verdict};
use crate::report::critical_path::Kind;
use crate::report::history::History;
use crate::report::record::Record;
use crate::report::{junit, page};

fn at(seconds: f64, event: Event) -> Stamped {
    let start: jiff::Timestamp = "2026-11-20T23:15:01Z".parse().unwrap();
    Stamped { at: start + jiff::SignedDuration::from_secs_f64(seconds), event }
}

fn check(from: f64, to: f64, id: &str) -> Stamped {
    at(
        to,
        Event::Check(Check {
            id: id.into(),
            verdict: Verdict::Passed,
            seconds: to - from,
            reason: String::new(),
            output: String::new(),
        }),
    )
}

fn doing(from: f64, what: &str) -> Stamped {
    at(from, Event::Doing { what: what.into() })
}

fn stage(stage: Stage, from: f64, to: f64, inner: Vec<Stamped>) -> Vec<Stamped> {
    let begin = at(from, Event::StageStarted { stage });
    let end = at(to, Event::StageDone { stage, seconds: to - from });
    [vec![begin], inner, vec![end]].concat()
}

fn step(index: usize, from: f64, to: f64) -> Vec<Stamped> {
    let name = format!("step {index}");
    vec![
        at(from, Event::StepStarted { index, of: 3, name }),
        at(to, Event::StepDone { index, seconds: to - from }),
    ]
}

fn path(events: &[Stamped]) -> Vec<String> {
    let record = Record::new(&plan(), events, Some(&image()));
    let told = |kind: Kind| match kind {
        Kind::Stage => "",
        Kind::Step => "step ",
        Kind::Check => "check ",
        Kind::Activity => "… ",
    };
    record
        .critical_path
        .iter()
        .map(|l| format!("{}{} {:.1}+{:.1}", told(l.kind), l.name, l.offset, l.seconds))
        .collect()
}

/// Two machines and checks beside one another: what ended last, and what that waited for.
#[test]
fn what_ran_beside_it_is_not_on_the_path() {
    let checks = vec![
        doing(0.0, "waiting for SSH of factory-20261120-231501-a1b2c3-smoke-a"),
        check(0.0, 40.0, "boots"),
        check(0.0, 40.001, "ssh"),
        check(40.0, 40.0, "console"),
        doing(40.0, "3 checks side by side, as root"),
        check(40.002, 42.0, "dns"),
        check(40.002, 45.0, "leftovers"),
        check(45.0, 60.0, "tests/page"),
        check(40.003, 70.0, "reboot-soft"),
        doing(71.0, "attaching"),
        check(73.0, 99.9, "volume"),
    ];
    let events = stage(Stage::Smoke, 0.0, 100.0, checks);
    assert_eq!(
        path(&events),
        [
            "smoke 0.0+100.0",
            "check boots 0.0+40.0",
            "check reboot-soft 40.0+30.0",
            "… 3 checks side by side, as root 70.0+1.0",
            "… attaching 71.0+2.0",
            "check volume 73.0+26.9",
        ]
    );
}

/// A boot has neither steps nor checks: it is told by what it did.
#[test]
fn activities_fill_the_gaps_and_short_links_are_left_out() {
    let machine = "factory-20261120-231501-a1b2c3-builder";
    let boot = vec![
        doing(1.0, &format!("booting {machine}")),
        doing(1.2, &format!("waiting for SSH of {machine}")),
        at(30.0, Event::Note { text: "slow".into() }),
        doing(60.0, &format!("waiting for cloud-init of {machine}")),
    ];
    let steps = [step(0, 80.0, 110.0), step(1, 110.0, 110.5), step(2, 110.5, 150.0)].concat();
    let events = [
        stage(Stage::Plan, 0.0, 1.0, vec![doing(0.0, "reading the cloud")]),
        stage(Stage::Boot, 1.0, 80.0, boot),
        stage(Stage::Provision, 80.0, 150.0, steps),
        stage(Stage::Tidy, 150.0, 152.0, Vec::new()),
    ]
    .concat();
    assert_eq!(
        path(&events),
        [
            "boot 1.0+79.0",
            "… waiting for SSH of builder 1.2+58.8",
            "… waiting for cloud-init of builder 60.0+20.0",
            "provision 80.0+70.0",
            "step ansible/bootstrap.yml 80.0+30.0",
            "step reboot 110.5+39.5",
            "tidy 150.0+2.0",
        ]
    );
}

/// The work of a restored step is in the image, and nobody waited for it.
#[test]
fn what_came_from_a_checkpoint_is_marked_everywhere() {
    let age_seconds = 725;
    let restored = |index| {
        let name = format!("step {index}");
        at(2.0, Event::StepRestored { index, of: 3, name, age_seconds })
    };
    let steps = [vec![restored(0), restored(1)], step(2, 2.0, 42.0)].concat();
    let events = [
        stage(Stage::Boot, 0.0, 2.0, vec![at(1.9, Event::MachineRestored { age_seconds })]),
        stage(Stage::Provision, 2.0, 42.0, steps),
    ]
    .concat();
    let found = path(&events);
    assert_eq!(found, ["boot 0.0+2.0", "provision 2.0+40.0", "step reboot 2.0+40.0"]);
    let record = Record::new(&plan(), &events, Some(&image()));
    let html = page::html(&record, &History::default());
    let told = "the machine of boot, restored from a checkpoint, made 12m05s ago; the work of 2 of \
        3 steps.";
    assert!(html.contains(told), "{html}");
    assert_eq!(html.matches("↺ restored").count(), 2, "{html}");
    let xml = junit::xml(&record).unwrap();
    let skipped = "<skipped message=\"restored from a checkpoint, made 12m05s ago\"/>";
    assert_eq!(xml.matches(skipped).count(), 2, "{xml}");
    let manifest = crate::report::manifest::Manifest::new(&record, &Default::default(), &[]).json();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["stages"][0]["restored"], age_seconds);
    let steps = [&manifest["steps"][1], &manifest["steps"][2]];
    assert_eq!((&steps[0]["state"], &steps[0]["restored"]), (&"restored".into(), &725.into()));
    assert!(steps[1].get("restored").is_none(), "{manifest}");
}

//! Two runs side by side.
use super::{events, image, plan};
use crate::model::event::{Check, Event, Stage, Stamped, Verdict};
use crate::report::compare::{Change, Comparison, Kind, Row};
use crate::report::record::Record;

/// The record of a run whose events were changed by `edit`.
fn record(edit: impl Fn(&mut Event)) -> Record {
    let mut all = events(false);
    all.iter_mut().for_each(|stamped| edit(&mut stamped.event));
    Record::new(&plan(), &all, Some(&image()))
}

fn as_it_was() -> Record {
    record(|_| ())
}

/// Sets the time of a stage.
fn took(wanted: Stage, time: f64) -> impl Fn(&mut Event) {
    move |event| match event {
        Event::StageDone { stage, seconds } if *stage == wanted => *seconds = time,
        _ => {}
    }
}

fn row<'c>(compared: &'c Comparison, kind: Kind, name: &str) -> &'c Row {
    let mut fits = compared.rows.iter().filter(|row| row.kind == kind && row.name == name);
    fits.next().unwrap_or_else(|| panic!("no {name} in {compared:#?}"))
}

fn change_of_boot(before: f64, after: f64) -> Change {
    let [before, after] = [before, after].map(|time| record(took(Stage::Boot, time)));
    row(&Comparison::of(&before, &after), Kind::Stage, "boot").change
}

#[test]
fn a_change_is_named_from_a_fifth_and_a_second_on() {
    assert_eq!(change_of_boot(10.0, 12.0), Change::Alike, "not more than 20 %");
    assert_eq!(change_of_boot(10.0, 12.1), Change::Grew);
    assert_eq!(change_of_boot(10.0, 7.9), Change::Shrank);
    assert_eq!(change_of_boot(10.0, 8.0), Change::Alike);
    assert_eq!(change_of_boot(0.4, 1.3), Change::Alike, "noise");
    assert_eq!(change_of_boot(0.0, 1.0), Change::Grew);
    assert_eq!(change_of_boot(1.0, 0.1), Change::Alike, "noise");
}

#[test]
fn steps_and_checks_follow_their_stages_and_the_whole_comes_last() {
    let compared = Comparison::of(&as_it_was(), &as_it_was());
    let rows: Vec<(Kind, &str)> =
        compared.rows.iter().map(|row| (row.kind, row.name.as_str())).collect();
    let at = |name: &str| rows.iter().position(|(_, one)| *one == name).unwrap();
    assert_eq!(rows[at("provision") + 1], (Kind::Step, "ansible/bootstrap.yml"));
    assert_eq!(rows[at("smoke") + 1], (Kind::Check, "ssh-answers"));
    assert_eq!(rows.last(), Some(&(Kind::Total, "total")));
    assert_eq!(compared.of_change(Change::Alike).count() + 1, rows.len(), "ipv6 was skipped");
    assert_eq!(row(&compared, Kind::Check, "ipv6").change, Change::NotInBoth);
}

#[test]
fn what_one_run_has_alone_stands_in_its_place() {
    let mut after = as_it_was();
    let check = |id: &str| Check {
        id: id.into(),
        verdict: Verdict::Passed,
        seconds: 5.0,
        reason: String::new(),
        output: String::new(),
    };
    // Checks side by side end in any order.
    after.checks.swap(0, 1);
    after.checks.insert(2, check("new"));
    after.steps[1].name = after.steps[0].name.clone();
    let compared = Comparison::of(&as_it_was(), &after);
    let all = compared.rows.iter().filter(|row| matches!(row.kind, Kind::Step | Kind::Check));
    let told: Vec<String> = all
        .map(|row| {
            let there = |cell: bool| if cell { "+" } else { "-" };
            format!("{}{} {}", there(row.before.is_some()), there(row.after.is_some()), row.name)
        })
        .collect();
    let steps = [
        "++ ansible/bootstrap.yml",
        "-+ ansible/bootstrap.yml",
        "+- apt-get install -y nginx-extras",
        "++ reboot",
    ];
    let checks = [
        "++ ssh-answers",
        "-+ new",
        "++ host-keys-unique",
        "++ disk-grows",
        "++ ipv6",
        "++ tests/page",
    ];
    assert_eq!(told, [&steps[..], &checks[..]].concat());
    assert_eq!(row(&compared, Kind::Check, "new").change, Change::NotInBoth);
}

#[test]
fn what_came_from_a_checkpoint_neither_grew_nor_shrank() {
    let restored = || {
        let mut record = record(took(Stage::Boot, 2.0));
        record.stages[1].restored = Some(725);
        record.steps[0].restored = Some(725);
        record
    };
    let compared = Comparison::of(&as_it_was(), &restored());
    let expected = [
        (Kind::Stage, "boot"),
        (Kind::Stage, "provision"),
        (Kind::Step, "ansible/bootstrap.yml"),
        (Kind::Total, "total"),
    ];
    for (kind, name) in expected {
        assert_eq!(row(&compared, kind, name).change, Change::Restored, "{name}");
    }
    assert_eq!(compared.of_change(Change::Restored).count(), expected.len());
    // Where both came from a checkpoint, their times are of the same work.
    let mut slow = restored();
    slow.stages[1].seconds = 9.0;
    let compared = Comparison::of(&restored(), &slow);
    assert_eq!(row(&compared, Kind::Stage, "boot").change, Change::Grew);
    assert_eq!(compared.of_change(Change::Restored).count(), 0);
}

#[test]
fn what_failed_and_what_ran_elsewhere_is_not_compared() {
    let failed = Record::new(&plan(), &events(true), None);
    let compared = Comparison::of(&as_it_was(), &failed);
    let smoke = row(&compared, Kind::Stage, "smoke");
    assert_eq!(smoke.change, Change::NotInBoth, "it took 51 s and failed after 40");
    assert_eq!(row(&compared, Kind::Total, "total").change, Change::NotInBoth);

    let mut elsewhere = record(took(Stage::Boot, 100.0));
    elsewhere.cloud = "north".into();
    let compared = Comparison::of(&as_it_was(), &elsewhere);
    assert_eq!(compared.of_change(Change::OtherCloud).count(), compared.rows.len());
}

/// A run that goes on has no end to compare.
#[test]
fn a_run_that_has_not_ended_has_no_total() {
    let mut all: Vec<Stamped> = events(false);
    all.pop();
    let running = Record::new(&plan(), &all, None);
    let compared = Comparison::of(&as_it_was(), &running);
    assert_eq!(compared.after.outcome, None);
    assert_eq!(row(&compared, Kind::Total, "total").change, Change::NotInBoth);
}

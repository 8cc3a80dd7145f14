//! Two runs side by side: stages, steps and checks, and which of them took longer or shorter.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::record::{Record, State, StepRecord};
use crate::model::event::{Check, Stage, Verdict};
use crate::model::outcome::Outcome;

/// Part of the time before, from which on a difference is named.
const NAMED: f64 = 0.2;
/// Differences below these seconds are noise.
const NOISE: f64 = 1.0;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub before: Side,
    pub after: Side,
    /// Stages in order, each before its steps or checks; the whole run last.
    pub rows: Vec<Row>,
}

/// One of the runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    pub run: String,
    pub bundle: String,
    pub cloud: String,
    pub started: Timestamp,
    pub seconds: f64,
    /// `None`: it has not ended.
    pub outcome: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Stage,
    Step,
    Check,
    /// The whole run.
    Total,
}

/// What is compared. `None`: the run has no such thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub kind: Kind,
    pub name: String,
    pub before: Option<Cell>,
    pub after: Option<Cell>,
    pub change: Change,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    pub seconds: f64,
    pub state: State,
    /// What of it came from a checkpoint, by name.
    pub restored: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// By more than 20 % and at least a second.
    Grew,
    Shrank,
    /// By less than that.
    Alike,
    /// Only one of the runs has it, or it did not end well in both.
    NotInBoth,
    /// What one run did came from a checkpoint in the other.
    Restored,
    /// The runs are of different clouds.
    OtherCloud,
}

impl Comparison {
    pub fn of(before: &Record, after: &Record) -> Self {
        let mut rows = side_by_side(items(before), items(after));
        for row in &mut rows {
            row.change = match before.cloud == after.cloud {
                true => change(row.before.as_ref(), row.after.as_ref()),
                false => Change::OtherCloud,
            };
        }
        Self { before: Side::of(before), after: Side::of(after), rows }
    }

    pub fn of_change(&self, change: Change) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.change == change)
    }
}

impl Side {
    fn of(record: &Record) -> Self {
        Self {
            run: record.run.clone(),
            bundle: record.bundle.clone(),
            cloud: record.cloud.clone(),
            started: record.started,
            seconds: record.seconds,
            outcome: record.has_ended.then(|| record.outcome.clone()),
        }
    }
}

/// What is compared of one run.
struct Item {
    kind: Kind,
    name: String,
    cell: Cell,
}

impl Item {
    fn new(kind: Kind, name: &str, cell: Cell) -> Self {
        Self { kind, name: name.into(), cell }
    }
}

fn items(record: &Record) -> Vec<Item> {
    let restored = record.steps.iter().filter(|step| step.restored.is_some());
    let mut restored_steps: Vec<String> = restored.map(|step| step.name.clone()).collect();
    let mut steps: Vec<Item> = record.steps.iter().map(step).collect();
    let mut checks: Vec<Item> = record.checks.iter().map(check).collect();
    let (mut all, mut restored_at_all) = (Vec::new(), Vec::new());
    for one in &record.stages {
        let mut restored: Vec<String> = Vec::new();
        if one.restored.is_some() {
            restored.push("the machine".into());
        }
        if one.name == Stage::Provision.name() {
            restored.append(&mut restored_steps);
        }
        restored_at_all.extend(restored.iter().cloned());
        let cell = Cell { seconds: one.seconds, state: one.state, restored };
        all.push(Item::new(Kind::Stage, one.name, cell));
        if one.name == Stage::Provision.name() {
            all.append(&mut steps);
        } else if one.name == Stage::Smoke.name() {
            all.append(&mut checks);
        }
    }
    let state = total_state(record);
    let cell = Cell { seconds: record.seconds, state, restored: restored_at_all };
    all.push(Item::new(Kind::Total, "total", cell));
    all
}

fn step(step: &StepRecord) -> Item {
    let restored = step.restored.map(|_| step.name.clone()).into_iter().collect();
    let cell = Cell { seconds: step.seconds, state: step.state, restored };
    Item::new(Kind::Step, &step.name, cell)
}

fn check(check: &Check) -> Item {
    let state = match check.verdict {
        Verdict::Passed => State::Passed,
        Verdict::Failed => State::Failed,
        Verdict::Skipped => State::Skipped,
    };
    Item::new(Kind::Check, &check.id, Cell { seconds: check.seconds, state, restored: Vec::new() })
}

fn total_state(record: &Record) -> State {
    let good = [Outcome::Built, Outcome::Tested, Outcome::Unchanged, Outcome::Visited];
    match good.iter().any(|good| good.name() == record.outcome) {
        _ if !record.has_ended => State::Running,
        true => State::Passed,
        false => State::Failed,
    }
}

/// Both lists by kind and name, in the order of the first; what the second has alone follows what
/// it follows there. Of equal names, the first is paired with the first.
fn side_by_side(before: Vec<Item>, after: Vec<Item>) -> Vec<Row> {
    let row = |item: &Item| Row {
        kind: item.kind,
        name: item.name.clone(),
        before: None,
        after: None,
        change: Change::Alike,
    };
    let mut rows: Vec<(usize, Row)> = Vec::new();
    let mut places = BTreeMap::new();
    for (item, key) in keyed(before) {
        places.insert(key, rows.len());
        rows.push((rows.len(), Row { before: Some(item.cell.clone()), ..row(&item) }));
    }
    let mut last = 0;
    for (item, key) in keyed(after) {
        match places.get(&key) {
            Some(place) => {
                last = *place;
                rows[last].1.after = Some(item.cell);
            }
            None => rows.push((last, Row { after: Some(item.cell.clone()), ..row(&item) })),
        }
    }
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

type Key = (Kind, String, usize);

/// Each with its kind, its name, and its number among those of that name.
fn keyed(items: Vec<Item>) -> Vec<(Item, Key)> {
    let mut counts: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    let mut keyed = |item: Item| {
        let count = counts.entry((item.kind, item.name.clone())).or_default();
        *count += 1;
        let key = (item.kind, item.name.clone(), *count);
        (item, key)
    };
    items.into_iter().map(&mut keyed).collect()
}

fn change(before: Option<&Cell>, after: Option<&Cell>) -> Change {
    let (Some(before), Some(after)) = (before, after) else { return Change::NotInBoth };
    if before.restored != after.restored {
        return Change::Restored;
    }
    let did_well = |cell: &Cell| matches!(cell.state, State::Passed | State::Restored);
    if !did_well(before) || !did_well(after) {
        return Change::NotInBoth;
    }
    let difference = after.seconds - before.seconds;
    match difference.abs() >= NOISE && difference.abs() > NAMED * before.seconds {
        false => Change::Alike,
        true if difference > 0.0 => Change::Grew,
        true => Change::Shrank,
    }
}

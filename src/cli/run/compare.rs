//! `image-factory run compare`: two runs side by side.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::super::{Context, Failure, out};
use super::{find, name};
use crate::engine::run_dir;
use crate::log::sentences::duration;
use crate::model::outcome::Outcome;
use crate::report::compare::{Cell, Change, Comparison, Kind, Row, Side};
use crate::report::record::{Record, State};
use crate::text::{clean, clipped};

/// Columns of the names.
const NAMES: usize = 40;

pub(super) fn compare(
    context: &Context,
    dirs: &[PathBuf],
    before: &str,
    after: Option<&str>,
) -> Result<(), Failure> {
    let before = find(dirs, Some(before))?;
    let of_before = read(context, before)?;
    let of_after = match after {
        Some(after) => read(context, find(dirs, Some(after))?)?,
        None => latest(before, &of_before)?,
    };
    let compared = Comparison::of(&of_before, &of_after);
    if context.common.json {
        let text = serde_json::to_string_pretty(&compared).expect("records are plain data");
        out(&crate::text::json(&text));
    } else {
        out(&told(&compared));
    }
    Ok(())
}

fn read(context: &Context, dir: &Path) -> Result<Record, Failure> {
    Record::read(dir).ok_or_else(|| match dir.starts_with(&context.home.data) {
        true => Failure::host(format!(
            "the events of run {} were removed with the workspace",
            name(dir)
        )),
        false => Failure::host(format!("{}: no events are readable", dir.display())),
    })
}

/// The latest run of the same definition and purpose that has ended and did something.
fn latest(before: &Path, of_before: &Record) -> Result<Record, Failure> {
    let later = run_dir::siblings(before).into_iter().take_while(|dir| name(dir) > name(before));
    let fits = |record: &Record| {
        record.has_ended
            && record.purpose == of_before.purpose
            && record.outcome != Outcome::Unchanged.name()
    };
    later.filter_map(|dir| Record::read(&dir)).find(fits).ok_or_else(|| {
        let what = format!("no later run of {} to compare with", clean(&of_before.bundle));
        Failure::usage(what).hint("name both runs; `image-factory run list` shows what there is")
    })
}

/// What is compared, in lines. Nothing of a record gets to the terminal as it is.
fn told(compared: &Comparison) -> String {
    let mut text = String::new();
    for (key, side) in [("before", &compared.before), ("after", &compared.after)] {
        let _ = writeln!(text, "{key:<8}  {}", side_line(side));
    }
    let _ = writeln!(text, "\n{:NAMES$}  {:>9}  {:>9}  {:>9}", "", "BEFORE", "AFTER", "CHANGE");
    for row in &compared.rows {
        let cell = |cell: &Option<Cell>| cell.as_ref().map_or("-".into(), took);
        let (before, after, change) = (cell(&row.before), cell(&row.after), difference(row));
        let line = format!("{:NAMES$}  {before:>9}  {after:>9}  {change}", title(row));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    if compared.of_change(Change::OtherCloud).next().is_some() {
        text.push_str("note      not compared, for the runs are of different clouds");
        return text;
    }
    for (key, change) in [("grew", Change::Grew), ("shrank", Change::Shrank)] {
        let named: Vec<String> = compared.of_change(change).map(named).collect();
        let _ = match named.is_empty() {
            true => writeln!(text, "{key:<8}  nothing by more than 20 % and a second"),
            false => writeln!(text, "{key:<8}  {}", named.join(", ")),
        };
    }
    let restored: Vec<String> =
        compared.of_change(Change::Restored).map(|row| clean(&row.name)).collect();
    if !restored.is_empty() {
        let _ = writeln!(
            text,
            "note      not compared, for it came from a checkpoint in one run: {}",
            restored.join(", ")
        );
    }
    text.trim_end().to_owned()
}

/// `20261128-004114-672f71  images/bundle-nginx on local, built after 5m07s`
fn side_line(side: &Side) -> String {
    let Side { run, bundle, cloud, outcome, seconds, .. } = side;
    let outcome = outcome.as_deref().unwrap_or("not ended");
    clean(&format!("{run}  {bundle} on {cloud}, {outcome} after {}", duration(*seconds)))
}

/// Indented below its stage.
fn title(row: &Row) -> String {
    let title = match row.kind {
        Kind::Stage | Kind::Total => row.name.clone(),
        Kind::Step => format!("  step {}", row.name),
        Kind::Check => format!("  check {}", row.name),
    };
    let (title, most) = (clean(&title), NAMES - 1);
    match title.chars().count() > most {
        true => title.chars().take(most).chain(['…']).collect(),
        false => title,
    }
}

fn took(cell: &Cell) -> String {
    match cell.state {
        State::Restored => "restored".into(),
        State::Skipped => "skipped".into(),
        _ => duration(cell.seconds),
    }
}

/// `+12.3 s  +34 %  grew`, or why there is none.
fn difference(row: &Row) -> String {
    let (Some(before), Some(after)) = (&row.before, &row.after) else {
        return if row.before.is_some() { "only before" } else { "only after" }.into();
    };
    let states = [before.state, after.state];
    if row.change == Change::NotInBoth || states.contains(&State::Restored) {
        let failed = [(before, "before"), (after, "after")];
        let failed = failed.iter().filter(|(cell, _)| cell.state == State::Failed);
        let failed: Vec<&str> = failed.map(|(_, when)| *when).collect();
        return match failed.is_empty() {
            true => String::new(),
            false => format!("failed {}", failed.join(" and ")),
        };
    }
    let seconds = after.seconds - before.seconds;
    let sign = match seconds {
        -0.05..0.05 => "",
        ..0.0 => "-",
        _ => "+",
    };
    let percent = match before.seconds >= 0.1 && !sign.is_empty() {
        true => format!("{:+.0} %", 100.0 * seconds / before.seconds),
        false => String::new(),
    };
    let word = match row.change {
        Change::Grew => "grew",
        Change::Shrank => "shrank",
        Change::Restored => "from a checkpoint",
        _ => "",
    };
    format!("{:>9}  {percent:>8}  {word}", format!("{sign}{}", duration(seconds.abs())))
}

/// `boot (21.3 s to 40.0 s)`
fn named(row: &Row) -> String {
    let seconds = |cell: &Option<Cell>| cell.as_ref().map_or(String::new(), took);
    format!("{} ({} to {})", clipped(&row.name, 100), seconds(&row.before), seconds(&row.after))
}

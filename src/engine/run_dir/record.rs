//! What the directories of a run record, read: result, plan, first event, texts.
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dir::{EVENTS, PLAN, RESULT};
use crate::engine::{SshAccess, publish};
use crate::log;
use crate::model::event::{Event, Stage, Stamped};
use crate::model::image::Image;
use crate::plan::Plan;
use crate::provider::ledger::Leak;
use crate::system::{durable, reading};
use crate::text;

/// Size limit of plans and results, in bytes.
const LONGEST: u64 = 64 << 20;
/// Size limit of the first event, in bytes.
const FIRST: u64 = 64 << 10;

/// `result.json`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub run: String,
    pub bundle: String,
    pub cloud: String,
    pub started: Timestamp,
    pub seconds: f64,
    /// Name of an [`Outcome`](crate::model::outcome::Outcome).
    pub outcome: String,
    pub image: Option<Image>,
    pub error: Option<String>,
    pub leaks: Vec<Leak>,
    pub kept: Option<SshAccess>,
}

/// `result.json` of a run; `None` while it runs or if it died.
pub fn read_record(dir: &Path) -> Option<Record> {
    serde_json::from_slice(&durable::read(&dir.join(RESULT), LONGEST).ok()?).ok()
}

/// `plan.json` of a run.
pub fn read_plan(dir: &Path) -> Option<Plan> {
    let mut plan: Plan =
        serde_json::from_slice(&durable::read(&dir.join(PLAN), LONGEST).ok()?).ok()?;
    // A tree may bring any, and it is shown in lines.
    for text in [&mut plan.bundle, &mut plan.image_name] {
        *text = text::clean(text);
    }
    Some(plan)
}

/// First event of a run, from `events.jsonl`. Every run whose ID was shown has one.
pub fn read_start(dir: &Path) -> Option<Stamped> {
    let (bytes, _) = durable::read_begin(&dir.join(EVENTS), FIRST).ok()?;
    let started = |line: &[u8]| {
        serde_json::from_slice::<Stamped>(line)
            .ok()
            .filter(|s| matches!(s.event, Event::Started { .. }))
    };
    bytes.split(|b| *b == b'\n').find_map(started)
}

/// What the events of a run tell of its end.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    /// [`Event::Finished`]. `None`: it did not end.
    pub finished: Option<Event>,
    /// It published an image, with this name if that was said.
    pub published: Option<Option<String>>,
}

/// Reads the end of a run from `events.jsonl`: `result.json` may be lost, and a run that is killed
/// after its publication writes none.
pub fn hear(dir: &Path) -> Heard {
    let text = read_text(dir, EVENTS).unwrap_or_default();
    let (mut heard, mut publishes) = (Heard::default(), false);
    for Stamped { event, .. } in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        match event {
            Event::StageStarted { stage: Stage::Publish } => publishes = true,
            Event::StageDone { stage: Stage::Publish, .. } => {
                heard.published.get_or_insert_default();
            }
            Event::Note { text } | Event::Warning { text } if publishes => {
                if let Some(name) = publish::told_name(&text) {
                    heard.published = Some(Some(name.to_owned()));
                }
            }
            Event::Finished { .. } => heard.finished = Some(event),
            _ => {}
        }
    }
    heard
}

/// Longest line of an event that [`read_course`] takes, in bytes: a check with its output.
const LONGEST_LINE: u64 = 1 << 20;
/// Most events that [`read_course`] takes: a run has hundreds.
const MOST_EVENTS: usize = 10_000;

/// The course of a run, from `events.jsonl`: its begin and end, stages, steps, checks, and what
/// came from a checkpoint. Without the output of checks.
///
/// Reads line by line, because what programs said may be 64 MiB. Ends at what is too long.
pub fn read_course(dir: &Path) -> io::Result<Vec<Stamped>> {
    let file = reading::open_itself(&dir.join(EVENTS))?;
    let mut lines = BufReader::new(file.take(2 * log::budget::OUTPUT));
    let (mut course, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let read = lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if read == 0 || read as u64 == LONGEST_LINE || course.len() == MOST_EVENTS {
            return Ok(course);
        }
        if !says_output(&line)
            && let Ok(stamped) = serde_json::from_slice(&line)
        {
            course.extend(of_course(stamped));
        }
    }
}

/// Whether the line is that of an output, by its begin as we write it: parsing costs more.
fn says_output(line: &[u8]) -> bool {
    let word = br#""event":"output""#;
    line[..line.len().min(80)].windows(word.len()).any(|part| part == word)
}

fn of_course(mut stamped: Stamped) -> Option<Stamped> {
    match &mut stamped.event {
        Event::Output { .. }
        | Event::Doing { .. }
        | Event::Progress { .. }
        | Event::Note { .. }
        | Event::Warning { .. } => return None,
        Event::Check(check) => check.output = String::new(),
        _ => {}
    }
    Some(stamped)
}

/// Directories of the runs in the same place as `run`, newest first: those of the same definition,
/// all builds or all tests. Ignores links.
pub fn siblings(run: &Path) -> Vec<PathBuf> {
    let is_dir = |dir: &PathBuf| fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir());
    let place = run.parent().map(list);
    let mut dirs: Vec<PathBuf> = place.into_iter().flatten().filter(is_dir).collect();
    dirs.retain(|dir| dir != run);
    dirs.sort_by(|a, b| b.file_name().cmp(&a.file_name()));
    dirs
}

/// A text of a run, `build.log` or `events.jsonl`. The tree is untrusted: follows no link, never
/// blocks.
pub fn read_text(dir: &Path, name: &str) -> io::Result<String> {
    // What is said besides output of machines is little.
    let bytes = durable::read(&dir.join(name), 2 * log::budget::OUTPUT)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is no UTF-8"))
}

/// Place of tests, in that of the definition whose image is tested. No definition has it.
pub const TESTS: &str = "test";
/// Prefix of the place of a definition outside of the tree, in that of its name.
pub const ELSEWHERE: &str = "elsewhere-";

fn list(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path())
}

/// Places of runs in `images/target/<name>`: of builds and of tests.
fn places(dir: PathBuf) -> impl Iterator<Item = PathBuf> {
    let name = |dir: &Path| dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let elsewhere = list(&dir).filter(move |dir| name(dir).starts_with(ELSEWHERE));
    elsewhere.chain([dir]).flat_map(|of_builds| [of_builds.join(TESTS), of_builds])
}

/// Run directories of a factory tree, oldest first. Ignores links out of the tree.
pub fn directories(tree: &Path) -> Vec<PathBuf> {
    let is_file = |path: PathBuf| fs::symlink_metadata(path).is_ok_and(|m| m.is_file());
    let of_kind = |kind: &str| {
        let home = tree.join(kind);
        let within = home.canonicalize().ok();
        let in_tree = move |d: &PathBuf| {
            d.canonicalize()
                .ok()
                .zip(within.as_ref())
                .is_some_and(|(d, within)| d.starts_with(within))
        };
        let runs = list(&home.join("target")).flat_map(places).map(|place| place.join("runs"));
        runs.flat_map(|runs| list(&runs)).filter(in_tree)
    };
    let mut dirs: Vec<PathBuf> = ["images", "os"]
        .into_iter()
        .flat_map(of_kind)
        .filter(|d| [PLAN, EVENTS].iter().any(|name| is_file(d.join(name))))
        .collect();
    dirs.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    dirs
}

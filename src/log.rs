//! Records of a run: the log file for people, `events.jsonl` for programs, and the in-memory record
//! for reports.
//!
//! Write errors are ignored: a build must not fail over its log.
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use crate::model::event::{Check, Event, Sink, Stamped, Verdict};

pub mod budget;
pub mod sentences;

use budget::{Budget, OUTPUT};

/// `build.<image name>.log`: every event with its time (UTC), stages under a rule (`==== boot
/// ====`). The last line is [`sentences::final_line`], as on the terminal. Holds at most
/// [`budget::OUTPUT`] bytes of program output.
pub struct LogFile(File, Budget);

impl LogFile {
    /// Creates the file, replacing an old one. It is world-readable, because CI archives it as
    /// another user.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
        // Whatever the umask says. A file system without modes, as exFAT is, refuses.
        let _ = file.set_permissions(Permissions::from_mode(0o644));
        Ok(Self(file, Budget::default()))
    }
}

impl Sink for LogFile {
    fn take(&mut self, event: &Stamped) {
        let file = &mut self.0;
        self.1.pass(event, &mut |event| {
            let entry = entry(event);
            // One write per event: complete lines are there for `tail -f`, and after a kill.
            let _ = file.write_all(entry.as_bytes());
            entry.len()
        });
    }
}

/// The lines for one event.
fn entry(Stamped { at, event }: &Stamped) -> String {
    let mut entry = Entry { at: *at, text: String::new() };
    let duration = |seconds: &f64| sentences::duration(*seconds);
    match event {
        Event::Started { run, bundle, purpose, image_name, cloud } => {
            let begins = sentences::begins(purpose, image_name, cloud);
            entry.lines("", &format!("{bundle}: {begins}, run {run}"));
        }
        Event::Planned { image_name } => entry.lines("", &format!("image {image_name}")),
        Event::StageStarted { stage } => entry.rule(stage.name()),
        Event::StageDone { stage, seconds } => {
            entry.rule(&format!("{} done, {}", stage.name(), duration(seconds)))
        }
        Event::StageFailed { stage, seconds, error } => {
            entry.lines("error: ", error);
            entry.rule(&format!("{} FAILED, {}", stage.name(), duration(seconds)));
        }
        Event::StepStarted { index, of, name } => {
            entry.lines("---- ", &format!("step {} of {of}: {name}", index + 1))
        }
        Event::StepDone { index, seconds } => {
            entry.lines("---- ", &format!("step {} done, {}", index + 1, duration(seconds)))
        }
        Event::StepFailed { index, seconds, error } => {
            entry.lines("error: ", error);
            entry.lines("---- ", &format!("step {} FAILED, {}", index + 1, duration(seconds)));
        }
        Event::StepRestored { index, of, name, age_seconds } => {
            let restored = sentences::restored(*age_seconds);
            entry.lines("---- ", &format!("step {} of {of}: {name}: {restored}", index + 1))
        }
        Event::MachineRestored { age_seconds } => {
            entry.lines("", &format!("the machine is {}", sentences::restored(*age_seconds)))
        }
        Event::Doing { what } => entry.lines("", what),
        Event::Progress { done, of, unit } => entry.lines("", &sentences::amount(*done, *of, unit)),
        Event::Output { source, line } => {
            entry.lines(&format!("{} | ", sentences::clean(source)), line)
        }
        Event::Note { text } => entry.lines("note: ", text),
        Event::Warning { text } => entry.lines("warning: ", text),
        Event::Check(check) => {
            entry.lines("", &check_line(check));
            if !check.output.is_empty() {
                entry.lines(&format!("{} | ", sentences::clean(&check.id)), &check.output);
            }
        }
        Event::Finished { .. } => entry.finished(event),
    }
    entry.text
}

fn check_line(Check { id, verdict, seconds, reason, .. }: &Check) -> String {
    let word = match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::Skipped => "skipped",
    };
    let colon = if reason.is_empty() { "" } else { ": " };
    format!("check {id} {word}, {}{colon}{reason}", sentences::duration(*seconds))
}

/// The lines of an event in the log file.
struct Entry {
    at: Timestamp,
    text: String,
}

impl Entry {
    fn rule(&mut self, text: &str) {
        let rule = "=".repeat(70usize.saturating_sub(text.chars().count()));
        self.lines("", &format!("==== {text} {rule}"));
    }

    fn finished(&mut self, event: &Event) {
        let Event::Finished { outcome, seconds, error, leaks, .. } = event else { return };
        let took = sentences::duration(*seconds);
        self.rule(&format!("{}, {took}", sentences::clean(outcome)));
        error.iter().for_each(|error| self.lines("error: ", error));
        leaks.iter().for_each(|leak| self.lines("left behind: ", leak));
        self.text.push_str(&sentences::final_line(event).expect("the event is Finished"));
        self.text.push('\n');
    }

    /// Adds each line of `text` with time and prefix, so that none can imitate an entry of ours.
    fn lines(&mut self, prefix: &str, text: &str) {
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        let text = if text.is_empty() { "\n" } else { text };
        for line in text.split_inclusive('\n') {
            let line = format!("{prefix}{}", sentences::clean(line));
            let _ = writeln!(self.text, "{at} {}", line.trim_end());
        }
    }
}

/// `events.jsonl`: one [`Stamped`] per line. Appends, so that a run that continues in another
/// process has one file. Holds at most [`budget::OUTPUT`] bytes of program output.
pub struct EventFile(File, Budget);

impl EventFile {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let used = file.metadata()?.len();
        Ok(Self(file, Budget::new(OUTPUT.saturating_sub(used))))
    }
}

impl Sink for EventFile {
    fn take(&mut self, event: &Stamped) {
        let file = &mut self.0;
        self.1.pass(event, &mut |event| {
            let line = json_line(event);
            let _ = file.write_all(line.as_bytes());
            line.len()
        });
    }
}

/// An event as one line of JSON, with a newline.
pub fn json_line(event: &Stamped) -> String {
    let line = serde_json::to_string(event).expect("events are plain data");
    format!("{}\n", crate::text::json(&line))
}

/// Output lines that a [`Recorder`] keeps, for the log tail of a report.
const OUTPUT_KEPT: usize = 2000;
/// Total bytes of those lines.
const OUTPUT_BYTES: usize = 4 << 20;

/// Keeps the events of a run in memory, for the reports. Clones share the record.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Record>>);

/// Output lines are stored apart, so that dropping the oldest is cheap; numbers give the common
/// order.
#[derive(Default)]
struct Record {
    count: u64,
    events: Vec<(u64, Stamped)>,
    output: VecDeque<(u64, Stamped)>,
    /// Total bytes in `output`.
    bytes: usize,
}

impl Record {
    fn keep(&mut self, entry: (u64, Stamped)) {
        let size = |(_, stamped): &(u64, Stamped)| {
            if let Event::Output { line, .. } = &stamped.event { line.len() } else { 0 }
        };
        self.bytes += size(&entry);
        self.output.push_back(entry);
        while self.output.len() > OUTPUT_KEPT || self.bytes > OUTPUT_BYTES {
            let Some(first) = self.output.pop_front() else { break };
            self.bytes -= size(&first);
        }
    }
}

impl Recorder {
    /// All events in order, except that only the last 2000 output lines (4 MiB), and the last of
    /// consecutive progress events, are kept.
    pub fn events(&self) -> Vec<Stamped> {
        let record = self.0.lock().expect("a sink panicked");
        let mut all: Vec<_> = record.events.iter().chain(&record.output).collect();
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, event)| event.clone()).collect()
    }

    /// The last `count` kept output lines, oldest first; only those of `source` if given.
    #[cfg(test)]
    pub fn output(&self, source: Option<&str>, count: usize) -> Vec<String> {
        let record = self.0.lock().expect("a sink panicked");
        let mut last: Vec<String> = record
            .output
            .iter()
            .rev()
            .filter_map(|(_, stamped)| match &stamped.event {
                Event::Output { source: from, line } if source.is_none_or(|s| s == from) => {
                    Some(line.clone())
                }
                _ => None,
            })
            .take(count)
            .collect();
        last.reverse();
        last
    }
}

impl Sink for Recorder {
    fn take(&mut self, event: &Stamped) {
        let mut record = self.0.lock().expect("a sink panicked");
        record.count += 1;
        let entry = (record.count, event.clone());
        match &event.event {
            Event::Output { .. } => record.keep(entry),
            Event::Progress { .. } => {
                if let Some(last) = record
                    .events
                    .last_mut()
                    .filter(|(_, e)| matches!(e.event, Event::Progress { .. }))
                {
                    *last = entry;
                } else {
                    record.events.push(entry);
                }
            }
            _ => record.events.push(entry),
        }
    }
}

#[cfg(test)]
#[path = "log/tests.rs"]
mod tests;

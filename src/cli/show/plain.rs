//! Lines for a CI log: each with the time since the start, at least one in 30 seconds.
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::current::{Current, seconds_between};
use super::{HEARTBEAT, Paint};
use crate::log::sentences;
use crate::model::event::{Check, Event, Sink, Stamped, Verdict};

/// Maximum length of a tail line; the log file has the rest.
const CUT: usize = 400;

/// Interval and clock of the heartbeat.
#[derive(Clone, Copy)]
pub struct Pace {
    pub interval: Duration,
    pub now: fn() -> Timestamp,
}

impl Default for Pace {
    fn default() -> Self {
        Self { interval: HEARTBEAT, now: Timestamp::now }
    }
}

/// Shows a run as lines. Quiet (`verbosity` -1): only warnings, errors and the final line, without
/// heartbeat.
pub struct Plain {
    shared: Arc<Shared>,
    heart: Option<JoinHandle<()>>,
}

/// Prefixes each line with a bundle's label, for parallel runs. Writes whole lines.
pub struct Labelled<W> {
    head: String,
    out: W,
}

impl<W> Labelled<W> {
    pub fn new(label: &str, out: W) -> Self {
        Self { head: format!("{label}: "), out }
    }
}

impl<W: Write> Write for Labelled<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.out.write_all(&[self.head.as_bytes(), line].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

struct Shared {
    writer: Mutex<Writer>,
    /// Ends the heartbeat thread.
    end: Condvar,
}

struct Writer {
    out: Box<dyn Write + Send>,
    paint: Paint,
    verbosity: i8,
    current: Current,
    began: Option<Timestamp>,
    /// Time of the last line.
    written: Instant,
    ended: bool,
}

impl Plain {
    pub fn new(out: Box<dyn Write + Send>, paint: Paint, verbosity: i8, pace: Pace) -> Self {
        let writer = Writer {
            out,
            paint,
            verbosity,
            current: Current::default(),
            began: None,
            written: Instant::now(),
            ended: false,
        };
        let shared = Arc::new(Shared { writer: Mutex::new(writer), end: Condvar::new() });
        let heart = (verbosity >= 0).then(|| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.beat(pace))
        });
        Self { shared, heart }
    }
}

impl Sink for Plain {
    fn take(&mut self, event: &Stamped) {
        self.shared.writer.lock().expect("the heartbeat panicked").take(event);
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        if let Ok(mut writer) = self.shared.writer.lock() {
            writer.ended = true;
        }
        self.shared.end.notify_all();
        if let Some(heart) = self.heart.take() {
            let _ = heart.join();
        }
    }
}

impl Shared {
    /// The heartbeat thread: reports the current activity after each `pace.interval` without
    /// output, until the sink ends.
    fn beat(&self, pace: Pace) {
        let mut writer = self.writer.lock().expect("the sink panicked");
        while !writer.ended {
            let quiet = writer.written.elapsed();
            if let Some(rest) = pace.interval.checked_sub(quiet).filter(|rest| !rest.is_zero()) {
                writer = self.end.wait_timeout(writer, rest).expect("the sink panicked").0;
            } else {
                writer.heartbeat((pace.now)());
                writer.written = Instant::now(); // also when there was nothing to say
            }
        }
    }
}

impl Writer {
    fn take(&mut self, stamped: &Stamped) {
        let Stamped { at, event } = stamped;
        let at = *at;
        if matches!(event, Event::Started { .. }) {
            // One command, several bundles: each begins anew.
            self.began = None;
            self.current = Current::default();
        }
        self.began.get_or_insert(at);
        if !self.failed(at, event) {
            if self.verbosity >= 1 {
                self.activity(at, event);
            }
            if self.verbosity >= 0 {
                self.course(at, event);
            }
        }
        self.current.take(stamped);
    }

    /// Lines of every verbosity: warnings, failures and the end. Whether the event is one of them.
    fn failed(&mut self, at: Timestamp, event: &Event) -> bool {
        match event {
            Event::StageFailed { stage, seconds, error } => {
                let text =
                    format!("{} failed after {}", stage.name(), sentences::duration(*seconds));
                self.failure(at, &text, error);
            }
            Event::StepFailed { index, seconds, error } => {
                let step = self.current.step.as_ref();
                let name = step.map(|step| format!(": {}", step.name)).unwrap_or_default();
                let text = format!(
                    "{} {}{name} failed after {}",
                    self.stage(),
                    self.step(*index),
                    sentences::duration(*seconds)
                );
                self.failure(at, &text, error);
            }
            Event::Warning { text } => self.text(at, &self.paint.warn("warning: "), text),
            Event::Check(check) if check.verdict == Verdict::Failed => {
                self.check(at, check);
                let lines: Vec<_> = check
                    .output
                    .lines()
                    .map(sentences::shown)
                    .filter(|line| !line.trim().is_empty())
                    .collect();
                self.tail(lines.iter().rev().take(super::TAIL).rev());
            }
            Event::Finished { .. } => self.finished(event),
            _ => return false,
        }
        true
    }

    /// The course of the run, left out by `--quiet`.
    fn course(&mut self, at: Timestamp, event: &Event) {
        let duration = |seconds: &f64| sentences::duration(*seconds);
        match event {
            Event::Started { run, bundle, purpose, image_name, cloud } => {
                let begins = sentences::begins(purpose, image_name, cloud);
                self.line(at, &format!("{bundle}: {begins}, run {run}"));
            }
            Event::Planned { image_name } => self.line(at, &format!("image {image_name}")),
            Event::StageStarted { stage } => self.line(at, &self.paint.bold(stage.name())),
            Event::StageDone { stage, seconds } => {
                self.line(at, &format!("{} done, {}", stage.name(), duration(seconds)))
            }
            Event::StepStarted { index, of, name } => {
                let (stage, name) = (self.stage(), sentences::shown(name));
                self.line(at, &format!("{stage} {}/{of}: {name}", index + 1));
            }
            Event::StepDone { index, seconds } => {
                let (stage, step) = (self.stage(), self.step(*index));
                self.line(at, &format!("{stage} {step} done, {}", duration(seconds)));
            }
            Event::StepRestored { index, of, name, age_seconds } => {
                let (stage, name) = (self.stage(), sentences::shown(name));
                let restored = sentences::restored(*age_seconds);
                self.line(at, &format!("{stage} {}/{of}: {name}: {restored}", index + 1));
            }
            Event::MachineRestored { age_seconds } => {
                let restored = sentences::restored(*age_seconds);
                self.line(at, &format!("the machine is {restored}"));
            }
            Event::Note { text } => self.text(at, "", text),
            Event::Check(check) => self.check(at, check),
            _ => {}
        }
    }

    /// Program output and the factory's own actions, shown by `--verbose`.
    fn activity(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::Doing { what } => {
                self.line(at, &format!("{}: {}", self.stage(), sentences::shown(what)))
            }
            Event::Output { source, line } => {
                let (source, line) = (sentences::shown(source), sentences::shown(line));
                self.line(at, &format!("{source} | {line}"));
            }
            _ => {}
        }
    }

    fn check(&mut self, at: Timestamp, check: &Check) {
        let word = match check.verdict {
            Verdict::Passed => self.paint.good("passed"),
            Verdict::Failed => self.paint.bad("failed"),
            Verdict::Skipped => self.paint.dim("skipped"),
        };
        let colon = if check.reason.is_empty() { "" } else { ": " };
        let (id, duration) = (sentences::shown(&check.id), sentences::duration(check.seconds));
        self.text(at, &format!("check {id} {word}, {duration}{colon}"), &check.reason);
    }

    /// The error, if no line showed it before, leaks, and the final line.
    fn finished(&mut self, event: &Event) {
        let Event::Finished { error, leaks, .. } = event else { return };
        let unshown = error.iter().flat_map(|error| self.current.unshown(error));
        for line in unshown.collect::<Vec<_>>() {
            self.raw(&self.paint.bad(line));
        }
        for leak in leaks {
            self.raw(&format!("{} {}", self.paint.warn("left behind:"), sentences::shown(leak)));
        }
        let last = sentences::final_line(event).expect("the event is Finished");
        self.raw(&self.paint.verdict(last, error.is_none(), leaks.is_empty()));
    }

    fn stage(&self) -> &'static str {
        self.current.stage.map_or("", |(stage, _)| stage.name())
    }

    /// `1/3`, or `1` if the start of the step was missed.
    fn step(&self, index: usize) -> String {
        match &self.current.step {
            Some(step) => format!("{}/{}", index + 1, step.of),
            None => (index + 1).to_string(),
        }
    }

    /// Output tail first, error last, because readers of a log begin at its end.
    fn failure(&mut self, at: Timestamp, what: &str, error: &str) {
        let tail: Vec<String> = self.current.tail().cloned().collect();
        self.tail(tail.iter());
        let error = self.current.unshown(error);
        if let [only] = &error[..] {
            self.line(at, &self.paint.bad(format!("{what}: {only}")));
            return;
        }
        self.line(at, &self.paint.bad(what));
        for line in error {
            self.raw(&format!("        {}", self.paint.bad(line)));
        }
    }

    fn tail<'a>(&mut self, lines: impl Iterator<Item = &'a String>) {
        for line in lines {
            self.raw(&format!("        | {}", console::truncate_str(line, CUT, "…")));
        }
    }

    fn heartbeat(&mut self, now: Timestamp) {
        let (Some((stage, _)), Some(since)) = (self.current.stage, self.current.since()) else {
            return;
        };
        let mut text = format!("… {}: ", stage.name());
        for part in [self.current.what(), &self.current.doing] {
            // Of a stage without steps the two are the same.
            if !part.is_empty() && !text.ends_with(&format!("{part}, ")) {
                text.push_str(&format!("{part}, "));
            }
        }
        text.push_str(&sentences::running(seconds_between(since, now)));
        if let Some((done, of, unit)) = &self.current.progress {
            text.push_str(&format!(", {}", sentences::amount(*done, *of, unit)));
        }
        if !self.current.last.is_empty() {
            text.push_str(&format!(
                ", last: {}",
                console::truncate_str(&self.current.last, 120, "…")
            ));
        }
        self.line(now, &self.paint.dim(text));
    }

    /// A text of one or more lines; time and prefix on the first. The prefix determines the colour.
    fn text(&mut self, at: Timestamp, prefix: &str, text: &str) {
        let mut lines = text.lines().map(sentences::shown);
        self.line(at, &format!("{prefix}{}", lines.next().unwrap_or_default()));
        for line in lines {
            self.raw(&format!("        {line}"));
        }
    }

    fn line(&mut self, at: Timestamp, text: &str) {
        let s = seconds_between(self.began.unwrap_or(at), at) as u64;
        self.raw(&format!("[{:02}:{:02}] {text}", s / 60, s % 60));
    }

    /// Writes and flushes one line. Ignores a reader that has gone.
    fn raw(&mut self, line: &str) {
        let line = format!("{}\n", line.trim_end());
        let _ = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
        self.written = Instant::now();
    }
}

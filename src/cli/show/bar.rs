//! Display for people: finished work as lines, above one live line.
//!
//! [`Story`] makes the text without a terminal; [`Bar`] draws it. indicatif only redraws the live
//! line; without a terminal it would print nothing, which [`super::sink`] prevents.
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use console::{Term, measure_text_width, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use jiff::Timestamp;

use super::current::{Current, seconds_between};
use super::{Paint, TAIL};
use crate::log::sentences;
use crate::model::event::{Check, Event, Sink, Stage, Stamped, Verdict};

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Redraw interval of the live line.
const TICK: Duration = Duration::from_millis(100);
/// Maximum rows of one output line of a failed step; the log file has the rest.
const ROWS: usize = 3;

/// Draws a run on standard error.
pub struct Bar {
    term: Term,
    line: ProgressBar,
    /// Shared with the drawing thread. Must not be held while calling `line`, which locks in the
    /// opposite order.
    story: Arc<Mutex<Story>>,
}

impl Bar {
    pub fn new(paint: Paint, verbosity: i8) -> Self {
        let term = Term::stderr();
        let story = Arc::new(Mutex::new(Story::new(paint, verbosity)));
        let (shared, size) = (Arc::clone(&story), term.clone());
        let live = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let width = usize::from(size.size().1);
            if let Ok(story) = shared.lock() {
                let _ = out.write_str(&story.live(Timestamp::now(), width));
            }
        };
        let style = ProgressStyle::with_template("{live}")
            .expect("the template is constant")
            .with_key("live", live);
        let line = ProgressBar::with_draw_target(
            None,
            ProgressDrawTarget::term(Term::buffered_stderr(), 20),
        )
        .with_style(style);
        line.enable_steady_tick(TICK);
        Self { term, line, story }
    }
}

impl Sink for Bar {
    fn take(&mut self, event: &Stamped) {
        let width = usize::from(self.term.size().1);
        if matches!(event.event, Event::Started { .. }) && self.line.is_finished() {
            self.line.reset(); // one command, several bundles
            self.line.enable_steady_tick(TICK);
        }
        let lines = self.story.lock().expect("the drawing thread panicked").take(event, width);
        if matches!(event.event, Event::Finished { .. }) {
            self.line.finish_and_clear();
            let _ = self.term.write_line(&lines.join("\n"));
        } else if !lines.is_empty() {
            // Not `println`: it pads lines with blanks to the full width instead of ending them,
            // and a terminal that is made wider, or copied from, joins them.
            self.line.suspend(|| self.term.write_line(&lines.join("\n"))).unwrap_or_default();
        }
        // Output and progress are not drawn as they come: the next tick shows the last of them.
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.line.finish_and_clear();
    }
}

/// The text of a run, in lines.
pub(super) struct Story {
    paint: Paint,
    verbose: bool,
    current: Current,
    /// The stage's name is already shown above its steps or checks.
    headed: bool,
}

impl Story {
    pub fn new(paint: Paint, verbosity: i8) -> Self {
        Self { paint, verbose: verbosity >= 1, current: Current::default(), headed: false }
    }

    /// Lines to add above the live one.
    pub fn take(&mut self, stamped: &Stamped, width: usize) -> Vec<String> {
        let paint = self.paint;
        let mut out = Vec::new();
        match &stamped.event {
            Event::Started { run, bundle, purpose, image_name, cloud } => {
                self.current = Current::default();
                let begins = sentences::begins(purpose, image_name, cloud);
                out.push(format!("{}: {begins}", paint.bold(bundle)));
                out.push(paint.dim(format!("  run {run}")));
            }
            Event::Planned { image_name } => {
                out.push(format!("  image {}", paint.bold(image_name)))
            }
            Event::StageStarted { .. } => self.headed = false,
            Event::StageDone { stage, seconds } => {
                out.push(self.stage(&paint.good("✓"), *stage, *seconds))
            }
            Event::StageFailed { stage, seconds, error } => {
                out.push(self.stage(&paint.bad("✗"), *stage, *seconds));
                out.extend(self.tail(width)); // none where a step failed: they stand there already
                out.extend(self.error(error, "    ", width));
            }
            Event::StepStarted { .. } => self.head(&mut out),
            Event::StepDone { seconds, .. } => {
                out.push(cut(&self.step(&paint.good("✓"), *seconds), width));
            }
            Event::StepRestored { name, age_seconds, .. } => {
                self.head(&mut out);
                let restored = paint.dim(sentences::restored(*age_seconds));
                let line = self.row(&paint.good("✓"), "", &sentences::shown(name));
                out.push(cut(&format!("{line}  {restored}"), width));
            }
            Event::MachineRestored { age_seconds } => {
                let restored = format!("the machine is {}", sentences::restored(*age_seconds));
                self.remark("", &restored, width, &mut out);
            }
            Event::StepFailed { seconds, error, .. } => {
                out.push(self.step(&paint.bad("✗"), *seconds));
                out.extend(self.tail(width));
                out.extend(self.error(error, "        ", width));
            }
            Event::Output { source, line } if self.verbose => {
                let line = format!("{} | {}", sentences::shown(source), sentences::shown(line));
                out.push(paint.dim(format!("      {}", line.trim_end())));
            }
            Event::Note { text } => self.remark("", text, width, &mut out),
            Event::Warning { text } => self.remark(&paint.warn("warning: "), text, width, &mut out),
            Event::Check(check) => {
                self.head(&mut out);
                self.check(check, width, &mut out);
            }
            Event::Finished { .. } => out.extend(self.finished(&stamped.event, width)),
            _ => {}
        }
        self.current.take(stamped);
        out
    }

    /// A blank line, the error if no line showed it before, leaks, and the final line.
    fn finished(&mut self, event: &Event, width: usize) -> Vec<String> {
        let Event::Finished { error, leaks, .. } = event else { return Vec::new() };
        let error = error.as_deref().unwrap_or_default();
        let mut out = vec![String::new()];
        out.extend(self.error(error, "", width));
        let paint = self.paint;
        let left = |leak| format!("{} {}", paint.warn("left behind:"), sentences::shown(leak));
        out.extend(leaks.iter().map(|leak| left(leak)));
        let last = sentences::final_line(event).expect("the event is Finished");
        out.push(paint.verdict(last, error.is_empty(), leaks.is_empty()));
        out
    }

    /// The live line at `now`, at most `width - 1` columns, because a terminal that wraps after the
    /// last one would scroll.
    pub fn live(&self, now: Timestamp, width: usize) -> String {
        let Some((stage, began)) = self.current.stage else { return String::new() };
        let since = self.current.since().unwrap_or(began);
        let frame = FRAMES[(now.as_millisecond().unsigned_abs() / 100) as usize % FRAMES.len()];
        let took = sentences::running(seconds_between(since, now));
        let mut line = format!("  {} {:<10} {took:>7} ", self.paint.good(frame), stage.name());
        let mut gap = " ";
        let mut say = |text: &str| {
            let _ = write!(line, "{gap}{text}");
            gap = " · ";
        };
        if let Some((done, of, unit)) = &self.current.progress {
            let (full, rest) = gauge(*done, *of);
            say(&format!(
                "{}{} {}",
                self.paint.good(full),
                self.paint.dim(rest),
                sentences::amount(*done, *of, unit)
            ));
        }
        if let Some(step) = &self.current.step {
            let count = if step.of > 1 {
                format!("{}/{} ", step.index + 1, step.of)
            } else {
                String::new()
            };
            say(&format!("{count}{}", step.name));
        }
        if !self.current.doing.is_empty() {
            say(&self.current.doing);
        }
        if !self.current.last.is_empty() {
            say(&self.paint.dim(&self.current.last));
        }
        cut(&line, width)
    }

    /// `  • provision`, once, before the first line that belongs under it.
    fn head(&mut self, out: &mut Vec<String>) {
        if let (false, Some((stage, _))) = (self.headed, self.current.stage) {
            self.headed = true;
            out.push(self.paint.dim(format!("  • {}", stage.name())));
        }
    }

    /// `  ✓ boot        47.3 s`
    fn stage(&self, mark: &str, stage: Stage, seconds: f64) -> String {
        format!("  {mark} {:<10} {:>7}", stage.name(), sentences::duration(seconds))
    }

    /// `      ✓         47.3 s  ansible/bootstrap.yml`, the times in the stages' column.
    fn step(&self, mark: &str, seconds: f64) -> String {
        let name = self.current.step.as_ref().map_or("", |step| &step.name);
        self.row(mark, &sentences::duration(seconds), name)
    }

    fn row(&self, mark: &str, took: &str, text: &str) -> String {
        format!("      {mark} {took:>14}  {text}").trim_end().to_owned()
    }

    fn check(&self, check: &Check, width: usize, out: &mut Vec<String>) {
        let paint = self.paint;
        let (mark, took) = match check.verdict {
            Verdict::Passed => (paint.good("✓"), sentences::duration(check.seconds)),
            Verdict::Failed => (paint.bad("✗"), sentences::duration(check.seconds)),
            Verdict::Skipped => (paint.dim("-"), paint.dim("skipped")),
        };
        // Padded by hand: colours have no width.
        let took =
            format!("{}{took}", " ".repeat(14usize.saturating_sub(measure_text_width(&took))));
        let line = self.row(&mark, &took, &sentences::shown(&check.id));
        let reason = check.reason.lines().map(sentences::shown).collect::<Vec<_>>().join(" ");
        match check.verdict {
            _ if reason.is_empty() => out.push(line),
            // The reason of a failure is shown whole; observations of other checks may be
            // truncated.
            Verdict::Failed => {
                out.push(line);
                out.extend(fold(&reason, "        ", width).map(|line| paint.bad(line)));
            }
            _ => out.push(cut(&format!("{line}  {}", paint.dim(reason)), width)),
        }
        if check.verdict == Verdict::Failed {
            let lines: Vec<_> = check
                .output
                .lines()
                .map(sentences::shown)
                .filter(|line| !line.trim().is_empty())
                .collect();
            out.extend(
                lines.iter().rev().take(TAIL).rev().flat_map(|line| self.quote(line, width)),
            );
        }
    }

    fn tail(&self, width: usize) -> Vec<String> {
        self.current.tail().flat_map(|line| self.quote(line, width)).collect()
    }

    /// An indented line of foreign output, limited to some rows, because one Ansible result can
    /// fill a screen.
    fn quote(&self, line: &str, width: usize) -> Vec<String> {
        let paint = self.paint;
        let mut rows: Vec<String> = fold(line, "", width.saturating_sub(10)).collect();
        if rows.len() > ROWS {
            rows.truncate(ROWS);
            rows[ROWS - 1].push('…');
        }
        let failed = ["fatal: ", "failed: ", "ERROR! "].iter().any(|mark| line.starts_with(mark));
        let said = |row: String| if failed { paint.bad(row) } else { row };
        rows.into_iter().map(|row| format!("        {} {}", paint.dim("│"), said(row))).collect()
    }

    /// A note or warning, indented like its stage.
    fn remark(&self, prefix: &str, text: &str, width: usize, out: &mut Vec<String>) {
        let indent = if self.headed { "      " } else { "  " };
        for (number, line) in text.lines().map(sentences::shown).enumerate() {
            let (prefix, indent) =
                if number == 0 { (prefix, indent.to_owned()) } else { ("", format!("{indent}  ")) };
            // Folded with the prefix in place, for it takes room.
            out.extend(fold(&format!("{prefix}{line}"), &indent, width));
        }
    }

    fn error(&mut self, error: &str, indent: &str, width: usize) -> Vec<String> {
        let paint = self.paint;
        self.current
            .unshown(error)
            .iter()
            .flat_map(|line| fold(line, indent, width))
            .map(|line| paint.bad(line))
            .collect()
    }
}

/// At most `width - 1` columns of `text`.
fn cut(text: &str, width: usize) -> String {
    if width < 2 { String::new() } else { truncate_str(text, width - 1, "…").into_owned() }
}

/// `text` wrapped between words into rows shorter than `width`, indented. Longer words stay whole,
/// so that wrapped paths can be copied.
fn fold(text: &str, indent: &str, width: usize) -> impl Iterator<Item = String> {
    let mut rows = vec![indent.to_owned()];
    let mut empty = true;
    for word in text.split(' ') {
        let row = rows.last_mut().expect("there is always a row");
        if empty {
            row.push_str(word);
        } else if measure_text_width(row) + 1 + measure_text_width(word) < width {
            let _ = write!(row, " {word}");
        } else {
            rows.push(format!("{indent}{word}"));
        }
        empty = false;
    }
    rows.into_iter()
}

/// A gauge of 16 columns: the filled part and the rest.
fn gauge(done: u64, of: u64) -> (String, String) {
    let full = (sentences::percent(done, of) * 16 / 100) as usize;
    ("━".repeat(full), "─".repeat(16 - full))
}

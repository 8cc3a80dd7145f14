//! Display of parallel runs: one live line each, with important messages above.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use console::{Term, measure_text_width};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use jiff::Timestamp;

use super::Paint;
use super::bar::Story;
use crate::model::event::{Event, Sink, Stamped, Verdict};

/// Redraw interval.
const TICK: Duration = Duration::from_millis(150);

/// The live lines.
pub struct Board {
    term: Term,
    lines: MultiProgress,
    paint: Paint,
    verbosity: i8,
}

impl Board {
    pub fn new(paint: Paint, verbosity: i8) -> Self {
        let lines =
            MultiProgress::with_draw_target(ProgressDrawTarget::term(Term::buffered_stderr(), 20));
        Self { term: Term::stderr(), lines, paint, verbosity }
    }

    /// Adds a line for a bundle's run.
    pub fn lane(&self, label: &str) -> Lane {
        let story = Arc::new(Mutex::new(Story::new(self.paint, self.verbosity)));
        let (shared, size, head) = (Arc::clone(&story), self.term.clone(), format!("{label:<24}"));
        let live = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let width = usize::from(size.size().1).saturating_sub(measure_text_width(&head));
            if let Ok(story) = shared.lock() {
                let _ = write!(out, "{head}{}", story.live(Timestamp::now(), width));
            }
        };
        let style = ProgressStyle::with_template("{live}")
            .expect("the template is constant")
            .with_key("live", live);
        let line = self.lines.add(ProgressBar::new_spinner()).with_style(style);
        line.enable_steady_tick(TICK);
        Lane {
            label: label.to_owned(),
            term: self.term.clone(),
            lines: self.lines.clone(),
            line,
            story,
            all: self.verbosity >= 1,
            paint: self.paint,
        }
    }
}

pub struct Lane {
    label: String,
    term: Term,
    lines: MultiProgress,
    line: ProgressBar,
    /// Must not be held while calling `line` or `lines`, which draw with it.
    story: Arc<Mutex<Story>>,
    all: bool,
    paint: Paint,
}

impl Sink for Lane {
    fn take(&mut self, event: &Stamped) {
        let width = usize::from(self.term.size().1).saturating_sub(self.label.len() + 2);
        let lines = self.story.lock().expect("the drawing thread panicked").take(event, width);
        if matches!(event.event, Event::Finished { .. }) {
            self.line.finish_and_clear();
        }
        if self.all || concerns_everybody(&event.event) {
            let head = self.paint.bold(format!("{}:", self.label));
            let text: Vec<String> = lines
                .iter()
                .filter(|l| !l.trim().is_empty())
                .map(|line| format!("{head} {line}"))
                .collect();
            if !text.is_empty() {
                self.lines.suspend(|| self.term.write_line(&text.join("\n"))).unwrap_or_default();
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.line.finish_and_clear();
        self.lines.remove(&self.line);
    }
}

/// Whether an event is shown above the live lines. Successful stages and steps are not, because
/// there are several runs.
fn concerns_everybody(event: &Event) -> bool {
    match event {
        Event::Warning { .. }
        | Event::StageFailed { .. }
        | Event::StepFailed { .. }
        | Event::Finished { .. } => true,
        Event::Check(check) => check.verdict == Verdict::Failed,
        _ => false,
    }
}

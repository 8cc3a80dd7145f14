//! Shows a run on the terminal; [`sink`] selects the display.
//!
//! - `bar`: finished stages as lines, above one live line; for people.
//! - `plain`: lines with a heartbeat; for CI logs and quiet runs.
//! - `json`: the events, on standard output; for programs.
//!
//! Parallel runs have a live line each ([`side_by_side`]).
//!
//! A sink shows events until it is dropped; dropping it ends its thread and clears its live line.
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use crate::jobs::Show;
use crate::model::event::Sink;

mod apart;
mod bar;
mod board;
mod current;
mod json;
pub(super) mod patient;
mod plain;

pub use json::Json;
pub use plain::Plain;

/// Display of a run (`--progress`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Progress {
    /// `bar` at a terminal, `plain` in CI and in pipes.
    #[default]
    Auto,
    /// A live line at the bottom of the terminal.
    Bar,
    /// Lines only, at least one in 30 seconds.
    Plain,
    /// One JSON object per event, on standard output.
    Json,
}

/// Properties of the terminal, from the environment. Read in `cli/mod`, the only reader of the
/// environment.
#[derive(Debug, Clone, Default)]
pub struct Terminal {
    /// Standard error is a terminal.
    pub is_terminal: bool,
    pub term: Option<String>,
    pub ci: Option<String>,
    pub no_color: Option<String>,
    pub clicolor: Option<String>,
    pub clicolor_force: Option<String>,
}

impl Terminal {
    /// For standard error; `env` looks up a variable.
    pub fn of_stderr(env: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            term: env("TERM"),
            ci: env("CI"),
            no_color: env("NO_COLOR"),
            clicolor: env("CLICOLOR"),
            clicolor_force: env("CLICOLOR_FORCE"),
        }
    }

    /// Whether a line can be redrawn in place.
    fn is_live(&self) -> bool {
        self.is_terminal
            && self.term.as_deref().is_some_and(|term| !term.is_empty() && term != "dumb")
    }

    /// Any value of `CI` except a negative one. Jenkins sets it to `true`, and allocates a terminal
    /// on some agents.
    fn is_ci(&self) -> bool {
        self.ci.as_deref().is_some_and(|ci| !["", "0", "false"].contains(&ci))
    }

    /// <https://no-color.org> and <https://bixense.com/clicolors>: `NO_COLOR` first, then
    /// `CLICOLOR_FORCE`, then `CLICOLOR=0`, then the terminal's ability.
    pub fn has_colours(&self) -> bool {
        let set = |value: &Option<String>| value.as_deref().is_some_and(|v| !v.is_empty());
        if set(&self.no_color) {
            return false;
        }
        if set(&self.clicolor_force) && self.clicolor_force.as_deref() != Some("0") {
            return true;
        }
        self.is_live() && self.clicolor.as_deref() != Some("0")
    }
}

/// The sink for `mode` of the run of a bundle, by its label. `verbosity`: -1 quiet (warnings,
/// errors, the final line), 0, 1 verbose (also output lines).
///
/// `bar` becomes `plain` without a terminal that can redraw a line, since it would show nothing.
/// `json` contains all events at any verbosity.
pub fn sink(label: &str, mode: Progress, verbosity: i8, terminal: &Terminal) -> Box<dyn Sink> {
    let paint = Paint(terminal.has_colours());
    let live = verbosity >= 0 && terminal.is_live();
    let sink: Box<dyn Sink> = match mode {
        Progress::Json => Box::new(Json::of(label, io::stdout())),
        Progress::Bar if live => Box::new(bar::Bar::new(paint, verbosity)),
        Progress::Auto if live && !terminal.is_ci() => Box::new(bar::Bar::new(paint, verbosity)),
        _ => Box::new(Plain::new(Box::new(io::stderr()), paint, verbosity, plain::Pace::default())),
    };
    apart(mode, verbosity, sink)
}

/// Runs the sink on a thread of its own, because its reader may block.
fn apart(mode: Progress, verbosity: i8, sink: Box<dyn Sink>) -> Box<dyn Sink> {
    Box::new(apart::Apart::new(sink, mode == Progress::Json || verbosity > 0))
}

/// Sinks for parallel runs, by a bundle's label: a live line each; in other modes, lines prefixed
/// with the label.
pub fn side_by_side(mode: Progress, verbosity: i8, terminal: &Terminal) -> Show {
    let paint = Paint(terminal.has_colours());
    let live = verbosity >= 0 && terminal.is_live();
    let barred = mode == Progress::Bar || mode == Progress::Auto && !terminal.is_ci();
    match mode {
        Progress::Json => Arc::new(move |label: &str| {
            apart(mode, verbosity, Box::new(Json::of(label, io::stdout())))
        }),
        _ if live && barred => {
            let board = board::Board::new(paint, verbosity);
            Arc::new(move |label: &str| apart(mode, verbosity, Box::new(board.lane(label))))
        }
        _ => Arc::new(move |label: &str| {
            let out = Box::new(plain::Labelled::new(label, io::stderr()));
            apart(
                mode,
                verbosity,
                Box::new(Plain::new(out, paint, verbosity, plain::Pace::default())),
            )
        }),
    }
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    fn with(self, code: &str, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if self.0 && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn good(self, text: impl AsRef<str>) -> String {
        self.with("32", text)
    }

    fn bad(self, text: impl AsRef<str>) -> String {
        self.with("31", text)
    }

    fn warn(self, text: impl AsRef<str>) -> String {
        self.with("33", text)
    }

    fn dim(self, text: impl AsRef<str>) -> String {
        self.with("2", text)
    }

    /// The final line: green only if everything succeeded.
    fn verdict(self, line: String, built: bool, clean: bool) -> String {
        match (built, clean) {
            (true, true) => self.with("1;32", line),
            (true, false) => self.with("1;33", line),
            (false, _) => self.with("1;31", line),
        }
    }

    fn bold(self, text: impl AsRef<str>) -> String {
        self.with("1", text)
    }
}

/// Output lines shown after a failure.
const TAIL: usize = 15;
/// Interval without a line after which a CI log gets a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;

//! A run on the terminal: [`sink`] chooses how its events are shown.
//!
//! - `bar`: finished stages as lines, below them one live line. For a person at a terminal.
//! - `plain`: lines only, with a heartbeat. For CI logs; also what quiet runs use.
//! - `json`: the events themselves, on standard output. For programs.
//!
//! Runs side by side have a live line each ([`side_by_side`]).
//!
//! A sink shows until it is dropped; dropping it ends its thread and clears its live line.
use std::io::{self, IsTerminal};
use std::time::Duration;

use crate::event::Sink;
use crate::run::Show;

mod apart;
mod bar;
mod board;
mod current;
mod json;
pub(super) mod patient;
mod plain;

pub use json::Json;
pub use plain::Plain;

/// How a run is shown (`--progress`).
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

/// What is known of the terminal: whether there is one, and what the environment says of it.
/// Read in `cli/mod`, the only place that looks at the environment.
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
    /// Standard error; `env` looks up a variable.
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

    /// A line can be redrawn in place.
    fn is_live(&self) -> bool {
        self.is_terminal
            && self.term.as_deref().is_some_and(|term| !term.is_empty() && term != "dumb")
    }

    /// Any value of `CI` but a plain no. Jenkins sets it to `true`, and allocates a terminal on
    /// some agents.
    fn is_ci(&self) -> bool {
        self.ci.as_deref().is_some_and(|ci| !["", "0", "false"].contains(&ci))
    }

    /// <https://no-color.org> and <https://bixense.com/clicolors>: `NO_COLOR` wins, then
    /// `CLICOLOR_FORCE`, then `CLICOLOR=0`, then whether the terminal can.
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

/// The sink for `mode`. `verbosity`: -1 quiet (warnings, errors, the final line), 0, 1 verbose
/// (output lines too).
///
/// `bar` without a terminal that can redraw a line becomes `plain`: it would show nothing at all.
/// `json` has the whole stream whatever the verbosity.
pub fn sink(mode: Progress, verbosity: i8, terminal: &Terminal) -> Box<dyn Sink> {
    let paint = Paint(terminal.has_colours());
    let live = verbosity >= 0 && terminal.is_live();
    let sink: Box<dyn Sink> = match mode {
        Progress::Json => Box::new(Json::new(io::stdout())),
        Progress::Bar if live => Box::new(bar::Bar::new(paint, verbosity)),
        Progress::Auto if live && !terminal.is_ci() => Box::new(bar::Bar::new(paint, verbosity)),
        _ => Box::new(Plain::new(Box::new(io::stderr()), paint, verbosity, plain::Pace::default())),
    };
    apart(mode, verbosity, sink)
}

/// The sink on a thread of its own, for its reader may stop reading.
fn apart(mode: Progress, verbosity: i8, sink: Box<dyn Sink>) -> Box<dyn Sink> {
    Box::new(apart::Apart::new(sink, mode == Progress::Json || verbosity > 0))
}

/// Sinks for runs side by side, from the label of a bundle: a live line each; elsewhere lines that
/// begin with the label.
pub fn side_by_side(mode: Progress, verbosity: i8, terminal: &Terminal) -> Box<Show<'static>> {
    let paint = Paint(terminal.has_colours());
    let live = verbosity >= 0 && terminal.is_live();
    let barred = mode == Progress::Bar || mode == Progress::Auto && !terminal.is_ci();
    match mode {
        Progress::Json => {
            Box::new(move |label| apart(mode, verbosity, Box::new(Json::of(label, io::stdout()))))
        }
        _ if live && barred => {
            let board = board::Board::new(paint, verbosity);
            Box::new(move |label| apart(mode, verbosity, Box::new(board.lane(label))))
        }
        _ => Box::new(move |label| {
            let out = Box::new(plain::Labelled::new(label, io::stderr()));
            apart(
                mode,
                verbosity,
                Box::new(Plain::new(out, paint, verbosity, plain::Pace::default())),
            )
        }),
    }
}

/// Colours, or none.
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

    /// The final line: green only if all is well.
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

/// Output lines shown of what failed.
const TAIL: usize = 15;
/// After this long without a line, a CI log hears that the build lives.
const HEARTBEAT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;

//! Splits a command's output into lines, sends them as events, and keeps the end for error
//! messages.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::cause::{self, Kind};
use crate::guest::{OnOutput, Stream};
use crate::model::event::Events;
use crate::system::lines::{self, Lines};

/// Limits of lines and bytes kept per command.
const LINES: usize = 400;
const BYTES: usize = 1 << 20;
/// Maximum bytes of a machine's text in an error message.
pub(super) const REASON: usize = 500;

/// The last lines of output, for error messages. Clones share them.
#[derive(Clone, Default)]
pub(super) struct LastLines(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    /// First line that declares an error, and first that reads like one; kept even when long past.
    error: Option<String>,
    complaint: Option<String>,
}

impl LastLines {
    pub(super) fn push(&self, line: &str) {
        let mut kept = self.0.lock().expect("pushes do not panic");
        let first = match cause::kind(line) {
            Some(Kind::Error) => Some(&mut kept.error),
            Some(Kind::Complaint) => Some(&mut kept.complaint),
            None => None,
        };
        if let Some(first) = first {
            first.get_or_insert_with(|| lines::cut(line.trim(), REASON));
        }
        kept.bytes += line.len();
        kept.lines.push_back(line.to_owned());
        while kept.lines.len() > LINES || kept.bytes > BYTES {
            let Some(first) = kept.lines.pop_front() else { break };
            kept.bytes -= first.len();
        }
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().expect("pushes do not panic").lines.iter().cloned().collect()
    }

    /// `what`, with the first line that gives a cause, and the last non-blank one. Lines in between
    /// are mostly consequences.
    pub(super) fn reason(&self, what: String) -> String {
        let kept = self.0.lock().expect("pushes do not panic");
        let last = kept
            .lines
            .iter()
            .rev()
            .map(|l| l.trim())
            .find(|l| !l.is_empty())
            .map(|l| lines::cut(l, REASON));
        match (kept.error.as_ref().or(kept.complaint.as_ref()), last) {
            (Some(cause), Some(last)) if *cause != last => {
                format!("{what}: {cause}; its last line: {last}")
            }
            (_, Some(last)) => format!("{what}: {last}"),
            _ => what,
        }
    }
}

/// Splits both streams into lines and sends them as events.
pub(super) fn lines_to(events: Events, source: &'static str, last: LastLines) -> OnOutput {
    let mut streams =
        Streams { events, source, last, stdout: Lines::default(), stderr: Lines::default() };
    Box::new(move |stream, bytes| streams.take(stream, bytes))
}

struct Streams {
    events: Events,
    source: &'static str,
    last: LastLines,
    stdout: Lines,
    stderr: Lines,
}

impl Streams {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let Self { events, source, last, stdout, stderr } = self;
        let of = if stream == Stream::Stdout { stdout } else { stderr };
        of.take(bytes, &mut |line| tell(events, source, last, line));
    }
}

/// Flushes a last line without a line end.
impl Drop for Streams {
    fn drop(&mut self) {
        let Self { events, source, last, stdout, stderr } = self;
        for of in [stdout, stderr] {
            of.end(&mut |line| tell(events, source, last, line));
        }
    }
}

fn tell(events: &Events, source: &str, last: &LastLines, line: &str) {
    last.push(line);
    events.output(source, line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_tells_the_cause_is_repeated() {
        let last = LastLines::default();
        ["W: odd", "E: Unable to locate package nosuch", "E: setup failed", "I: removing tempdir"]
            .iter()
            .for_each(|l| last.push(l));
        let reason = last.reason("exit code 25".into());
        assert_eq!(
            reason,
            "exit code 25: E: Unable to locate package nosuch; its last line: I: removing tempdir"
        );
        (0..1000).for_each(|n| last.push(&n.to_string()));
        assert!(
            last.reason("x".into()).starts_with("x: E: Unable to locate package nosuch; "),
            "it is long past"
        );
        let last = LastLines::default();
        ["fetching", "cp: cannot stat 'a': No such file or directory"]
            .iter()
            .for_each(|l| last.push(l));
        assert_eq!(
            last.reason("exit code 1".into()),
            "exit code 1: cp: cannot stat 'a': No such file or directory"
        );
    }

    #[test]
    fn what_is_kept_is_bounded_by_lines_and_bytes() {
        let last = LastLines::default();
        (0..1000).for_each(|n| last.push(&n.to_string()));
        assert_eq!(
            (last.all().len(), last.reason("it failed".into()).as_str()),
            (LINES, "it failed: 999")
        );
        let long = "x".repeat(crate::system::lines::LINE);
        (0..LINES).for_each(|_| last.push(&long));
        assert!(last.all().iter().map(String::len).sum::<usize>() <= BYTES);
        assert!(last.reason("it failed".into()).len() < REASON + 100);
    }
}

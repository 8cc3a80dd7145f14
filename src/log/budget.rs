//! Limits the program and machine output in a record of a run. The factory's own events are always
//! written, so that the end of a log is complete.
use crate::model::event::{Event, Stamped};

/// Maximum output bytes per record: `build.log`, `events.jsonl`, and the terminal of a verbose run.
pub const OUTPUT: u64 = 64 << 20;

/// Counts written output, and drops what exceeds the limit.
#[derive(Debug)]
pub struct Budget {
    left: u64,
    lines: u64,
    bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(OUTPUT)
    }
}

impl Budget {
    pub fn new(limit: u64) -> Self {
        Self { left: limit, lines: 0, bytes: 0 }
    }

    /// Passes `event` to `write`, which returns the bytes that it wrote. Drops output beyond the
    /// limit; reports that once, and the dropped amount before the last event.
    pub fn pass(&mut self, stamped: &Stamped, write: &mut dyn FnMut(&Stamped) -> usize) {
        let ours = |event| Stamped { at: stamped.at, event };
        match &stamped.event {
            Event::Output { .. } if self.left > 0 => {
                self.left = self.left.saturating_sub(write(stamped) as u64)
            }
            Event::Output { line, .. } => {
                if self.lines == 0 {
                    let text =
                        "there is more output than a record holds: from here on it is left out"
                            .to_owned();
                    write(&ours(Event::Warning { text }));
                }
                self.lines += 1;
                self.bytes += line.len() as u64;
            }
            Event::Finished { .. } if self.lines > 0 => {
                let text =
                    format!("{} lines of output ({} bytes) were left out", self.lines, self.bytes);
                write(&ours(Event::Note { text }));
                write(stamped);
            }
            _ => {
                write(stamped);
            }
        }
    }
}

//! How much output of machines and programs a record of a run may hold. Our own events are always
//! written, so that the end of a log is true however much was said before it.
use crate::event::{Event, Stamped};

/// Bytes of output in each record: `build.log`, `events.jsonl`, and what a verbose run prints.
pub const OUTPUT: u64 = 64 << 20;

/// Counts what is written of output, and leaves out what is over.
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

    /// Gives `event` to `write`, which tells how many bytes it took; of output only as long as
    /// there is room. Says once that output is left out, and before the last event how much.
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

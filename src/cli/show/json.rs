//! The events as they are, one JSON object per line: what `events.jsonl` holds, as it happens.
use std::io::Write;

use crate::event::{Sink, Stamped};
use crate::log;

/// Writes to `W`, flushed per line. A reader that went away does not stop the build.
pub struct Json<W>(W);

impl<W: Write + Send> Json<W> {
    pub fn new(out: W) -> Self {
        Self(out)
    }
}

impl<W: Write + Send> Sink for Json<W> {
    fn take(&mut self, event: &Stamped) {
        let _ = self.0.write_all(log::json_line(event).as_bytes()).and_then(|()| self.0.flush());
    }
}

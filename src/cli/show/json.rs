//! Prints events as JSON, one object per line, like `events.jsonl`, each with its bundle.
use std::io::Write;

use crate::model::event::{Sink, Stamped};

/// Writes to `W`, flushing each line. Ignores a reader that has gone, so that the build continues.
pub struct Json<W> {
    out: W,
    /// Label in each event, so that those of parallel runs can be told apart.
    bundle: String,
}

impl<W: Write + Send> Json<W> {
    /// Adds `bundle` to every event.
    pub fn of(label: &str, out: W) -> Self {
        Self { out, bundle: label.to_owned() }
    }
}

impl<W: Write + Send> Sink for Json<W> {
    fn take(&mut self, event: &Stamped) {
        let mut value = serde_json::to_value(event).expect("events are plain data");
        value["bundle"] = self.bundle.clone().into();
        let line = format!("{}\n", crate::text::json(&value.to_string()));
        let _ = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
    }
}

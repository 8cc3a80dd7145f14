//! Prints events as JSON, one object per line, like `events.jsonl`.
use std::io::Write;

use crate::log;
use crate::model::event::{Sink, Stamped};

/// Writes to `W`, flushing each line. Ignores a reader that has gone, so that the build continues.
pub struct Json<W> {
    out: W,
    /// Label in each event of parallel runs.
    bundle: Option<String>,
}

impl<W: Write + Send> Json<W> {
    pub fn new(out: W) -> Self {
        Self { out, bundle: None }
    }

    /// Adds `bundle` to every event.
    pub fn of(label: &str, out: W) -> Self {
        Self { out, bundle: Some(label.to_owned()) }
    }
}

impl<W: Write + Send> Sink for Json<W> {
    fn take(&mut self, event: &Stamped) {
        let line = match &self.bundle {
            None => log::json_line(event),
            Some(bundle) => {
                let mut value = serde_json::to_value(event).expect("events are plain data");
                value["bundle"] = bundle.clone().into();
                format!("{}\n", crate::text::json(&value.to_string()))
            }
        };
        let _ = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
    }
}

//! The events as they are, one JSON object per line: what `events.jsonl` holds, as it happens.
use std::io::Write;

use crate::event::{Sink, Stamped};
use crate::log;

/// Writes to `W`, flushed per line. A reader that went away does not stop the build.
pub struct Json<W> {
    out: W,
    /// Of runs side by side each event tells whose it is.
    bundle: Option<String>,
}

impl<W: Write + Send> Json<W> {
    pub fn new(out: W) -> Self {
        Self { out, bundle: None }
    }

    /// Every event has `bundle` in it.
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

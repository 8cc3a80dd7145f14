//! Lines on standard output and standard error, safe for a terminal.
use super::{Common, show};

/// A line on standard output, safe for a terminal. A reader that went away (`| head`) is not an
/// error; one that does not read is waited for until a signal comes.
pub fn out(text: &str) {
    let text = crate::text::block(text.trim_end_matches('\n'));
    show::patient::stdout(format!("{text}\n").as_bytes());
}

/// A text on standard output, safe for a terminal, with the line ends that it has and no more.
pub fn out_as_is(text: &str) {
    show::patient::stdout(crate::text::block(text).as_bytes());
}

/// A line on standard error, safe for a terminal. A reader that does not read is not waited for.
pub fn err(text: &str) {
    let text = crate::text::block(text.trim_end_matches('\n'));
    show::patient::stderr(format!("{text}\n").as_bytes());
}

/// The document of `--json`: `value`, indented. After events on standard output, one line more that
/// is like theirs: `{"event": "summary", "builds": …}`, with this event and this key.
pub fn document(common: &Common, (event, key): (&str, &str), value: &serde_json::Value) {
    out(&match common.progress {
        show::Progress::Json => {
            let at = jiff::Timestamp::now();
            serde_json::json!({ "at": at, "event": event, key: value }).to_string()
        }
        _ => serde_json::to_string_pretty(value).expect("a value is plain data"),
    });
}

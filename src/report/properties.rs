//! `image.properties`: KEY=value lines for Jenkins' EnvInject plugin, which reads them as Java
//! properties.
use std::fmt::Write;

use super::record::Record;
use crate::text;

/// Properties of a build. A failed one has no `IMAGE_ID`, so that downstream jobs cannot mistake an
/// older image for its result. One whose image is published, and not with all that belongs to it,
/// is `incomplete`.
pub fn text(record: &Record) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: &str| {
        writeln!(out, "{key}={}", escaped(value)).expect("a String takes everything")
    };
    line("RESULT", record.by_success("success"));
    line("OUTCOME", &record.outcome);
    if let Some(code) = record.exit_code {
        line("EXIT_CODE", &code.to_string());
    }
    if let Some(error) = &record.error {
        line("ERROR", &text::first_line(error));
    }
    if let Some(image) = &record.image {
        line("IMAGE_ID", &image.id);
        line("IMAGE_NAME", &image.name);
        line("IMAGE_CHECKSUM", &image.checksum);
        line("IMAGE_SIZE", &image.size.to_string());
    }
    line("IMAGE_FAMILY", &record.family);
    if let Some(base) = &record.base {
        line("BASE_ID", &base.id);
        line("BASE_NAME", &base.name);
    }
    line("BUNDLE", &record.bundle);
    line("CLOUD", &record.cloud);
    line("RUN_ID", &record.run);
    line("GIT_COMMIT", record.commit.as_deref().unwrap_or_default());
    line("BUILD_SECONDS", &format!("{:.0}", record.seconds));
    out
}

/// Escapes a value for Java properties: one line of ASCII. Also escapes `$`, since EnvInject
/// expands `$NAME` first, and blanks at the ends, which would be trimmed.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' ' if at == 0 || at == last => out.push_str("\\u0020"),
            ' '..='~' if c != '$' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a String takes everything");
                }
            }
        }
    }
    out
}

//! Errors and warnings about an input, with locations: the one format for reports about bundles.
use std::fmt;
use std::path::PathBuf;

use crate::text;

/// A position in a file. `line` and `column` count from 1, columns in characters. Line 0 means the
/// whole file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Location {
    /// As a user would type it: relative to the factory tree if the file is inside.
    #[serde(serialize_with = "crate::text::lossy_path")]
    pub file: PathBuf,
    pub line: usize,
    pub column: usize,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One finding. Displays as `file:line:column: error: message`, with the hint on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Diagnostic {
    pub severity: Severity,
    pub place: Option<Location>,
    pub message: String,
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn error(place: impl Into<Option<Location>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place: place.into(), message: message.into(), hint: None }
    }

    pub fn warning(place: impl Into<Option<Location>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Maximum number of names in a hint.
const FEW: usize = 20;

/// Lists the available names in words; also works for none.
pub fn there_are<S: AsRef<str>>(names: &[S]) -> String {
    if names.is_empty() {
        "there is none".into()
    } else {
        format!("there are: {}", few(names, FEW))
    }
}

/// The first `most` names, and the number of the others.
pub fn few<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown = names.iter().take(most).map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", text::clipped(&self.file.to_string_lossy(), text::LINE))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        let word = if self.is_error() { "error" } else { "warning" };
        write!(f, "{word}: {}", text::clipped(&self.message, text::LINE))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n    hint: {}", text::clipped(hint, text::LINE))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_there_is_none() {
        assert_eq!(there_are::<&str>(&[]), "there is none");
        assert_eq!(there_are(&["a", "b"]), "there are: a, b");
        let many: Vec<String> = (0..23).map(|n| n.to_string()).collect();
        assert!(there_are(&many).ends_with(", 19 and 3 more"), "{}", there_are(&many));
    }

    #[test]
    fn a_finding_is_its_own_lines_and_no_others() {
        let place = Location { file: "a\u{1b}[2J\nb".into(), line: 1, column: 2 };
        let found =
            Diagnostic::error(place, "key `\u{1b}]0;x\u{7}k\u{202e}`\nb.yml: error: forged")
                .hint("a\nb");
        assert_eq!(
            found.to_string(),
            "a␊b:1:2: error: key `k\\u202e`␊b.yml: error: forged\n    hint: a␊b"
        );
        assert!(Diagnostic::error(None, "x".repeat(1 << 20)).to_string().len() < 3 * text::LINE);
    }
}

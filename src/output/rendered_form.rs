//! A rendered `*.yml` must be YAML and a `*.json` JSON: found out here, not by Heat.
use std::path::Path;

use serde::Deserialize;

/// What is wrong with a rendered text; `line` counts from 1 in that text, 0: not known.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    form: &'static str,
    line: usize,
    reason: String,
}

/// `None`: it is what its name says.
pub fn problem(path: &Path, text: &str) -> Option<Problem> {
    match path.extension()?.to_str()? {
        "yml" | "yaml" => serde_yaml::Deserializer::from_str(text)
            .find_map(|document| serde_yaml::Value::deserialize(document).err())
            .map(|e| Problem { form: "YAML", line: e.location().map_or(0, |l| l.line()), reason: e.to_string() }),
        "json" => serde_json::from_str::<serde::de::IgnoredAny>(text).err().map(|e| Problem {
            form: "JSON",
            line: e.line(),
            reason: e.to_string(),
        }),
        _ => None,
    }
}

impl Problem {
    pub fn message(&self, text: &str) -> String {
        let shown = self.culprit(text).trim();
        // The parsers add the place in the rendered text, which nobody has before the build.
        let reason = self.reason.split(" at line ").next().unwrap_or_default();
        if shown.is_empty() {
            return format!("renders to something that is not {}: {reason}", self.form);
        }
        let short: String = shown.chars().take(80).collect();
        format!("renders to something that is not {}: {reason}, in line {} of the result: `{short}`", self.form, self.line)
    }

    pub fn hint(&self) -> String {
        format!("the file's name says {}; quote values that may hold `:` or `#`, and look at the indentation", self.form)
    }

    fn culprit<'a>(&self, text: &'a str) -> &'a str {
        text.lines().nth(self.line.wrapping_sub(1)).unwrap_or_default()
    }

    /// The template's line that made the bad one, when that can be told: the only one that agrees with it up to a tag.
    pub fn template_line(&self, text: &str, template: &str) -> Option<usize> {
        let bad = self.culprit(text);
        let agrees = |line: &str| {
            let fixed = line.split("{{").next().unwrap_or(line);
            !fixed.trim().is_empty()
                && !fixed.contains("{%")
                && if fixed.len() == line.len() { bad == line } else { bad.starts_with(fixed) }
        };
        let mut lines = template.lines().enumerate().filter(|(_, line)| agrees(line)).map(|(at, _)| at + 1);
        lines.next().filter(|_| lines.next().is_none())
    }
}

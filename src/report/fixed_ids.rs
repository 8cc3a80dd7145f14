//! Warns of image IDs that are hard-coded in a template: they never refer to the image just built.
use std::sync::LazyLock;

use regex::Regex;

static ID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
        .expect("it is a constant")
});

/// An ID, and its line in the rendered text.
#[derive(Debug, PartialEq, Eq)]
pub struct Fixed {
    id: String,
    pub line: usize,
}

/// The first ID that its context marks as an image's, unless `built`, the new image's ID, occurs
/// too.
pub fn of_images(text: &str, built: &str) -> Option<Fixed> {
    if text.contains(built) {
        return None;
    }
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().enumerate().find_map(|(at, line)| {
        let id = ID.find(line)?;
        let whole = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '-');
        let alone =
            whole(line[..id.start()].chars().next_back()) && whole(line[id.end()..].chars().next());
        let fixed = Fixed { id: id.as_str().to_owned(), line: at + 1 };
        (alone && (speaks_of_image(&line[..id.start()]) || under_image(&lines, at)))
            .then_some(fixed)
    })
}

fn speaks_of_image(text: &str) -> bool {
    let text = text.trim_start();
    let comment = text.starts_with('#') || text.starts_with("//");
    let text = text.to_ascii_lowercase();
    !comment && (text.contains("image") || text.contains("img"))
}

/// Whether a less indented line above is a key for an image, such as a parameter with that default.
fn under_image(lines: &[&str], at: usize) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut level = indent(lines[at]);
    if lines[at].trim_start().starts_with('#') {
        return false;
    }
    for line in lines[..at].iter().rev().filter(|line| !line.trim().is_empty()) {
        if indent(line) >= level {
            continue;
        }
        level = indent(line);
        let key = line.split(':').next().unwrap_or_default();
        if speaks_of_image(key) {
            return true;
        }
        if level == 0 {
            return false;
        }
    }
    false
}

impl Fixed {
    pub fn message(&self) -> String {
        format!("never uses the ID of the built image, and carries a fixed one: `{}`", self.id)
    }
}

//! Things of the cloud that a definition names, by ID or by name.
use crate::model::diagnostic::{Diagnostic, Location, there_are};
use crate::model::facts::Named;
use crate::text::suggest;

/// Resources of one kind that a field may name.
pub(super) struct Choices<'a> {
    /// The kind, for messages.
    pub what: &'a str,
    pub all: &'a [Named],
    /// Where the field is written.
    pub at: Option<Location>,
}

impl Choices<'_> {
    /// The one with this ID, or with this name.
    pub(super) fn one(&self, asked: &str, wrong: &mut Vec<Diagnostic>) -> Option<Named> {
        let Self { what, all, at } = self;
        if let Some(found) = all.iter().find(|n| n.id == asked) {
            return Some(found.clone());
        }
        let named: Vec<&Named> = all.iter().filter(|n| n.name == asked).collect();
        match named.as_slice() {
            [found] => return Some((*found).clone()),
            [] => wrong.push(missing(
                what,
                asked,
                &all.iter().map(|n| n.name.clone()).collect::<Vec<_>>(),
                at.clone(),
            )),
            several => {
                let ids: Vec<&str> = several.iter().map(|n| n.id.as_str()).collect();
                wrong.push(
                    Diagnostic::error(
                        at.clone(),
                        format!("{} {what}s are called `{asked}`", several.len()),
                    )
                    .hint(format!("name one by its ID: {}", ids.join(", "))),
                );
            }
        }
        None
    }
}

/// Names as near as a slip of the pen.
pub(super) fn missing(
    what: &str,
    asked: &str,
    names: &[String],
    at: Option<Location>,
) -> Diagnostic {
    let near: Vec<&str> =
        names.iter().filter(|n| suggest::is_near(n, asked)).map(String::as_str).collect();
    let hint = match (near.as_slice(), names) {
        ([], all) => there_are(all),
        (near, _) => format!("did you mean `{}`?", near.join("` or `")),
    };
    Diagnostic::error(at, format!("{what} `{asked}` does not exist")).hint(hint)
}

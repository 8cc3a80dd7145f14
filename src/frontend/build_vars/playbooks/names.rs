//! Names of variables that tasks set: letters, digits and `_`.
use super::handlers::Handling;
use super::{Scope, Walk, is_template, scalar};
use crate::frontend::build_vars::yaml::{Entry, Position};

/// Source: Python 3, `keyword.kwlist`. Since 2.19 Ansible takes those that are no values.
const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// Source: ansible-core, `isidentifier`.
fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !KEYWORDS.contains(&text)
}

impl Walk<'_> {
    pub(super) fn registers(&mut self, entry: &Entry, scope: &Scope) {
        self.expressions(&entry.value, scope);
        if let Some(name) = scalar(&entry.value).filter(|name| !name.is_empty()) {
            self.sets("register", name, entry.value.spot, scope);
        }
    }

    /// `what`: `register`, `set_fact`. What is worked out at the run is passed over.
    pub(super) fn sets(&mut self, what: &str, name: &str, spot: Position, scope: &Scope) {
        // A name in `set_fact` may be worked out; one to register is not.
        if is_name(name) || is_template(name) && what != "register" {
            return;
        }
        let message = format!("`{what}` sets a variable, and `{name}` is no name of one");
        let near: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let near = if near.starts_with(|c: char| c.is_ascii_digit()) || KEYWORDS.contains(&&*near) {
            format!("_{near}")
        } else {
            near
        };
        let hint = match is_name(&near) {
            _ if is_template(name) => {
                "a name that is written out: this one is not worked out".into()
            }
            true => format!("letters, digits and `_`, and no word of Python's: `{near}`"),
            false => "letters, digits and `_`, and no word of Python's".into(),
        };
        let taken = KEYWORDS.contains(&name) && !["False", "None", "True"].contains(&name);
        // Since 2.19 Ansible looks at what is registered when it reads the task, before it even
        // where the task is skipped.
        let soft = match what {
            "register" => scope.dynamic || scope.handlers != Handling::No,
            _ => scope.may_not_run(),
        };
        match soft || taken {
            true => self.warn(&scope.file, spot, message, hint),
            false => self.error(&scope.file, spot, message, hint),
        }
    }
}

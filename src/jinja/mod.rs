//! Jinja as ansible-core renders it: its syntax, Python's values, and the filters and tests of
//! both.
//!
//! ```text
//! text ─ source ─▶ Source ─ lex ─▶ tokens ─ parse ─▶ ast ─ run, eval ─▶ text, or findings
//! ```
//!
//! The reference is the newest ansible-core of the corpus in `test-tools/render-corpus`. Whatever
//! would differ from it is refused, with a reason.
mod args;
mod ast;
mod attributes;
mod calls;
mod chars;
mod codec;
mod collections;
mod error;
mod eval;
mod filters;
mod format;
mod globals;
mod iterate;
mod known;
mod lex;
mod markup;
mod number_format;
mod numbers;
mod operators;
mod out;
mod parse;
mod parse_expr;
mod percent;
mod run;
mod scope;
mod show;
mod sorting;
mod source;
mod tests_of;
mod text_methods;
mod time;
mod unset;
mod value;
mod variables;
mod versions;

use std::rc::Rc;

pub use error::{Error, Kind};
pub use filters::NAMES as FILTERS;
pub use known::Use;
pub use run::EXPANDED;
pub use source::{Source, Syntax, prepare};
pub use tests_of::NAMES as TESTS;
pub use variables::Variables;

/// The rendered text, or all errors.
pub type Outcome = Result<String, Vec<Error>>;

/// A name used in a template, and its byte offset.
#[derive(Debug)]
pub struct Name {
    pub what: Use,
    pub name: Rc<str>,
    pub at: usize,
    /// In a branch that may never be reached.
    pub soft: bool,
}

/// Names used in a template, if it parses. Renders nothing.
pub fn names(text: &str, syntax: &Syntax) -> Result<Vec<Name>, Rc<Error>> {
    let body = parse::bare(&"".into(), text, syntax)?;
    let mut names = Vec::new();
    known::each(&body, &mut |what, name, at, soft| {
        names.push(Name { what, name: name.clone(), at, soft });
        Ok(())
    })?;
    Ok(names)
}

/// A template to render.
pub struct Template<'a> {
    /// Name in findings.
    pub name: &'a str,
    pub source: &'a Source,
    /// Maximum size of the rendered text, in bytes.
    pub limit: usize,
}

/// Renders a template; `load` supplies included templates.
pub fn render(template: &Template<'_>, variables: &Variables, load: &run::Load<'_>) -> Outcome {
    let run = run::Run::new(variables.dict(), load);
    let source = template.source;
    let text = if source.is_template() {
        run.template(template.name, source, template.limit)
    } else {
        source.written.clone()
    };
    if text.starts_with("$ANSIBLE_VAULT") {
        run.found(Error::refused(
            "what starts with `$ANSIBLE_VAULT` is decrypted by Ansible, not written",
        ));
    }
    let findings = run.findings.take();
    if findings.is_empty() {
        Ok(text)
    } else {
        Err(findings.iter().map(|why| (**why).clone()).collect())
    }
}

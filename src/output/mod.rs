//! What a build leaves for people and machines: rendered templates, JUnit, properties, manifest, report page.
//! All of it follows from (bundle, plan, events, image); only `write` touches the disk.
pub mod filters;
mod hints;
pub mod jinja;
mod names;
mod rendered_form;
pub mod templates;

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        write!(out, "{b:02x}").expect("a String takes everything");
        out
    })
}

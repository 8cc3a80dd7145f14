//! Outputs of a build: rendered templates, JUnit, properties, manifest, report page. All are
//! functions of (bundle, plan, events, image), and the chart one of earlier runs. Only [`write`]
//! writes to the disk, and [`past`] reads it.
pub mod compare;
mod critical_path;
mod fixed_ids;
mod hints;
mod history;
pub mod junit;
pub mod manifest;
pub mod properties;
pub mod record;
mod rendered_form;
mod renderer;
pub mod page;
mod past;
pub mod templates;
#[cfg(test)]
mod tests;
mod write;

pub use manifest::shown;
pub use renderer::{Renderer, serve};
pub use templates::{Rendered, output_of};
pub use write::{Built, OutputError, Outputs, PROPERTIES, Unplanned, put, show_logs, withdraw};

/// Path of a template's output among the latest.
pub fn output_path(template: &std::path::Path) -> std::path::PathBuf {
    std::path::Path::new(write::OUTPUT).join(output_of(template))
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        write!(out, "{b:02x}").expect("a String takes everything");
        out
    })
}

//! Formats of disk images.
use serde::{Deserialize, Serialize};

/// Supported formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Qcow2,
    /// A raw disk, as a machine sees it.
    Raw,
}

impl Format {
    pub const NAMES: [&str; 2] = ["qcow2", "raw"];

    /// Name in `qemu-img` and Glance.
    pub fn name(self) -> &'static str {
        match self {
            Format::Qcow2 => "qcow2",
            Format::Raw => "raw",
        }
    }
}

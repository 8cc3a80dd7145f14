//! The kind of a definition: a bundle, or an operating system.

/// `images/*` or `os/*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Image,
    Os,
}

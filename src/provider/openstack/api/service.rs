//! The services that we speak to, and what the catalog calls them.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Compute,
    Image,
    Network,
    Volume,
    Orchestration,
}

impl Service {
    pub const ALL: [Self; 5] =
        [Self::Compute, Self::Image, Self::Network, Self::Volume, Self::Orchestration];

    /// Catalog types, the official one first.
    pub fn types(self) -> &'static [&'static str] {
        match self {
            Service::Compute => &["compute"],
            Service::Image => &["image"],
            Service::Network => &["network"],
            Service::Volume => &["block-storage", "volumev3"],
            Service::Orchestration => &["orchestration"],
        }
    }
}

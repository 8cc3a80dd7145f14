//! Where a file comes from, and what its checksum is compared with.
use std::path::Path;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::source_uri::SourceUri;

/// A file to fetch, and the source of its checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    pub from: SourceUri,
    /// Checksum of the file as served, before unpacking.
    pub sum: Option<ChecksumSource>,
}

impl Download {
    /// URLs that are requested, in this order.
    pub fn urls(&self) -> Vec<Url> {
        let list = match &self.sum {
            Some(ChecksumSource::List(place)) => Some(place),
            _ => None,
        };
        let named = list.into_iter().chain([&self.from]);
        named
            .filter_map(
                |place| if let SourceUri::Url(url) = place { Url::parse(url).ok() } else { None },
            )
            .collect()
    }

    /// Local files that are read.
    pub fn files(&self) -> Vec<&Path> {
        let list = match &self.sum {
            Some(ChecksumSource::List(place)) => Some(place),
            _ => None,
        };
        let named = [Some(&self.from), list].into_iter().flatten();
        named
            .filter_map(
                |place| if let SourceUri::File(path) = place { Some(path.as_path()) } else { None },
            )
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumSource {
    Given(Digest),
    /// A publisher's list. The file is looked up by the last part of its URL.
    List(SourceUri),
}

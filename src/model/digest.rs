//! Checksums, in the algorithms of image publishers and of Glance.
use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Length of a digest in hexadecimal digits.
    pub fn digits(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

/// A checksum with its algorithm. Displays as `sha256:3a52…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    pub algorithm: Algorithm,
    /// Lower case, of [`Algorithm::digits`] characters.
    pub hex: String,
}

impl Digest {
    /// `None` if `text` is not a digest of that algorithm.
    pub fn parse(algorithm: Algorithm, text: &str) -> Option<Self> {
        let sound = text.len() == algorithm.digits() && text.bytes().all(|b| b.is_ascii_hexdigit());
        sound.then(|| Self { algorithm, hex: text.to_ascii_lowercase() })
    }

    /// Detects the algorithm by the length.
    pub fn of_hex(text: &str) -> Option<Self> {
        [Algorithm::Sha256, Algorithm::Sha512].into_iter().find_map(|a| Self::parse(a, text))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

//! Computes checksums of files.
use crate::model::digest::{Algorithm, Digest};

/// Computes a digest over successive chunks.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: ring::digest::Context,
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        let of = match algorithm {
            Algorithm::Sha256 => &ring::digest::SHA256,
            Algorithm::Sha512 => &ring::digest::SHA512,
        };
        Self { algorithm, context: ring::digest::Context::new(of) }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub fn finish(self) -> Digest {
        let hex = self.context.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect();
        Digest { algorithm: self.algorithm, hex }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of FIPS 180-2.
    #[test]
    fn the_examples_of_the_standard() {
        let of = |algorithm| {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"a");
            hasher.update(b"bc");
            hasher.finish()
        };
        assert_eq!(
            of(Algorithm::Sha256).to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(
            of(Algorithm::Sha512).hex.starts_with("ddaf35a193617abacc417349ae204131")
                && of(Algorithm::Sha512).hex.len() == 128
        );
    }

    #[test]
    fn what_is_no_digest_is_none() {
        let good = "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_hex(good).unwrap().hex, good.to_lowercase());
        for bad in [&good[1..], &format!("{good}0"), &good.replace('b', "g"), ""] {
            assert_eq!(Digest::of_hex(bad), None, "{bad}");
        }
        assert_eq!(Digest::parse(Algorithm::Sha512, good), None);
    }
}

//! "Did you mean": how near names are to each other.

/// Above this, a name may be a slip of the pen for another.
const NEAR: f64 = 0.85;

/// Similarity of two names, from 0 to 1.
pub fn similarity(one: &str, other: &str) -> f64 {
    strsim::jaro_winkler(one, other)
}

/// Whether `asked` may be a slip of the pen for `name`.
pub fn is_near(name: &str, asked: &str) -> bool {
    similarity(name, asked) > NEAR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_near() {
        assert!(is_near("debian-12", "debian-21") && is_near("private", "privat"));
        assert!(!is_near("private", "public-net"));
    }
}

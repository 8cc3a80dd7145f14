//! Parses durations and sizes: `1h30m`, `512M`, `10G`.
use std::time::Duration;

/// `90s`, `10m`, `1h30m`, `1d`, or whole seconds. `None` for anything else, including zero.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut number = String::new();
    let mut smallest = u64::MAX;
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            'd' => 24 * 3600,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        // `30m1h` and `1m1m` are more likely slips than wishes.
        if unit >= smallest {
            return None;
        }
        smallest = unit;
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    if !number.is_empty() {
        if smallest != u64::MAX {
            return None;
        }
        seconds = number.parse().ok()?;
    }
    // An `Instant` plus this must not overflow; no build waits for years.
    (1..=100_000_000).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// A size in MiB, as definitions write it.
pub fn size_in_mib(text: &str) -> Option<u64> {
    size_in(1, text)
}

/// A size in MiB: `512M`, `1G`, `2T` (also `MiB`, `MB`...; all are powers of 1024), or a bare
/// number of `unit` MiB. `None` for zero, and for sizes that are not whole `unit`s.
pub(super) fn size_in(unit: u64, text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let suffix = suffix.trim_start().trim_end_matches("iB").trim_end_matches('B');
    let mib = match suffix {
        "" if digits == text.len() => unit,
        "M" | "m" => 1,
        "G" | "g" => 1024,
        "T" | "t" => 1024 * 1024,
        _ => return None,
    };
    let total = number.parse::<u64>().ok()?.checked_mul(mib)?;
    (total > 0 && total % unit == 0).then_some(total / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5400),
            ("45", 45),
            ("1h1m1s", 3661),
            ("1d", 86_400),
        ];
        for (text, seconds) in cases {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0",
            "0s",
            "m",
            "10 m",
            "-5",
            "1.5h",
            "1:30",
            "30m1h",
            "1m1m",
            "1h30",
            "5w",
            "99999999999999999999",
            "9999999999",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, mib) in [
            ("512", 512),
            ("512M", 512),
            ("1G", 1024),
            ("1 GiB", 1024),
            ("2GB", 2048),
            ("1T", 1_048_576),
        ] {
            assert_eq!(size_in(1, text), Some(mib), "{text}");
        }
        for (text, gib) in [("10", 10), ("10G", 10), ("2048M", 2), ("1T", 1024)] {
            assert_eq!(size_in(1024, text), Some(gib), "{text}");
        }
        for text in [
            "",
            "0",
            "0G",
            "G",
            "1.5G",
            "-1",
            "1K",
            "1 ",
            "99999999999999999999",
            "18446744073709551615T",
        ] {
            assert_eq!(size_in(1, text), None, "{text}");
        }
        assert_eq!(size_in(1024, "512M"), None, "not a whole GiB");
    }
}

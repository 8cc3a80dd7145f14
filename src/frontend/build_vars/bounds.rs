//! Plausibility limits of quantities: `ram: 2` means 2 MiB, but the author meant 2 GiB.
//!
//! BUNDLES.md lists all limits.

/// An implausible quantity.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beyond {
    /// The interpreted value and the limit.
    pub message: String,
    /// What was probably meant.
    pub hint: String,
}

/// Unit of a quantity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Mib,
    Gib,
    /// Seconds to wait. A bare number below [`BARE`] is implausible.
    Wait,
    Count,
}

/// Keys without list indices, with minimum and maximum.
const BOUNDS: &[(&str, Of, u64, u64)] = &[
    ("machine.cpus", Of::Count, 1, 255),
    ("machine.ram", Of::Mib, 64, 512 << 10),
    // An image is of 2 TiB at most.
    ("machine.disk", Of::Gib, 1, 2048),
    ("volume.size", Of::Gib, 1, 2048),
    ("tests.volume_size", Of::Gib, 1, 256),
    ("tests.timeout", Of::Wait, 1, 3 * DAY),
    ("timeouts.source", Of::Wait, 1, 3 * DAY),
    ("timeouts.boot", Of::Wait, 1, 3 * DAY),
    ("timeouts.ssh", Of::Wait, 1, 3 * DAY),
    ("timeouts.step", Of::Wait, 1, 3 * DAY),
    ("timeouts.capture", Of::Wait, 1, 3 * DAY),
    ("timeouts.upload", Of::Wait, 1, 3 * DAY),
    ("steps.timeout", Of::Wait, 1, 3 * DAY),
    // Nothing older than a week is used.
    ("steps.fresh", Of::Wait, 1, 7 * DAY),
    ("steps.retries", Of::Count, 0, 100),
    ("keep", Of::Count, 1, 10_000),
    ("warm", Of::Count, 0, 3),
    ("--min-disk", Of::Gib, 0, 2048),
    ("--min-ram", Of::Mib, 64, 512 << 10),
    // The owner's settings.
    ("limits.memory", Of::Mib, 64, u64::MAX),
    ("limits.memory_together", Of::Mib, 64, u64::MAX),
    ("limits.cpu", Of::Wait, 1, u64::MAX),
];
const DAY: u64 = 86_400;
/// Seconds, for a number without a unit.
const BARE: u64 = 10;

/// Checks `value`, in the key's own unit; `written` is its text in the file. Keys without limits
/// always pass.
pub(super) fn check(path: &str, value: u64, written: &str) -> Option<Beyond> {
    let key = without_numbers(path);
    let (_, of, least, most) = BOUNDS.iter().find(|(known, ..)| *known == key)?;
    let bare = written.bytes().all(|b| b.is_ascii_digit());
    let said = |value: u64| of.said(value);
    let why = match value {
        // Glance's word for "no matter".
        0 if key.starts_with("--") => return None,
        _ if value < *least => format!("at least {} can be meant", said(*least)),
        _ if value > *most => format!("at most {} can be meant", said(*most)),
        _ if *of == Of::Wait && bare && value < BARE => {
            "nothing that is waited for takes so little".to_owned()
        }
        _ => return None,
    };
    Some(Beyond {
        message: format!("`{path}` is {}, and {why}", said(value)),
        hint: of.meant(value, (*least, *most), bare),
    })
}

impl Of {
    fn said(self, value: u64) -> String {
        match self {
            Self::Mib if value > 0 && value.is_multiple_of(1024) => format!("{} GiB", value / 1024),
            Self::Mib => format!("{value} MiB"),
            Self::Gib => format!("{value} GiB"),
            Self::Wait if value == DAY => "1 day".to_owned(),
            Self::Wait if value > DAY && value.is_multiple_of(DAY) => {
                format!("{} days", value / DAY)
            }
            Self::Wait => format!("{value} s"),
            Self::Count => value.to_string(),
        }
    }

    /// The same number with another unit, if that is plausible. `bare` means that it was written
    /// without a unit. A written unit is kept unless it makes the value tiny.
    fn meant(self, value: u64, (least, most): (u64, u64), bare: bool) -> String {
        let fits = |value: u64| (least..=most).contains(&value);
        let smaller = |shifts: [u32; 2]| {
            shifts.into_iter().map(|shift| value >> shift).find(|value| fits(*value))
        };
        let found = match self {
            Self::Mib if value < least && fits(value * 1024) => Some(format!("{value}G")),
            _ if !bare && value > most => return format!("`{}` is the most", self.written(most)),
            _ if !bare => None,
            // KiB, or bytes.
            Self::Mib => smaller([10, 20]).map(|mib| format!("{mib}M")),
            // MiB, or bytes.
            Self::Gib => smaller([10, 30]).map(|gib| format!("{gib}G")),
            Self::Wait if (1..BARE).contains(&value) => {
                return format!("did you mean `{value}m`? `{value}s` says that seconds are meant");
            }
            // Milliseconds.
            Self::Wait => Some(value / 1000).filter(|s| fits(*s)).map(|s| format!("{s}s")),
            Self::Count => None,
        };
        found.map_or_else(|| self.like().to_owned(), |found| format!("did you mean `{found}`?"))
    }

    fn written(self, value: u64) -> String {
        match self {
            Self::Mib if value.is_multiple_of(1024) => format!("{}G", value / 1024),
            Self::Mib => format!("{value}M"),
            Self::Gib => format!("{value}G"),
            Self::Wait if value.is_multiple_of(3600) => format!("{}h", value / 3600),
            Self::Wait => format!("{value}s"),
            Self::Count => value.to_string(),
        }
    }

    fn like(self) -> &'static str {
        match self {
            Self::Mib => "like 2G or 512M; a number without a unit is MiB",
            Self::Gib => "like 10G; a number without a unit is GiB",
            Self::Wait => "like 90s, 10m or 1h30m; a number without a unit is seconds",
            Self::Count => "a number within the bounds",
        }
    }
}

/// `steps[3].timeout` becomes `steps.timeout`.
fn without_numbers(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|c| {
            inside = (inside || *c == '[') && *c != ']';
            !inside && *c != ']'
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, value: u64, written: &str) -> String {
        check(path, value, written)
            .map_or_else(String::new, |b| format!("{} | {}", b.message, b.hint))
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_what_may_be() {
        let cases = [
            (
                "machine.ram",
                2,
                "2",
                "`machine.ram` is 2 MiB, and at least 64 MiB can be meant | did you mean `2G`?",
            ),
            // The unit was taken for a slip: `1024M`, `4G`, `14400s`.
            (
                "machine.ram",
                1 << 20,
                "1T",
                "`machine.ram` is 1024 GiB, and at most 512 GiB can be meant | `512G` is the most",
            ),
            ("volume.size", 4096, "4T", "at most 2048 GiB can be meant | `2048G` is the most"),
            ("machine.disk", 4096, "4096G", "at most 2048 GiB can be meant | `2048G` is the most"),
            (
                "timeouts.boot",
                14_400_000,
                "4000h",
                "at most 3 days can be meant | `72h` is the most",
            ),
            (
                "steps[1].timeout",
                345_600,
                "96h",
                "`steps[1].timeout` is 4 days, and at most 3 days can be meant | `72h` is the most",
            ),
            (
                "machine.ram",
                4 << 20,
                "4194304",
                "at most 512 GiB can be meant | did you mean `4096M`?",
            ),
            ("machine.ram", 8, "8M", "at least 64 MiB can be meant | did you mean `8G`?"),
            (
                "timeouts.boot",
                0,
                "0",
                "`timeouts.boot` is 0 s, and at least 1 s can be meant | like 90s",
            ),
            (
                "machine.disk",
                10240,
                "10240",
                "`machine.disk` is 10240 GiB, and at most 2048 GiB can be meant | did you mean \
                    `10G`?",
            ),
            ("timeouts.boot", 5, "5", "did you mean `5m`? `5s` says"),
            (
                "steps[12].timeout",
                600_000,
                "600000",
                "`steps[12].timeout` is 600000 s, and at most 3 days can be meant | did you mean \
                    `600s`?",
            ),
            ("steps[1].retries", 300, "300", "at most 100 can be meant"),
            ("steps[0].fresh", 169 * 3600, "169h", "at most 7 days can be meant"),
            (
                "steps[1].timeout",
                5,
                "5",
                "`steps[1].timeout` is 5 s, and nothing that is waited for takes so little | did \
                    you mean `5m`?",
            ),
            ("tests.timeout", 5, "5", "did you mean `5m`?"),
            ("limits.cpu", 1, "1", "did you mean `1m`?"),
            ("machine.cpus", 2000, "2000", "at most 255 can be meant"),
            ("limits.memory", 4, "4", "did you mean `4G`?"),
        ];
        for (path, value, written, wanted) in cases {
            assert!(
                told(path, value, written).contains(wanted),
                "{path}: {}",
                told(path, value, written)
            );
        }
        let fine = [
            ("machine.ram", 64, "64M"),
            ("timeouts.boot", 5, "5s"),
            ("timeouts.boot", 10, "10"),
            ("steps[1].timeout", 5, "5s"),
            ("--min-ram", 0, "0"),
            ("limits.cpu", 3600, "1h"),
        ];
        for (path, value, written) in fine {
            assert_eq!(told(path, value, written), "", "{path}");
        }
    }
}

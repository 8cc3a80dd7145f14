//! Names that a run gives: its own ID, and that of its image.
use jiff::Timestamp;

use crate::model::definition::Definition;

/// Name of the image: `bundle_target_name`, or `<bundle.name>-YYYY-MM-DDHHMM` in UTC as the
/// ancestor had it.
pub fn image_name(bundle: &Definition, now: Timestamp) -> String {
    bundle
        .target_name
        .clone()
        .unwrap_or_else(|| format!("{}-{}", bundle.name, now.strftime("%Y-%m-%d%H%M")))
}

/// When a run began, to the second, by its ID.
pub fn began(run: &str) -> Option<Timestamp> {
    let time = run.get(..15)?;
    let at = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", time).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Whether `run` has the form of a [`run_id`].
pub fn is_run_id(run: &str) -> bool {
    let random = run.get(15..).and_then(|rest| rest.strip_prefix('-'));
    began(run).is_some()
        && random.is_some_and(|r| r.len() == 6 && r.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The [`run_id`] of a run that begins `now`, when run `latest` is there: a clock that was set back
/// puts no run before another.
pub fn run_id_after(latest: Option<&str>, now: Timestamp, random: u32) -> String {
    let id = run_id(now, random);
    let Some(latest) = latest.filter(|latest| is_run_id(latest) && **latest >= *id) else {
        return id;
    };
    // Runs that begin at once do not know of one another, and get different ones.
    let micros = u32::from_str_radix(&latest[16..21], 16).unwrap_or_default();
    let later = i64::from(micros) + 1 + i64::from(random >> 4 & 0xffff);
    let at =
        began(latest).and_then(|at| at.checked_add(jiff::SignedDuration::from_micros(later)).ok());
    at.map_or(id, |at| run_id(at, random))
}

/// The run's ID: time to the second, then six hexadecimal digits: the microsecond, and 4 random
/// bits. Sorted by ID, runs are sorted by their beginnings, those of one second as well.
pub fn run_id(now: Timestamp, random: u32) -> String {
    let micros = now.subsec_microsecond().unsigned_abs();
    format!("{}-{micros:05x}{:x}", now.strftime("%Y%m%d-%H%M%S"), random & 0xf)
}

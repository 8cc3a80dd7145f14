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

/// The run's ID: time to the second, then six hexadecimal digits: the microsecond, and 4 random
/// bits. Sorted by ID, runs are sorted by their beginnings, those of one second as well.
pub fn run_id(now: Timestamp, random: u32) -> String {
    let micros = now.subsec_microsecond().unsigned_abs();
    format!("{}-{micros:05x}{:x}", now.strftime("%Y%m%d-%H%M%S"), random & 0xf)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// "The latest run" is the last by its ID.
    #[test]
    fn runs_of_one_second_sort_by_their_beginnings() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let ids = [
            "2026-11-27T11:38:27.000009Z",
            "2026-11-27T11:38:27.700Z",
            "2026-11-27T11:38:27.999999Z",
            "2026-11-27T11:38:28Z",
        ];
        let ids: Vec<String> =
            ids.iter().zip([15, 9, 3, 0]).map(|(text, random)| run_id(at(text), random)).collect();
        assert_eq!(ids[0], "20261127-113827-00009f");
        assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 22), "{ids:?}");
    }

    /// A clock was set back, and "the latest run" was an old one.
    #[test]
    fn a_run_comes_after_all_that_are_there_whatever_the_clock_says() {
        let now: Timestamp = "2026-11-27T11:38:27.700Z".parse().unwrap();
        let mine = run_id(now, 5);
        let after = |latest: Option<&str>| run_id_after(latest, now, 5);
        for earlier in [None, Some("20261127-113827-000090"), Some("99991231-nonsense")] {
            assert_eq!(after(earlier), mine, "{earlier:?}");
        }
        for later in
            [&*mine, "20261127-113827-f423ff", "20271127-235959-f423ff", "29770101-000000-0"]
        {
            let later = format!("{later:0<22}");
            let id = after(Some(&later));
            assert!(is_run_id(&id) && *id > *later, "{id} after {later}");
            assert!(run_id_after(Some(&id), now, 5) > id);
        }
    }
}

//! Wording for people: durations, amounts, and the last line of a build.
pub use crate::text::{clean, first_line, shown};

use crate::model::event::Event;
use crate::model::outcome::Outcome;

/// A finished duration: `47.3 s`, `1m30s`, `1h02m`.
pub fn duration(seconds: f64) -> String {
    if seconds < 59.95 { format!("{seconds:.1} s") } else { whole(seconds.round() as u64) }
}

/// A running duration in whole seconds, so that the display stays steady: `12s`, `1m30s`, `1h02m`.
pub fn running(seconds: f64) -> String {
    whole(seconds as u64)
}

fn whole(s: u64) -> String {
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

/// `restored from a checkpoint, made 12m05s ago`: what a step or a machine is that was not made.
pub fn restored(age_seconds: u64) -> String {
    const DAY: u64 = 24 * 3600;
    let age = match age_seconds {
        0..DAY => whole(age_seconds),
        _ => format!("{}d{:02}h", age_seconds / DAY, age_seconds % DAY / 3600),
    };
    format!("restored from a checkpoint, made {age} ago")
}

/// Progress: `1.2 of 3.4 GiB`, `35 %`, `3 of 7 files`.
pub fn amount(done: u64, of: u64, unit: &str) -> String {
    match unit {
        "bytes" => {
            // Both in the unit of the whole: a number that changes its unit while it grows is hard
            // to read.
            let (name, size) = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
                .into_iter()
                .find(|(_, size)| of.max(done) >= *size)
                .unwrap_or(("B", 1));
            let part = |n: u64| n as f64 / size as f64;
            match (size, of) {
                (1, _) => format!("{done} of {of} B"),
                (_, 0) => format!("{:.1} {name}", part(done)),
                _ => format!("{:.1} of {:.1} {name}", part(done), part(of)),
            }
        }
        "percent" => format!("{} %", percent(done, of)),
        _ if of == 0 => format!("{done} {unit}"),
        _ => format!("{done} of {of} {unit}"),
    }
}

/// 0 to 100; 0 if the total is unknown.
pub fn percent(done: u64, of: u64) -> u64 {
    (u128::from(done.min(of)) * 100).checked_div(u128::from(of)).unwrap_or(0) as u64
}

/// `building image x-1 on local`; `building on local` while the image has no name.
pub fn begins(purpose: &str, image_name: &str, cloud: &str) -> String {
    let image = if image_name.is_empty() { String::new() } else { format!(" image {image_name}") };
    let cloud = if cloud.is_empty() { String::new() } else { format!(" on {cloud}") };
    format!("{purpose}{image}{cloud}")
}

/// Outcome of a run that opened its builder to a user and made no image.
pub const VISITED: &str = Outcome::Visited.name();

/// Outcome of a test that the image passed.
pub const TESTED: &str = Outcome::Tested.name();

/// Outcome of a test that could not run.
pub const UNTESTED: &str = Outcome::Untested.name();

/// The last line of a run, the same on the terminal, in a CI log and in the log file. `None` unless
/// the event is [`Event::Finished`].
pub fn final_line(event: &Event) -> Option<String> {
    let Event::Finished { outcome, seconds, image, error, leaks } = event else { return None };
    let took = duration(*seconds);
    let removed = if leaks.is_empty() { "the builder is removed, " } else { "" };
    let mut line = match (image, error) {
        (Some(image), None) if outcome == Outcome::Unchanged.name() => {
            format!("image {} ({}) is unchanged, compared in {took}", image.name, image.id)
        }
        (Some(image), None) => {
            format!("image {} ({}) is published, built in {took}", image.name, image.id)
        }
        (Some(image), Some(error)) => {
            format!(
                "image {} ({}) is published, but the build failed after {took}: {}",
                image.name,
                image.id,
                first_line(error)
            )
        }
        (None, Some(error)) if outcome == Outcome::Rejected.name() => {
            format!("the image is rejected after {took}: {}", first_line(error))
        }
        (None, Some(error)) if outcome == UNTESTED => {
            format!(
                "the test ended after {took} without a verdict, the image is as it was: {}",
                first_line(error)
            )
        }
        (None, Some(error)) if outcome == VISITED => {
            format!(
                "the visit ended after {took}; {removed}no image was made (a step had failed: {})",
                first_line(error)
            )
        }
        (None, None) if outcome == VISITED => {
            format!("the visit ended after {took}; {removed}no image was made")
        }
        (None, None) if outcome == TESTED => {
            format!("the image passed all its checks, tested in {took}")
        }
        (None, Some(error)) => {
            let verb = if ["stopped", "cancelled", "interrupted"].contains(&outcome.as_str()) {
                outcome
            } else {
                "failed"
            };
            let published = match outcome == Outcome::Unknown.name() {
                true => "and whether its image is published is not known",
                false => "nothing is published",
            };
            format!("build {verb} after {took}, {published}: {}", first_line(error))
        }
        (None, None) => format!("{outcome} in {took}, nothing is published"),
    };
    line.push_str(&left_behind(leaks.len()));
    Some(clean(&line))
}

fn left_behind(leaks: usize) -> String {
    match leaks {
        0 => String::new(),
        1 => "; 1 thing is left behind, `image-factory sweep` removes it".into(),
        n => format!("; {n} things are left behind, `image-factory sweep` removes them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::FinishedImage;

    fn finished(outcome: &str, image: bool, error: Option<&str>, leaks: &[&str]) -> String {
        let image = image
            .then(|| FinishedImage { id: "0193c0de".into(), name: "nginx-2026-11-202331".into() });
        let leaks = leaks.iter().map(|l| (*l).to_owned()).collect();
        final_line(&Event::Finished {
            outcome: outcome.into(),
            seconds: 372.2,
            image,
            error: error.map(Into::into),
            leaks,
        })
        .unwrap()
    }

    #[test]
    fn a_test_that_could_not_be_made_builds_and_loses_nothing() {
        assert_eq!(
            finished(UNTESTED, false, Some("no valid host was found"), &[]),
            "the test ended after 6m12s without a verdict, the image is as it was: no valid host \
                was found"
        );
    }

    #[test]
    fn the_last_line_names_image_and_id_or_the_cause() {
        assert_eq!(
            finished("built", true, None, &[]),
            "image nginx-2026-11-202331 (0193c0de) is published, built in 6m12s"
        );
        assert_eq!(
            finished("built", true, None, &["server x"]),
            "image nginx-2026-11-202331 (0193c0de) is published, built in 6m12s; 1 thing is left \
                behind, `image-factory sweep` removes it"
        );
        assert_eq!(
            finished("failed", false, Some("no valid host was found\nhint: smaller flavor"), &[]),
            "build failed after 6m12s, nothing is published: no valid host was found"
        );
        assert_eq!(
            finished("stopped", false, Some("interrupted"), &["a", "b"])
                .split("; ")
                .nth(1)
                .unwrap(),
            "2 things are left behind, `image-factory sweep` removes them"
        );
        assert_eq!(
            finished("failed", true, Some("output/x.j2:3: undefined"), &[]),
            "image nginx-2026-11-202331 (0193c0de) is published, but the build failed after 6m12s: \
                output/x.j2:3: undefined"
        );
    }

    /// Of an image that may be what everybody gets, nobody says that nothing is published.
    #[test]
    fn what_is_not_known_is_not_said() {
        let line = finished("unknown", false, Some("image x may be published: HTTP 502"), &["x"]);
        assert!(line.contains("whether its image is published is not known"), "{line}");
        assert!(!line.contains("nothing is published"), "{line}");
    }

    #[test]
    fn a_visit_is_no_failed_build() {
        assert_eq!(
            finished(VISITED, false, None, &[]),
            "the visit ended after 6m12s; the builder is removed, no image was made"
        );
        assert_eq!(
            finished(VISITED, false, Some("step 1, x: exit code 3"), &[]),
            "the visit ended after 6m12s; the builder is removed, no image was made (a step had \
                failed: step 1, x: exit code 3)"
        );
        let left = finished(VISITED, false, None, &["builder"]);
        assert!(left.contains("left behind") && !left.contains("removed, no image"), "{left}");
    }

    #[test]
    fn times_and_amounts() {
        assert_eq!(
            [0.04, 47.31, 59.96, 90.0, 3725.0].map(duration),
            ["0.0 s", "47.3 s", "1m00s", "1m30s", "1h02m"]
        );
        assert_eq!([0.9, 59.9, 90.0].map(running), ["0s", "59s", "1m30s"]);
        assert_eq!(restored(725), "restored from a checkpoint, made 12m05s ago");
        assert_eq!(restored(4 * 86_400 + 3600), "restored from a checkpoint, made 4d01h ago");
        assert_eq!(amount(1 << 30, 3 << 30, "bytes"), "1.0 of 3.0 GiB");
        assert_eq!(amount(1 << 20, 0, "bytes"), "1.0 MiB");
        assert_eq!(amount(35, 100, "percent"), "35 %");
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(5, 0), 0);
    }
}

//! The exit codes of runs: what a command that made them ends with, and what `image.properties` has
//! as `EXIT_CODE`. The only match that turns errors into codes.
use super::outcome::{RunError, RunOutcome};
use crate::engine::BuildError;
use crate::model::error_kind::ErrorKind;

pub const USAGE: u8 = 2;
pub const BUNDLE: u8 = 10;
pub const CLOUD: u8 = 20;
pub const PROVISION: u8 = 30;
pub const SMOKE: u8 = 40;
pub const BUILT_WITH_LEAKS: u8 = 50;
pub const FAILED_WITH_LEAKS: u8 = 60;
pub const INCOMPLETE: u8 = 70;
pub const STOPPED: u8 = 130;

/// From best to worst: built with leftovers, built in part, not built, not built with leftovers,
/// stopped.
const BY_BADNESS: [u8; 10] = [
    0,
    BUILT_WITH_LEAKS,
    INCOMPLETE,
    USAGE,
    BUNDLE,
    CLOUD,
    PROVISION,
    SMOKE,
    FAILED_WITH_LEAKS,
    STOPPED,
];

/// Exit code of several runs.
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    codes
        .into_iter()
        .max_by_key(|code| BY_BADNESS.iter().position(|c| c == code).unwrap_or(BY_BADNESS.len()))
        .unwrap_or(0)
}

/// Exit code of an error of a cloud or of this machine.
pub fn of_kind(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Cancelled => STOPPED,
        ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Quota
        | ErrorKind::Unauthorized
        | ErrorKind::Unavailable
        | ErrorKind::Unsupported
        | ErrorKind::InvalidInput
        | ErrorKind::Deadline
        | ErrorKind::Internal => CLOUD,
    }
}

impl RunOutcome {
    pub fn exit_code(&self) -> u8 {
        match (&self.result, self.leaks.is_empty()) {
            (Ok(_), true) => self.of_bases,
            (Ok(_), false) => worst([BUILT_WITH_LEAKS, self.of_bases]),
            (Err(e), _) if e.published().is_some() => INCOMPLETE,
            (Err(_), false) => FAILED_WITH_LEAKS,
            (Err(e), true) => e.exit_code(),
        }
    }
}

impl RunError {
    /// Exit code of a run with this error that left nothing behind.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bad(_) => BUNDLE,
            Self::Proxy(_) => USAGE,
            Self::Cloud(e) => of_kind(e.kind()),
            Self::Output { .. } => INCOMPLETE,
            Self::Refused(_) | Self::Io { .. } => CLOUD,
            Self::Build(e) if e.is_cancelled() => STOPPED,
            Self::Build(e) => match e {
                BuildError::Amiss { .. } => INCOMPLETE,
                BuildError::Unreadable { .. } => BUNDLE,
                BuildError::Cloud(_)
                | BuildError::Unsettled(_)
                | BuildError::NotReady { .. }
                | BuildError::MachineLost { .. }
                | BuildError::Io { .. }
                | BuildError::Wall(_)
                | BuildError::Space(_)
                | BuildError::Cancelled(_) => CLOUD,
                BuildError::Source { .. }
                | BuildError::Fetch(_)
                | BuildError::Step { .. }
                | BuildError::StepRemote { .. }
                | BuildError::BuilderLost { .. }
                | BuildError::Tidy(_) => PROVISION,
                BuildError::Smoke { .. } => SMOKE,
            },
            Self::Base { source, .. } => source.exit_code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::Outcome;

    #[test]
    fn of_several_runs_the_worst_counts() {
        assert_eq!(worst([]), 0);
        assert_eq!(worst([0, 50, 0]), 50);
        assert_eq!(
            worst([50, 10]),
            10,
            "one that was not built is worse than one that left something"
        );
        assert_eq!(worst([40, 30, 20]), 40);
        assert_eq!(worst([50, 70, 0]), 70);
        assert_eq!(worst([70, 10]), 10);
        assert_eq!(worst([40, 60]), 60);
        assert_eq!(worst([60, 130, 0]), 130);
    }

    /// It was "cannot write", and the fault of this machine.
    #[test]
    fn a_file_of_the_bundle_that_cannot_be_read_is_the_bundles_fault() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = BuildError::Unreadable { path: "images/x/tests/page".into(), source };
        assert!(error.to_string().starts_with("cannot read images/x/tests/page: "), "{error}");
        assert_eq!(RunError::Build(error).exit_code(), BUNDLE);
    }

    /// A machine of the checks that the cloud lost; a builder that a step took away.
    #[test]
    fn what_the_cloud_loses_is_its_fault_and_what_a_step_takes_away_is_the_steps() {
        let code = |error| RunError::Build(error).exit_code();
        let (machine, name) = ("factory-r1-smoke-a".to_owned(), "reboot".to_owned());
        let (reason, console) = (String::new(), Vec::new());
        let lost = BuildError::MachineLost { machine, reason, console };
        assert_eq!(code(lost), CLOUD);
        assert_eq!(code(BuildError::Step { index: 0, name, reason: String::new() }), PROVISION);
        let (reason, console) = (String::new(), Vec::new());
        assert_eq!(code(BuildError::BuilderLost { reason, console }), PROVISION);
    }

    #[test]
    fn every_end_has_the_documented_code() {
        use crate::model::image::Image;
        use crate::provider::ledger::{Entry, Kind, Leak};
        use crate::system::cancel::Cancelled;
        let ended = |result: Result<(), RunError>, leaks: usize| {
            let leak = || {
                let (kind, name) = (Kind::Machine, "x".into());
                let entry = Entry { seq: 1, kind, name, id: None, unanswered: None };
                Leak { entry, reason: "refused".into() }
            };
            RunOutcome {
                result: result.map(|()| None),
                outcome: Outcome::Failed,
                leaks: std::iter::repeat_with(leak).take(leaks).collect(),
                of_bases: 0,
                kept: None,
                dir: None,
                outputs: Vec::new(),
            }
            .exit_code()
        };
        let smoke = || RunError::Build(BuildError::Smoke { failed: Vec::new(), of: 1 });
        let stopped = || RunError::Build(BuildError::Cancelled(Cancelled));
        assert_eq!([ended(Ok(()), 0), ended(Ok(()), 1)], [0, 50]);
        assert_eq!([ended(Err(smoke()), 0), ended(Err(smoke()), 1)], [40, 60]);
        assert_eq!([ended(Err(stopped()), 0), ended(Err(stopped()), 1)], [130, 60]);
        let image = || Box::new(Image::of_test("i1", "x-1", "x"));
        let output = || RunError::Output { image: image(), why: String::new() };
        assert_eq!([ended(Err(output()), 0), ended(Err(output()), 1)], [70, 70]);
        let amiss = BuildError::Amiss { image: image(), reason: String::new() };
        assert_eq!(ended(Err(RunError::Build(amiss)), 0), 70);
        assert_eq!(ended(Err(RunError::Bad(Vec::new())), 0), 10);
        assert_eq!(ended(Err(RunError::Refused(Vec::new())), 0), 20);
    }
}

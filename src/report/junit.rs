//! `junit.xml`: one suite per bundle, one test case per stage, step and smoke check.
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::record::{OUTPUT_BYTES, Record, State, tail_of};
use crate::log::sentences;
use crate::model::event::Verdict;
use crate::text;

/// The XML text.
pub fn xml(record: &Record) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(text::clean(&record.bundle));
    for (key, value) in [
        ("run", record.run.as_str()),
        ("cloud", &record.cloud),
        ("image.name", &record.image_name),
        ("image.id", record.image.as_ref().map_or("", |i| &i.id)),
        ("outcome", &record.outcome),
    ] {
        suite.add_property((key, text::clean(value).as_str()));
    }
    // Jenkins uses the part before the last dot as the package.
    let class =
        |kind: &str| format!("{}.{kind}", text::clean(&record.bundle).replace(['/', '.'], "_"));
    for s in &record.stages {
        let output = if s.state == State::Failed { log(record) } else { String::new() };
        let result = CaseResult { state: s.state, message: s.error.as_deref(), output: &output };
        suite.add_test_case(case(&class("stage"), s.name, s.seconds, &result));
    }
    for (at, s) in record.steps.iter().enumerate() {
        let name = format!("{:02} {}", at + 1, s.name);
        let restored = s.restored.map(sentences::restored);
        let message = match s.state {
            State::Skipped => Some("not reached"),
            State::Restored => restored.as_deref(),
            _ => s.error.as_deref(),
        };
        let result = CaseResult { state: s.state, message, output: &s.output };
        suite.add_test_case(case(&class("step"), &name, s.seconds, &result));
    }
    for c in &record.checks {
        let state = match c.verdict {
            Verdict::Passed => State::Passed,
            Verdict::Failed => State::Failed,
            Verdict::Skipped => State::Skipped,
        };
        let message = (state != State::Passed).then_some(c.reason.as_str());
        let result = CaseResult { state, message, output: &c.output };
        suite.add_test_case(case(&class("smoke"), &c.id, c.seconds, &result));
    }
    suite.set_time(duration(record.seconds));
    let mut report = Report::new("image-factory");
    report.set_time(duration(record.seconds)).add_test_suite(suite);
    report.to_string()
}

struct CaseResult<'a> {
    state: State,
    message: Option<&'a str>,
    output: &'a str,
}

fn case(class: &str, name: &str, seconds: f64, result: &CaseResult<'_>) -> TestCase {
    let output = text::block(tail_of(result.output, OUTPUT_BYTES));
    let mut status = match result.state {
        State::Passed | State::Running => TestCaseStatus::success(),
        State::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        State::Restored | State::Skipped => TestCaseStatus::skipped(),
    };
    if let Some(message) = result.message {
        // An attribute shows badly with line ends in it; the whole text goes into the element.
        status.set_message(text::first_line(message));
        if result.state == State::Failed {
            status.set_description(text::block(tail_of(message, OUTPUT_BYTES)));
        }
    }
    let mut case = TestCase::new(text::clean(name), status);
    case.set_classname(class).set_time(duration(seconds));
    if !output.is_empty() {
        case.set_system_out(output);
    }
    case
}

fn log(record: &Record) -> String {
    record.log_tail.iter().map(|l| format!("{}: {}\n", l.source, l.line)).collect()
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

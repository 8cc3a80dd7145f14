//! `junit.xml`: one suite per bundle, one test case per stage, step and smoke check.
use std::borrow::Cow;
use std::time::Duration;

use super::record::{OUTPUT_BYTES, Record, State, tail_of};
use crate::event::Verdict;
use crate::text;

/// The XML text.
pub fn xml(record: &Record) -> String {
    let cases = cases(record);
    let count = |state| cases.iter().filter(|case| case.state == state).count();
    let (all, skipped, failed) = (cases.len(), count(State::Skipped), count(State::Failed));
    let time = time(record.seconds);
    let suite = escaped(&text::clean(&record.bundle));
    let mut lines = vec![
        r#"<?xml version="1.0" encoding="UTF-8"?>"#.to_owned(),
        format!(
            "<testsuites name=\"image-factory\" tests=\"{all}\" skipped=\"{skipped}\" \
                failures=\"{failed}\" errors=\"0\" time=\"{time}\">"
        ),
        format!(
            "    <testsuite name=\"{suite}\" tests=\"{all}\" skipped=\"{skipped}\" errors=\"0\" \
                failures=\"{failed}\" time=\"{time}\">"
        ),
        "        <properties>".to_owned(),
    ];
    for (key, value) in [
        ("run", record.run.as_str()),
        ("cloud", &record.cloud),
        ("image.name", &record.image_name),
        ("image.id", record.image.as_ref().map_or("", |i| &i.id)),
        ("outcome", &record.outcome),
    ] {
        let value = escaped(&text::clean(value));
        lines.push(format!(r#"            <property name="{key}" value="{value}"/>"#));
    }
    lines.push("        </properties>".to_owned());
    lines.extend(cases.iter().map(Case::xml));
    lines.extend(["    </testsuite>", "</testsuites>", ""].map(str::to_owned));
    lines.join("\n")
}

struct Case<'a> {
    class: String,
    name: String,
    seconds: f64,
    state: State,
    message: Option<&'a str>,
    output: Cow<'a, str>,
}

fn cases(record: &Record) -> Vec<Case<'_>> {
    // Jenkins uses the part before the last dot as the package.
    let class =
        |kind: &str| format!("{}.{kind}", text::clean(&record.bundle).replace(['/', '.'], "_"));
    let mut cases = Vec::new();
    for s in &record.stages {
        cases.push(Case {
            class: class("stage"),
            name: s.name.to_owned(),
            seconds: s.seconds,
            state: s.state,
            message: s.error.as_deref(),
            output: if s.state == State::Failed { log(record).into() } else { "".into() },
        });
    }
    for (at, s) in record.steps.iter().enumerate() {
        cases.push(Case {
            class: class("step"),
            name: format!("{:02} {}", at + 1, s.name),
            seconds: s.seconds,
            state: s.state,
            message: if s.state == State::Skipped {
                Some("not reached")
            } else {
                s.error.as_deref()
            },
            output: s.output.as_str().into(),
        });
    }
    for c in &record.checks {
        let state = match c.verdict {
            Verdict::Passed => State::Passed,
            Verdict::Failed => State::Failed,
            Verdict::Skipped => State::Skipped,
        };
        cases.push(Case {
            class: class("smoke"),
            name: c.id.clone(),
            seconds: c.seconds,
            state,
            message: (state != State::Passed).then_some(c.reason.as_str()),
            output: c.output.as_str().into(),
        });
    }
    cases
}

impl Case<'_> {
    fn xml(&self) -> String {
        let status = self.status();
        let output = text::block(tail_of(&self.output, OUTPUT_BYTES));
        let head = format!(
            r#"        <testcase name="{}" classname="{}" time="{}""#,
            escaped(&text::clean(&self.name)),
            escaped(&self.class),
            time(self.seconds)
        );
        let mut inner = String::new();
        if let Some(status) = status {
            inner += &format!("\n            {status}");
        }
        if !output.is_empty() {
            inner += &format!("\n            <system-out>{}</system-out>", escaped(&output));
        }
        match inner.as_str() {
            "" => format!("{head}/>"),
            inner => format!("{head}>{inner}\n        </testcase>"),
        }
    }

    fn status(&self) -> Option<String> {
        let element = match self.state {
            State::Passed | State::Running => return None,
            State::Failed => "failure",
            State::Skipped => "skipped",
        };
        let Some(message) = self.message else {
            return Some(format!("<{element}/>"));
        };
        // An attribute shows badly with line ends in it; the whole text goes into the element.
        let line = escaped(&text::first_line(message));
        Some(match self.state {
            State::Failed => {
                let whole = escaped(&text::block(tail_of(message, OUTPUT_BYTES)));
                format!(r#"<{element} message="{line}">{whole}</{element}>"#)
            }
            _ => format!(r#"<{element} message="{line}"/>"#),
        })
    }
}

fn log(record: &Record) -> String {
    record.log_tail.iter().map(|l| format!("{}: {}\n", l.source, l.line)).collect()
}

/// Seconds, as JUnit has them.
fn time(seconds: f64) -> String {
    format!("{:.3}", Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs_f64())
}

/// XML text, for elements and attributes. [`text`] has replaced what XML cannot hold.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("    "),
            c => out.push(c),
        }
    }
    out
}

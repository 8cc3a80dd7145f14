//! `report.html`: a self-contained page. Escapes everything from the build, because log lines may
//! be hostile.
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::record::Record;
use crate::model::event::Tally;

const PAGE: &str = include_str!("../../templates/report.html.j2");

static ENV: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("the delimiters are Jinja's own");
    env.set_syntax(syntax);
    env.add_filter("duration", duration);
    env.add_filter("clock", clock);
    env.add_filter("bytes", bytes);
    env.add_filter("plain", plain);
    env.add_template("report.html", PAGE).expect("the page is part of the program");
    env
});

/// Page data besides the record.
#[derive(Serialize)]
struct Page<'a> {
    r: &'a Record,
    ok: bool,
    /// Left edge and width of each stage's bar, in percent.
    bars: Vec<(f64, f64, f64)>,
    failed_stage: Option<&'a str>,
    tally: Tally,
    version: &'a str,
}

/// The page as HTML.
pub fn html(record: &Record) -> String {
    let total = record.seconds.max(0.001);
    let share = |seconds: f64| (100.0 * seconds / total).clamp(0.0, 100.0);
    let bar = |s: &super::record::StageRecord| {
        let left = share(s.offset).min(99.6);
        // A stage of no time is still a mark one can see.
        (left, share(s.seconds).max(0.4).min(100.0 - left), share(s.seconds))
    };
    let page = Page {
        r: record,
        ok: record.is_success(),
        bars: record.stages.iter().map(bar).collect(),
        failed_stage: record.stages.iter().find(|s| s.error.is_some()).map(|s| s.name),
        tally: record.checks.iter().collect(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let template = ENV.get_template("report.html").expect("it was added");
    template
        .render(Value::from(Serde(&page)))
        .expect("the page asks for nothing that a record lacks")
}

/// `0.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min`
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `03:05` after the start.
fn clock(seconds: f64) -> String {
    let whole = seconds as u64;
    if whole < 3600 {
        format!("{:02}:{:02}", whole / 60, whole % 60)
    } else {
        format!("{}:{:02}:{:02}", whole / 3600, whole % 3600 / 60, whole % 60)
    }
}

fn bytes(n: u64) -> String {
    match n {
        0..0x10_0000 => format!("{} KiB", n.div_ceil(1024)),
        0x10_0000..0x4000_0000 => format!("{:.0} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", n as f64 / 1_073_741_824.0),
    }
}

/// Sanitises lines: a log line could erase earlier ones or imitate others.
fn plain(text: &str) -> String {
    crate::text::block(text)
}

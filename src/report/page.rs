//! `report.html`: a self-contained page. Escapes everything from the build, because log lines may
//! be hostile.
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::critical_path::Kind;
use super::history::{Build, History};
use super::record::Record;
use crate::log::sentences;
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
    env.add_filter("colour", colour);
    env.add_filter("restored", sentences::restored);
    env.add_template("report.html", PAGE).expect("the page is part of the program");
    env
});

/// Page data besides the record.
#[derive(Serialize)]
struct Page<'a> {
    r: &'a Record,
    ok: bool,
    bars: Vec<Bar>,
    /// Of the links of the critical path.
    path: Vec<Bar>,
    /// Seconds that no stage on the path has.
    path_rest: f64,
    restored_machine: Option<u64>,
    restored_steps: usize,
    history: &'a History,
    /// Of each build in the history.
    chart: Vec<Stack>,
    failed_stage: Option<&'a str>,
    tally: Tally,
    version: &'a str,
}

/// Left edge, width and true share of a bar, in percent.
type Bar = (f64, f64, f64);
/// Left edge and width of each stage of a build, in percent of the longest.
type Stack = Vec<(f64, f64)>;

/// The bar of what began and took so many seconds, of so many in all.
fn bar(offset: f64, seconds: f64, total: f64) -> Bar {
    let share = |seconds: f64| (100.0 * seconds / total.max(0.001)).clamp(0.0, 100.0);
    let left = share(offset).min(99.6);
    // What took no time is still a mark one can see.
    (left, share(seconds).max(0.4).min(100.0 - left), share(seconds))
}

/// The stages of each build one after the other.
fn chart(builds: &[Build]) -> Vec<Stack> {
    let sum = |build: &Build| build.stages.iter().map(|stage| stage.seconds).sum::<f64>();
    let longest = builds.iter().map(|build| sum(build).max(build.seconds)).fold(0.001, f64::max);
    let stack = |build: &Build| {
        let mut end = 0.0;
        let stage = |stage: &super::history::Part| {
            let left = 100.0 * end / longest;
            end += stage.seconds;
            (left, 100.0 * stage.seconds / longest)
        };
        build.stages.iter().map(stage).collect()
    };
    builds.iter().map(stack).collect()
}

/// The page as HTML.
pub fn html(record: &Record, history: &History) -> String {
    let total = record.seconds;
    let path = &record.critical_path;
    let on_path = path.iter().filter(|link| link.kind == Kind::Stage).map(|link| link.seconds);
    let page = Page {
        r: record,
        ok: record.is_success(),
        bars: record.stages.iter().map(|s| bar(s.offset, s.seconds, total)).collect(),
        path: path.iter().map(|link| bar(link.offset, link.seconds, total)).collect(),
        path_rest: (total - on_path.sum::<f64>()).max(0.0),
        restored_machine: record.stages.iter().find_map(|s| s.restored),
        restored_steps: record.steps.iter().filter(|s| s.restored.is_some()).count(),
        history,
        chart: chart(&history.builds),
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

/// Of a stage, on light and dark ground. Grey is the factory itself.
fn colour(stage: &str) -> &'static str {
    match stage {
        "source" => "#8a6fb8",
        "boot" => "#3d6fb4",
        "provision" => "#2f9e8f",
        "tidy" => "#a8862f",
        "capture" => "#c7702d",
        "smoke" => "#6f9a3a",
        _ => "#a9b2bd",
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

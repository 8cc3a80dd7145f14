//! `kill -9` of the factory at every event and every ledger record of a build, then `sweep`:
//! nothing of the run may be left.
//!
//! The machines are boot sectors (see [`victim`]), so that a build from source script to published
//! image takes a second or two, and the suite runs with every `cargo test`. The same with a real
//! system in the machines: `make test-moments`.
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::tiny_disk::tiny_disk_saying;

mod place;
mod victim;

use place::Place;

/// When a victim dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// At its event of this number, counted from 1.
    Event(usize),
    /// When its ledger has so many records.
    Record(usize),
    Never,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(number) => write!(f, "event {number}"),
            Self::Record(number) => write!(f, "record {number}"),
            Self::Never => f.write_str("never"),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse().map_err(|e| format!("{text}: {e}"));
        match text.split_once(' ') {
            Some(("event", digits)) => number(digits).map(Self::Event),
            Some(("record", digits)) => number(digits).map(Self::Record),
            _ if text == "never" => Ok(Self::Never),
            _ => Err(format!("{text} is no moment")),
        }
    }
}

/// Not a test of its own: the factory that the others kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(dir) = std::env::var(victim::DIR) else { return };
    let moment = std::env::var(victim::MOMENT).unwrap().parse().unwrap();
    victim::live(&PathBuf::from(dir), moment).await.unwrap();
}

/// How many moments of each kind a build has, from one that nobody kills.
fn moments() -> Vec<Moment> {
    let place = Place::new();
    let whole = place.victim(Moment::Never);
    let said = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(whole.status.success(), "{said}\n{}", String::from_utf8_lossy(&whole.stderr));
    assert_eq!(place.states(), ["active"], "{said}");
    assert_eq!(place.left(), [""; 0]);
    for stage in
        ["Source", "Boot", "Provision", "Tidy", "Capture", "Smoke", "Publish", "Output", "Unwind"]
    {
        assert!(
            said.contains(&format!("StageStarted {{ stage: {stage} }}")),
            "{stage} was not entered:\n{said}"
        );
    }
    let events = said.lines().filter(|l| l.contains("event ")).count();
    let records = place.records();
    println!("a build has {events} events and {records} records");
    (1..=events).map(Moment::Event).chain((1..=records).map(Moment::Record)).collect()
}

/// One of how many moments is tried by a plain `cargo test`: some seconds each, on two busy cores.
const SOME: usize = 6;

#[test]
fn one_sweep_after_a_crash_leaves_nothing() {
    let moments = moments().into_iter().step_by(SOME).collect();
    all_are_clean(moments, 12);
}

#[test]
#[ignore = "some minutes: `make test-crash`"]
fn one_sweep_after_a_crash_at_every_moment_leaves_nothing() {
    all_are_clean(moments(), 80);
}

fn all_are_clean(moments: Vec<Moment>, at_least: usize) {
    let begin = Instant::now();
    assert!(moments.len() >= at_least, "only {moments:?}");
    let next = Mutex::new(moments.iter());
    let dirty = Mutex::new(Vec::new());
    // Two at a time: a victim waits for its machines most of the time.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(moment) = { next.lock().unwrap().next() } {
                    if let Err(why) = dies_and_is_swept(*moment) {
                        println!("not clean: {moment}: {why}");
                        dirty.lock().unwrap().push(moment);
                    }
                }
            });
        }
    });
    println!("{} moments in {:.0} s", moments.len(), begin.elapsed().as_secs_f64());
    assert_eq!(dirty.into_inner().unwrap(), [&Moment::Never; 0], "not clean, as told above");
}

fn dies_and_is_swept(moment: Moment) -> Result<(), String> {
    use std::os::unix::process::ExitStatusExt;
    let place = Place::new();
    let dead = place.victim(moment);
    let said = String::from_utf8_lossy(&dead.stdout).into_owned();
    // A record that comes in the last milliseconds may find the run already ended.
    if dead.status.signal() != Some(libc::SIGKILL) && !dead.status.success() {
        return Err(format!("the victim failed by itself: {said}"));
    }
    let there = place.left().len();
    let swept = place.factory(&["sweep"]);
    let words = String::from_utf8_lossy(&swept.stdout).into_owned();
    let last = said.lines().rfind(|l| l.contains("event ")).unwrap_or("nothing").to_owned();
    println!(
        "{moment}: {there} things, {} removed; {last}",
        words.lines().filter(|l| l.contains("removed")).count()
    );
    let (left, states) = (place.left(), place.states());
    let again = place.factory(&["sweep"]);
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    // What was published before it died is an image like any other; half a one is none.
    let published = said.contains("StageStarted { stage: Publish }");
    if !swept.status.success() || !left.is_empty() || !again.contains("nothing to sweep") {
        return Err(format!("{}, left {left:?}, then {again:?}; {last}", swept.status));
    }
    if states.iter().any(|s| s != "active") || (!published && !states.is_empty()) {
        return Err(format!("images {states:?}; {last}"));
    }
    Ok(())
}

/// A machine that nothing answers on: a build waits there until somebody ends it.
fn waiting(place: &Place) -> std::process::Child {
    let build =
        place.command(&["-v", "--progress", "plain", "build", "--no-smoke", "--force", "os/tiny"]);
    let mut build = Running::start(build, place.dir.path().join("said.log"));
    build.until("waiting for SSH", Duration::from_secs(60));
    build.child
}

#[test]
fn a_signal_unwinds_in_order() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let place = Place::new();
        let mut build = waiting(&place);
        assert!(!place.left().is_empty(), "nothing was there to be unwound");
        // SAFETY: plain system call on a child of this test.
        assert_eq!(unsafe { libc::kill(build.id() as i32, signal) }, 0);
        assert_eq!(ended(&mut build, Duration::from_secs(60)), Some(130), "signal {signal}");
        // What a person is told first of all, and what goes.
        let said = std::fs::read_to_string(place.dir.path().join("said.log")).unwrap();
        let (_, after) = said
            .split_once("interrupted by a signal: the run ends, and what it made is removed (")
            .expect(&said);
        assert!(after.contains("process factory-") && after.contains("unwind"), "{said}");
        assert_eq!((place.left(), place.states()), (Vec::new(), Vec::new()), "signal {signal}");
    }
}

#[test]
fn sweep_touches_no_live_run() {
    let place = Place::new();
    let mut live = waiting(&place);
    let mine = place.left();
    let dead = place.victim(Moment::Record(6));
    assert!(!dead.status.success() && place.left().len() > mine.len(), "the dead one left nothing");
    let swept = place.factory(&["sweep"]);
    let said = String::from_utf8_lossy(&swept.stdout).into_owned();
    assert!(said.contains("alive, left alone") && said.contains("removed"), "{said}");
    assert_eq!(place.left(), mine);
    let listed = String::from_utf8_lossy(&place.factory(&["run", "list"]).stdout).into_owned();
    let column = |n: usize| {
        listed.lines().skip(1).filter_map(|line| line.split_whitespace().nth(n)).collect::<Vec<_>>()
    };
    // The sweep has removed what the dead one left.
    assert_eq!(column(2), ["running", "swept"], "{listed}");
    let shown =
        String::from_utf8_lossy(&place.factory(&["run", "show", column(0)[0]]).stdout).into_owned();
    assert!(shown.lines().any(|line| line == "outcome   running"), "{shown}");
    let started = shown.lines().find_map(|line| line.strip_prefix("started   ")).unwrap();
    assert!(started.len() == "2026-11-20T23:31:45Z".len() && started.ends_with('Z'), "{started}");
    assert_eq!(live.try_wait().unwrap(), None);
    live.kill().unwrap();
    live.wait().unwrap();
    let outcome = || {
        let said = place.factory(&["run", "show", column(0)[0]]).stdout;
        String::from_utf8_lossy(&said).lines().find(|l| l.starts_with("outcome")).map(str::to_owned)
    };
    assert_eq!(outcome().as_deref(), Some("outcome   died"));
    assert!(place.factory(&["sweep"]).status.success());
    assert_eq!(outcome().as_deref(), Some("outcome   swept"));
    assert_eq!(place.left(), [""; 0]);
}

/// The exit code, once it has one.
fn ended(child: &mut std::process::Child, limit: Duration) -> Option<i32> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begin.elapsed() < limit, "still running after {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Running {
    child: std::process::Child,
    log: PathBuf,
}

impl Running {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let file = std::fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log }
    }

    fn until(&mut self, text: &str, limit: Duration) {
        let begin = Instant::now();
        loop {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            if said.contains(text) {
                return;
            }
            let over = self.child.try_wait().unwrap();
            assert!(
                over.is_none() && begin.elapsed() < limit,
                "{over:?}, `{text}` was not said:\n{said}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

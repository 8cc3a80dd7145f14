//! A reader that stops reading what the program prints: a paused pager, a CI agent that hangs.
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::support::Factory;

/// The source script fills the pipe many times over, tells that it is done, and waits.
const SCRIPT: &str =
    "#!/bin/sh\nyes 'a line of output' | head -c 8000000\ntouch \"$OUT.told\"\nsleep 300\n";

/// The old program wrote to the full pipe under the lock of all events, and neither the build nor
/// TERM got any further.
#[test]
fn a_reader_that_stops_reading_blocks_neither_build_nor_signals() {
    let factory = Factory::new()
        .bundle("os/d", "bundle: {name: d}\nsource: {script: make.sh}\n")
        .script("os/d/make.sh", SCRIPT);
    let mut command =
        factory.command(&["--cloud", "local", "-v", "--progress", "plain", "build", "os/d"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Held open, and never read.
    let stderr = child.stderr.take().unwrap();
    let told = || {
        walkdir::WalkDir::new(factory.home())
            .into_iter()
            .flatten()
            .any(|e| e.path().extension().is_some_and(|x| x == "told"))
    };
    let wait = |what: &str, limit: u64, done: &mut dyn FnMut() -> bool| {
        let end = Instant::now() + Duration::from_secs(limit);
        while !done() {
            if Instant::now() > end {
                return Err(format!("{what} did not happen within {limit} s"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    };
    let mut ended = None;
    let result = wait("the end of the output", 240, &mut || told()).and_then(|()| {
        // SAFETY: our own child, which has not been waited for.
        unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        wait("an orderly end", 120, &mut || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        })
    });
    if result.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    drop(stderr);
    result.unwrap();
    assert_eq!(ended.unwrap().code(), Some(130));
    // And it was orderly: the log is whole, nothing is left.
    let log = std::fs::read_to_string(factory.tree().join("build.latest.log")).unwrap();
    assert!(
        log.lines().last().unwrap().starts_with("build stopped after"),
        "{}",
        log.lines().last().unwrap()
    );
    factory.run(&["sweep"]).exits(0).says("nothing to sweep");
}

/// What is asked for is waited for, and a signal ends that as well.
#[test]
fn a_result_that_nobody_reads_blocks_no_signal() {
    let vars = "bundle: {name: X}\nbase: nowhere\none: 1\ntwo: 2\nthree: 3\n";
    let factory =
        (0..400).fold(Factory::new(), |factory, n| factory.bundle(&format!("images/x{n}"), vars));
    let mut command = factory.command(&["--json", "validate", "--offline"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Held open, and never read.
    let stdout = child.stdout.take().unwrap();
    let full = within(60, || waiting(&stdout) >= 60_000);
    // SAFETY: our own child, which has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    let ended = within(10, || child.try_wait().unwrap().is_some());
    let _ = child.kill();
    let status = child.wait().unwrap();
    assert!(full, "the pipe got full");
    assert!(ended, "it did not hear the signal");
    assert_eq!(status.code(), Some(130));
}

/// Whether `done` comes within so many seconds.
fn within(seconds: u64, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}

/// Bytes in a pipe.
fn waiting(pipe: &impl AsRawFd) -> i32 {
    let mut bytes = 0;
    // SAFETY: the file is open, and the answer has room.
    assert_eq!(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) }, 0);
    bytes
}

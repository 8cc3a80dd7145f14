//! A reader that stops reading what the program prints: a paused pager, a CI agent that hangs.
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::support::Factory;

/// The source script fills the pipe many times over, tells that it is done, and waits.
const SCRIPT: &str = "#!/bin/sh\nyes 'a line of output' | head -c 8000000\ntouch \"$OUT.told\"\nsleep 300\n";

/// The old program wrote to the full pipe under the lock of all events, and neither the build nor TERM got any further.
#[test]
fn a_reader_that_stops_reading_blocks_neither_build_nor_signals() {
    let factory = Factory::new().bundle("os/d", "bundle: {name: d}\nsource: {script: make.sh}\n").script("os/d/make.sh", SCRIPT);
    let mut command = factory.command(&["--cloud", "local", "-v", "--progress", "plain", "build", "os/d"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Held open, and never read.
    let stderr = child.stderr.take().unwrap();
    let told = || walkdir::WalkDir::new(factory.home()).into_iter().flatten().any(|e| e.path().extension().is_some_and(|x| x == "told"));
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
    let result = wait("the end of the output", 60, &mut || told()).and_then(|()| {
        // SAFETY: our own child, which has not been waited for.
        unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        wait("an orderly end", 40, &mut || {
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
    assert!(log.lines().last().unwrap().starts_with("build stopped after"), "{}", log.lines().last().unwrap());
    factory.run(&["sweep"]).exits(0).says("nothing to sweep");
}

//! Processes that end, hang, babble, or leave others behind.
use std::time::Duration;

use super::*;

fn sh(script: &str, deadline: Duration) -> Cmd {
    Cmd::new("sh", deadline).arg("-c").arg(script)
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn both_streams_and_the_code_are_told() {
    let mut lines = Vec::new();
    let status = run(
        &sh("echo out; echo err >&2; printf rest; exit 3", LONG),
        &Cancel::default(),
        |s, l| lines.push((s, l.to_owned())),
    )
    .await;
    assert_eq!(status_text(status.unwrap()), "exit code 3");
    for line in [(Stream::Stdout, "out"), (Stream::Stderr, "err"), (Stream::Stdout, "rest")] {
        assert!(lines.contains(&(line.0, line.1.to_owned())), "{lines:?}");
    }
}

#[tokio::test]
async fn the_deadline_ends_the_whole_group() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!(
        "(trap '' TERM; echo $$ > {0}; sleep 60) & sh -c 'echo $$ > {0}.2; sleep 60'",
        file.display()
    );
    let begin = std::time::Instant::now();
    let ended = run(&sh(&script, Duration::from_millis(500)), &Cancel::default(), |_, _| ()).await;
    assert!(matches!(ended, Err(ExecError::Deadline { .. })), "{ended:?}");
    assert!(begin.elapsed() < Duration::from_secs(15));
    let pid: i32 =
        std::fs::read_to_string(dir.path().join("pid.2")).unwrap().trim().parse().unwrap();
    if let Some(grandchild) = process::Proc::of(pid) {
        assert!(grandchild.gone_within(Duration::from_secs(5)).await, "a grandchild lives");
    }
}

#[tokio::test]
async fn cancelling_ends_it() {
    let cancel = Cancel::default();
    let stop = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.signal();
    });
    let ended = run(&sh("sleep 60", LONG), &cancel, |_, _| ()).await;
    assert!(matches!(ended, Err(ExecError::Cancelled(_))), "{ended:?}");
}

/// An SSH master in the background holds the pipes of the `ssh` that started it.
#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_is_not_waited_for() {
    let begin = std::time::Instant::now();
    let status = run(&sh("echo told; sleep 20 & exit 0", LONG), &Cancel::default(), |_, _| ())
        .await
        .unwrap();
    assert!(status.success() && begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_a_program_leaves_in_its_group_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 60 >/dev/null 2>&1 & echo $! > {}", file.display());
    assert!(run(&sh(&script, LONG), &Cancel::default(), |_, _| ()).await.unwrap().success());
    let pid: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    if let Some(left) = process::Proc::of(pid) {
        assert!(
            left.gone_within(Duration::from_secs(5)).await,
            "what the script left behind lives"
        );
    }
}

#[tokio::test]
async fn lines_and_outputs_have_bounds() {
    let mut longest = 0;
    let script = "head -c 64000000 /dev/zero | tr '\\0' x; echo; echo end";
    let status =
        run(&sh(script, LONG), &Cancel::default(), |_, line| longest = longest.max(line.len()))
            .await;
    assert!(status.unwrap().success());
    assert!(longest < crate::system::lines::LINE + 100, "a line of {longest} bytes");
    let begin = std::time::Instant::now();
    // Long lines: eight million short ones take a debug build a quarter of a minute.
    let endless =
        output(&sh("yes \"$(printf %1000s)\"", LONG), &Cancel::default()).await.unwrap_err();
    assert_eq!(endless.to_string(), "sh: said more than 16 MiB, killed");
    assert!(begin.elapsed() < LONG);
}

#[tokio::test]
async fn a_bare_program_gets_its_own_environment_only() {
    let cmd = Cmd { bare: true, ..sh("env", LONG).env("PATH", "/usr/bin:/bin").env("A", "1") };
    let told = output(&cmd, &Cancel::default()).await.unwrap();
    let mut names: Vec<&str> = told
        .lines()
        .filter_map(|l| l.split('=').next())
        .filter(|n| !["PWD", "_", "SHLVL"].contains(n))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["A", "PATH"], "{told}");
    assert!(!format!("{:?}", cmd.env("B", "secret")).contains("secret"));
}

/// The files of whoever started the factory.
#[tokio::test]
async fn open_files_are_not_passed_on() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: one system call on a file that is open.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }, 0);
    let told = output(
        &sh(&format!("[ -e /proc/self/fd/{fd} ] && echo open; echo looked"), LONG),
        &Cancel::default(),
    )
    .await;
    assert_eq!(told.unwrap(), "looked\n");
}

#[tokio::test]
async fn limits_hold() {
    let cpu = Limits { cpu: Some(Duration::from_secs(1)), ..Limits::default() };
    let ended =
        run(&sh("while :; do :; done", LONG).limits(cpu), &Cancel::default(), |_, _| ()).await;
    assert!(
        ["killed by signal 24", "killed by signal 9"]
            .contains(&status_text(ended.unwrap()).as_str())
    );
    let space = Limits { address_space: Some(1 << 30), ..Limits::default() };
    let told =
        output(&sh("ulimit -v; ulimit -t", LONG).limits(space), &Cancel::default()).await.unwrap();
    assert_eq!(told, "1048576\nunlimited\n");
}

#[tokio::test]
async fn a_failure_carries_what_was_said_and_a_missing_program_is_named() {
    let failed = output(&sh("echo why >&2; exit 1", LONG), &Cancel::default()).await.unwrap_err();
    assert_eq!(failed.to_string(), "sh: exit code 1: why");
    let missing = output(&Cmd::new("no-such-program", LONG), &Cancel::default()).await.unwrap_err();
    assert_eq!(missing.to_string(), "no-such-program is not installed");
}

//! The one door for subprocesses: each has a deadline, its own process group, and the marks by
//! which `sweep` finds it.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

use crate::cancel::{Cancel, Cancelled};
use crate::lines::Lines;

pub mod confined;
pub mod env;
pub mod joint;
pub mod probe;
pub mod process;

use joint::{Joint, Passed};

/// In the environment of every process that a run starts, and so of all their children: the run's
/// ID. It is the owner tag of a process; `sweep` ends nothing that does not carry it.
pub const RUN_MARK: &str = "IMAGE_FACTORY_RUN";
/// Name of the process in the ledger, for one whose PID was lost.
pub const PROCESS_MARK: &str = "IMAGE_FACTORY_PROCESS";

/// How long a process group has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long a child's last lines are awaited once it has ended.
const LAST_OUTPUT: Duration = Duration::from_millis(300);

/// A program to run. Its standard input is empty.
#[derive(Clone)]
pub struct Cmd {
    pub program: OsString,
    pub args: Vec<OsString>,
    pub env: BTreeMap<String, String>,
    /// The program gets nothing of the factory's own environment and keyring, `env` only.
    pub bare: bool,
    /// Open files that the program gets, under the numbers they have here.
    pub handed: Vec<Arc<OwnedFd>>,
    pub dir: Option<PathBuf>,
    pub deadline: Duration,
    pub limits: Limits,
    /// On all its processes together.
    pub joint: Option<Joint>,
    /// What it is called where `program` is what it runs in.
    pub called: Option<OsString>,
}

/// Without the environment: an owner may let a secret into it.
impl std::fmt::Debug for Cmd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cmd")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// What the kernel holds a program and its children to, each process by itself; for tools that read
/// what strangers made. Beyond the one an allocation fails, beyond the other the process is killed
/// (`killed by signal 24`). Source: setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of memory that it may map.
    pub address_space: Option<u64>,
    /// Time of the processor, not of the clock.
    pub cpu: Option<Duration>,
    /// Bytes of the longest file that it may write; beyond that it is killed (`killed by signal
    /// 25`).
    pub file_size: Option<u64>,
    /// Processes and threads that its user may have. The kernel holds root to none, unless root is
    /// one of a namespace.
    pub processes: Option<u64>,
}

impl Limits {
    /// Called between fork and exec, where only plain system calls are allowed.
    fn set(self) -> std::io::Result<()> {
        let cpu = self.cpu.map(|d| d.as_secs().max(1));
        let limits = [
            (libc::RLIMIT_AS, self.address_space),
            (libc::RLIMIT_CPU, cpu),
            (libc::RLIMIT_FSIZE, self.file_size),
            (libc::RLIMIT_NPROC, self.processes),
        ];
        for (what, most) in limits.into_iter().filter_map(|(what, most)| Some((what, most?))) {
            let mut now = libc::rlimit { rlim_cur: most, rlim_max: most };
            // What the factory itself is held to may be less, and is not to be raised.
            // SAFETY: plain system calls; the limits live until they return.
            let done = unsafe {
                libc::getrlimit(what, &mut now) == 0 && {
                    let most = most.min(now.rlim_max);
                    libc::setrlimit(what, &libc::rlimit { rlim_cur: most, rlim_max: most }) == 0
                }
            };
            if !done {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

impl Cmd {
    pub fn new(program: impl Into<OsString>, deadline: Duration) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            bare: false,
            handed: Vec::new(),
            dir: None,
            deadline,
            limits: Limits::default(),
            joint: None,
            called: None,
        }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    /// Marks the process as made by `run`.
    #[must_use]
    pub fn mark(self, run: &str) -> Self {
        self.env(RUN_MARK, run)
    }

    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Hands an open file on; see [`Cmd::handed`].
    #[must_use]
    pub fn hand(mut self, file: Arc<OwnedFd>) -> Self {
        self.handed.push(file);
        self
    }

    fn name(&self) -> String {
        let program = self.called.as_ref().unwrap_or(&self.program);
        Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
    }

    fn build(&self) -> tokio::process::Command {
        #[allow(clippy::disallowed_methods)] // this is the door
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).process_group(0);
        // SAFETY: one system call. It comes first: what is handed on is opened again by those
        // below.
        unsafe { command.pre_exec(close_others) };
        if self.bare {
            command.env_clear();
            // SAFETY: one system call. A kernel without keyrings refuses, and there is nothing to
            // be left behind then.
            unsafe { command.pre_exec(leave_keyring) };
        }
        command.envs(&self.env);
        for file in &self.handed {
            let file = Arc::clone(file);
            // SAFETY: system calls only, on a file that the closure keeps open.
            unsafe { command.pre_exec(move || keep_open(&file)) };
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let limits = self.limits;
        if limits != Limits::default() {
            // SAFETY: `set` makes system calls and allocates nothing.
            unsafe { command.pre_exec(move || limits.set()) };
        }
        if self.joint.is_some() {
            // SAFETY: `goes_first` makes system calls and allocates nothing.
            unsafe { command.pre_exec(joint::goes_first) };
        }
        command
    }
}

/// Joins a new, empty session keyring: tickets and secrets of the user's session stay with it.
/// Source: keyctl(2).
fn leave_keyring() -> std::io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: plain system call; a null name asks for an anonymous keyring.
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    Ok(())
}

/// Lets a file, which is closed at exec as all of ours are, through to this one program.
fn keep_open(file: &OwnedFd) -> std::io::Result<()> {
    let number = file.as_raw_fd();
    // SAFETY: plain system calls on an open file. It is read from its begin, the second time too; a
    // socket has none.
    let ready = unsafe {
        libc::lseek(number, 0, libc::SEEK_SET);
        libc::fcntl(number, libc::F_SETFD, 0) >= 0
    };
    if ready { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Files that whoever started the factory left open (a token's pipe, a lock) are nobody's below it.
/// Kernels before 5.11 know no such call, and leave them.
fn close_others() -> std::io::Result<()> {
    // SAFETY: plain system call; it marks files of the child alone.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error("{program} is not installed")]
    Missing { program: String },
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("{program}: not done after {after:?}, killed")]
    Deadline { program: String, after: Duration },
    #[error("{program}: killed, for {passed}")]
    Passed { program: String, passed: Passed },
    #[error("{program}: said more than {} MiB, killed", OUTPUT >> 20)]
    Babbles { program: String },
    #[error("{program}: {status}{}", tail(.output))]
    Failed { program: String, status: String, output: String },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(5)..].join("; ");
    if last.is_empty() { String::new() } else { format!(": {last}") }
}

/// `exit code 3`, `killed by signal 9`.
pub fn status_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        _ => status.to_string(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Ends the process group if the future that waits for it is dropped.
#[derive(Debug)]
struct Group(Option<i32>);

impl Group {
    fn signal(&self, signal: i32) {
        if let Some(pgid) = self.0 {
            // SAFETY: plain system call; the group is one we made and whose leader we have not
            // reaped yet.
            unsafe { libc::kill(-pgid, signal) };
        }
    }

    async fn end(&mut self, child: &mut Child) {
        self.signal(libc::SIGTERM);
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            self.signal(libc::SIGKILL);
            let _ = child.wait().await;
        } else {
            // The leader is gone; what it left in its group goes too.
            self.signal(libc::SIGKILL);
        }
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}

/// A process that runs, with its group.
pub struct Started {
    child: Child,
    group: Group,
    program: String,
    deadline: Duration,
    joint: Option<Joint>,
}

/// Starts a program whose lines are then read by [`Started::wait`]. Dropped before its end, its
/// whole group is killed.
pub fn start(cmd: &Cmd) -> Result<Started, ExecError> {
    let child = spawn_child(cmd.build().stdout(Stdio::piped()).stderr(Stdio::piped()), cmd)?;
    let group = Group(child.id().map(|id| id as i32));
    Ok(Started { child, group, program: cmd.name(), deadline: cmd.deadline, joint: cmd.joint })
}

impl Started {
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the end; every line of both streams goes to `on_line` as it comes. The status is
    /// the caller's to judge.
    pub async fn wait(
        mut self,
        cancel: &Cancel,
        mut on_line: impl FnMut(Stream, &str) + Send,
    ) -> Result<ExitStatus, ExecError> {
        let (out, err) =
            (self.child.stdout.take().expect("piped"), self.child.stderr.take().expect("piped"));
        let (tx, mut rx) = tokio::sync::mpsc::channel::<(Stream, String)>(256);
        tokio::spawn(lines(out, Stream::Stdout, tx.clone()));
        tokio::spawn(lines(err, Stream::Stderr, tx));
        let held = joint::passed(self.pid(), self.joint);
        let child = &mut self.child;
        let work = async {
            let mut status = None;
            let mut until = None;
            // A grandchild (an SSH master, say) may hold the pipes open after the child ended: its
            // output is not waited for long, and what it says without end not heard for long.
            loop {
                tokio::select! {
                    line = rx.recv() => match line {
                        Some((stream, text)) => on_line(stream, &text),
                        None => break,
                    },
                    ended = child.wait(), if status.is_none() => {
                        status = Some(ended);
                        until = Some(tokio::time::Instant::now() + GRACE);
                    }
                    () = tokio::time::sleep(LAST_OUTPUT), if status.is_some() => break,
                }
                if until.is_some_and(|until| until < tokio::time::Instant::now()) {
                    break;
                }
            }
            match status {
                Some(status) => status,
                None => child.wait().await,
            }
        };
        let work = async {
            tokio::select! {
                biased;
                ended = tokio::time::timeout(self.deadline, work) => Ok(ended),
                passed = held => Err(passed),
            }
        };
        let ended = match cancel.or(work).await {
            Ok(Err(passed)) => {
                self.group.signal(libc::SIGKILL);
                Err(ExecError::Passed { program: self.program.clone(), passed })
            }
            Ok(Ok(Ok(status))) => {
                status.map_err(|source| ExecError::Start { program: self.program.clone(), source })
            }
            Ok(Ok(Err(_))) => {
                Err(ExecError::Deadline { program: self.program.clone(), after: self.deadline })
            }
            Err(stopped) => Err(stopped.into()),
        };
        match &ended {
            // The leader ended by itself; what it left in its group does not outlive it.
            Ok(_) => {
                self.group.signal(libc::SIGKILL);
                self.group.0 = None;
            }
            Err(_) => self.group.end(&mut self.child).await,
        }
        ended
    }
}

/// Runs to the end; see [`Started::wait`].
pub async fn run(
    cmd: &Cmd,
    cancel: &Cancel,
    on_line: impl FnMut(Stream, &str) + Send,
) -> Result<ExitStatus, ExecError> {
    start(cmd)?.wait(cancel, on_line).await
}

/// Bytes of one stream that [`output`] takes.
const OUTPUT: usize = 16 << 20;

/// Runs a short tool to the end and gives its standard output; anything but exit code 0 is an error
/// with what it said. One that says more than 16 MiB on one stream is killed, and an error.
pub async fn output(cmd: &Cmd, cancel: &Cancel) -> Result<String, ExecError> {
    let (mut out, mut err) = (String::new(), String::new());
    let full = tokio::sync::Notify::new();
    let work = run(cmd, cancel, |stream, line| {
        let to = if stream == Stream::Stdout { &mut out } else { &mut err };
        if to.len() + line.len() >= OUTPUT {
            full.notify_one();
            return;
        }
        to.push_str(line);
        to.push('\n');
    });
    let status = tokio::select! {
        status = work => status?,
        // Dropped, its group is killed.
        () = full.notified() => return Err(ExecError::Babbles { program: cmd.name() }),
    };
    if status.success() {
        return Ok(out);
    }
    let said = if err.trim().is_empty() { out } else { err };
    Err(ExecError::Failed { program: cmd.name(), status: status_text(status), output: said })
}

/// Starts a process that outlives the call (QEMU), with both streams going to `log`. The deadline
/// of `cmd` is not used.
pub fn spawn(cmd: &Cmd, log: &std::fs::File) -> Result<Child, ExecError> {
    let dup = || {
        log.try_clone()
            .map(Stdio::from)
            .map_err(|source| ExecError::Start { program: cmd.name(), source })
    };
    let (out, err) = (dup()?, dup()?);
    spawn_child(cmd.build().stdout(out).stderr(err), cmd)
}

fn spawn_child(command: &mut tokio::process::Command, cmd: &Cmd) -> Result<Child, ExecError> {
    command.spawn().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound if cmd.dir.as_ref().is_none_or(|d| d.is_dir()) => {
            ExecError::Missing { program: cmd.name() }
        }
        _ => ExecError::Start { program: cmd.name(), source },
    })
}

async fn lines(
    mut from: impl AsyncRead + Unpin,
    stream: Stream,
    to: tokio::sync::mpsc::Sender<(Stream, String)>,
) {
    let (mut lines, mut buffer) = (Lines::default(), vec![0; 16 << 10]);
    loop {
        let mut whole = Vec::new();
        let count = from.read(&mut buffer).await.unwrap_or(0);
        match count {
            0 => lines.end(&mut |line| whole.push(line.to_owned())),
            n => lines.take(&buffer[..n], &mut |line| whole.push(line.to_owned())),
        }
        for line in whole {
            if to.send((stream, line)).await.is_err() {
                return;
            }
        }
        if count == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
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
        let ended =
            run(&sh(&script, Duration::from_millis(500)), &Cancel::default(), |_, _| ()).await;
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
        assert!(longest < crate::lines::LINE + 100, "a line of {longest} bytes");
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
        let told = output(&sh("ulimit -v; ulimit -t", LONG).limits(space), &Cancel::default())
            .await
            .unwrap();
        assert_eq!(told, "1048576\nunlimited\n");
    }

    #[tokio::test]
    async fn a_failure_carries_what_was_said_and_a_missing_program_is_named() {
        let failed =
            output(&sh("echo why >&2; exit 1", LONG), &Cancel::default()).await.unwrap_err();
        assert_eq!(failed.to_string(), "sh: exit code 1: why");
        let missing =
            output(&Cmd::new("no-such-program", LONG), &Cancel::default()).await.unwrap_err();
        assert_eq!(missing.to_string(), "no-such-program is not installed");
    }
}

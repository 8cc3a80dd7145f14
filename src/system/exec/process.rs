//! Processes of this machine. PID and start time identify a process, so that a reused PID is never
//! mistaken for it. Marks in the environment find processes whose PID was lost. Source: proc(5).
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::RUN_MARK;

/// Displays as `pid:start`. `start` is field 22 of /proc/PID/stat: clock ticks from boot to the
/// process's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Proc {
    pub pid: i32,
    pub start: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Alive,
    /// Stopped by a signal or a debugger.
    Stopped,
    /// Gone, or a zombie.
    Gone,
}

impl fmt::Display for Proc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.pid, self.start)
    }
}

impl FromStr for Proc {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(pid, start)| {
            Some(Self { pid: pid.parse().ok()?, start: start.parse().ok()? })
        });
        // 0 and negative numbers mean groups to kill(2): never let one through.
        parsed
            .filter(|p| p.pid > 1)
            .ok_or_else(|| format!("`{text}` is not a process (`pid:start time`)"))
    }
}

impl Proc {
    /// The process that has this PID now.
    pub fn of(pid: i32) -> Option<Self> {
        Stat::of(pid).map(|stat| Self { pid, start: stat.start })
    }

    pub fn state(self) -> State {
        match Stat::of(self.pid) {
            Some(stat) if stat.start == self.start => match stat.state {
                'Z' | 'X' => State::Gone,
                'T' | 't' => State::Stopped,
                _ => State::Alive,
            },
            _ => State::Gone,
        }
    }

    /// A variable of its initial environment. `None` also for another user's process.
    pub fn env(self, key: &str) -> Option<String> {
        let raw = std::fs::read(self.file("environ")).ok()?;
        raw.split(|b| *b == 0).find_map(|pair| {
            let value = pair.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        })
    }

    /// Whether this run started it: its environment carries the run's mark, or it is an SSH master
    /// whose title names the run's directory.
    pub fn is_of(self, run: &str) -> bool {
        match self.env(RUN_MARK) {
            Some(mark) => mark == run,
            None => mux_of(&self.title(), run),
        }
    }

    /// Name for people.
    pub fn title(self) -> String {
        let raw = std::fs::read(self.file("cmdline")).unwrap_or_default();
        let args: Vec<_> =
            raw.split(|b| *b == 0).filter(|a| !a.is_empty()).map(String::from_utf8_lossy).collect();
        args.join(" ")
    }

    /// Sends TERM, and KILL after `grace`. `Ok` means that the process is gone.
    pub async fn end(self, grace: Duration) -> io::Result<()> {
        // A stopped process does not hear TERM.
        let first = if self.state() == State::Stopped { libc::SIGKILL } else { libc::SIGTERM };
        for (signal, patience) in [(first, grace), (libc::SIGKILL, Duration::from_secs(10))] {
            self.signal(signal)?;
            if self.gone_within(patience).await {
                return Ok(());
            }
        }
        Err(io::Error::other(format!("process {} is still there after SIGKILL", self.pid)))
    }

    pub async fn gone_within(self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.state() != State::Gone {
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    fn signal(self, signal: i32) -> io::Result<()> {
        if self.state() == State::Gone {
            return Ok(());
        }
        // SAFETY: plain system call. PIDs are given out in turn, so that this one, alive a moment
        // ago, is not another's yet.
        if unsafe { libc::kill(self.pid, signal) } == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            e => Err(e),
        }
    }

    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }
}

/// The world-readable part of a process's state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) parent: i32,
    pub(super) threads: u64,
    start: u64,
    /// Resident pages of memory.
    pub(super) pages: u64,
}

impl Stat {
    /// The program's name (in parentheses) may contain any character, also blanks and parentheses.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let rest: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
        let number = |at: usize| rest.get(at)?.parse::<u64>().ok();
        let state = rest.first()?.chars().next()?;
        let parent = rest.get(1)?.parse().ok()?;
        Some(Self { state, parent, threads: number(17)?, start: number(19)?, pages: number(21)? })
    }
}

/// PIDs of all processes.
pub(super) fn pids() -> impl Iterator<Item = (i32, std::fs::DirEntry)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry)))
}

/// An OpenSSH ControlPersist master overwrites its environment, and so the mark, with its title.
/// The title names the control socket: a socket in a directory of the run means that the run
/// started it.
fn mux_of(title: &str, run: &str) -> bool {
    title
        .strip_prefix("ssh: ")
        .and_then(|rest| rest.trim_end().strip_suffix(" [mux]"))
        .is_some_and(|path| path.split('/').any(|part| part == run))
}

#[cfg(test)]
thread_local! {
    /// A test on this thread starts no process: to look for all takes milliseconds.
    pub static STARTS_NONE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// All live processes of this user, excluding the caller and its ancestors.
pub fn ours() -> Vec<Proc> {
    #[cfg(test)]
    if STARTS_NONE.get() {
        return Vec::new();
    }
    // SAFETY: plain system call without arguments.
    let me = unsafe { libc::geteuid() };
    let mut kin = Vec::new();
    let mut next = std::process::id() as i32;
    while next > 0 && !kin.contains(&next) {
        kin.push(next);
        next = Stat::of(next).map_or(0, |stat| stat.parent);
    }
    pids()
        .filter(|(_, entry)| entry.metadata().is_ok_and(|m| m.uid() == me))
        .map(|(pid, _)| pid)
        .filter(|pid| !kin.contains(pid))
        .filter_map(Proc::of)
        .filter(|p| p.state() != State::Gone)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::exec::PROCESS_MARK;

    fn sleeper(run: &str) -> std::process::Child {
        std::process::Command::new("sleep")
            .arg("60")
            .env(RUN_MARK, run)
            .env(PROCESS_MARK, "nap")
            .spawn()
            .unwrap()
    }

    #[tokio::test]
    async fn is_found_by_its_mark_and_ended() {
        let run = format!("test-{}", uuid::Uuid::new_v4());
        let mut child = sleeper(&run);
        // The mark is there once the child has become `sleep`.
        let found = loop {
            if let Some(found) = ours().into_iter().find(|p| p.is_of(&run)) {
                break found;
            }
        };
        assert_eq!(found.pid, child.id() as i32);
        assert_eq!(found.env(PROCESS_MARK).as_deref(), Some("nap"));
        assert!(!found.is_of("another"));
        found.end(Duration::from_secs(5)).await.unwrap();
        assert_eq!(found.state(), State::Gone);
        child.wait().unwrap();
        found.end(Duration::from_secs(5)).await.unwrap();
    }

    #[tokio::test]
    async fn a_stopped_one_is_seen_and_ended() {
        let mut child = sleeper("stopped");
        let proc = Proc::of(child.id() as i32).unwrap();
        proc.signal(libc::SIGSTOP).unwrap();
        while proc.state() != State::Stopped {}
        proc.end(Duration::from_secs(5)).await.unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let me = Proc::of(std::process::id() as i32).unwrap();
        assert_eq!(me.state(), State::Alive);
        assert_eq!(me.to_string().parse::<Proc>().unwrap(), me);
        assert_eq!(Proc { start: me.start + 1, ..me }.state(), State::Gone);
        assert!(!ours().contains(&me));
        for bad in ["", "12", "0:5", "-1:5", "1:5", "x:y"] {
            assert!(bad.parse::<Proc>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_master_is_found_by_its_socket() {
        assert!(mux_of("ssh: /run/user/0/image-factory/r1/cp-abc [mux]", "r1"));
        assert!(!mux_of("ssh: /run/user/0/image-factory/r10/cp-abc [mux]", "r1"));
        assert!(!mux_of("ssh -o ControlPath=/x/r1/cp host", "r1"));
    }
}

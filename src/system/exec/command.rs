//! A program to run: its arguments, environment, open files and limits.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use super::RUN_MARK;
use super::joint::{self, Joint};
use super::limits::Limits;

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

    pub(super) fn name(&self) -> String {
        let program = self.called.as_ref().unwrap_or(&self.program);
        Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
    }

    pub(super) fn build(&self) -> tokio::process::Command {
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
pub(super) fn leave_keyring() -> std::io::Result<()> {
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
pub(super) fn keep_open(file: &OwnedFd) -> std::io::Result<()> {
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
pub(super) fn close_others() -> std::io::Result<()> {
    // SAFETY: plain system call; it marks files of the child alone.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    Ok(())
}

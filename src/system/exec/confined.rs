//! Runs work on untrusted input in a process of its own: this program again, with an empty
//! environment.
//!
//! The kernel limits the process's memory, and its CPU time per job. Question and answers are lines
//! of JSON in an anonymous memory file.
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cmd, ExecError, run, status_text};
use crate::system::cancel::{Cancel, Cancelled};

const STACK: usize = 16 << 20;
/// Maximum bytes of a process's answers.
const MAX_RESULTS: u64 = 256 << 20;

/// Limits of one process.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of memory, stack included. Mapped files (the program itself) do not count.
    pub memory: u64,
    /// CPU time per job.
    pub time: Duration,
}

/// How the process ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Well,
    /// A job exceeded its CPU time.
    Time,
    /// The memory limit or the stack was exhausted.
    Memory,
    /// Another failure, described for people.
    Failed(String),
}

/// Minimum number of jobs for which a second process pays.
const WORTH_A_PROCESS: usize = 16;

/// Splits `all` into one part per processor, for parallel processes.
pub fn parts<T>(all: &[T]) -> std::slice::Chunks<'_, T> {
    let side_by_side = std::thread::available_parallelism().map_or(1, usize::from);
    all.chunks(all.len().div_ceil(side_by_side).max(WORTH_A_PROCESS))
}

/// The program, and the command with which it calls [`serve`] on the file number that follows.
#[derive(Debug, Clone)]
pub struct Confined {
    program: PathBuf,
    command: String,
}

impl Confined {
    pub fn new(program: impl Into<PathBuf>, command: impl Into<String>) -> Self {
        Self { program: program.into(), command: command.into() }
    }

    /// Runs one process. Returns how it ended, and its answers until then. `deadline` ends a
    /// process that waits instead of working.
    pub async fn ask<A: DeserializeOwned>(
        &self,
        question: &impl Serialize,
        deadline: Duration,
        cancel: &Cancel,
    ) -> Result<(End, Vec<A>), Cancelled> {
        let failed = |why: String| Ok((End::Failed(why), Vec::new()));
        let asked =
            serde_json::to_vec(question).map_err(io::Error::from).and_then(|text| shared(&text));
        let (file, length) = match asked {
            Ok(shared) => shared,
            Err(e) => return failed(e.to_string()),
        };
        let mut cmd =
            Cmd::new(&self.program, deadline).arg(&self.command).arg(file.as_raw_fd().to_string());
        cmd.bare = true;
        cmd.handed.push(file.clone());
        let mut said = String::new();
        let ended = run(&cmd, cancel, |_, line| {
            if said.len() < 1000 {
                said.push_str(line);
            }
        });
        let end = match ended.await {
            Ok(status) => end(status, &said),
            Err(ExecError::Cancelled(stopped)) => return Err(stopped),
            Err(e) => End::Failed(e.to_string()),
        };
        let answers = file.try_clone().map(File::from).and_then(|mut file| {
            file.seek(SeekFrom::Start(length))?;
            Ok(BufReader::new(file.take(MAX_RESULTS)))
        });
        let lines = answers
            .map(|answers| answers.lines().map_while(Result::ok).collect::<Vec<_>>())
            .unwrap_or_default();
        Ok((end, lines.iter().map_while(|line| serde_json::from_str(line).ok()).collect()))
    }
}

fn end(status: std::process::ExitStatus, said: &str) -> End {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        _ if status.success() => End::Well,
        Some(libc::SIGPROF | libc::SIGXCPU) => End::Time,
        // Of an allocation that fails and of a stack that is full, Rust aborts.
        Some(libc::SIGABRT | libc::SIGSEGV | libc::SIGBUS) => End::Memory,
        _ => End::Failed(format!("{}: {said}", status_text(status))),
    }
}

/// An anonymous memory file that holds the question, and to which answers are appended. Needs no
/// directory and no disk space.
fn shared(question: &[u8]) -> io::Result<(Arc<OwnedFd>, u64)> {
    // SAFETY: plain system call; the name has its NUL.
    let file = unsafe { libc::memfd_create(c"question".as_ptr(), libc::MFD_CLOEXEC) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the file was opened above and is nobody else's.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(file) });
    file.write_all(question)?;
    file.write_all(b"\n")?;
    file.rewind()?;
    Ok((Arc::new(file.into()), question.len() as u64 + 1))
}

/// The child's end: appends answers.
#[derive(Clone)]
pub struct Answers {
    file: Arc<File>,
    time: Duration,
}

impl Answers {
    /// Bytes of question and answers so far.
    pub fn said(&self) -> io::Result<u64> {
        (&*self.file).stream_position()
    }

    /// Begins a job, and restarts its CPU limit.
    pub fn begin(&self) -> io::Result<()> {
        timer(self.time)
    }

    pub fn say(&self, answer: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer).map_err(io::Error::from)?;
        line.push(b'\n');
        (&*self.file).write_all(&line)
    }
}

/// The child: reads the question from the open file `number` and lets `work` answer it. `Err` is
/// the reason why it cannot.
pub fn serve<Q: DeserializeOwned + Send + 'static>(
    number: i32,
    bounds: Bounds,
    work: fn(Q, &Answers) -> io::Result<()>,
) -> Result<(), String> {
    let text = |e: io::Error| e.to_string();
    bound(bounds.memory).map_err(text)?;
    std::panic::set_hook(Box::new(|_| ()));
    // SAFETY: the caller handed this file over to this process, and nothing else here has it. A
    // number that is not open is an error at the first read.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(number) });
    let mut question = String::new();
    let mut reader = BufReader::new(file);
    reader.read_line(&mut question).map_err(text)?;
    let question: Q = serde_json::from_str(&question).map_err(|e| e.to_string())?;
    let mut file = reader.into_inner();
    file.seek(SeekFrom::End(0)).map_err(text)?;
    let answers = Answers { file: Arc::new(file), time: bounds.time };
    let worker =
        std::thread::Builder::new().stack_size(STACK).spawn(move || work(question, &answers));
    worker
        .map_err(text)?
        .join()
        .map_err(|_| {
            "what was read made it give up; a number in it may be far too large".to_owned()
        })?
        .map_err(text)
}

/// Limits this process for the rest of its life.
fn bound(memory: u64) -> io::Result<()> {
    for (what, most) in
        [(libc::RLIMIT_DATA, memory), (libc::RLIMIT_CORE, 0), (libc::RLIMIT_FSIZE, 2 * MAX_RESULTS)]
    {
        let mut own = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: plain system call, which fills `own` or leaves it.
        unsafe { libc::getrlimit(what, &mut own) };
        // A lower limit of the caller cannot be raised.
        let most = most.min(own.rlim_max);
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: plain system call; `limit` lives until it returns.
        if unsafe { libc::setrlimit(what, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: plain system call; the default action of this signal ends the process.
    unsafe { libc::signal(libc::SIGPROF, libc::SIG_DFL) };
    Ok(())
}

/// Kills this process after `time` of further CPU time.
fn timer(time: Duration) -> io::Result<()> {
    let value = libc::timeval {
        tv_sec: time.as_secs() as libc::time_t,
        tv_usec: time.subsec_micros() as libc::suseconds_t,
    };
    let timer =
        libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: plain system call; `timer` lives until it returns.
    match unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

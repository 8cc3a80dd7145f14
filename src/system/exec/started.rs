//! A process that runs, with its group: its lines, its deadline and its end.
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::command::Cmd;
use super::error::ExecError;
use super::joint::{self, Joint};
use super::spawn_child;
use crate::system::cancel::Cancel;
use crate::system::lines::Lines;

/// How long a process group has between TERM and KILL.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// How long a child's last lines are awaited once it has ended.
const LAST_OUTPUT: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Ends the process group if the future that waits for it is dropped.
#[derive(Debug)]
pub(super) struct Group(Option<i32>);

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
        let (tx, mut rx) = mpsc::channel::<(Stream, String)>(256);
        tokio::spawn(lines(out, Stream::Stdout, tx.clone()));
        tokio::spawn(lines(err, Stream::Stderr, tx));
        let held = joint::passed(self.pid(), self.joint);
        let work = heard(&mut self.child, &mut rx, &mut on_line);
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

/// The end of a child, with every line that it says until then. A grandchild (an SSH master, say)
/// may hold the pipes open after the child ended: its output is not waited for long, and what it
/// says without end not heard for long.
async fn heard(
    child: &mut Child,
    rx: &mut Receiver<(Stream, String)>,
    on_line: &mut (impl FnMut(Stream, &str) + Send),
) -> std::io::Result<ExitStatus> {
    let mut status = None;
    let mut until = None;
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
}

async fn lines(mut from: impl AsyncRead + Unpin, stream: Stream, to: Sender<(Stream, String)>) {
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

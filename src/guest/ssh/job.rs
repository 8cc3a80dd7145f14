//! One call on a session: a channel that is opened, started, served and closed without ever
//! waiting.
//!
//! Nothing that libssh2 has begun to send is ever abandoned half-way: the next packet, of whichever
//! channel, would wait for it for good. So a job whose caller has its answer may still live on for
//! a while, until its channel is put away.
use std::ffi::CString;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::channel::{Broken, Channel, Wire};
use super::pack::Piece;
use super::preface::Preface;
use super::shell;
use crate::guest::{Exit, OnOutput, OnProgress, Orphan, RemoteError, Stream};

/// From deadline or cancellation to the end of all patience with the machine.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// sshd allows ten (MaxSessions). Some are kept for pings and for killing.
const CHANNELS: usize = 10;
const SPARE: usize = 2;

/// In one turn a job reads and writes about this much, so that a big transfer lets the others in.
const TURN: usize = 1 << 20;

/// What a job is to do.
pub(super) struct Task {
    /// `None`: open a channel, and that is all (a ping).
    pub(super) command: Option<CString>,
    /// Names the preface to look for; `None` if the command prints none.
    pub(super) id: Option<String>,
    pub(super) sudo: bool,
    pub(super) input: Input,
    pub(super) output: OnOutput,
    pub(super) deadline: Duration,
    pub(super) reply: oneshot::Sender<Result<Exit, RemoteError>>,
}

/// What the command reads: bytes at hand, then pieces as they come.
pub(super) struct Input {
    bytes: Vec<u8>,
    at: usize,
    contents: Option<u64>,
    pieces: Option<(Receiver<Piece>, OnProgress, u64)>,
    over: bool,
}

impl Input {
    pub(super) fn bytes(bytes: Vec<u8>) -> Input {
        Input { bytes, at: 0, contents: None, pieces: None, over: false }
    }

    pub(super) fn pieces(pieces: Receiver<Piece>, progress: OnProgress, total: u64) -> Input {
        Input { pieces: Some((pieces, progress, total)), ..Input::bytes(Vec::new()) }
    }
}

enum Stage {
    Waiting,
    Starting(Channel, CString),
    Running(Channel),
    Leaving(Channel),
    Over,
}

/// What the jobs of one turn share.
pub(super) struct Turn<'a> {
    pub(super) wire: &'a Rc<Wire>,
    pub(super) buffer: &'a mut [u8],
    /// Something happened, so another turn is due before sleeping.
    pub(super) moved: bool,
    /// An opening is under way in libssh2; it has room for one.
    pub(super) opening: &'a mut bool,
    /// Channels that are open.
    pub(super) open: usize,
    /// The machine opened no further channel; it may when one of ours is gone.
    pub(super) refused: &'a mut bool,
}

pub(super) struct Job {
    stage: Stage,
    command: Option<CString>,
    preface: Option<Preface>,
    input: Input,
    output: OnOutput,
    reply: Option<oneshot::Sender<Result<Exit, RemoteError>>>,
    limit: Duration,
    deadline: Instant,
    verdict: Option<Result<Exit, RemoteError>>,
    /// When the grace of a job that is being killed ends.
    doom: Option<Instant>,
    sudo: bool,
    /// The answer of the job that kills this one's processes.
    killer: Option<oneshot::Receiver<Result<Exit, RemoteError>>>,
}

impl Job {
    pub(super) fn new(task: Task) -> Job {
        Job {
            stage: Stage::Waiting,
            command: task.command,
            preface: task.id.as_deref().map(Preface::new),
            input: task.input,
            output: task.output,
            reply: Some(task.reply),
            limit: task.deadline,
            deadline: Instant::now() + task.deadline,
            verdict: None,
            doom: None,
            sudo: task.sudo,
            killer: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over) && self.reply.is_none()
    }

    pub(super) fn has_channel(&self) -> bool {
        matches!(self.stage, Stage::Starting(..) | Stage::Running(_) | Stage::Leaving(_))
    }

    /// Pings and killers do not queue behind commands.
    pub(super) fn is_brief(&self) -> bool {
        self.preface.is_none()
    }

    /// When this job wants a turn though nothing happens on the wire.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.reply.as_ref().map(|_| self.doom.unwrap_or(self.deadline))
    }

    /// Looks at the clock and at the caller.
    pub(super) fn judge(&mut self, now: Instant) {
        let Some(reply) = &self.reply else { return };
        if let Some(end) = self.doom {
            if now >= end {
                self.answer();
            }
        } else if reply.is_closed() {
            self.condemn(RemoteError::Lost("cancelled".into()), now);
        } else if now >= self.deadline {
            self.condemn(RemoteError::Deadline(self.limit), now);
        }
    }

    fn condemn(&mut self, error: RemoteError, now: Instant) {
        self.verdict = Some(Err(error));
        self.doom = Some(now + GRACE);
        // Nothing runs yet, or nothing ever will: there is nothing to wait for.
        if self.is_brief() || matches!(self.stage, Stage::Waiting) {
            self.answer();
        }
    }

    /// The task that kills this job's processes, once: when it is doomed and they are known.
    pub(super) fn take_killer(&mut self) -> Option<Task> {
        if self.doom.is_none() || self.killer.is_some() || !matches!(self.stage, Stage::Running(_))
        {
            return None;
        }
        let groups = self.preface.as_ref()?.groups().filter(|groups| !groups.is_empty())?;
        let command = shell::kill(groups, self.sudo).ok()?;
        let (reply, killer) = oneshot::channel();
        self.killer = Some(killer);
        Some(Task {
            command: Some(command),
            id: None,
            sudo: self.sudo,
            input: Input::bytes(Vec::new()),
            output: Box::new(|_, _| {}),
            deadline: GRACE,
            reply,
        })
    }

    /// Whether nothing of this job is left to be killed, as far as one can tell.
    fn is_killed(&mut self) -> bool {
        self.killer.as_mut().is_none_or(|killer| {
            !matches!(killer.try_recv(), Err(oneshot::error::TryRecvError::Empty))
        })
    }

    /// Its outcome is known, though perhaps not told yet.
    fn is_settled(&self) -> bool {
        self.verdict.is_some() || self.reply.is_none()
    }

    /// The caller gets its answer; the channel is put away after it.
    fn answer(&mut self) {
        let verdict =
            self.verdict.take().unwrap_or_else(|| Err(RemoteError::Lost("no answer".into())));
        // First the output ends, so that who gets the answer has heard all that was said, a last
        // line without an end too.
        self.output = Box::new(|_, _| {});
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(verdict);
        }
    }

    /// The session is lost, and what runs in the machine goes on there.
    pub(super) fn orphan(&self) -> Option<Orphan> {
        // The stage is gone with the wire: what matters is that nobody heard of its end.
        let runs = self.reply.is_some() && !matches!(self.verdict, Some(Ok(_)));
        let groups = self.preface.as_ref().filter(|_| runs)?.groups()?;
        (!groups.is_empty()).then(|| Orphan { groups: groups.to_vec(), sudo: self.sudo })
    }

    /// The session is lost.
    pub(super) fn abandon(mut self, why: &str) {
        self.verdict.get_or_insert_with(|| Err(RemoteError::Lost(why.to_owned())));
        self.answer();
    }

    /// Does what can be done now.
    pub(super) fn advance(&mut self, turn: &mut Turn) -> Result<(), Broken> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Waiting => self.open(turn),
            Stage::Starting(channel, command) => self.start(channel, command, turn),
            Stage::Running(channel) => self.serve(channel, turn),
            Stage::Leaving(mut channel) => {
                if (channel.write_pending()
                    && self.write(&mut channel)?.is_pending()
                    && channel.write_pending())
                    || channel.free(turn.buffer).is_pending()
                {
                    self.stage = Stage::Leaving(channel);
                } else {
                    turn.moved = true;
                }
                Ok(())
            }
            Stage::Over => Ok(()),
        }?;
        // The end of a doomed job is not told before its processes are gone.
        if matches!(self.stage, Stage::Leaving(_) | Stage::Over)
            && self.reply.is_some()
            && self.is_killed()
        {
            self.answer();
            turn.moved = true;
        }
        Ok(())
    }

    fn open(&mut self, turn: &mut Turn) -> Result<(), Broken> {
        // An answered job stays only to finish an opening, which may be its own.
        if self.reply.is_none() && !*turn.opening {
            return Ok(());
        }
        let crowded = turn.open >= if self.is_brief() { CHANNELS } else { CHANNELS - SPARE };
        if (crowded || *turn.refused) && !*turn.opening {
            self.stage = Stage::Waiting;
            return Ok(());
        }
        let channel = match turn.wire.open() {
            Poll::Pending => {
                *turn.opening = true;
                self.stage = Stage::Waiting;
                return Ok(());
            }
            Poll::Ready(Ok(channel)) => channel,
            // sshd's MaxSessions: wait for one of ours to end.
            Poll::Ready(Err(error)) if error.is_refusal() && turn.open > 0 => {
                (*turn.opening, *turn.refused) = (false, true);
                self.stage = Stage::Waiting;
                return Ok(());
            }
            Poll::Ready(Err(error)) if error.is_refusal() => {
                *turn.opening = false;
                self.verdict = Some(Err(RemoteError::Lost(format!(
                    "the machine opens no channel: {}",
                    error.text
                ))));
                self.answer();
                return Ok(());
            }
            Poll::Ready(Err(error)) => return Err(error),
        };
        *turn.opening = false;
        turn.moved = true;
        turn.open += 1;
        self.stage = match self.command.take() {
            _ if self.reply.is_none() => Stage::Leaving(channel),
            Some(command) => Stage::Starting(channel, command),
            None => {
                self.verdict = Some(Ok(Exit::Code(0)));
                self.answer();
                Stage::Leaving(channel)
            }
        };
        Ok(())
    }

    fn start(
        &mut self,
        mut channel: Channel,
        command: CString,
        turn: &mut Turn,
    ) -> Result<(), Broken> {
        self.stage = match channel.exec(&command) {
            Poll::Pending => Stage::Starting(channel, command),
            Poll::Ready(Ok(())) => {
                turn.moved = true;
                Stage::Running(channel)
            }
            Poll::Ready(Err(error)) if error.is_refusal() => {
                turn.moved = true;
                self.verdict = Some(Err(RemoteError::Lost(format!(
                    "the machine runs no command: {}",
                    error.text
                ))));
                self.answer();
                Stage::Leaving(channel)
            }
            Poll::Ready(Err(error)) => return Err(error),
        };
        Ok(())
    }

    fn serve(&mut self, mut channel: Channel, turn: &mut Turn) -> Result<(), Broken> {
        turn.moved |= self.read(&mut channel, turn.buffer)?;
        if !channel.eof() {
            match self.write(&mut channel)? {
                Poll::Ready(moved) => turn.moved |= moved,
                Poll::Pending => {}
            }
        } else if channel.closed()?.is_ready() {
            turn.moved = true;
            self.settle(&channel);
            self.stage = Stage::Leaving(channel);
            return Ok(());
        }
        // Answered before its end: out of grace.
        self.stage =
            if self.reply.is_none() { Stage::Leaving(channel) } else { Stage::Running(channel) };
        Ok(())
    }

    /// The only place where an exit becomes known: both streams at their end, the channel closed by
    /// the machine, and a status or signal that it did send.
    fn settle(&mut self, channel: &Channel) {
        let rest = self.preface.as_mut().map(Preface::rest).unwrap_or_default();
        if !rest.is_empty() && self.doom.is_none() {
            (self.output)(Stream::Stdout, &rest);
        }
        if self.doom.is_none() {
            self.verdict = Some(match (channel.exit_signal(), channel.exit_status()) {
                (Some(signal), _) => Ok(Exit::Signal(signal)),
                (None, Some(code)) => Ok(Exit::Code(code)),
                (None, None) => {
                    Err(RemoteError::Lost("the command ended without an exit status".into()))
                }
            });
        }
    }

    /// Both streams, always: one that is not read fills the window they share.
    fn read(&mut self, channel: &mut Channel, buffer: &mut [u8]) -> Result<bool, Broken> {
        let mut moved = false;
        for (number, stream) in [(0, Stream::Stdout), (1, Stream::Stderr)] {
            let mut taken = 0;
            while taken < TURN {
                let n = match channel.read(number, buffer) {
                    Poll::Ready(Ok(n)) if n > 0 => n,
                    Poll::Ready(Err(error)) => return Err(error),
                    _ => break,
                };
                taken += n;
                moved = true;
                let (output, mute) = (&mut self.output, self.doom.is_some());
                let mut give = |data: &[u8]| {
                    if !mute {
                        output(stream, data)
                    }
                };
                match (&mut self.preface, stream) {
                    (Some(preface), Stream::Stdout) => preface.pass(&buffer[..n], &mut give),
                    _ => give(&buffer[..n]),
                }
            }
        }
        Ok(moved)
    }

    /// Ready: whether anything was sent, and there is no more for now. Pending: the machine or the
    /// socket is full.
    fn write(&mut self, channel: &mut Channel) -> Result<Poll<bool>, Broken> {
        let mut sent = 0;
        while sent < TURN {
            if self.input.at < self.input.bytes.len() {
                // A job that is settled finishes its packet, and no more.
                if self.is_settled() && !channel.write_pending() {
                    break;
                }
                match channel.write(&self.input.bytes[self.input.at..]) {
                    Poll::Ready(n) => {
                        let n = n?;
                        sent += n;
                        self.input.at += n;
                    }
                    Poll::Pending if sent > 0 => break,
                    Poll::Pending => return Ok(Poll::Pending),
                }
                continue;
            }
            if let (Some((_, progress, total)), Some(contents)) =
                (&mut self.input.pieces, self.input.contents.take())
            {
                progress(contents, *total);
            }
            if self.is_settled() || self.input.over {
                break;
            }
            let piece = match &self.input.pieces {
                Some((pieces, ..)) => pieces.try_recv(),
                None => Ok(Piece::End),
            };
            match piece {
                Ok(Piece::Bytes(bytes, contents)) => {
                    (self.input.bytes, self.input.at, self.input.contents) =
                        (bytes, 0, Some(contents));
                }
                Ok(Piece::End) => {
                    if channel.send_eof()?.is_pending() {
                        // Asked again in the next turn: `End` once more.
                        self.input.pieces = None;
                        return Ok(Poll::Pending);
                    }
                    self.input.over = true;
                }
                Ok(Piece::Failed(error)) => self.condemn(error, Instant::now()),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.condemn(
                        RemoteError::Lost("the reading thread died".into()),
                        Instant::now(),
                    );
                }
            }
        }
        Ok(Poll::Ready(sent > 0))
    }
}

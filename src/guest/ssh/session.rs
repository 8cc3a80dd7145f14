//! The thread that owns a session. libssh2 allows one thread per session. This one serves all
//! channels in turn, and sleeps in `poll` while none can proceed, so commands run concurrently.
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::channel::{Broken, Wire};
use super::job::{GRACE, Job, Task, Turn};
use super::wake::Sleeper;
use crate::guest::Orphan;

/// Upper bound on a missed wake-up; progress does not depend on it.
const LOOK: Duration = Duration::from_secs(5);

/// Keepalive interval. Servers close silent sessions, however long a command takes, and NAT devices
/// forget them; TCP keepalive counts for neither. Not shorter, because sessions must survive half a
/// minute without network, and some paths (passt) end a session that cannot deliver.
pub(super) const ALIVE: Duration = Duration::from_secs(45);

/// Turns between two checks for new tasks while busy.
const TURNS: usize = 16;

/// A logged-in connection.
pub(super) struct Line {
    pub session: ssh2::Session,
    pub socket: TcpStream,
    /// [`ALIVE`], except in tests.
    pub alive: Duration,
}

/// What is known of a session that is lost.
#[derive(Default)]
pub(super) struct Gone {
    pub why: OnceLock<String>,
    /// What it left running in the machine.
    pub orphans: Mutex<Vec<Orphan>>,
}

/// Serves `tasks` until all senders are gone and their work is cleaned up, or the connection is
/// lost; `gone` then holds the reason.
pub(super) fn serve(line: Line, tasks: &Receiver<Task>, sleeper: Sleeper, gone: &Gone) {
    let Line { session, socket, alive } = line;
    let mut session = Session {
        wire: Rc::new(Wire::new(session)),
        jobs: Vec::new(),
        buffer: vec![0; 128 << 10],
        opening: false,
        refused: false,
        alive,
        told: Instant::now(),
    };
    let lost = session.run(&socket, tasks, sleeper);
    if let Err(error) = &lost {
        let _ = gone.why.set(error.text.clone());
        // Freeing must not wait for a peer that does not answer.
        let _ = socket.shutdown(Shutdown::Both);
    }
    let why = lost.err().map_or_else(|| "the session was closed".into(), |error| error.text);
    // Before the callers hear of it, who may ask for them at once.
    let orphans = session.jobs.iter().filter_map(Job::orphan);
    gone.orphans.lock().unwrap_or_else(PoisonError::into_inner).extend(orphans);
    session.jobs.drain(..).for_each(|job| job.abandon(&why));
    // Tasks that came too late; their senders learn it from the dropped reply.
    while tasks.try_recv().is_ok() {}
    if let Ok(wire) = Rc::try_unwrap(session.wire) {
        wire.leave();
    }
}

struct Session {
    wire: Rc<Wire>,
    jobs: Vec<Job>,
    buffer: Vec<u8>,
    opening: bool,
    refused: bool,
    alive: Duration,
    /// Time of the last keepalive.
    told: Instant,
}

impl Session {
    fn run(
        &mut self,
        socket: &TcpStream,
        tasks: &Receiver<Task>,
        mut sleeper: Sleeper,
    ) -> Result<(), Broken> {
        let mut last_call = None;
        loop {
            sleeper.clear();
            loop {
                match tasks.try_recv() {
                    Ok(task) => self.jobs.push(Job::new(task)),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        last_call.get_or_insert_with(|| Instant::now() + GRACE + LOOK);
                        break;
                    }
                }
            }
            // A machine that never stops talking keeps neither new tasks waiting nor the end of the
            // session.
            let mut busy = true;
            for _ in 0..TURNS {
                busy = self.turn()?;
                if !busy {
                    break;
                }
            }
            let now = Instant::now();
            if now.duration_since(self.told) >= self.alive && has_room(socket) {
                self.wire.tell_alive()?;
                self.told = now;
            }
            if last_call.is_some_and(|end| self.jobs.is_empty() || now >= end) {
                return Ok(());
            }
            if busy {
                continue;
            }
            let next = self.jobs.iter().filter_map(Job::next_look).min();
            let wait = next
                .map_or(LOOK, |next| next.saturating_duration_since(now).min(LOOK))
                .min(self.alive);
            self.sleep(socket, &sleeper, wait)?;
        }
    }

    /// Lets every job proceed once. Returns whether another turn is due immediately.
    fn turn(&mut self) -> Result<bool, Broken> {
        let before = self.wire.received();
        let now = Instant::now();
        let open = self.jobs.iter().filter(|job| job.has_channel()).count();
        let mut turn = Turn {
            wire: &self.wire,
            buffer: &mut self.buffer,
            moved: false,
            opening: &mut self.opening,
            open,
            refused: &mut self.refused,
        };
        let mut killers = Vec::new();
        for job in &mut self.jobs {
            job.judge(now);
            killers.extend(job.take_killer());
            job.advance(&mut turn)?;
        }
        // A call on one channel may receive data for others, so earlier jobs need another turn.
        let again = turn.moved || !killers.is_empty() || self.wire.received() != before;
        self.jobs.retain(|job| !job.is_over());
        if self.jobs.iter().filter(|job| job.has_channel()).count() < open {
            self.refused = false;
        }
        // In front: brief, and the others can wait.
        self.jobs.splice(..0, killers.into_iter().map(Job::new));
        Ok(again)
    }

    /// An idle session does not read its socket; it only waits for the connection to end.
    fn sleep(&self, socket: &TcpStream, sleeper: &Sleeper, wait: Duration) -> Result<(), Broken> {
        let outbound = if self.wire.take_outbound() { libc::POLLOUT } else { 0 };
        let idle = self.jobs.is_empty();
        let inbound = if idle { libc::POLLRDHUP } else { libc::POLLIN };
        let mut fds = [
            libc::pollfd { fd: socket.as_raw_fd(), events: inbound | outbound, revents: 0 },
            libc::pollfd { fd: sleeper.fd(), events: libc::POLLIN, revents: 0 },
        ];
        // Rounded up, or a deadline would be waited for in a spin.
        let ms = wait.as_millis() as libc::c_int + 1;
        // SAFETY: two valid entries. An error (EINTR) is a wake-up like any other.
        let woken = unsafe { libc::poll(fds.as_mut_ptr(), 2, ms) };
        if woken > 0
            && idle
            && fds[0].revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
        {
            return Err(Broken::closed());
        }
        Ok(())
    }
}

/// Whether the socket is writable.
fn has_room(socket: &TcpStream) -> bool {
    let mut fd = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid entry; it does not wait.
    unsafe { libc::poll(&raw mut fd, 1, 0) > 0 && fd.revents & libc::POLLOUT != 0 }
}

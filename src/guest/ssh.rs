//! SSH with libssh2: one session, one thread, any number of calls side by side.
//!
//! ```text
//! Handle ──Task──▶ session (thread, poll) ── job (one call) ── channel (libssh2)
//!    ▲                                         │
//!    └────────────── reply, output ────────────┘      pack (thread) ──pieces──▶ job
//! ```
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::job::{Input, Task};
use self::session::Gone;
use self::wake::Wake;
use super::{
    Command, Connect, Exit, OnOutput, OnProgress, Orphan, Remote, RemoteError, Stream, Target,
    Transfer,
};

mod channel;
mod job;
mod login;
mod pack;
mod preface;
mod session;
mod shell;
#[cfg(test)]
mod tests;
mod wake;

/// Time without an answer after which a machine is silent. The kernel asks twice in it.
const SILENCE: Duration = Duration::from_secs(2);
/// Bytes kept of a failed transfer's error output.
const COMPLAINT: usize = 4 << 10;

/// The libssh2 implementation of [`Connect`].
pub struct Ssh;

#[async_trait]
impl Connect for Ssh {
    async fn connect(
        &self,
        target: &Target,
        deadline: Duration,
    ) -> Result<Arc<dyn Remote>, RemoteError> {
        open(target, deadline, session::ALIVE).await
    }

    async fn is_silent(&self, host: &str, port: u16) -> bool {
        use std::io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
        match tokio::time::timeout(SILENCE, tokio::net::TcpStream::connect((host, port))).await {
            Err(_) => true,
            Ok(Err(e)) => matches!(e.kind(), HostUnreachable | NetworkUnreachable | TimedOut),
            Ok(Ok(_)) => false,
        }
    }
}

/// `alive` is the keepalive interval.
async fn open(
    target: &Target,
    deadline: Duration,
    alive: Duration,
) -> Result<Arc<dyn Remote>, RemoteError> {
    let unreachable = |reason: String| RemoteError::Unreachable {
        host: target.host.clone(),
        port: target.port,
        reason,
    };
    let (wake, sleeper) = wake::pair().map_err(|e| unreachable(e.to_string()))?;
    let (tasks, inbox) = channel();
    let (tell, told) = oneshot::channel();
    let gone = Arc::new(Gone::default());
    let (why, to) = (gone.clone(), target.clone());
    let thread = std::thread::Builder::new().name("ssh-session".into()).spawn(move || {
        match login::login(&to, deadline) {
            Err(error) => drop(tell.send(Err(error))),
            Ok((session, socket)) => {
                // The key is not needed any longer, here.
                drop(to);
                if tell.send(Ok(())).is_ok() {
                    session::serve(session::Line { session, socket, alive }, &inbox, sleeper, &why);
                }
            }
        }
    });
    thread.map_err(|e| unreachable(e.to_string()))?;
    // The thread keeps the deadline, but a name server may keep the thread.
    match tokio::time::timeout(deadline + Duration::from_millis(500), told).await {
        Ok(Ok(result)) => result?,
        Ok(Err(_)) => return Err(unreachable("the session thread died".into())),
        Err(_) => return Err(unreachable("no answer in time".into())),
    }
    Ok(Arc::new(Handle { tasks: Mutex::new(Some(tasks)), wake, gone }))
}

/// The caller's end of a session. Dropping the last one ends the session.
struct Handle {
    tasks: Mutex<Option<Sender<Task>>>,
    wake: Wake,
    gone: Arc<Gone>,
}

/// Wakes the session thread when a call ends or its future is dropped.
struct Nudge<'a>(&'a Wake);

impl Drop for Nudge<'_> {
    fn drop(&mut self) {
        self.0.up();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // First the sender, so that the thread finds it gone when it wakes.
        self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.wake.up();
    }
}

impl Handle {
    async fn call(
        &self,
        task: impl FnOnce(oneshot::Sender<Result<Exit, RemoteError>>) -> Task + Send,
    ) -> Result<Exit, RemoteError> {
        // Dropped after `answer`, so that the thread sees a cancelled call as cancelled.
        let _nudge = Nudge(&self.wake);
        let (reply, answer) = oneshot::channel();
        let lost = || {
            RemoteError::Lost(
                self.gone.why.get().cloned().unwrap_or_else(|| "the session is gone".into()),
            )
        };
        match &*self.tasks.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(tasks) => tasks.send(task(reply)).map_err(|_| lost())?,
            None => return Err(lost()),
        }
        self.wake.up();
        answer.await.map_err(|_| lost())?
    }
}

/// Unique ID of a call, for its preface and temporary file.
fn fresh_id() -> String {
    format!("image-factory-{}", uuid::Uuid::new_v4().simple())
}

#[async_trait]
impl Remote for Handle {
    async fn exec(&self, command: Command, output: OnOutput) -> Result<Exit, RemoteError> {
        let id = fresh_id();
        let call = shell::exec(&command, &id)?;
        self.call(|reply| Task {
            command: Some(call.line),
            id: Some(id),
            sudo: command.sudo,
            input: Input::bytes(call.input),
            output,
            deadline: command.deadline,
            reply,
        })
        .await
    }

    async fn put(&self, transfer: &Transfer<'_>, progress: OnProgress) -> Result<(), RemoteError> {
        let Transfer { src, dest, mode, sudo, deadline } = *transfer;
        let id = fresh_id();
        let parcel = pack::pack((src, mode), &id, self.wake.clone()).await?;
        let command = if parcel.directory {
            shell::put_tree(&shell::Destination { path: dest, mode: parcel.mode, sudo }, &id)?
        } else {
            let path = &place(dest, src);
            let to = shell::Destination { path, mode: parcel.mode, sudo };
            shell::put_file(&to, parcel.total, &id)?
        };
        let complaint = Arc::new(Mutex::new(Vec::new()));
        let heard = complaint.clone();
        let output: OnOutput = Box::new(move |stream, data| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if stream == Stream::Stderr && heard.len() < COMPLAINT {
                heard.extend_from_slice(&data[..data.len().min(COMPLAINT)]);
            }
        });
        let exit = self
            .call(|reply| Task {
                command: Some(command),
                id: Some(id),
                sudo,
                input: Input::pieces(parcel.pieces, progress, parcel.total),
                output,
                deadline,
                reply,
            })
            .await?;
        if exit == Exit::Code(0) {
            return Ok(());
        }
        let complaint = complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = match (String::from_utf8_lossy(&complaint).trim(), exit) {
            ("", Exit::Code(code)) => format!("the machine's shell ended with code {code}"),
            ("", Exit::Signal(name)) => format!("the machine's shell was ended by SIG{name}"),
            (said, _) => said.to_owned(),
        };
        Err(RemoteError::Transfer { path: dest.to_owned(), reason })
    }

    async fn ping(&self, deadline: Duration) -> Result<(), RemoteError> {
        let ping = |reply| Task {
            command: None,
            id: None,
            sudo: false,
            input: Input::bytes(Vec::new()),
            output: Box::new(|_, _| {}),
            deadline,
            reply,
        };
        match self.call(ping).await {
            Ok(_) => Ok(()),
            // Silence is all one ever hears of a machine that is gone.
            Err(RemoteError::Deadline(limit)) => {
                Err(RemoteError::Lost(format!("no answer within {limit:?}")))
            }
            Err(error) => Err(error),
        }
    }

    fn take_orphans(&self) -> Vec<Orphan> {
        std::mem::take(&mut self.gone.orphans.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Resolves a `dest` ending in `/` to a file in that directory.
fn place(dest: &str, src: &Path) -> String {
    match src.file_name() {
        Some(name) if dest.ends_with('/') => format!("{dest}{}", name.to_string_lossy()),
        _ => dest.to_owned(),
    }
}
/// The command's own part of a standard output that arrives in `pieces`; `id` is the call's mark.
/// Exposed for `fuzz/`.
#[doc(hidden)]
pub fn output_of(id: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut preface, mut output) = (preface::Preface::new(id), Vec::new());
    for piece in pieces {
        preface.pass(piece, &mut |data| output.extend_from_slice(data));
    }
    output.extend(preface.rest());
    output
}

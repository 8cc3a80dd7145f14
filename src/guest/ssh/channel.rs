//! A non-blocking libssh2 channel: every call may return "pending".
//!
//! Replaces `ssh2::Channel`, which cannot tell whether the server sent an exit status (libssh2
//! reports 0 for none, so a lost command would look successful), and whose `Drop` abandons a
//! half-sent packet, which blocks the whole session. Contains all `unsafe` code of the module.
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::rc::Rc;
use std::task::Poll;

use libssh2_sys as raw;

/// Receive window: bytes in flight per channel. libssh2's default.
const WINDOW: u32 = 2 << 20;
const PACKET: u32 = 32 << 10;

/// Why a call failed.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    code: c_int,
    pub(super) text: String,
}

impl Broken {
    /// The peer closed an idle connection.
    pub(super) fn closed() -> Self {
        Self {
            code: raw::LIBSSH2_ERROR_SOCKET_DISCONNECT,
            text: "the machine closed the connection".into(),
        }
    }

    /// Whether the server refused only this request; the session remains usable.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self.code,
            raw::LIBSSH2_ERROR_CHANNEL_FAILURE | raw::LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED
        )
    }
}

pub(super) type Step<T> = Poll<Result<T, Broken>>;

type Generic = unsafe extern "C" fn();

// In the C header of libssh2 1.11.2, not yet in libssh2-sys.
unsafe extern "C" {
    fn libssh2_channel_has_exit_status(channel: *mut raw::LIBSSH2_CHANNEL) -> c_int;
    fn libssh2_session_callback_set2(
        session: *mut raw::LIBSSH2_SESSION,
        kind: c_int,
        callback: Option<Generic>,
    ) -> Option<Generic>;
}
const CALLBACK_RECV: c_int = 6;

thread_local! {
    /// Bytes that this thread's session has received.
    static RECEIVED: Cell<u64> = const { Cell::new(0) };
}

/// libssh2's receive function with a counter. A call on one channel may receive data for another;
/// only the count reveals that, and `poll` would sleep on it.
unsafe extern "C" fn receive(
    socket: c_int,
    buffer: *mut c_void,
    length: usize,
    flags: c_int,
    _: *mut *mut c_void,
) -> isize {
    // SAFETY: libssh2 gives a buffer of `length` bytes.
    let n = unsafe { libc::recv(socket, buffer, length, flags) };
    if n < 0 {
        return match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) | None => -(libc::EAGAIN as isize),
            Some(e) => -(e as isize),
        };
    }
    RECEIVED.set(RECEIVED.get() + n as u64);
    n
}

/// Signal name sent by the machine: capitals and digits (RFC 4254); anything else becomes
/// `UNKNOWN`.
fn signal_name(said: &[u8]) -> String {
    let sound = (1..=16).contains(&said.len())
        && said.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if sound { String::from_utf8_lossy(said).into_owned() } else { "UNKNOWN".into() }
}

/// A logged-in, non-blocking session. Single-threaded.
pub(super) struct Wire {
    raw: *mut raw::LIBSSH2_SESSION,
    // Keeps `raw` alive.
    session: ssh2::Session,
    outbound: Cell<bool>,
}

impl Wire {
    pub(super) fn new(session: ssh2::Session) -> Wire {
        session.set_blocking(false);
        let raw = {
            let mut guard = session.raw();
            &raw mut *guard
        };
        // SAFETY: `receive` has the signature of LIBSSH2_RECV_FUNC; libssh2 calls it as such for
        // this kind.
        unsafe {
            type Receive =
                unsafe extern "C" fn(c_int, *mut c_void, usize, c_int, *mut *mut c_void) -> isize;
            libssh2_session_callback_set2(
                raw,
                CALLBACK_RECV,
                Some(std::mem::transmute::<Receive, Generic>(receive)),
            );
        }
        Wire { raw, session, outbound: Cell::new(false) }
    }

    /// Bytes received from the socket so far.
    pub(super) fn received(&self) -> u64 {
        RECEIVED.get()
    }

    /// Whether a call since the last query had to wait for the socket to accept data.
    pub(super) fn take_outbound(&self) -> bool {
        self.outbound.take()
    }

    /// Sends a keepalive without requesting a reply. Skipped while another packet is half sent.
    /// Call only when the socket is writable, because a keepalive cannot be resumed.
    pub(super) fn tell_alive(&self) -> Result<(), Broken> {
        if self.blocked_outbound() {
            return Ok(());
        }
        let mut next = 0;
        // SAFETY: the session is alive. The least interval that libssh2 has (2 s): when to send is
        // the caller's to decide.
        let code = unsafe {
            raw::libssh2_keepalive_config(self.raw, 0, 2);
            raw::libssh2_keepalive_send(self.raw, &raw mut next)
        };
        match self.step(code as isize) {
            Poll::Ready(Err(broken)) => Err(broken),
            _ => Ok(()),
        }
    }

    /// Disconnects and frees everything, within one second.
    pub(super) fn leave(self) {
        self.session.set_timeout(1000);
        self.session.set_blocking(true);
        let _ = self.session.disconnect(None, "done", None);
    }

    /// libssh2 opens one channel at a time, and gives its result to the next caller.
    pub(super) fn open(self: &Rc<Wire>) -> Step<Channel> {
        // SAFETY: the session is alive; "session" is copied by libssh2.
        let raw = unsafe {
            raw::libssh2_channel_open_ex(
                self.raw,
                c"session".as_ptr(),
                7,
                WINDOW,
                PACKET,
                std::ptr::null(),
                0,
            )
        };
        if !raw.is_null() {
            return Poll::Ready(Ok(Channel {
                raw,
                wire: self.clone(),
                read_pending: false,
                write_pending: false,
            }));
        }
        // SAFETY: as above.
        let code = unsafe { raw::libssh2_session_last_errno(self.raw) };
        self.step(code as isize).map_ok(|_| unreachable!("no channel and no error"))
    }

    /// Converts a return code, and notes whether the socket must become writable before a retry.
    fn step(&self, code: isize) -> Step<usize> {
        if code >= 0 {
            return Poll::Ready(Ok(code as usize));
        }
        if code as c_int == raw::LIBSSH2_ERROR_EAGAIN {
            if self.blocked_outbound() {
                self.outbound.set(true);
            }
            return Poll::Pending;
        }
        let mut text: *mut c_char = null_mut();
        // SAFETY: the text stays libssh2's (`want_buf` 0) and is copied before the next call.
        let text = unsafe {
            raw::libssh2_session_last_error(self.raw, &raw mut text, null_mut(), 0);
            if text.is_null() {
                String::new()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        };
        Poll::Ready(Err(Broken { code: code as c_int, text: format!("{text} (libssh2 {code})") }))
    }

    fn blocked_outbound(&self) -> bool {
        // SAFETY: the session is alive.
        unsafe {
            raw::libssh2_session_block_directions(self.raw) & raw::LIBSSH2_SESSION_BLOCK_OUTBOUND
                != 0
        }
    }
}

/// Must be [freed](Channel::free); otherwise it lives as long as its session.
pub(super) struct Channel {
    raw: *mut raw::LIBSSH2_CHANNEL,
    wire: Rc<Wire>,
    read_pending: bool,
    write_pending: bool,
}

// SAFETY (all of them): `raw` came from this live session and is freed only by `free`, which takes
// `self`'s last use.
impl Channel {
    /// Starts a command. While pending, call again with the same text.
    pub(super) fn exec(&mut self, command: &CStr) -> Step<()> {
        let length = command.to_bytes().len() as u32;
        let code = unsafe {
            raw::libssh2_channel_process_startup(
                self.raw,
                c"exec".as_ptr(),
                4,
                command.as_ptr(),
                length,
            )
        };
        self.wire.step(code as isize).map_ok(drop)
    }

    /// Reads standard output (0) or standard error (1). `Ready(0)`: end of the stream, or no data
    /// for now.
    pub(super) fn read(&mut self, stream: c_int, buffer: &mut [u8]) -> Step<usize> {
        let code = unsafe {
            raw::libssh2_channel_read_ex(self.raw, stream, buffer.as_mut_ptr().cast(), buffer.len())
        };
        let step = self.wire.step(code);
        // A window update may be half sent; nothing else can be sent until another read completes
        // it.
        self.read_pending = step.is_pending() && self.wire.blocked_outbound();
        step
    }

    /// Sends one packet. While pending, call again with the same bytes.
    pub(super) fn write(&mut self, data: &[u8]) -> Step<usize> {
        let code =
            unsafe { raw::libssh2_channel_write_ex(self.raw, 0, data.as_ptr().cast(), data.len()) };
        let step = self.wire.step(code);
        self.write_pending = step.is_pending() && self.wire.blocked_outbound();
        step
    }

    /// Whether a packet may be half sent, so that [`write`](Channel::write) must be called again.
    pub(super) fn write_pending(&self) -> bool {
        self.write_pending
    }

    pub(super) fn send_eof(&mut self) -> Step<()> {
        self.wire.step(unsafe { raw::libssh2_channel_send_eof(self.raw) } as isize).map_ok(drop)
    }

    /// Whether the peer has ended its output, and all of it was read.
    pub(super) fn eof(&self) -> bool {
        unsafe { raw::libssh2_channel_eof(self.raw) == 1 }
    }

    /// Waits for the peer's close, which follows any exit status. Call only after
    /// [`eof`](Channel::eof).
    pub(super) fn closed(&mut self) -> Step<()> {
        self.wire.step(unsafe { raw::libssh2_channel_wait_closed(self.raw) } as isize).map_ok(drop)
    }

    /// Exit status, if the server sent one.
    pub(super) fn exit_status(&self) -> Option<i32> {
        unsafe {
            (libssh2_channel_has_exit_status(self.raw) == 1)
                .then(|| raw::libssh2_channel_get_exit_status(self.raw))
        }
    }

    /// Name of the signal (without `SIG`) that ended the command, if the server sent one.
    pub(super) fn exit_signal(&self) -> Option<String> {
        let mut name: *mut c_char = null_mut();
        let mut length = 0;
        unsafe {
            let (p, q) = (&raw mut name, &raw mut length);
            let rc = raw::libssh2_channel_get_exit_signal(
                self.raw,
                p,
                q,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
            );
            if rc != 0 || name.is_null() {
                return None;
            }
            let text = signal_name(std::slice::from_raw_parts(name.cast(), length));
            raw::libssh2_free(self.wire.raw, name.cast());
            Some(text)
        }
    }

    /// Closes and frees the channel. Call until ready; `scratch` receives remaining input. The
    /// channel must not be used afterwards.
    pub(super) fn free(&mut self, scratch: &mut [u8]) -> Poll<()> {
        if self.read_pending {
            let _ = self.read(0, scratch);
            if self.read_pending {
                return Poll::Pending;
            }
        }
        // Frees as soon as the close was exchanged, or at once if the connection is gone.
        self.wire.step(unsafe { raw::libssh2_channel_free(self.raw) } as isize).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_a_grammar() {
        assert_eq!(
            (signal_name(b"TERM"), signal_name(b"USR1")),
            ("TERM".to_owned(), "USR1".to_owned())
        );
        for bad in [&b""[..], b"\x1b[2J", b"TERM@example.com", b"term", &[b'A'; 17]] {
            assert_eq!(signal_name(bad), "UNKNOWN");
        }
    }
}

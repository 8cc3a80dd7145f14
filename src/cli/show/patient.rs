//! Writes that give up on a blocked reader, so that a command ends even with a stopped terminal or
//! full pipe.
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use crate::system::cancel::Cancel;

/// How long a reader may accept nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that a ready pipe accepts without blocking (PIPE_BUF).
const PIECE: usize = 4096;

/// Interval between cancellation checks while waiting for a reader.
const LOOK: Duration = Duration::from_millis(100);

/// A reader was given up; later writes do not wait.
static STUCK: AtomicBool = AtomicBool::new(false);
/// Cancels the program.
static CANCEL: OnceLock<Cancel> = OnceLock::new();
/// Standard output was truncated.
static CUT: AtomicBool = AtomicBool::new(false);
/// Something was written to standard output by [`stdout`].
static SAID: AtomicBool = AtomicBool::new(false);
/// Error number of a failed write to standard output; 0 for none.
static LOST: AtomicI32 = AtomicI32::new(0);

/// Writes to standard error without Rust's lock, which a blocked write may hold. Returns whether
/// everything was written.
pub(in crate::cli) fn stderr(mut text: &[u8]) -> bool {
    let patience = if STUCK.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
    let taken = write(libc::STDERR_FILENO, &mut text, patience);
    STUCK.store(!taken, Ordering::Relaxed);
    taken
}

/// Writes to standard output without Rust's lock. Waits for the reader until the cancellation of
/// [`stopped_by`], because this output was requested.
pub(in crate::cli) fn stdout(text: &[u8]) {
    SAID.store(true, Ordering::Relaxed);
    let stopped = || CANCEL.get().is_some_and(|cancel| cancel.check().is_err());
    if !write_until(libc::STDOUT_FILENO, text, stopped) {
        CUT.store(true, Ordering::Relaxed);
    }
}

/// Whether a command has printed its document, or a part of it.
pub(in crate::cli) fn said() -> bool {
    SAID.load(Ordering::Relaxed)
}

pub(in crate::cli) fn stopped_by(cancel: &Cancel) {
    let _ = CANCEL.set(cancel.clone());
}

/// Error of a write to standard output that was not caused by the reader, such as a full disk.
pub(in crate::cli) fn lost() -> Option<std::io::Error> {
    let number = LOST.load(Ordering::Relaxed);
    (number != 0).then(|| std::io::Error::from_raw_os_error(number))
}

/// Whether the program was stopped while waiting for standard output.
pub(in crate::cli) fn was_cut() -> bool {
    CUT.load(Ordering::Relaxed)
}

fn write_until(fd: RawFd, mut text: &[u8], stopped: impl Fn() -> bool) -> bool {
    while !write(fd, &mut text, LOOK) {
        if stopped() {
            return false;
        }
    }
    true
}

/// `text` holds the unwritten rest afterwards.
fn write(fd: RawFd, text: &mut &[u8], patience: Duration) -> bool {
    let mut end = Instant::now() + patience;
    while !text.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
        // SAFETY: one valid entry.
        match unsafe { libc::poll(&raw mut poll, 1, left.as_millis() as libc::c_int) } {
            0 => return false,
            -1 if interrupted() && !left.is_zero() => continue,
            -1 => return false,
            _ => {}
        }
        let piece = &text[..text.len().min(PIECE)];
        // SAFETY: the bytes are valid for the call.
        let written = unsafe { libc::write(fd, piece.as_ptr().cast(), piece.len()) };
        match usize::try_from(written) {
            Ok(n) => {
                *text = &text[n..];
                end = Instant::now() + patience;
            }
            Err(_) if interrupted() => {}
            // A reader that went away is not an error of ours.
            Err(_) => {
                let e = std::io::Error::last_os_error();
                if e.kind() != std::io::ErrorKind::BrokenPipe && fd == libc::STDOUT_FILENO {
                    LOST.store(e.raw_os_error().unwrap_or(libc::EIO), Ordering::Relaxed);
                }
                return true;
            }
        }
    }
    true
}

fn interrupted() -> bool {
    matches!(
        std::io::Error::last_os_error().kind(),
        std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock
    )
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_full_pipe_is_given_up_on_and_one_that_is_read_is_not() {
        use std::io::Read;
        let (mut reader, writer) = std::io::pipe().unwrap();
        let begin = Instant::now();
        assert!(!write(writer.as_raw_fd(), &mut &[b'x'; 1 << 20][..], Duration::from_millis(200)));
        assert!(begin.elapsed() < Duration::from_secs(10));
        let read = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all.len()
        });
        assert!(write(writer.as_raw_fd(), &mut &[b'y'; 1 << 20][..], Duration::from_secs(10)));
        drop(writer);
        assert!(read.join().unwrap() > 1 << 20);
    }
    #[test]
    fn a_reader_that_does_not_read_is_waited_for_until_the_program_is_stopped() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (begin, cancel) = (Instant::now(), Cancel::default());
        let stop = cancel.clone();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            stop.signal();
        });
        assert!(!write_until(writer.as_raw_fd(), &[b'x'; 1 << 20], || cancel.check().is_err()));
        assert!((500..10_000).contains(&begin.elapsed().as_millis()));
        stopper.join().unwrap();
        drop(reader);
        assert!(
            write_until(writer.as_raw_fd(), b"nobody is there", || false),
            "gone is not stopped"
        );
    }
}

//! Bounded reads of untrusted files: regular files only, with a size limit, opened without
//! blocking.
//!
//! A FIFO may never deliver data, opening a device can have effects, and a sparse file costs its
//! author nothing.
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

type Told = Box<dyn Fn(&Path)>;

thread_local! {
    static TOLD: RefCell<Option<Told>> = const { RefCell::new(None) };
}

/// Registers `told`. It receives the path of every file that this thread is about to read.
pub fn tell(told: impl Fn(&Path) + 'static) {
    TOLD.with_borrow_mut(|slot| *slot = Some(Box::new(told)));
}

/// Opens a regular file without blocking or side effects. Any other kind is an error.
pub fn open(path: &Path) -> io::Result<File> {
    opened(path, &std::fs::metadata(path)?, 0)
}

/// Like [`open`], and treats a symbolic link as an error.
pub fn open_itself(path: &Path) -> io::Result<File> {
    opened(path, &std::fs::symlink_metadata(path)?, libc::O_NOFOLLOW)
}

/// Checks the kind before opening, because opening a device can have effects, and again afterwards,
/// because the file may have been replaced.
fn opened(path: &Path, before: &std::fs::Metadata, flags: i32) -> io::Result<File> {
    TOLD.with_borrow(|told| told.iter().for_each(|told| told(path)));
    regular(before)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | flags)
        .open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

fn regular(meta: &std::fs::Metadata) -> io::Result<()> {
    if meta.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Reads a whole regular file of at most `most` bytes.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    bytes_of(open(path)?, most)
}

/// [`bytes`] for an open file.
pub fn bytes_of(file: File, most: u64) -> io::Result<Vec<u8>> {
    let too_long =
        || io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {most} bytes"));
    if file.metadata()?.len() > most {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_long()) } else { Ok(bytes) }
}

/// Reads a file that a user named, which may be a pipe (`<(command)` of a shell). Fails beyond
/// `most` bytes, or if the end does not arrive within `patience`.
pub fn stream(path: &Path, most: u64, patience: Duration) -> io::Result<Vec<u8>> {
    let mut file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let (end, mut bytes, mut buffer) = (Instant::now() + patience, Vec::new(), vec![0; 64 << 10]);
    let pipe = std::os::unix::fs::FileTypeExt::is_fifo(&file.metadata()?.file_type());
    loop {
        // Reading a pipe without a writer reports its end.
        let ready = !pipe || comes(&file, end.saturating_duration_since(Instant::now()))?;
        match if ready { file.read(&mut buffer) } else { Err(io::ErrorKind::WouldBlock.into()) } {
            Ok(0) => return Ok(bytes),
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() >= end => {
                let what = format!(
                    "it has no end within {} s: does anybody write into this pipe?",
                    patience.as_secs()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if bytes.len() as u64 > most {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("longer than {most} bytes"),
            ));
        }
    }
}

/// Whether data or the end of the file arrives within this time.
fn comes(file: &File, within: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    match unsafe { libc::poll(&raw mut poll, 1, within.as_millis() as libc::c_int) } {
        -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => Ok(false),
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}

/// [`bytes`] as UTF-8 text.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_read_to_its_end_and_not_waited_for_without_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        let fifo = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: plain system call with a string that lives until it returns.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let short = Duration::from_millis(200);
        assert_eq!(stream(&path, 9, short).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let writer = |text: &'static str| {
            let path = path.clone();
            std::thread::spawn(move || std::fs::write(path, text).unwrap_or_default())
        };
        let long = Duration::from_secs(20);
        let whole = writer("abc");
        assert_eq!(stream(&path, 9, long).unwrap(), b"abc");
        whole.join().unwrap();
        let too_much = writer("abcdefghijk");
        assert_eq!(stream(&path, 9, long).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        too_much.join().unwrap();
        assert_eq!(stream(Path::new("/dev/null"), 9, short).unwrap(), b"");
        assert!(
            stream(Path::new("/dev/zero"), 1 << 20, long).is_err()
                && stream(dir.path(), 9, short).is_err()
        );
    }

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let fifo = std::ffi::CString::new(path("fifo").to_str().unwrap()).unwrap();
        // SAFETY: plain system call with a string that lives until it returns.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink("fifo", path("link")).unwrap();
        File::create(path("sparse")).unwrap().set_len(10 << 30).unwrap();
        std::fs::write(path("sound"), "abc").unwrap();
        for name in ["fifo", "socket", "link", "."] {
            assert_eq!(
                open(&path(name)).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{name}"
            );
        }
        std::os::unix::fs::symlink("sound", path("alias")).unwrap();
        std::fs::write(path("sound"), "abc").unwrap();
        assert!(
            open(&path("alias")).is_ok()
                && open_itself(&path("alias")).is_err()
                && open_itself(&path("sound")).is_ok()
        );
        drop(socket);
        assert!(open(Path::new("/dev/zero")).is_err());
        assert_eq!(
            bytes(&path("sparse"), 1 << 20).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
        assert_eq!(
            (text(&path("sound"), 3).unwrap(), text(&path("sound"), 2).is_err()),
            ("abc".into(), true)
        );
        // A file of the kernel's says that its length is 0.
        assert!(bytes(Path::new("/proc/self/status"), 64).is_err());
    }
}

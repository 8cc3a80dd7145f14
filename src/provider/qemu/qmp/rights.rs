//! Sends an open file over a Unix socket. Source: unix(7), `SCM_RIGHTS`.
use std::io;
use std::os::fd::RawFd;

/// Room for one control message with one file, aligned as its header.
const ROOM: usize = 8;

/// Sends `bytes`, or the first of them, and `file` beside them. Returns how many were sent.
pub fn send(socket: RawFd, bytes: &[u8], file: RawFd) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = [0u64; ROOM];
    // SAFETY: all zero is an empty message; its parts outlive it, and `control` has room for one
    // header with one file descriptor, to which alone is written.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(file);
        libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::os::fd::{AsRawFd, FromRawFd};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_file_arrives_open() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(send(ours.as_raw_fd(), b"text", file.as_raw_fd()).unwrap(), 4);
        let (mut text, mut control) = ([0u8; 16], [0u64; ROOM]);
        let mut part = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
        // SAFETY: as above; the received descriptor is owned by nobody else.
        let mut got = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control) as _;
            assert_eq!(libc::recvmsg(theirs.as_raw_fd(), &raw mut message, 0), 4);
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            let number = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
            std::fs::File::from_raw_fd(number)
        };
        assert_eq!(&text[..4], b"text");
        got.write_all(b"through it").unwrap();
        file.rewind().unwrap();
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "through it");
    }
}

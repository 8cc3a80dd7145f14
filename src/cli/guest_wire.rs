//! `image-factory guest-wire`: forwards the frames of one machine of the local cloud. The factory
//! starts it beside QEMU; it ends with QEMU.
use std::net::Ipv4Addr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use super::exit::Failure;
use crate::provider::qemu;

#[derive(clap::Args)]
pub struct Args {
    /// File descriptor of the inherited socket to QEMU
    #[arg(long)]
    guest: i32,
    /// File descriptor of the inherited socket to passt
    #[arg(long)]
    world: i32,
    /// Address whose port 53 the guest may reach
    #[arg(long)]
    resolver: Vec<Ipv4Addr>,
    /// File to keep small while the machine runs
    #[arg(long)]
    bound: Vec<PathBuf>,
    /// Address of a guest that goes on where another machine was
    #[arg(long, value_parser = mac)]
    mac: Option<[u8; 6]>,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let (guest, world) = (inherited(args.guest)?, inherited(args.world)?);
    let failed = |e: std::io::Error| Failure::host(format!("guest-wire: {e}"));
    if let Some(mac) = args.mac {
        qemu::introduce(&world, mac).map_err(failed)?;
    }
    qemu::carry(guest, world, args.resolver, args.bound).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn mac(text: &str) -> Result<[u8; 6], &'static str> {
    qemu::mac_bytes(text).ok_or("like 52:54:00:12:34:56")
}

fn inherited(fd: i32) -> Result<UnixStream, Failure> {
    // SAFETY: a question about a number, whatever it stands for.
    if fd <= 2 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(Failure::usage(format!(
            "guest-wire: {fd} is no inherited socket; image-factory calls this by itself"
        )));
    }
    // SAFETY: it is open, and nobody else in this process knows of it.
    Ok(UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

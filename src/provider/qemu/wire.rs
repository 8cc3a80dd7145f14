//! The wire between a machine and `passt`: drops frames of the guest that are addressed to this
//! host.
//!
//! QEMU's user network and `passt` open host sockets for any address that a guest names. Their
//! options block only the host's alias (10.0.2.2); a guest that sends frames to 127.0.0.1 reaches
//! the host's loopback even through `passt --no-map-gw` (version 2023-03). So every frame is
//! checked before it reaches `passt`. Frames to the guest pass unchecked.
//!
//! On both sides, a 32-bit big-endian length precedes each frame (QEMU: `net/socket.c`).
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::growth;

#[cfg(test)]
mod tests;

/// Maximum frame length. QEMU's `NET_BUFSIZE` is 4 KiB + 64 KiB; longer frames do not come from
/// QEMU.
const LONGEST: usize = 80 << 10;
const BUFFER: usize = 256 << 10;
/// Interval for rereading this host's addresses, because interfaces change.
const FRESH: Duration = Duration::from_secs(5);

const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const TCP: u8 = 6;
const UDP: u8 = 17;
const DNS: u16 = 53;
const DHCP: u16 = 67;

/// Decides which frames of a guest may leave.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Addresses of this host's interfaces.
    pub own: Vec<Ipv4Addr>,
    /// Resolvers, whose port 53 is always allowed.
    pub resolvers: Vec<Ipv4Addr>,
}

impl Filter {
    /// Allows ARP, and IPv4 to addresses outside of this host and its links. Drops everything else:
    /// IPv6, VLANs, broadcasts except DHCP, and the metadata service if this host is a cloud
    /// machine.
    pub fn passes(&self, frame: &[u8]) -> bool {
        match frame.get(12..ETHERNET) {
            Some(kind) if kind == ARP => true,
            Some(kind) if kind == IPV4 => self.packet_passes(&frame[ETHERNET..]),
            _ => false,
        }
    }

    fn packet_passes(&self, packet: &[u8]) -> bool {
        let Some(header) = packet.get(..20) else { return false };
        if header[0] >> 4 != 4 || header[0] & 15 < 5 {
            return false;
        }
        let to = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
        let port = port(packet);
        if to.is_broadcast() {
            return port == Some((UDP, DHCP));
        }
        let asks = matches!(port, Some((_, DNS))) && self.resolvers.contains(&to);
        asks || !(is_local(to) || self.own.contains(&to))
    }
}

/// Loopback, "this host", link-local (metadata services), multicast and reserved addresses.
fn is_local(to: Ipv4Addr) -> bool {
    to.is_loopback() || to.octets()[0] == 0 || to.is_link_local() || to.octets()[0] >= 224
}

/// Protocol and destination port of an unfragmented packet.
fn port(packet: &[u8]) -> Option<(u8, u16)> {
    let fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0;
    let at = usize::from(packet[0] & 15) * 4 + 2;
    let protocol = packet[9];
    let port = packet.get(at..at + 2).filter(|_| !fragment && matches!(protocol, TCP | UDP))?;
    Some((protocol, u16::from_be_bytes([port[0], port[1]])))
}

/// A frame as on the wire in which a guest asks for the address of its router. `passt` sends to a
/// guest by the address that it saw in a frame of it, and to all before: the guest's TCP drops
/// that.
/// A machine that boots asks for its lease first; one that goes on from a checkpoint may be silent
/// for seconds.
fn introduction(mac: [u8; 6]) -> Vec<u8> {
    let (guest, router) = ([10, 0, 2, 15], [10, 0, 2, 2]);
    let ethernet = [&[0xff; 6], &mac[..], &ARP].concat();
    // Ethernet and IPv4, their lengths, and that it is a question.
    let kinds = [0, 1, 8, 0, 6, 4, 0, 1];
    let frame = [&ethernet[..], &kinds, &mac, &guest, &[0; 6], &router].concat();
    let length = u32::try_from(frame.len()).expect("it is 42").to_be_bytes();
    [&length[..], &frame].concat()
}

/// The bytes of `52:54:00:12:34:56`.
pub fn mac_bytes(text: &str) -> Option<[u8; 6]> {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok());
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// Tells `passt`, to which `world` leads, of a guest that goes on with this address.
///
/// # Errors
///
/// `passt` is gone.
pub fn introduce(mut world: &UnixStream, mac: [u8; 6]) -> io::Result<()> {
    world.write_all(&introduction(mac))
}

/// Forwards frames until one side closes, and bounds the size of `files`. `guest` leads to QEMU,
/// `world` to `passt`.
///
/// # Errors
///
/// A side cannot be read or written, or sent an invalid frame.
pub fn carry(
    guest: UnixStream,
    world: UnixStream,
    resolvers: Vec<Ipv4Addr>,
    files: Vec<PathBuf>,
) -> io::Result<()> {
    // The factory may be gone, where a machine was kept; this lasts as long as the machine. It ends
    // with the process.
    std::thread::spawn(move || {
        loop {
            files.iter().for_each(|file| drop(growth::bound(file)));
            std::thread::sleep(growth::LOOK);
        }
    });
    let (mut from_world, mut to_guest) = (world.try_clone()?, guest.try_clone()?);
    let back = std::thread::spawn(move || {
        let done = io::copy(&mut from_world, &mut to_guest).map(drop);
        // Ends the other direction, which waits for the guest.
        let _ = to_guest.shutdown(std::net::Shutdown::Both);
        done
    });
    let out = outward(&guest, &world, Filter { own: Vec::new(), resolvers });
    let _ = world.shutdown(std::net::Shutdown::Both);
    let back =
        back.join().unwrap_or_else(|_| Err(io::Error::other("the thread that carries frames in")));
    out.and(back)
}

fn outward(mut guest: &UnixStream, mut world: &UnixStream, mut filter: Filter) -> io::Result<()> {
    let (mut buffer, mut filled) = (vec![0; BUFFER], 0);
    let mut read = None::<Instant>;
    loop {
        let came = match guest.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(()),
            Ok(came) => came,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        filled += came;
        if read.is_none_or(|at| at.elapsed() > FRESH) {
            (filter.own, read) = (own_addresses()?, Some(Instant::now()));
        }
        let (passed, taken) = sift(&mut buffer[..filled], &filter)?;
        world.write_all(&buffer[..passed])?;
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
}

/// Moves allowed frames to the front. Returns their length, and the number of bytes processed; the
/// rest is an incomplete frame.
fn sift(buffer: &mut [u8], filter: &Filter) -> io::Result<(usize, usize)> {
    let (mut passed, mut taken) = (0, 0);
    while let Some(length) = buffer.get(taken..taken + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if length > LONGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a frame of {length} bytes"),
            ));
        }
        let end = taken + 4 + length;
        let Some(frame) = buffer.get(taken + 4..end) else { break };
        if filter.passes(frame) {
            buffer.copy_within(taken..end, passed);
            passed += 4 + length;
        }
        taken = end;
    }
    Ok((passed, taken))
}

/// IPv4 addresses of all interfaces. Source: getifaddrs(3).
fn own_addresses() -> io::Result<Vec<Ipv4Addr>> {
    let mut first = std::ptr::null_mut();
    // SAFETY: fills `first` with a list that is freed below.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (mut found, mut at) = (Vec::new(), first);
    // SAFETY: the list ends with null; an address of family AF_INET is a `sockaddr_in`.
    unsafe {
        while let Some(interface) = at.as_ref() {
            if let Some(address) =
                interface.ifa_addr.as_ref().filter(|a| i32::from(a.sa_family) == libc::AF_INET)
            {
                let address =
                    std::ptr::from_ref(address).cast::<libc::sockaddr_in>().read_unaligned();
                found.push(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)));
            }
            at = interface.ifa_next;
        }
        libc::freeifaddrs(first);
    }
    Ok(found)
}

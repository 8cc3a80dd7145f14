//! This machine's networks, and its address as seen by others.
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};

/// Source address towards `to`; sends nothing.
fn source_towards(to: (IpAddr, u16)) -> Option<IpAddr> {
    let any: IpAddr = if to.0.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|a| a.ip())
}

/// Whether this machine has an address in `cidr`, and so sends from inside it.
pub fn is_near(cidr: &str) -> bool {
    let Some((net, bits)) = parse_cidr(cidr) else { return false };
    source_towards((next(net), 9)).is_some_and(|source| in_net(source, net, bits))
}

fn parse_cidr(cidr: &str) -> Option<(IpAddr, u32)> {
    let (net, bits) = cidr.split_once('/')?;
    Some((net.parse().ok()?, bits.parse().ok()?))
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The first address after the network address.
fn next(net: IpAddr) -> IpAddr {
    match net {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).wrapping_add(1).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).wrapping_add(1).into()),
    }
}

fn in_net(ip: IpAddr, net: IpAddr, bits: u32) -> bool {
    let width = if net.is_ipv4() { 32 } else { 128 };
    let host_bits = width - bits.min(width);
    let cut = |n: u128| if host_bits >= 128 { 0 } else { n >> host_bits };
    ip.is_ipv4() == net.is_ipv4() && cut(number(ip)) == cut(number(net))
}

/// Source CIDR of our SSH connections to `host`: our own address, or everything if a router may
/// translate it. SSH then admits all addresses, but only one key.
pub fn ssh_from(host: &str, port: u16) -> String {
    let Some(to) = (host, port).to_socket_addrs().ok().and_then(|mut all| all.next()) else {
        return EVERYWHERE.into();
    };
    let everywhere = if to.is_ipv4() { EVERYWHERE } else { EVERYWHERE_V6 };
    match source_towards((to.ip(), port)) {
        Some(source) if is_seen(source, to.ip()) => {
            format!("{source}/{}", if source.is_ipv4() { 32 } else { 128 })
        }
        _ => everywhere.into(),
    }
}

/// Whether `to` sees our own address.
fn is_seen(source: IpAddr, to: IpAddr) -> bool {
    !source.is_loopback() && is_private(source) == is_private(to)
}

const EVERYWHERE: &str = "0.0.0.0/0";
const EVERYWHERE_V6: &str = "::/0";

fn is_private(ip: IpAddr) -> bool {
    match ip {
        // 100.64.0.0/10 is what providers have behind their own NAT.
        IpAddr::V4(v4) => {
            v4.is_private()
                || v4.is_link_local()
                || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_their_networks() {
        let inside = |ip: &str, cidr: &str| {
            let (net, bits) = parse_cidr(cidr).unwrap();
            in_net(ip.parse().unwrap(), net, bits)
        };
        assert!(inside("10.20.0.7", "10.20.0.0/24") && !inside("10.20.1.7", "10.20.0.0/24"));
        assert!(inside("2001:db8::7", "2001:db8::/64") && !inside("10.0.0.1", "2001:db8::/64"));
        assert!(inside("192.0.2.1", "0.0.0.0/0"));
        assert!(is_near("127.0.0.0/8") && !is_near("nonsense"));
    }

    #[test]
    fn behind_a_router_ssh_comes_from_nobody_knows_where() {
        assert_eq!(ssh_from("127.0.0.1", 80), "0.0.0.0/0");
        assert_eq!(ssh_from("::1", 80), "::/0");
        assert_eq!(ssh_from("no such host", 80), "0.0.0.0/0");
    }

    #[test]
    fn where_no_router_writes_over_it_one_address_is_admitted() {
        let seen = |source: &str, to: &str| is_seen(source.parse().unwrap(), to.parse().unwrap());
        for (source, to) in [
            ("10.8.0.2", "10.20.0.7"),
            ("192.168.1.5", "100.64.0.1"),
            ("203.0.113.5", "198.51.100.7"),
        ] {
            assert!(seen(source, to), "{source} to {to}");
        }
        for (source, to) in [("2001:db8::5", "2001:db8::7"), ("fd00::5", "fd00:1::7")] {
            assert!(seen(source, to), "{source} to {to}");
        }
        for (source, to) in [
            ("10.8.0.2", "198.51.100.7"),
            ("127.0.0.1", "127.0.0.9"),
            ("fd00::5", "2001:db8::7"),
            ("::1", "::1"),
        ] {
            assert!(!seen(source, to), "{source} to {to}");
        }
        // An address of this machine's own, which is the source towards itself; a machine without a
        // network has none.
        for elsewhere in ["192.0.2.1", "2001:db8::1"] {
            let Some(own) = source_towards((elsewhere.parse().unwrap(), 9)) else { continue };
            let bits = if own.is_ipv4() { 32 } else { 128 };
            assert_eq!(ssh_from(&own.to_string(), SSH_PORT), format!("{own}/{bits}"));
        }
    }

    const SSH_PORT: u16 = 22;
}

//! What is read off this host's files.
use super::*;

#[test]
fn resolvers_on_the_loopback_are_none_for_guests() {
    let found = |etc: &str, systemd: &str| {
        let (etc, systemd) = (etc.to_owned(), systemd.to_owned());
        let read = move |path: &str| Some(if path.starts_with("/etc") { etc.clone() } else { systemd.clone() });
        resolvers(read).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found("nameserver 10.0.0.1\nnameserver 10.0.0.2 \nsearch x", ""), "10.0.0.1 10.0.0.2");
    assert_eq!(found("nameserver 127.0.0.53", "nameserver 192.168.1.1"), "192.168.1.1");
    assert_eq!(found("nameserver ::1\nnameserver 127.0.0.1", "# nothing"), "");
    assert_eq!(resolvers(|_| None), [] as [Ipv4Addr; 0]);
}

#[test]
fn routes_and_listeners_are_read_as_the_kernel_writes_them() {
    let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n";
    assert!(has_default(&format!("{head}eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")));
    assert!(!has_default(&format!("{head}eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")));
    let line = |state: &str| format!("   0: 0100007F:1E8E 00000000:0000 {state} 00000000:00000000 00:00000000 0\n");
    assert!(listens(&line("0A"), 7822) && !listens(&line("01"), 7822) && !listens(&line("0A"), 7823));
}

/// What is held is given to nobody, and can be listened at all the same.
#[tokio::test]
async fn a_port_is_held_without_listening() {
    let held = hold(0).unwrap();
    let port = held.local_addr().unwrap().port();
    assert!(TcpSocket::new_v4().unwrap().bind((Ipv4Addr::LOCALHOST, port).into()).is_err());
    let other = hold(port).unwrap();
    let _listener = other.listen(1).unwrap();
    assert!(listens(&fs::read_to_string("/proc/net/tcp").unwrap(), port));
}

mod guest_network;

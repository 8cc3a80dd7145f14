//! What is read off this host's files.
use super::*;

#[test]
fn resolvers_on_the_loopback_are_none_for_guests() {
    let found = |etc: &str, systemd: &str| {
        let (etc, systemd) = (etc.to_owned(), systemd.to_owned());
        let read = move |path: &str| {
            Some(if path.starts_with("/etc") { etc.clone() } else { systemd.clone() })
        };
        resolvers(read).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        found("nameserver 10.0.0.1\nnameserver 10.0.0.2 \nsearch x", ""),
        "10.0.0.1 10.0.0.2"
    );
    assert_eq!(found("nameserver 127.0.0.53", "nameserver 192.168.1.1"), "192.168.1.1");
    assert_eq!(found("nameserver ::1\nnameserver 127.0.0.1", "# nothing"), "");
    assert_eq!(resolvers(|_| None), [] as [Ipv4Addr; 0]);
}

#[test]
fn why_guests_have_no_resolver_is_said_as_it_is() {
    for etc in ["", "search x\n", "nameserver nonsense\n"] {
        assert!(no_resolver(etc).contains("names no resolver"), "{etc}");
    }
    assert!(no_resolver("nameserver 2001:db8::1\nnameserver 2001:db8::2\n").contains("IPv6 alone"));
    for etc in [
        "nameserver 127.0.0.53\n",
        "nameserver ::1\n",
        "nameserver 2001:db8::1\nnameserver 127.0.0.1\n",
    ] {
        assert!(no_resolver(etc).contains("on the loopback"), "{etc}");
    }
}

#[tokio::test]
async fn a_network_that_does_not_come_up_is_tried_once_more() {
    for (failing, attempts, well) in [(0, 1, true), (1, 2, true), (2, 2, false)] {
        let tried = std::cell::Cell::new(0);
        let attempt = || {
            tried.set(tried.get() + 1);
            let failed = || CloudError::refused("network", "its port is taken");
            std::future::ready(if tried.get() > failing { Ok(()) } else { Err(failed()) })
        };
        assert_eq!(
            (twice(&Cancel::default(), attempt).await.is_ok(), tried.get()),
            (well, attempts)
        );
    }
    let (stopped, tried) = (Cancel::default(), std::cell::Cell::new(0));
    stopped.signal();
    let attempt = || {
        tried.set(tried.get() + 1);
        std::future::ready(stopped.check().map_err(CloudError::from))
    };
    assert!(
        matches!(twice(&stopped, attempt).await, Err(CloudError::Cancelled(_))) && tried.get() == 1
    );
}

#[test]
fn routes_and_listeners_are_read_as_the_kernel_writes_them() {
    let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n";
    assert!(leads_out(&format!(
        "{head}eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    )));
    assert!(
        leads_out(&format!("{head}eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")),
        "no default"
    );
    let nowhere = ["lo\t0000007F\t00000000\t0001", "*\t00000000\t00000000\t0200"];
    assert!(!leads_out(head) && !leads_out(&format!("{head}{}\n{}\n", nowhere[0], nowhere[1])));
    let line = |state: &str| {
        format!("   0: 0100007F:1E8E 00000000:0000 {state} 00000000:00000000 00:00000000 0\n")
    };
    assert!(
        listens(&line("0A"), 7822) && !listens(&line("01"), 7822) && !listens(&line("0A"), 7823)
    );
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

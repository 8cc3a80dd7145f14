//! Frames as a guest may make them up.
use super::*;

/// An Ethernet frame with an IPv4 packet in it.
fn frame(protocol: u8, to: [u8; 4], port: u16) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET + 20 + 8];
    frame[12..14].copy_from_slice(&IPV4);
    frame[14] = 0x45;
    frame[14 + 9] = protocol;
    frame[14 + 16..14 + 20].copy_from_slice(&to);
    frame[14 + 22..14 + 24].copy_from_slice(&port.to_be_bytes());
    frame
}

fn filter() -> Filter {
    let own = vec![Ipv4Addr::new(192, 168, 1, 5), Ipv4Addr::new(172, 17, 0, 1)];
    Filter {
        own,
        resolvers: vec![Ipv4Addr::new(192, 168, 1, 5), Ipv4Addr::new(169, 254, 169, 253)],
    }
}

#[test]
fn what_ends_at_this_host_does_not_pass() {
    for to in [
        [127, 0, 0, 1],
        [127, 8, 8, 8],
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [192, 168, 1, 5],
        [172, 17, 0, 1],
        [169, 254, 169, 254],
        [224, 0, 0, 251],
        [240, 0, 0, 1],
        [255, 255, 255, 255],
    ] {
        for protocol in [1, TCP, UDP, 47, 132] {
            assert!(!filter().passes(&frame(protocol, to, 80)), "{protocol} to {to:?}");
        }
    }
    for to in [
        [192, 168, 1, 6],
        [8, 8, 8, 8],
        [10, 0, 2, 2],
        [223, 255, 255, 254],
        [128, 0, 0, 1],
        [1, 0, 0, 1],
    ] {
        assert!(filter().passes(&frame(TCP, to, 80)), "{to:?}");
    }
}

#[test]
fn a_resolver_is_asked_for_names_and_nothing_else() {
    for to in [[192, 168, 1, 5], [169, 254, 169, 253]] {
        assert!(filter().passes(&frame(UDP, to, DNS)) && filter().passes(&frame(TCP, to, DNS)));
        assert!(!filter().passes(&frame(UDP, to, 54)) && !filter().passes(&frame(1, to, DNS)));
        // A later fragment has no ports: what looks like one is data.
        for fragment in [0x2000u16, 1] {
            let mut packet = frame(UDP, to, DNS);
            packet[20..22].copy_from_slice(&fragment.to_be_bytes());
            assert!(!filter().passes(&packet));
        }
    }
    assert!(!filter().passes(&frame(TCP, [127, 0, 0, 53], DNS)));
    assert!(filter().passes(&frame(UDP, [255; 4], DHCP)));
}

#[test]
fn what_is_no_plain_packet_does_not_pass() {
    let good = frame(TCP, [8, 8, 8, 8], 80);
    for length in 0..ETHERNET + 20 {
        assert!(!filter().passes(&good[..length]), "{length}");
    }
    for (at, value) in [(12, 0x86), (12, 0x81), (13, 0x01), (14, 0x65), (14, 0x44)] {
        let mut frame = good.clone();
        frame[at] = value;
        assert!(!filter().passes(&frame), "{at}: {value:x}");
    }
    // With options the port lies further back.
    let mut long = frame(UDP, [192, 168, 1, 5], DNS);
    long[14] = 0x46;
    assert!(!filter().passes(&long));
    let mut arp = good;
    arp[12..14].copy_from_slice(&ARP);
    assert!(filter().passes(&arp));
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], frame].concat()
}

/// However the stream is cut, the same frames come out.
#[test]
fn a_stream_is_sifted_wherever_it_is_cut() {
    let (good, bad) =
        (framed(&frame(TCP, [8, 8, 8, 8], 80)), framed(&frame(TCP, [127, 0, 0, 1], 80)));
    let stream = [&good[..], &bad, &bad, &good, &framed(&[]), &good].concat();
    for cut in 0..=stream.len() {
        let (mut buffer, mut out) = (Vec::new(), Vec::new());
        for piece in [&stream[..cut], &stream[cut..]] {
            buffer.extend_from_slice(piece);
            let (passed, taken) = sift(&mut buffer, &filter()).unwrap();
            out.extend_from_slice(&buffer[..passed]);
            buffer.drain(..taken);
        }
        assert!(buffer.is_empty() && out == good.repeat(3), "cut at {cut}");
    }
    assert!(sift(&mut [0xff; 8], &filter()).is_err());
}

#[test]
fn both_ways_end_when_one_side_closes() {
    for closes in 0..2 {
        let (qemu, guest) = UnixStream::pair().unwrap();
        let (passt, world) = UnixStream::pair().unwrap();
        let wire = std::thread::spawn(move || carry(guest, world, Vec::new(), Vec::new()));
        let bad = framed(&frame(TCP, [127, 0, 0, 1], 80));
        let good = framed(&frame(TCP, [198, 51, 100, 1], 80));
        (&qemu).write_all(&[&bad[..], &good].concat()).unwrap();
        let mut came = vec![0; good.len()];
        (&passt).read_exact(&mut came).unwrap();
        assert!(came == good);
        (&passt).write_all(&bad).unwrap();
        (&qemu).read_exact(&mut came).unwrap();
        assert!(came == bad, "what is for the guest is none of the filter's business");
        let mut sides = [Some(qemu), Some(passt)];
        drop(sides[closes].take());
        wire.join().unwrap().unwrap();
    }
}

/// `passt` learns the address of a guest from its first frame.
#[test]
fn a_guest_that_goes_on_is_introduced() {
    let (passt, world) = UnixStream::pair().unwrap();
    let mac = mac_bytes("52:54:00:12:34:56").unwrap();
    introduce(&world, mac).unwrap();
    let mut came = [0; 4 + 42];
    (&passt).read_exact(&mut came).unwrap();
    assert_eq!(came[..4], [0, 0, 0, 42]);
    let frame = &came[4..];
    assert_eq!((&frame[6..12], &frame[12..14]), (&mac[..], &ARP[..]), "from the guest");
    assert_eq!((&frame[20..22], &frame[22..28]), (&[0, 1][..], &mac[..]), "a question");
    assert_eq!((&frame[28..32], &frame[38..]), (&[10, 0, 2, 15][..], &[10, 0, 2, 2][..]));
    for wrong in ["", "52:54:00:12:34", "52:54:00:12:34:zz", "52:54:00:12:34:56:78"] {
        assert_eq!(mac_bytes(wrong), None, "{wrong}");
    }
}

#[test]
fn this_hosts_addresses_are_found() {
    assert!(own_addresses().unwrap().contains(&Ipv4Addr::LOCALHOST));
}

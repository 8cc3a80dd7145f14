//! Files of a machine of Debian's family: apt, ifupdown and dhclient, netplan, open-iscsi.
use super::*;

const FILES: &[File] = &[
    ("etc/netplan/50-cloud-init.yaml", "network: {}\n", Gone),
    ("etc/netplan/90-own.yaml", "network: {}\n", Kept),
    ("etc/network/interfaces.d/50-cloud-init", "auto eth0\n", Gone),
    ("etc/network/interfaces", "auto lo\n", Kept),
    ("etc/udev/rules.d/70-persistent-net.rules", "SUBSYSTEM\n", Gone),
    ("etc/udev/rules.d/99-own.rules", "SUBSYSTEM\n", Kept),
    ("etc/sudoers.d/90-cloud-init-users", "admin ALL\n", Gone),
    (
        "var/lib/dhcp/dhclient.eth0.leases",
        "lease {\n  option routers 192.0.2.1;\n  option domain-name-servers 192.0.2.1,192.0.2.2;\n}\n",
        Gone,
    ),
    ("var/lib/dhcp/dhcpd.leases", "lease 192.0.2.7 {}\n", Empty),
    ("etc/dhcp/dhclient.conf", "request;\n", Kept),
    ("etc/resolv.conf", "domain novalocal\nsearch novalocal\nnameserver 192.0.2.2\n", Empty),
    ("var/lib/apt/lists/deb.debian.org_Release", "r", Gone),
    ("var/cache/apt/archives/x.deb", "r", Gone),
    ("var/lib/dpkg/status", "s", Kept),
    ("var/backups/shadow.bak", "s", Gone),
    ("var/spool/exim4/input/1-D", "m", Gone),
    ("var/lib/ubuntu-advantage/private/machine-token.json", "{}", Gone),
    ("etc/debian_version", "12.11\n", Kept),
    ("etc/iscsi/initiatorname.iscsi", "InitiatorName=iqn.1993-08.org.debian:01:1\n", Text("GenerateName=yes\n")),
    ("var/lib/dbus/machine-id", "@ID@\n", Gone),
    ("etc/dpkg/dpkg.cfg.d/image-factory-builder", "force-unsafe-io\n", Gone),
];

#[test]
fn every_place_of_a_debian_machine_is_cleaned() {
    let tree = Tree::new(&[BOTH, FILES]);
    let left = tree.leftovers();
    for path in ["dhclient.eth0.leases", "machine-token", "persistent-net", "salt/minion_id", "etc/hosts"] {
        assert!(left.iter().any(|l| l.contains(path)), "{path} is not in {left:#?}");
    }
    tree.write("etc/machine-id", "@ID@\n");
    tree.tidy(TIDY_PARTS);
    tree.assert(&[BOTH, FILES]);
    assert_eq!(tree.leftovers(), [""; 0]);
}

/// Name servers that no lease told of are somebody's settings.
#[test]
fn a_resolv_conf_of_the_bundles_own_stays() {
    let own: &[File] = &[
        ("var/lib/dhcp/dhclient.eth0.leases", "  option domain-name-servers 192.0.2.1;\n", Gone),
        ("etc/resolv.conf", "nameserver 192.0.2.1\nnameserver 198.51.100.53\n", Kept),
    ];
    let tree = Tree::new(&[BOTH, own]);
    tree.tidy(TIDY_PARTS);
    tree.assert(&[BOTH, own]);
}

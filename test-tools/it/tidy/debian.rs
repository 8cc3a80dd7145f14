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
        "lease {\n  option routers 192.0.2.1;\n  option domain-name-servers \
            192.0.2.1,192.0.2.2;\n}\n",
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
    (
        "etc/apt/auth.conf.d/90ubuntu-advantage",
        "machine esm.ubuntu.com/apps/ubuntu/ login bearer password SECRET\n",
        Gone,
    ),
    ("etc/apt/auth.conf.d/own.conf", "machine packages.example.net login x password y\n", Kept),
    (
        "etc/apt/sources.list.d/ubuntu-esm-apps.sources",
        "Types: deb\nURIs: https://esm.ubuntu.com/apps/ubuntu\n",
        Gone,
    ),
    (
        "etc/apt/sources.list.d/ubuntu.sources",
        "Types: deb\nURIs: http://archive.ubuntu.com/ubuntu\n",
        Kept,
    ),
    ("etc/mailname", "factory-r1-builder.novalocal\n", Text("localhost\n")),
    (
        "etc/postfix/main.cf",
        "myhostname = factory-r1-builder.novalocal\nmydestination = $myhostname, \
            factory-r1-builder, localhost\n",
        Text("mydestination = $myhostname, localhost, localhost\n"),
    ),
    ("var/lib/mysql/auto.cnf", "[auto]\nserver-uuid=1\n", Gone),
    ("var/lib/mysql/ibdata1", "i", Kept),
    ("var/db/dhcpcd/duid", "d", Gone),
    ("etc/resolvconf/resolv.conf.d/original", "nameserver 192.0.2.1\n", Empty),
    ("etc/resolvconf/resolv.conf.d/base", "nameserver 192.0.2.1\n", Kept),
    ("etc/debian_version", "12.11\n", Kept),
    (
        "etc/iscsi/initiatorname.iscsi",
        "InitiatorName=iqn.1993-08.org.debian:01:1\n",
        Text("GenerateName=yes\n"),
    ),
    ("var/lib/dbus/machine-id", "@ID@\n", Gone),
    ("etc/dpkg/dpkg.cfg.d/image-factory-builder", "force-unsafe-io\n", Gone),
];

#[test]
fn every_place_of_a_debian_machine_is_cleaned() {
    let tree = Tree::new(&[BOTH, FILES]);
    let left = tree.leftovers();
    for path in
        ["dhclient.eth0.leases", "machine-token", "persistent-net", "salt/minion_id", "etc/hosts"]
    {
        assert!(left.iter().any(|l| l.contains(path)), "{path} is not in {left:#?}");
    }
    tree.write("etc/machine-id", "@ID@\n");
    let said = tree.tidy(TIDY_PARTS);
    assert!(said.contains("trimmed"), "{said}");
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

/// What is bound to a card that no machine of the image has is told; that which cloud-init wrote is
/// gone by then.
#[test]
fn a_card_that_only_the_builder_has_is_told() {
    let card = "network:\n  ethernets:\n    e:\n      match: {macaddress: \"fa:16:3e:ab:cd:ef\"}\n";
    let files: &[File] = &[
        ("etc/netplan/50-cloud-init.yaml", card, Gone),
        ("etc/netplan/01-own.yaml", card, Kept),
        ("etc/systemd/network/10-own.link", "[Match]\nMACAddress=FA:16:3E:AB:CD:EF\n", Kept),
        ("etc/netplan/02-well.yaml", "network: {ethernets: {eth0: {dhcp4: true}}}\n", Kept),
    ];
    let told = |parts: &[&str]| {
        let tree = Tree::new(&[BOTH, files]);
        let parts: Vec<String> = parts.iter().map(|p| (*p).to_owned()).collect();
        let out = tree.run(&tidy::script(&parts, &tree.key), &[]);
        assert!(out.status.success(), "{out:?}");
        tree.assert(&[files]);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        said.lines()
            .filter_map(|line| line.strip_prefix("warning: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let warned = told(TIDY_PARTS);
    let of = |file: &str| {
        warned.iter().any(|line| {
            line.starts_with(&format!("{file} names the builder's network card fa:16:3e:ab:cd:ef"))
        })
    };
    assert!(
        warned.len() == 2
            && of("/etc/netplan/01-own.yaml")
            && of("/etc/systemd/network/10-own.link"),
        "{warned:?}"
    );
    let rest: Vec<&str> = TIDY_PARTS.iter().copied().filter(|part| *part != "hardware").collect();
    assert!(told(&rest).is_empty());
}

# The network `public` as this machine sees it: one end of a cable is ours, the other is plugged into Neutron's bridge.
# shellcheck shell=bash disable=SC2154

# Neutron's `bridge_mappings` would name a bridge of ours, but Nova plugs guests into brq<network> all the same; so the agent is
# given an interface and makes that bridge itself.
network_up() {
    [ -d /sys/class/net/ext-host ] || ip link add ext-host type veth peer name ext-phys
    ip link set ext-phys addrgenmode none
    ip addr replace "$ip/24" dev ext-host
    ip link set ext-host up
    ip link set ext-phys up
    # Neutron's bridge is an interface of this machine too; it must not answer for the address at the end of the cable.
    sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.arp_ignore=1
    way_out -C 2>/dev/null || way_out -A
}

# The way out for guests, which fetch packages. The kernel shows a packet to these rules twice: when Neutron's bridge forwards it,
# and when this machine routes it. Only the second may rewrite it, so the first is tracked apart, in a zone of its own.
way_out() {
    iptables -t raw "$1" PREROUTING -i brq+ -j CT --zone 4000 &&
        iptables -t nat "$1" POSTROUTING -m physdev --physdev-is-bridged -j ACCEPT &&
        iptables -t nat "$1" POSTROUTING -s "$public" ! -o ext-host -j MASQUERADE
}

# The resolver that guests are told of: this machine's own, if it is one that guests can reach.
resolver() {
    awk '$1 == "nameserver" && $2 !~ /^(127\.|::1)/ { print $2; exit }' /etc/resolv.conf
}

network_remove() {
    local name
    for name in $(ip netns list | awk '/^q(dhcp|router)-/ { print $1 }'); do ip netns delete "$name"; done
    for name in $(ip -br link | awk '{ sub(/@.*/, "", $1); print $1 }' | grep -E '^(brq|tap|vxlan-|qr-|qg-)'); do
        ip link delete "$name" 2>/dev/null || true
    done
    ip link delete ext-host 2>/dev/null || true
    sysctl -q -w net.ipv4.conf.all.arp_ignore=0
    way_out -D 2>/dev/null || true
    # Neutron's chains, and what jumps to them; other people's rules stay.
    local table
    for table in raw mangle nat filter; do
        iptables-save -t "$table" | grep -v neutron- | iptables-restore -T "$table" || true
    done
}

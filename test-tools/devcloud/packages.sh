# The packages of an OpenStack on one machine, from the machine's own package source.
# shellcheck shell=bash disable=SC2154

# nova-compute-kvm and not -qemu: the latter brings QEMU for thirty architectures, and libvirt tries each at its first start.
packages="mariadb-server rabbitmq-server memcached
    keystone glance placement-api nova-api nova-conductor nova-scheduler nova-compute-kvm
    neutron-server neutron-linuxbridge-agent neutron-dhcp-agent neutron-l3-agent neutron-metadata-agent
    heat-api heat-api-cfn heat-engine cinder-api cinder-scheduler cinder-volume
    python3-openstackclient python3-heatclient python3-cinderclient python3-openstacksdk python3-pymysql python3-memcache
    libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils genisoimage
    ebtables iptables ipset conntrack dnsmasq-base haproxy bridge-utils iproute2 dbus sudo openssh-client curl iputils-ping"

# Debian's maintainer scripts start nothing: there is no init system, and what is started is ours to start.
nothing_starts() {
    [ -e /usr/sbin/policy-rc.d ] || {
        printf '#!/bin/sh\n# of devcloud\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
    }
}

install_packages() {
    local missing='' package version
    for package in $packages; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    nothing_starts
    apt-get update -q >"$logs/apt.log" 2>&1
    # A qemu-utils from backports breaks the release's own QEMU: all of QEMU comes from the release.
    version=$(apt-cache madison qemu-utils | awk -F' *[|] *' '$3 ~ " [a-z]+/main " && !found { found = $2 } END { print found }')
    missing=${missing/ qemu-utils/}
    # shellcheck disable=SC2086  # a list
    apt-get install -q -y --allow-downgrades --no-install-recommends -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 $missing "qemu-utils${version:+=$version}" >>"$logs/apt.log" 2>&1 || {
        tail -n 20 "$logs/apt.log" >&2
        return 1
    }
}

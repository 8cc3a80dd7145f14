# Neutron: networks on Linux bridges, with DHCP, routers and metadata.
# shellcheck shell=bash disable=SC2154

neutron_config() {
    local etc=/etc/neutron
    install -d -o neutron -g neutron /var/lib/neutron/lock
    # linuxbridge is "experimental" since Zed, and refused without a word of consent.
    config $etc/neutron.conf root:neutron 640 <<END
[DEFAULT]
bind_host = $ip
host = $(hostname)
core_plugin = ml2
service_plugins = router
transport_url = $queue
api_workers = 1
rpc_workers = 1
rpc_state_report_workers = 0
send_events_interval = 1
agent_down_time = 120
interface_driver = linuxbridge
state_path = /var/lib/neutron
[experimental]
linuxbridge = true
[agent]
root_helper = sudo /usr/bin/neutron-rootwrap /etc/neutron/rootwrap.conf
root_helper_daemon = sudo /usr/bin/neutron-rootwrap-daemon /etc/neutron/rootwrap.conf
[database]
connection = $(database neutron)
$(checks_tokens neutron)
[nova]
$(as_user nova)
[placement]
$(as_user placement)
[oslo_concurrency]
lock_path = /var/lib/neutron/lock
[oslo_policy]
policy_dirs = /etc/neutron/policy.d
END
    config $etc/plugins/ml2/ml2_conf.ini root:neutron 644 <<END
[ml2]
type_drivers = flat,vxlan,local
tenant_network_types = vxlan
mechanism_drivers = linuxbridge,l2population
extension_drivers = port_security
[ml2_type_flat]
flat_networks = external
[ml2_type_vxlan]
vni_ranges = 1:1000
[securitygroup]
enable_ipset = true
END
    config $etc/plugins/ml2/linuxbridge_agent.ini root:neutron 644 <<END
[linux_bridge]
physical_interface_mappings = external:ext-phys
[vxlan]
local_ip = $ip
l2_population = true
[agent]
polling_interval = 1
[securitygroup]
firewall_driver = iptables
enable_ipset = true
END
    # Debian 12's ebtables cannot delete a rule with --among-src, and the agent would try again for ever, doing nothing else.
    config /usr/local/sbin/ebtables root:root 755 <<'END'
#!/bin/sh
# of devcloud: deletes by number what cannot be deleted by its words
case "$*" in
    '-t nat --concurrent -D '*' --among-src '*) ;;
    *) exec /usr/sbin/ebtables "$@" ;;
esac
chain=$5
shift 5
number=$(/usr/sbin/ebtables -t nat -L "$chain" --Ln | sed -n "s/^ *\([0-9][0-9]*\)\.* $* *\$/\1/p" | head -n 1)
[ -n "$number" ] || exit 0
exec /usr/sbin/ebtables -t nat --concurrent -D "$chain" "$number"
END
    config $etc/dhcp_agent.ini root:neutron 640 <<END
[DEFAULT]
interface_driver = linuxbridge
force_metadata = true
END
    config $etc/l3_agent.ini root:neutron 640 <<END
[DEFAULT]
interface_driver = linuxbridge
END
    config $etc/metadata_agent.ini root:neutron 640 <<END
[DEFAULT]
nova_metadata_host = $ip
metadata_proxy_shared_secret = $password
metadata_workers = 1
END
}

neutron_sync() {
    runuser -u neutron -- neutron-db-manage --config-file /etc/neutron/neutron.conf --config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade head
}

# name, file of its own
neutron_part() { start "$1" neutron "/usr/bin/$1" --config-file /etc/neutron/neutron.conf --config-file "/etc/neutron/$2"; }

neutron_start() { neutron_part neutron-server plugins/ml2/ml2_conf.ini; }

neutron_agents_start() {
    neutron_part neutron-linuxbridge-agent plugins/ml2/linuxbridge_agent.ini
    neutron_part neutron-dhcp-agent dhcp_agent.ini
    neutron_part neutron-metadata-agent metadata_agent.ini
    neutron_part neutron-l3-agent l3_agent.ini
}

neutron_ready() { await 120 neutron-server answers "http://$ip:9696/"; }

neutron_stop() {
    local file name pid
    for name in neutron-l3-agent neutron-dhcp-agent neutron-metadata-agent neutron-linuxbridge-agent neutron-server; do stop "$name" & done
    wait
    # dnsmasq and haproxy that agents left behind: by the pid files in Neutron's own directory, and by their namespaces.
    for file in /var/lib/neutron/dhcp/*/pid /var/lib/neutron/external/pids/*.pid /var/lib/neutron/external/pids/*/pid; do
        [ ! -s "$file" ] || { kill "$(cat "$file")" 2>/dev/null || true; rm -f "$file"; }
    done
    for name in $(ip netns list | awk '/^q(dhcp|router)-/ { print $1 }'); do
        for pid in $(ip netns pids "$name"); do kill "$pid" 2>/dev/null || true; done
    done
}

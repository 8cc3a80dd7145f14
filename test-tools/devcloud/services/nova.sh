# Nova: servers, on libvirt and QEMU's software emulation.
# shellcheck shell=bash disable=SC2154

nova_config() {
    install -d -o nova -g nova /var/lib/nova/lock /var/lib/nova/instances
    local cpu_mode='cpu_mode = none'
    [ -z "$cpu" ] || cpu_mode=$(printf 'cpu_mode = custom\ncpu_models = %s' "$cpu")
    config /etc/nova/nova.conf root:nova 640 <<END
[DEFAULT]
my_ip = $ip
host = $(hostname)
state_path = /var/lib/nova
transport_url = $queue
enabled_apis = osapi_compute,metadata
cpu_allocation_ratio = 16.0
ram_allocation_ratio = 1.5
disk_allocation_ratio = 4.0
reserved_host_memory_mb = 512
vif_plugging_timeout = 120
[api]
auth_strategy = keystone
[api_database]
connection = $(database nova nova_api)
[database]
connection = $(database nova)
$(checks_tokens nova)
[service_user]
# Cinder wants it since CVE-2023-2088.
send_service_user_token = true
$(as_user nova)
[neutron]
service_metadata_proxy = true
metadata_proxy_shared_secret = $password
$(as_user nova)
[placement]
$(as_user nova)
[glance]
api_servers = http://$ip:9292
[cinder]
os_region_name = $region
[conductor]
workers = 1
[scheduler]
workers = 1
[vnc]
enabled = false
[spice]
enabled = false
[oslo_concurrency]
lock_path = /var/lib/nova/lock
[oslo_policy]
policy_dirs = /etc/nova/policy.d
[libvirt]
virt_type = qemu
$cpu_mode
images_type = qcow2
disk_cachemodes = file=unsafe
hw_disk_discard = unmap
snapshot_image_format = qcow2
END
    config /etc/nova/nova-compute.conf root:nova 644 <<END
[DEFAULT]
compute_driver = libvirt.LibvirtDriver
END
}

nova_sync() {
    runuser -u nova -- nova-manage api_db sync
    runuser -u nova -- nova-manage cell_v2 map_cell0 --database_connection "$(database nova nova_cell0)"
    case $(runuser -u nova -- nova-manage cell_v2 list_cells) in
        *cell1*) ;;
        *) runuser -u nova -- nova-manage cell_v2 create_cell --name=cell1 ;;
    esac
    runuser -u nova -- nova-manage db sync
}

nova_start() {
    start_wsgi nova-api nova 8774 /usr/bin/nova-api-wsgi 2
    start_wsgi nova-metadata nova 8775 /usr/bin/nova-metadata-wsgi 1
    start nova-conductor nova /usr/bin/nova-conductor --config-file /etc/nova/nova.conf
    start nova-scheduler nova /usr/bin/nova-scheduler --config-file /etc/nova/nova.conf
}

# Once Neutron and Placement answer: it asks both at its start.
nova_compute_start() {
    start nova-compute nova /usr/bin/nova-compute --config-file /etc/nova/nova.conf --config-file /etc/nova/nova-compute.conf
}

nova_ready() {
    await 60 nova-api answers "http://$ip:8774/"
    await 180 nova-compute nova_host_is_mapped
}

nova_host_is_mapped() {
    runuser -u nova -- nova-manage cell_v2 discover_hosts
    case $(runuser -u nova -- nova-manage cell_v2 list_hosts) in *" $(hostname) "*) ;; *) return 1 ;; esac
}

nova_stop() {
    # Guests first, while libvirt answers.
    local guest
    for guest in $(virsh -c qemu:///system list --name 2>/dev/null); do virsh -c qemu:///system destroy "$guest" >/dev/null; done
    for name in nova-compute nova-scheduler nova-conductor nova-api nova-metadata; do stop "$name" & done
    wait
}

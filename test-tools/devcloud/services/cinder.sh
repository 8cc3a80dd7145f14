# Cinder: volumes, as files in a directory through the NFS driver. There is neither LVM nor an NFS client in a kernel such as
# these machines have; a mount.nfs that bind mounts the directory serves Cinder and Nova as they are.
# shellcheck shell=bash disable=SC2154

cinder_config() {
    install -d -o cinder -g cinder /srv/cinder /var/lib/cinder/mnt /var/lib/cinder/lock /var/lib/cinder/conversion
    chmod 0777 /srv/cinder # Nova's QEMU writes there too
    if [ ! -e /sbin/mount.nfs ]; then
        config /sbin/mount.nfs root:root 755 <<'END'
#!/bin/sh
# of devcloud: 127.0.0.1:/dir is mounted by binding /dir; what is mounted already, before Nova was stopped, is
mountpoint -q "$2" || exec /bin/mount --bind "${1#*:}" "$2"
END
    fi
    echo 127.0.0.1:/srv/cinder | config /etc/cinder/nfs_shares root:cinder 640
    config /etc/cinder/cinder.conf root:cinder 640 <<END
[DEFAULT]
my_ip = $ip
host = $(hostname)
transport_url = $queue
auth_strategy = keystone
state_path = /var/lib/cinder
rootwrap_config = /etc/cinder/rootwrap.conf
enabled_backends = nfs
default_volume_type = nfs
glance_api_servers = http://$ip:9292
image_conversion_dir = /var/lib/cinder/conversion
log_file = $logs/cinder.log
[database]
connection = $(database cinder)
$(checks_tokens cinder)
[service_user]
send_service_user_token = true
$(as_user cinder)
[nova]
interface = public
$(as_user nova)
[oslo_concurrency]
lock_path = /var/lib/cinder/lock
[nfs]
volume_driver = cinder.volume.drivers.nfs.NfsDriver
volume_backend_name = nfs
nfs_shares_config = /etc/cinder/nfs_shares
nfs_mount_point_base = /var/lib/cinder/mnt
nas_secure_file_operations = false
nas_secure_file_permissions = false
END
}

cinder_sync() {
    touch "$logs/cinder.log"
    chown cinder "$logs/cinder.log"
    runuser -u cinder -- cinder-manage db sync
}

cinder_start() {
    start_wsgi cinder-api cinder 8776 /usr/bin/cinder-wsgi 1
    start cinder-scheduler cinder /usr/bin/cinder-scheduler --config-file /etc/cinder/cinder.conf
    start cinder-volume cinder /usr/bin/cinder-volume --config-file /etc/cinder/cinder.conf
}

cinder_ready() { await 60 cinder-api answers "http://$ip:8776/"; }

cinder_stop() {
    for name in cinder-volume cinder-scheduler cinder-api; do stop "$name" & done
    wait
}

# What OpenStack stands on: database, queue, cache, libvirt.
# shellcheck shell=bash disable=SC2154

infrastructure_config() {
    config /etc/mysql/mariadb.conf.d/99-devcloud.cnf root:root 644 <<END
[mysqld]
bind-address = 127.0.0.1
max_connections = 1000
innodb_buffer_pool_size = 256M
# Nothing in here is worth a sync.
innodb_flush_log_at_trx_commit = 0
innodb_doublewrite = 0
performance_schema = OFF
skip-name-resolve
skip-log-bin
character-set-server = utf8
collation-server = utf8_general_ci
END
    config /etc/rabbitmq/rabbitmq-env.conf root:root 644 <<END
NODENAME=rabbit@localhost
NODE_IP_ADDRESS=127.0.0.1
ERL_EPMD_ADDRESS=127.0.0.1
RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
END
    # No cgroups and no mount namespaces here; virtlogd keeps the guests' consoles.
    config /etc/libvirt/qemu.conf root:root 600 <<END
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
remember_owner = 0
stdio_handler = "logd"
END
    config /etc/libvirt/libvirtd.conf root:root 644 <<END
unix_sock_group = "libvirt"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
END
    usermod -aG libvirt nova
    rm -f /etc/libvirt/qemu/networks/autostart/default.xml # its dnsmasq and firewall rules are in the way
}

infrastructure_start() {
    grep -qw localhost /etc/hosts || echo '127.0.0.1 localhost' >>/etc/hosts
    mkdir -p /run/netns /run/lock /run/sudo /run/mysqld /run/libvirt /run/dbus
    chown mysql:mysql /run/mysqld
    chmod 0666 /dev/net/tun
    [ -d /var/lib/mysql/mysql ] || mariadb-install-db --user=mysql --datadir=/var/lib/mysql >"$logs/mariadb-install.log" 2>&1
    start mariadb mysql /usr/sbin/mariadbd
    start memcached memcache /usr/bin/memcached -m 128 -l 127.0.0.1 -p 11211
    install -d -o rabbitmq -g rabbitmq /var/lib/rabbitmq /var/log/rabbitmq /run/rabbitmq
    # epmd reads its address from the environment alone, and would listen everywhere.
    start rabbitmq rabbitmq /usr/bin/env HOME=/var/lib/rabbitmq ERL_EPMD_ADDRESS=127.0.0.1 /usr/lib/rabbitmq/bin/rabbitmq-server
    if ! alive dbus && ! dbus-send --system --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames 2>/dev/null; then
        rm -f /run/dbus/pid /run/dbus/system_bus_socket
        start dbus root /usr/bin/dbus-daemon --system --nofork --nopidfile
    fi
    start virtlogd root /usr/sbin/virtlogd
    start libvirtd root /usr/sbin/libvirtd
    await 60 mariadb mariadb -e 'select 1'
    await 120 rabbitmq queue_ctl list_users
    # Not `ctl | grep -q`: grep leaves early, and pipefail calls that a failure.
    case $(queue_ctl list_users) in
        *openstack*) ;;
        *)
            queue_ctl add_user openstack "$password"
            queue_ctl set_permissions openstack '.*' '.*' '.*'
            ;;
    esac
    await 60 libvirtd virsh -c qemu:///system version
}

queue_ctl() { env HOME=/var/lib/rabbitmq rabbitmqctl -n rabbit@localhost -q "$@"; }

# One database for each name, with a user of that name.
databases() {
    local name user
    for name in keystone glance placement nova nova_api nova_cell0 neutron heat cinder; do
        user=${name%_api} user=${user%_cell0}
        echo "CREATE DATABASE IF NOT EXISTS $name CHARACTER SET utf8;"
        echo "GRANT ALL ON $name.* TO '$user'@'127.0.0.1' IDENTIFIED BY '$password';"
        echo "GRANT ALL ON $name.* TO '$user'@'localhost' IDENTIFIED BY '$password';"
    done | mariadb
}

infrastructure_stop() {
    for name in libvirtd virtlogd dbus; do stop "$name"; done
    if alive rabbitmq; then timeout 60 env HOME=/var/lib/rabbitmq rabbitmqctl -n rabbit@localhost -q stop >/dev/null 2>&1 || true; fi
    for name in rabbitmq memcached mariadb; do stop "$name"; done
}

# What the parts of devcloud share: where things are, and the few words that all configuration files repeat.
# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those that read this file

[ "${FACTORY_DEVCLOUD:-}" = yes ] || {
    echo "${0##*/}: this installs packages, bridges and firewall rules on this machine; say FACTORY_DEVCLOUD=yes if it may" >&2
    exit 2
}
[ "$(id -u)" = 0 ] || { echo "${0##*/}: must be root" >&2; exit 2; }

state=${DEVCLOUD:-/var/lib/devcloud} # clouds.yaml, pid files, logs
pids=$state/run
logs=$state/log

ip=172.24.4.1          # of the APIs, and this machine's in the network `public`
public=172.24.4.0/24   # guests get .100 to .239
private=10.20.0.0/24
password=devcloud      # of everybody: a throw-away cloud on a network of this machine alone
region=RegionOne

# Guests run on QEMU's default CPU: under software emulation it boots them in 54 s, a Nehalem in 73 s.
# Guests that want x86-64-v2 (EL 9): DEVCLOUD_CPU=Nehalem
cpu=${DEVCLOUD_CPU:-}

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
# Debian's OpenStack uses Debian's Python; and nothing here goes through a proxy.
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }

database() { echo "mysql+pymysql://$1:$password@127.0.0.1/${2:-$1}?charset=utf8"; }
queue=rabbit://openstack:$password@127.0.0.1:5672/

# A service's own login, as most of them write it.
as_user() {
    cat <<END
auth_type = password
auth_url = http://$ip:5000
project_domain_name = Default
user_domain_name = Default
project_name = service
username = $1
password = $password
region_name = $region
END
}

# How a service checks the tokens that it is shown.
checks_tokens() {
    cat <<END
[keystone_authtoken]
www_authenticate_uri = http://$ip:5000
memcached_servers = 127.0.0.1:11211
service_token_roles_required = true
$(as_user "$1")
END
}

# Writes a configuration file from standard input, whole: path, owner:group, mode.
config() {
    mkdir -p "${1%/*}"
    cat >"$1.new"
    chown "$2" "$1.new"
    chmod "$3" "$1.new"
    mv "$1.new" "$1"
}

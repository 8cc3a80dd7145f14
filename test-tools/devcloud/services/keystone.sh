# Keystone: who may do what.
# shellcheck shell=bash disable=SC2154

keystone_config() {
    config /etc/keystone/keystone.conf root:keystone 640 <<END
[DEFAULT]
log_file = $logs/keystone.log
[database]
connection = $(database keystone)
[cache]
enabled = true
backend = dogpile.cache.memcached
memcache_servers = 127.0.0.1:11211
[token]
provider = fernet
expiration = 86400
[oslo_policy]
policy_dirs = /etc/keystone/policy.d
END
}

keystone_sync() {
    touch "$logs/keystone.log"
    chown keystone "$logs/keystone.log"
    runuser -u keystone -- keystone-manage db_sync
    keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
    keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
    keystone-manage bootstrap --bootstrap-password "$password" --bootstrap-region-id "$region" \
        --bootstrap-admin-url "http://$ip:5000/v3/" --bootstrap-internal-url "http://$ip:5000/v3/" --bootstrap-public-url "http://$ip:5000/v3/"
}

keystone_start() {
    start_wsgi keystone keystone 5000 /usr/bin/keystone-wsgi-public 2
    await 60 keystone answers "http://$ip:5000/v3"
}

keystone_stop() { stop keystone; }

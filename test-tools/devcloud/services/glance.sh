# Glance: images, in files.
# shellcheck shell=bash disable=SC2154

glance_config() {
    install -d -o glance -g glance /var/lib/glance/images /var/lib/glance/staging /var/lib/glance/tasks /var/lib/glance/lock
    config /etc/glance/glance-api.conf root:glance 640 <<END
[DEFAULT]
bind_host = $ip
bind_port = 9292
workers = 1
log_file = $logs/glance.log
worker_self_reference_url = http://$ip:9292
enabled_backends = fs:file
node_staging_uri = file:///var/lib/glance/staging
[database]
connection = $(database glance)
$(checks_tokens glance)
[paste_deploy]
flavor = keystone
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = /var/lib/glance/images
[os_glance_staging_store]
filesystem_store_datadir = /var/lib/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir = /var/lib/glance/tasks
[oslo_concurrency]
lock_path = /var/lib/glance/lock
[oslo_policy]
policy_dirs = /etc/glance/policy.d
END
}

glance_sync() { runuser -u glance -- glance-manage db_sync; }

glance_start() { start glance glance /usr/bin/glance-api --config-file /etc/glance/glance-api.conf; }

glance_ready() { await 60 glance answers "http://$ip:9292/versions"; }

glance_stop() { stop glance; }

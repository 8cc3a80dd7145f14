# Placement: what a host has left.
# shellcheck shell=bash disable=SC2154

placement_config() {
    config /etc/placement/placement.conf root:placement 640 <<END
[DEFAULT]
log_file = $logs/placement.log
[api]
auth_strategy = keystone
[placement_database]
connection = $(database placement)
$(checks_tokens placement)
[oslo_policy]
policy_dirs = /etc/placement/policy.d
END
}

placement_sync() { runuser -u placement -- placement-manage db sync; }

placement_start() { start_wsgi placement placement 8778 /usr/bin/placement-api 1; }

placement_ready() { await 60 placement answers "http://$ip:8778/"; }

placement_stop() { stop placement; }

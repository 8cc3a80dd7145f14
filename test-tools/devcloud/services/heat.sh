# Heat: stacks.
# shellcheck shell=bash disable=SC2154

heat_config() {
    install -d -o heat -g heat /var/lib/heat/lock
    config /etc/heat/heat.conf root:heat 640 <<END
[DEFAULT]
transport_url = $queue
region_name_for_services = $region
heat_metadata_server_url = http://$ip:8000
heat_waitcondition_server_url = http://$ip:8000/v1/waitcondition
stack_user_domain_name = heat
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = $password
num_engine_workers = 1
auth_encryption_key = 0123456789abcdef0123456789abcdef
[database]
connection = $(database heat)
$(checks_tokens heat)
[trustee]
$(as_user heat | grep -v -e project -e region)
[clients_keystone]
auth_uri = http://$ip:5000
[oslo_concurrency]
lock_path = /var/lib/heat/lock
[oslo_policy]
policy_dirs = /etc/heat/policy.d
END
}

heat_sync() { runuser -u heat -- heat-manage db_sync; }

heat_start() {
    start_wsgi heat-api heat 8004 /usr/bin/heat-wsgi-api 1
    start_wsgi heat-api-cfn heat 8000 /usr/bin/heat-wsgi-api-cfn 1
    start heat-engine heat /usr/bin/heat-engine --config-file /etc/heat/heat.conf
}

heat_ready() { await 60 heat-api answers "http://$ip:8004/"; }

heat_stop() {
    for name in heat-engine heat-api heat-api-cfn; do stop "$name" & done
    wait
}

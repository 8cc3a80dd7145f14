"""Users, services and endpoints (`identity`); flavors, networks and what else a project starts with (`seed`).

One process each, because a run of the `openstack` program takes over a second. Whatever is there already is left alone.
"""
import os
import sys
import time

import openstack

IP, PASSWORD, REGION = os.environ["ip"], os.environ["password"], os.environ["region"]


def connect(user, project):
    return openstack.connect(
        load_yaml_config=False, load_envvars=False, auth_url=f"http://{IP}:5000/v3", identity_api_version="3",
        username=user, password=PASSWORD, project_name=project,
        user_domain_name="Default", project_domain_name="Default", region_name=REGION,
    )


def identity():
    keystone = connect("admin", "admin").identity
    default = keystone.find_domain("Default").id
    names = ("admin", "member", "reader", "service", "heat_stack_owner", "heat_stack_user")
    roles = {name: (keystone.find_role(name) or keystone.create_role(name=name)).id for name in names}

    def project(name):
        return (keystone.find_project(name, domain_id=default) or keystone.create_project(name=name, domain_id=default)).id

    def user(name, domain=default):
        found = keystone.find_user(name, domain_id=domain)
        return (found or keystone.create_user(name=name, password=PASSWORD, domain_id=domain)).id

    def grant(where, who, *what):
        for role in what:
            keystone.assign_project_role_to_user(where, who, roles[role])

    for name in ("glance", "nova", "placement", "neutron", "heat", "cinder"):
        grant(project("service"), user(name), "admin", "service")
    grant(project("demo"), user("demo"), "member", "reader", "heat_stack_owner")
    grant(project("demo"), user("admin"), "admin")
    heat = keystone.find_domain("heat") or keystone.create_domain(name="heat")
    keystone.put(f"/domains/{heat.id}/users/{user('heat_domain_admin', heat.id)}/roles/{roles['admin']}")

    there = {(e.service_id, e.interface) for e in keystone.endpoints()}
    for name, kind, url in (
        ("glance", "image", f"http://{IP}:9292"),
        ("nova", "compute", f"http://{IP}:8774/v2.1"),
        ("placement", "placement", f"http://{IP}:8778"),
        ("neutron", "network", f"http://{IP}:9696"),
        ("heat", "orchestration", f"http://{IP}:8004/v1/%(project_id)s"),
        ("heat-cfn", "cloudformation", f"http://{IP}:8000/v1"),
        ("cinderv3", "volumev3", f"http://{IP}:8776/v3/%(project_id)s"),
    ):
        service = next(iter(keystone.services(name=name, type=kind)), None) or keystone.create_service(name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            if (service.id, interface) not in there:
                keystone.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=REGION)


def wait(what, seconds, there):
    until = time.monotonic() + seconds
    while not there():
        if time.monotonic() > until:
            sys.exit(f"{what}: not there after {seconds} s")
        time.sleep(1)


def seed():
    admin, demo = connect("admin", "admin"), connect("demo", "demo")
    wanted = {f"neutron-{name}-agent" for name in ("linuxbridge", "dhcp", "l3", "metadata")}
    wait("Neutron's agents", 120, lambda: wanted <= {a.binary for a in admin.network.agents() if a.is_alive})
    for name, cpus, ram, disk in (
        ("m1.nano", 1, 256, 2), ("m1.tiny", 1, 512, 3), ("m1.small", 1, 1024, 5), ("m1.medium", 2, 2048, 10), ("m1.large", 2, 4096, 20),
    ):
        admin.compute.find_flavor(name) or admin.compute.create_flavor(name=name, vcpus=cpus, ram=ram, disk=disk)
    resolvers = [r for r in [os.environ["resolver"]] if r]
    public = admin.network.find_network("public")
    if not public:
        public = admin.network.create_network(
            name="public", shared=True, is_router_external=True, provider_network_type="flat", provider_physical_network="external",
        )
        first = IP.rsplit(".", 1)[0]
        admin.network.create_subnet(
            name="public-subnet", network_id=public.id, ip_version=4, cidr=os.environ["public"], gateway_ip=IP,
            dns_nameservers=resolvers, allocation_pools=[{"start": f"{first}.100", "end": f"{first}.239"}],
        )
    if not demo.network.find_network("private"):
        private = demo.network.create_network(name="private")
        subnet = demo.network.create_subnet(
            name="private-subnet", network_id=private.id, ip_version=4, cidr=os.environ["private"], dns_nameservers=resolvers,
        )
        router = demo.network.create_router(name="router1", external_gateway_info={"network_id": public.id})
        demo.network.add_interface_to_router(router, subnet_id=subnet.id)
    # A project's default security group is made when Neutron is first asked about groups of it, by Nova too: in the midst of a test
    # that compares listings, were it not there before.
    for project in admin.identity.projects():
        list(admin.network.security_groups(project_id=project.id))
    volumes = admin.block_storage
    services = lambda: volumes.get("/os-services").json()["services"]  # noqa: E731
    wait("cinder-volume", 120, lambda: any(s["binary"] == "cinder-volume" and s["state"] == "up" for s in services()))
    if "nfs" not in [kind.name for kind in volumes.types()]:
        volumes.create_type(name="nfs", extra_specs={"volume_backend_name": "nfs"})


def proof():
    """A network that was not there before is served: an agent can be up, and its helper of no use since it started."""
    admin = connect("admin", "admin").network
    network = admin.create_network(name="devcloud-proof")
    try:
        admin.create_subnet(network_id=network.id, ip_version=4, cidr="192.0.2.0/28", enable_dhcp=True)
        served = lambda: any(  # noqa: E731
            port.status == "ACTIVE" for port in admin.ports(network_id=network.id, device_owner="network:dhcp")
        )
        wait("DHCP of a new network", 90, served)
    finally:
        admin.delete_network(network.id)


{"identity": identity, "seed": seed, "proof": proof}[sys.argv[1]]()

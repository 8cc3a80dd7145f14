//! Choices on a cloud that offers some.
use super::make::PlanError;
use super::tests::request;
use super::*;
use crate::model::definition::Definition;
use crate::model::facts::BaseLookup;
use crate::model::facts::CloudFacts;
use crate::model::facts::ControllerFacts;
use crate::model::facts::Flavor;
use crate::model::facts::Leave;
use crate::model::facts::Named;
use crate::model::facts::Network;
use crate::model::facts::PlacementDefaults;
use crate::model::facts::ProjectFacts;
use crate::model::facts::QuotaHeadroom;
use crate::model::placement::Security;

mod sources;
mod volumes;

pub(super) const BUILD: Purpose = Purpose::Build { smoke: true };
pub(super) const UNTESTED: Purpose = Purpose::Build { smoke: false };

pub(super) fn bundle(vars: &str) -> Definition {
    let tree = tempfile::tempdir().unwrap();
    let dir = tree.path().join("images/x");
    std::fs::create_dir_all(dir.join("ansible")).unwrap();
    std::fs::write(
        dir.join("build-vars.yml"),
        format!("bundle:\n  name: x\n  img_base: debian-12\n{vars}"),
    )
    .unwrap();
    std::fs::write(dir.join("ansible/bootstrap.yml"), "- hosts: local\n").unwrap();
    crate::frontend::load(tree.path(), &dir).unwrap().bundle
}

pub(super) fn named(id: &str, name: &str) -> Named {
    Named { id: id.into(), name: name.into() }
}

pub(super) fn network(id: &str, name: &str) -> Network {
    Network {
        id: id.into(),
        name: name.into(),
        external: false,
        shared: false,
        own: true,
        near: false,
        port_security: true,
        v6_only: false,
    }
}

pub(super) fn flavor(name: &str, cpus: u32, ram_mib: u64, disk_gib: u64) -> Flavor {
    Flavor { id: format!("id-{name}"), name: name.into(), cpus, ram_mib, disk_gib }
}

/// One private network, one external one, three flavors, no limits.
pub(super) fn project() -> ProjectFacts {
    ProjectFacts {
        flavors: vec![
            flavor("large", 4, 8192, 40),
            flavor("tiny", 1, 512, 3),
            flavor("small", 1, 1024, 5),
        ],
        networks: vec![
            network("n1", "private"),
            Network { external: true, own: false, ..network("n2", "public") },
        ],
        security_groups: vec![named("s1", "default"), named("s2", "web"), named("s3", "web")],
        ssh_from: vec!["192.0.2.1/32".into()],
        ..ProjectFacts::default()
    }
}

fn base() -> Image {
    serde_json::from_value(serde_json::json!({
        "id": "b1", "name": "debian-12", "family": "debian-12", "state": "active",
        "created": "1970-01-01T00:00:00Z", "size": 1,
        "virtual_size": 2 * GIB, "checksum": "abc", "properties": {}, "tags": [],
        "min_disk_gb": 2, "min_ram_mb": 0,
        "visibility": "private", "protected": false, "hidden": false,
    }))
    .unwrap()
}

pub(super) fn try_plan(vars: &str, site: ProjectFacts) -> Result<Plan, PlanError> {
    try_plan_for(BUILD, vars, site)
}

pub(super) fn try_plan_for(
    purpose: Purpose,
    vars: &str,
    site: ProjectFacts,
) -> Result<Plan, PlanError> {
    try_plan_of(&bundle(vars), &request("r1", purpose), site)
}

pub(super) fn try_plan_of(
    bundle: &Definition,
    request: &Request<'_>,
    site: ProjectFacts,
) -> Result<Plan, PlanError> {
    let facts = Facts {
        cloud_name: "test".into(),
        cloud: CloudFacts {
            base: BaseLookup::Found(Box::new(base())),
            name_taken_by: Vec::new(),
            how: "tested".into(),
            max_cpus: None,
            max_ram_mib: None,
            free_bytes: None,
            missing_prerequisites: Vec::new(),
            site: Some(site),
            notes: vec!["the cloud does not tell this".into()],
        },
        host: ControllerFacts {
            ansible: Ok("2.14".into()),
            commit: None,
            inputs: None,
            values: None,
            near_definition: None,
        },
    };
    plan(bundle, &facts, &Request { now: jiff::Timestamp::UNIX_EPOCH, ..*request })
}

fn errors(vars: &str, site: ProjectFacts) -> Vec<String> {
    try_plan(vars, site).unwrap_err().wrong.iter().map(ToString::to_string).collect()
}

#[test]
fn a_silent_bundle_gets_what_there_is_one_of() {
    let plan = try_plan("", project()).unwrap();
    let builder = plan.builder.as_ref().unwrap();
    assert_eq!(
        (builder.flavor.as_ref().unwrap().name.as_str(), builder.ram_mib, builder.disk_gib),
        ("small", 1024, Some(5))
    );
    assert_eq!(plan.smoke.as_ref().unwrap().second.flavor, builder.flavor);
    let site = plan.site.unwrap();
    assert_eq!(site.networks, [named("n1", "private")]);
    assert_eq!(site.floating_network, Some(named("n2", "public")));
    assert_eq!(site.security, Security::Temporary { ssh_from: vec!["192.0.2.1/32".into()] });
}

#[test]
fn a_floating_ip_is_taken_only_where_it_is_needed() {
    let with = |change: fn(&mut ProjectFacts), vars: &str| {
        let mut site = project();
        change(&mut site);
        try_plan(vars, site).unwrap().site.unwrap().floating_network
    };
    assert!(with(|_| (), "").is_some());
    assert!(with(|_| (), "floating_network: none\n").is_none());
    assert!(with(|s| s.networks[0].near = true, "").is_none());
    assert!(with(|s| s.networks[0].shared = true, "").is_none());
    assert!(
        with(|_| (), "network: public\nfloating_network: public\n").is_none(),
        "an address there is as good"
    );
}

#[test]
fn the_bundle_counts_before_the_environment() {
    let mut site = project();
    site.networks.push(network("n3", "other"));
    site.defaults =
        PlacementDefaults { networks: vec!["n3".into()], security_groups: vec!["default".into()] };
    let plan = try_plan("", site.clone()).unwrap().site.unwrap();
    assert_eq!(
        (plan.networks, plan.security),
        (vec![named("n3", "other")], Security::Groups(vec![named("s1", "default")]))
    );
    let plan = try_plan("network: private\nsecurity_groups: [s2]\n", site).unwrap().site.unwrap();
    assert_eq!(
        (plan.networks, plan.security),
        (vec![named("n1", "private")], Security::Groups(vec![named("s2", "web")]))
    );
}

#[test]
fn several_networks_are_a_question_and_not_a_guess() {
    let mut site = project();
    site.networks.push(network("n3", "other"));
    let told = errors("", site);
    assert!(told[0].contains("2 networks") && told[0].contains("private, other"), "{told:?}");
    let told = errors("", ProjectFacts { networks: Vec::new(), ..project() });
    assert!(told[0].contains("no network"), "{told:?}");
}

#[test]
fn what_does_not_exist_is_told_with_its_place_and_all_at_once() {
    let vars = "network: privat\nsecurity_groups: [web, nope]\nfloating_network: \
        private\nvm_flavor: smal\nvolume: {size: 4}\n";
    let told = errors(vars, project());
    for text in [
        "build-vars.yml:4:",
        "network `privat` does not exist",
        "did you mean `private`?",
        "2 security groups are called `web`",
        "s2, s3",
        "security group `nope` does not exist",
        "floating network `private` does not exist",
        "flavor `smal` does not exist",
        "no block storage",
    ] {
        assert!(told.iter().any(|t| t.contains(text)), "{text}: {told:#?}");
    }
}

#[test]
fn a_flavor_that_is_named_must_be_large_enough() {
    let mut site = project();
    site.flavors.push(flavor("nano", 1, 256, 1));
    let told = errors("vm_flavor: nano\n", site.clone());
    assert!(
        told[0].contains(
            "`nano` (1 CPUs, 256 MiB RAM, 1 GiB disk) is too small: 0 MiB RAM and 2 GiB disk"
        ),
        "{told:?}"
    );
    assert!(told[0].contains("the smallest that fits is `tiny`"), "{told:?}");
    // 512 MiB are less than comfortable, and what was asked for.
    assert_eq!(
        try_plan("vm_flavor: id-tiny\n", site.clone()).unwrap().builder.unwrap().ram_mib,
        512
    );
    // What is captured has the builder's disk, and does not fit a smaller one.
    assert!(
        errors("vm_flavor: small\ntest_flavor: tiny\n", site)[0].contains("test_flavor")
            || !errors("vm_flavor: small\ntest_flavor: tiny\n", project()).is_empty()
    );
    assert!(errors("machine: {ram: 64G}\n", project())[0].contains("no flavor has 65536 MiB"));
}

#[test]
fn a_quota_that_does_not_suffice_is_named() {
    let room = QuotaHeadroom {
        servers: Some(1),
        cores: Some(9),
        ram_mib: Some(100),
        floating_ips: Some(0),
        security_groups: Some(0),
        ..QuotaHeadroom::default()
    };
    let told = errors("", ProjectFacts { room, ..project() });
    for text in [
        "1 servers, and 2 are needed",
        "100 MiB of RAM, and 2048",
        "0 floating IPs, and 2",
        "0 security groups, and 1",
    ] {
        assert!(told.iter().any(|t| t.contains(text)), "{text}: {told:#?}");
    }
    assert_eq!(told.len(), 4);
    // Without tests the builder is alone; a builder may be larger than what is tested.
    let room = QuotaHeadroom {
        servers: Some(1),
        floating_ips: Some(1),
        cores: Some(3),
        ..QuotaHeadroom::default()
    };
    let site = ProjectFacts { room, ..project() };
    assert!(
        try_plan_for(UNTESTED, "", site.clone()).is_ok() && try_plan("", site.clone()).is_err()
    );
    let told = try_plan_for(UNTESTED, "vm_flavor: large\n", site).unwrap_err().wrong[0].to_string();
    assert!(told.contains("3 cores, and 4 are needed"), "{told}");
}

/// The list is kept from us: a name goes to Nova as it is written.
#[test]
fn groups_are_named_where_none_are_shown() {
    let site = ProjectFacts { security_groups: Vec::new(), ..project() };
    assert_eq!(
        site_of("security_groups: [web]\n", site).0.security,
        Security::Groups(vec![named("web", "web")])
    );
}

fn site_of(vars: &str, site: ProjectFacts) -> (Placement, Vec<String>) {
    let plan = try_plan(vars, site).unwrap();
    (plan.site.unwrap(), plan.notes)
}

fn told(notes: &[String], words: &str) -> bool {
    notes.iter().any(|n| n.contains(words))
}

#[test]
fn networks_keep_the_order_in_which_they_are_written() {
    let mut site = project();
    site.networks = vec![
        network("n1", "mgmt"),
        network("n2", "dmz"),
        Network { external: true, own: false, ..network("n3", "public") },
    ];
    let (plan, _) = site_of("network: [dmz, mgmt]\n", site.clone());
    assert_eq!(plan.networks, [named("n2", "dmz"), named("n1", "mgmt")]);
    site.defaults.networks = vec!["dmz".into(), "n1".into()];
    assert_eq!(site_of("", site.clone()).0.networks, [named("n2", "dmz"), named("n1", "mgmt")]);
    // Of several the address that is reached from here is taken, wherever it stands.
    site.networks[0].shared = true;
    let (plan, _) = site_of("network: [dmz, mgmt]\n", site);
    assert_eq!((plan.floating_network, plan.reached_on), (None, Some(named("n1", "mgmt"))));
}

#[test]
fn several_external_networks_are_a_question_and_not_silence() {
    let mut site = project();
    site.networks.push(Network { external: true, own: false, ..network("n3", "internet") });
    let told_all = errors("", site.clone());
    assert!(
        told_all[0].contains("2 external networks") && told_all[0].contains("public, internet"),
        "{told_all:?}"
    );
    assert!(try_plan("", site.clone()).unwrap_err().refuses);
    assert_eq!(
        site_of("floating_network: internet\n", site.clone()).0.floating_network,
        Some(named("n3", "internet"))
    );
    assert_eq!(site_of("floating_network: none\n", site.clone()).0.floating_network, None);
    site.networks.retain(|n| !n.external);
    let (plan, notes) = site_of("", site);
    assert!(plan.floating_network.is_none() && told(&notes, "no external network"), "{notes:?}");
}

#[test]
fn a_network_of_ipv6_alone_takes_no_floating_ip() {
    let mut site = project();
    site.networks[0].v6_only = true;
    let (plan, notes) = site_of("", site.clone());
    assert!(plan.floating_network.is_none() && told(&notes, "IPv6 alone"), "{notes:?}");
    let told_all = errors("floating_network: public\n", site.clone());
    assert!(told_all[0].contains("a floating IP is IPv4's"), "{told_all:?}");
    // Beside one of IPv4 it has a port that takes one.
    site.networks.push(network("n3", "four"));
    assert!(site_of("network: [private, four]\n", site).0.floating_network.is_some());
}

#[test]
fn without_port_security_there_are_no_groups() {
    let mut site = project();
    site.networks[0].port_security = false;
    let (plan, notes) = site_of("", site.clone());
    assert!(plan.security == Security::None && told(&notes, "has no port security"), "{notes:?}");
    for vars in ["security_groups: [default]\n", "network: [private, other]\n"] {
        let mut site = site.clone();
        site.networks.push(network("n3", "other"));
        site.defaults.networks = vec!["private".into()];
        let told_all = errors(vars, site.clone());
        assert!(
            told_all[0].contains("has no port security")
                && told_all[0].contains("`security_groups: none`"),
            "{told_all:?}"
        );
        let both = format!(
            "{}security_groups: none\n",
            vars.strip_prefix("security_groups: [default]\n").unwrap_or(vars)
        );
        assert_eq!(site_of(&both, site).0.security, Security::None);
    }
    // A word, and no group's name.
    assert_eq!(site_of("security_groups: none\n", project()).0.security, Security::None);
    let mut site = project();
    site.defaults.security_groups = vec!["none".into(), "default".into()];
    assert!(errors("", site)[0].contains("and says `none`"));
}

#[test]
fn an_image_claims_no_less_than_it_needs_and_is_booted_with_no_more() {
    let mut site = project();
    site.flavors.extend([flavor("thin", 1, 512, 10), flavor("thinner", 1, 256, 10)]);
    let plan =
        try_plan("final_glance_options: '--min-disk 3 --min-ram 512'\n", site.clone()).unwrap();
    assert_eq!((plan.publish.min_disk_gib, plan.publish.min_ram_mib), (Some(5), 512));
    assert!(told(&plan.notes, "min_disk is raised from 3 to 5 GiB"), "{:?}", plan.notes);
    let smoke = plan.smoke.unwrap();
    let names = |m: &MachinePlan| m.flavor.as_ref().unwrap().name.clone();
    assert_eq!((names(&smoke.first).as_str(), names(&smoke.second).as_str()), ("small", "thin"));
    // Of flavors of one size it is the one that is tested.
    let mut twins = project();
    twins.flavors.push(flavor("gpu", 1, 1024, 5));
    let alike = try_plan("vm_flavor: small\n", twins).unwrap().smoke.unwrap();
    assert_eq!(
        (names(&alike.first), names(&alike.second)),
        ("small".to_owned(), "small".to_owned())
    );
    // Without a claim, or with a flavor that is named, both are alike.
    for vars in ["", "final_glance_options: '--min-ram 512'\ntest_flavor: small\n"] {
        let smoke = try_plan(vars, site.clone()).unwrap().smoke.unwrap();
        assert_eq!(smoke.first.flavor, smoke.second.flavor, "{vars}");
    }
    assert_eq!(
        try_plan("final_glance_options: '--min-disk 20'\n", site).unwrap().publish.min_disk_gib,
        Some(20)
    );
}

#[test]
fn members_make_an_image_shared() {
    let plan = try_plan("members: [p7]\n", project()).unwrap();
    assert_eq!(
        (plan.publish.visibility, plan.publish.members),
        (image::Visibility::Shared, vec!["p7".to_owned()])
    );
    assert!(
        told(&plan.notes, "shared, because it has members")
            && told(&plan.notes, "projects of this cloud"),
        "{:?}",
        plan.notes
    );
    assert_eq!(try_plan("", project()).unwrap().publish.visibility, image::Visibility::Private);
}

#[test]
fn what_the_cloud_would_refuse_at_the_end_is_refused_at_the_beginning() {
    let public = "visibility: public\n";
    let site = |publishing, consoles| ProjectFacts { publishing, consoles, ..project() };
    let told_all =
        errors(public, site(Leave::Refused("not public (HTTP 403)".into()), Leave::Given));
    assert!(
        told_all[0].contains("build-vars.yml:4:") && told_all[0].contains("not public (HTTP 403)"),
        "{told_all:?}"
    );
    let plan = try_plan(
        public,
        site(Leave::Unknown("busy".into()), Leave::Unknown("nothing runs".into())),
    )
    .unwrap();
    assert!(
        told(&plan.notes, "public images shows when it is done: busy")
            && told(&plan.notes, "nothing runs"),
        "{:?}",
        plan.notes
    );
    let told_all =
        errors("", site(Leave::Unasked, Leave::Refused("no consoles (HTTP 501)".into())));
    assert!(told_all[0].contains("HTTP 501") && told_all[0].contains("--no-smoke"), "{told_all:?}");
    let room = |image_mib| ProjectFacts {
        room: QuotaHeadroom { image_mib, ..QuotaHeadroom::default() },
        ..project()
    };
    assert!(errors("", room(Some(0)))[0].contains("leaves 0 MiB of images"));
    assert!(told(&try_plan("", room(None)).unwrap().notes, "no limit of the project's images"));
    assert!(!told(&try_plan("", room(Some(9999))).unwrap().notes, "images"));
    assert!(
        told(&try_plan("", project()).unwrap().notes, "does not tell this"),
        "what facts say is passed on"
    );
}

#[test]
fn a_base_that_boots_nothing_is_refused_with_the_way_out() {
    let unusable =
        image::Unusable { why: "it is empty".into(), way_out: "name another image".into() };
    let facts = |base| Facts {
        cloud_name: "test".into(),
        cloud: CloudFacts {
            base: BaseLookup::Found(Box::new(base)),
            name_taken_by: Vec::new(),
            how: "tested".into(),
            max_cpus: None,
            max_ram_mib: None,
            free_bytes: None,
            missing_prerequisites: Vec::new(),
            site: Some(project()),
            notes: Vec::new(),
        },
        host: ControllerFacts {
            ansible: Ok("2.14".into()),
            commit: None,
            inputs: None,
            values: None,
            near_definition: None,
        },
    };
    let base = Image { unusable: Some(unusable), ..base() };
    let unfit = plan(
        &bundle(""),
        &facts(base),
        &Request { now: jiff::Timestamp::UNIX_EPOCH, ..request("r1", BUILD) },
    )
    .unwrap_err();
    let told = unfit.wrong[0].to_string();
    assert!(
        !unfit.refuses
            && told.contains("(b1) cannot be used: it is empty")
            && told.contains("name another image"),
        "{told}"
    );
}

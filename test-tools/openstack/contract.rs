//! The contract of a cloud, kept by OpenStack, with a machine of one boot sector.
use std::time::Duration;

use image_factory::testing::plan::{FactsQuery, Named, Placement, Security, VolumePlan};
use image_factory::testing::provider::ledger::Ledger;
use image_factory::testing::provider::openstack::{Config, OpenStack, login};
use image_factory::testing::provider::{MachinePlacement, Provider, RunCx, contract};

use super::devcloud;
use super::tiny_disk::tiny_disk;

async fn holds(volume: Option<VolumePlan>) {
    let before = devcloud::listing();
    let dir = tempfile::tempdir().unwrap();
    let env = [("OS_CLIENT_CONFIG_FILE".to_owned(), devcloud::clouds_yaml().display().to_string())]
        .into();
    let cloud = OpenStack::new(Config {
        login: login::login(Some("devcloud"), &env, &login::Places::default()).unwrap(),
        home: dir.path().join("home"),
        runtime: dir.path().join("run"),
        defaults: Default::default(),
        owner: "contract".into(),
        ssh_from: Vec::new(),
    })
    .unwrap();
    let ledger = Ledger::open(&dir.path().join("facts.jsonl")).unwrap();
    let cx = RunCx::new("", ledger, Default::default(), Default::default());
    let facts = cloud
        .facts(&FactsQuery { image_name: "x".into(), ..FactsQuery::default() }, &cx)
        .await
        .unwrap()
        .site
        .unwrap();
    let network = |name: &str| {
        let found = facts
            .networks
            .iter()
            .find(|n| n.name == name)
            .unwrap_or_else(|| panic!("no network {name}"));
        Named { id: found.id.clone(), name: found.name.clone() }
    };
    let flavor = facts.flavors.iter().find(|f| f.name == "m1.nano").unwrap();
    let site = Placement {
        networks: vec![network("private")],
        floating_network: Some(network("public")),
        security: Security::Temporary { ssh_from: facts.ssh_from.clone() },
        zone: None,
        volume,
        reached_on: None,
    };
    let place = MachinePlacement {
        flavor: Named { id: flavor.id.clone(), name: flavor.name.clone() },
        site,
    };
    let disk = tiny_disk(dir.path());
    let checked = contract::check(&cloud, dir.path(), &disk, Some(&place));
    let published = tokio::time::timeout(Duration::from_secs(900), checked)
        .await
        .expect("not done after a quarter of an hour");
    let copies = contract::copies(&cloud, dir.path(), &disk, async |of| {
        devcloud::copy_of_image(dir.path(), &of.id)
    })
    .await;
    copies.iter().for_each(|id| drop(devcloud::openstack("devcloud", &["image", "delete", id])));
    devcloud::openstack("devcloud", &["image", "delete", &published.id]);
    assert_eq!(devcloud::changes(&before), [""; 0]);
}

#[tokio::test]
#[ignore = "wants devcloud: `make test-openstack`"]
async fn contract_holds() {
    holds(None).await;
}

/// Machines that boot from volumes, and images that are made of these.
#[tokio::test]
#[ignore = "wants devcloud: `make test-openstack`"]
async fn contract_holds_with_volumes() {
    holds(Some(VolumePlan { size_gib: 1, kind: None, zone: None })).await;
}

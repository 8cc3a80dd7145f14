//! A Nova, a Neutron and a Cinder that take what is asked of them, or say nothing and do it all the
//! same.
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::super::OpenStack;
use super::super::api::ApiError;
use super::super::create::{self, New};
use super::lifecycle::{SERVERS, openstack};
use super::{asked, cloud};
use crate::model::facts::Named;
use crate::model::placement::{Placement, Security, VolumePlan};
use crate::provider::ledger::{Entry, Kind, Ledger};
use crate::provider::{BootSpec, CloudError, Machine, MachinePlacement, Provider, RunCx};

mod actions;
mod addresses;
mod unanswered;

const RUN: &str = "20261120-233145-abcdef";
const NAME: &str = "factory-20261120-233145-abcdef-builder";
const POST_SERVERS: &str = "/compute/v2.1/servers";
const LONG: Duration = Duration::from_secs(60);

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

async fn answers(server: &MockServer, verb: &str, place: &str, answer: ResponseTemplate) {
    Mock::given(method(verb))
        .and(path(place))
        .respond_with(answer)
        .with_priority(9)
        .mount(server)
        .await;
}

fn named(name: &str) -> Named {
    Named { id: format!("id-{name}"), name: name.into() }
}

/// On `networks`, in that order.
fn spec(networks: &[&str], change: impl FnOnce(&mut Placement)) -> BootSpec {
    let mut site = Placement {
        networks: networks.iter().map(|n| named(n)).collect(),
        floating_network: None,
        security: Security::None,
        zone: None,
        volume: None,
        reached_on: None,
    };
    change(&mut site);
    BootSpec {
        name: NAME.into(),
        image: "i1".into(),
        cpus: 1,
        ram_mib: 512,
        disk_gib: 1,
        user_data: String::new(),
        place: Some(MachinePlacement { flavor: named("f"), site }),
    }
}

fn active() -> Value {
    json!({ "id": "s1", "name": NAME, "status": "ACTIVE", "metadata": { "factory_run": RUN },
        "addresses": {
        "mgmt": [{ "addr": "10.1.0.4", "version": 4 }],
        "dmz": [{ "addr": "10.2.0.4", "version": 4 }],
    } })
}

/// A project where a machine comes up at once.
async fn project(server: &MockServer) {
    answers(server, "POST", POST_SERVERS, ok(json!({ "server": { "id": "s1" } }))).await;
    answers(server, "GET", "/compute/v2.1/servers/s1", ok(json!({ "server": active() }))).await;
    let port = |id: &str, network: &str, ip: &str| {
        json!({ "id": id, "network_id": network,
        "fixed_ips": [{ "ip_address": ip }] })
    };
    let ports = json!({ "ports": [
        port("port-mgmt", "id-mgmt", "10.1.0.4"),
        port("port-six", "id-six", "2001:db8::4"), port("port-dmz", "id-dmz", "10.2.0.4"),
    ] });
    answers(server, "GET", "/network/v2.0/ports", ok(ports)).await;
    let ip = json!({ "floatingip": { "id": "ip1", "floating_ip_address": "127.0.0.9" } });
    answers(server, "POST", "/network/v2.0/floatingips", ok(ip)).await;
    answers(
        server,
        "POST",
        "/network/v2.0/security-groups",
        ok(json!({ "security_group": { "id": "g1" } })),
    )
    .await;
    answers(
        server,
        "POST",
        "/network/v2.0/security-group-rules",
        ok(json!({ "security_group_rule": { "id": "r" } })),
    )
    .await;
}

struct Booting {
    cloud: OpenStack,
    cx: RunCx,
    _dir: tempfile::TempDir,
}

/// One who looks for `patience` for what was not answered.
fn booting(server: &MockServer, patience: Duration) -> Booting {
    let dir = tempfile::tempdir().unwrap();
    let (mut cloud, reading) = openstack(server);
    cloud.patience = patience;
    let cx = RunCx {
        run: RUN.into(),
        ledger: Ledger::open(&dir.path().join("ledger")).unwrap(),
        ..reading
    };
    Booting { cloud, cx, _dir: dir }
}

async fn boots(server: &MockServer, spec: &BootSpec) -> Result<Machine, CloudError> {
    let at = booting(server, LONG);
    at.cloud.compute().boot(&at.cx.within(LONG), spec).await
}

fn gateway_timeout() -> ResponseTemplate {
    ResponseTemplate::new(504)
        .set_body_raw("<html><body><h1>504 Gateway Time-out</h1></body></html>", "text/html")
}

/// Bodies of what was posted to `place`.
async fn posted(server: &MockServer, place: &str) -> Vec<Value> {
    let all = server.received_requests().await.unwrap();
    let of = all.iter().filter(|r| r.method.as_str() == "POST" && r.url.path() == place);
    of.map(|r| serde_json::from_slice(&r.body).unwrap()).collect()
}

#[tokio::test]
async fn a_volume_goes_to_its_own_zone_and_one_that_is_encrypted_ends_the_build() {
    for (encrypted, zone) in [(false, None), (false, Some("nova")), (true, None)] {
        let server = cloud().await;
        project(&server).await;
        let volume =
            json!({ "volume": { "id": "v1", "status": "available", "encrypted": encrypted } });
        answers(&server, "POST", "/volume/v3/p1/volumes", ok(volume.clone())).await;
        answers(&server, "GET", "/volume/v3/p1/volumes/v1", ok(volume)).await;
        let wanted = spec(&["dmz"], |site| {
            site.zone = Some("az1".into());
            site.volume =
                Some(VolumePlan { size_gib: 1, kind: None, zone: zone.map(str::to_owned) });
        });
        let done = boots(&server, &wanted).await;
        let body = &posted(&server, "/volume/v3/p1/volumes").await[0]["volume"];
        assert_eq!(body.get("availability_zone").and_then(Value::as_str), zone);
        if encrypted {
            assert!(done.unwrap_err().to_string().contains("its type encrypts"));
            assert!(posted(&server, POST_SERVERS).await.is_empty());
        } else {
            done.unwrap();
            assert_eq!(
                posted(&server, POST_SERVERS).await[0]["server"]["availability_zone"],
                "az1"
            );
        }
    }
}

/// The cloud's default type may be one of which nothing can be made, and a server takes no volume
/// of another zone.
#[tokio::test]
async fn a_second_disk_is_of_the_type_and_the_zone_that_were_planned() {
    let cases = [
        (Some("fast"), Some("az1"), &["az1", "az2"][..], Some("az1")),
        // Nova chose.
        (None, None, &["az1", "az2"], Some("az2")),
        (Some("fast"), None, &["az1", "az2"], Some("az2")),
        (None, None, &["az2"], None),
        (None, None, &["nova", "other"], None),
    ];
    for (kind, zone, zones, sent) in cases {
        let server = cloud().await;
        project(&server).await;
        let volume = |status: &str| json!({ "volume": { "id": "v2", "status": status } });
        answers(&server, "POST", "/volume/v3/p1/volumes", ok(volume("creating"))).await;
        let look = || Mock::given(method("GET")).and(path("/volume/v3/p1/volumes/v2"));
        look()
            .respond_with(ok(volume("available")))
            .up_to_n_times(1)
            .with_priority(1)
            .mount(&server)
            .await;
        look().respond_with(ok(volume("in-use"))).with_priority(2).mount(&server).await;
        let zones: Vec<_> = zones
            .iter()
            .map(|zone| json!({ "zoneName": zone, "zoneState": { "available": true } }))
            .collect();
        answers(
            &server,
            "GET",
            "/volume/v3/p1/os-availability-zone",
            ok(json!({ "availabilityZoneInfo": zones })),
        )
        .await;
        let mut in_zone = active();
        in_zone["OS-EXT-AZ:availability_zone"] = json!("az2");
        Mock::given(method("GET"))
            .and(path("/compute/v2.1/servers/s1"))
            .respond_with(ok(json!({ "server": in_zone })))
            .with_priority(1)
            .mount(&server)
            .await;
        answers(&server, "POST", "/compute/v2.1/servers/s1/os-volume_attachments", ok(json!({})))
            .await;
        let at = booting(&server, LONG);
        let machine =
            at.cloud.compute().boot(&at.cx.within(LONG), &spec(&["dmz"], |_| ())).await.unwrap();
        let wanted = VolumePlan {
            size_gib: 2,
            kind: kind.map(str::to_owned),
            zone: zone.map(str::to_owned),
        };
        at.cloud.volumes().unwrap().attach(&at.cx.within(LONG), &machine, &wanted).await.unwrap();
        let body = &posted(&server, "/volume/v3/p1/volumes").await[0]["volume"];
        let said = |key: &str| body.get(key).and_then(Value::as_str);
        assert_eq!(
            (&body["size"], said("volume_type"), said("availability_zone")),
            (&json!(2), kind, sent)
        );
    }
}

#[tokio::test]
async fn a_cloud_without_consoles_says_so_as_what_it_cannot_do() {
    for status in [403, 501] {
        let server = cloud().await;
        answers(&server, "POST", "/compute/v2.1/servers/s1/action", ResponseTemplate::new(status))
            .await;
        let (cloud, _) = openstack(&server);
        let machine = Machine { name: NAME.into(), id: "s1".into(), host: String::new(), port: 22 };
        let error = cloud.compute().console_log(&machine).await.unwrap_err();
        assert!(matches!(error, CloudError::Unable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_machine_boots_from_the_image_itself_and_without_a_keypair() {
    let server = cloud().await;
    project(&server).await;
    boots(&server, &spec(&["dmz"], |_| {})).await.unwrap();
    let body = &posted(&server, POST_SERVERS).await[0]["server"];
    assert!(body["imageRef"].is_string(), "{body}");
    for key in ["block_device_mapping_v2", "key_name"] {
        assert_eq!(body.get(key), None, "{body}");
    }
}

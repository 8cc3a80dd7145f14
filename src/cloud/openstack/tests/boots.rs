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
use crate::cloud::ledger::{Entry, Kind, Ledger};
use crate::cloud::{BootSpec, Cloud, CloudError, Cx, Machine, MachinePlacement};
use crate::plan::{Named, Placement, Security, VolumePlan};

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
        run: RUN.into(),
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
    cx: Cx,
    _dir: tempfile::TempDir,
}

/// One who looks for `patience` for what was not answered.
fn booting(server: &MockServer, patience: Duration) -> Booting {
    let dir = tempfile::tempdir().unwrap();
    let (mut cloud, reading) = openstack(server);
    cloud.patience = patience;
    let cx = Cx { ledger: Ledger::open(&dir.path().join("ledger")).unwrap(), ..reading };
    Booting { cloud, cx, _dir: dir }
}

async fn boots(server: &MockServer, spec: &BootSpec) -> Result<Machine, CloudError> {
    let at = booting(server, LONG);
    at.cloud.boot(&at.cx, spec, LONG).await
}

/// Bodies of what was posted to `place`.
async fn posted(server: &MockServer, place: &str) -> Vec<Value> {
    let all = server.received_requests().await.unwrap();
    let of = all.iter().filter(|r| r.method.as_str() == "POST" && r.url.path() == place);
    of.map(|r| serde_json::from_slice(&r.body).unwrap()).collect()
}

#[tokio::test]
async fn interfaces_and_the_floating_ip_go_by_the_order_that_is_written() {
    let server = cloud().await;
    project(&server).await;
    let wanted =
        spec(&["six", "dmz", "mgmt"], |site| site.floating_network = Some(named("public")));
    assert_eq!(boots(&server, &wanted).await.unwrap().host, "127.0.0.9");
    let body = &posted(&server, POST_SERVERS).await[0]["server"];
    assert_eq!(
        body["networks"],
        json!([{ "uuid": "id-six" }, { "uuid": "id-dmz" }, { "uuid": "id-mgmt" }])
    );
    let floating = posted(&server, "/network/v2.0/floatingips").await;
    assert_eq!(
        (floating.len(), &floating[0]["floatingip"]["port_id"]),
        (1, &json!("port-dmz")),
        "IPv6 takes none"
    );
}

#[tokio::test]
async fn the_address_is_on_the_network_that_is_reached() {
    let server = cloud().await;
    project(&server).await;
    let on = async |reached: Option<&str>| {
        let wanted = spec(&["mgmt", "dmz"], |site| site.reached_on = reached.map(named));
        boots(&server, &wanted).await.unwrap().host
    };
    assert_eq!((on(None).await.as_str(), on(Some("dmz")).await.as_str()), ("10.1.0.4", "10.2.0.4"));
}

/// To name none is to say nothing of groups.
#[tokio::test]
async fn without_security_groups_none_is_made_and_none_is_sent() {
    let server = cloud().await;
    project(&server).await;
    boots(&server, &spec(&["dmz"], |_| ())).await.unwrap();
    assert!(posted(&server, POST_SERVERS).await[0]["server"].get("security_groups").is_none());
    assert_eq!(asked(&server, "POST", "/network/v2.0/security-groups").await, 0);
}

/// The group admits the address that this machine has towards the other, once it is known; not the
/// one towards the cloud's API.
#[tokio::test]
async fn ssh_is_admitted_from_the_source_towards_the_machine() {
    let rules = async |ssh_from: &[&str]| {
        let server = cloud().await;
        project(&server).await;
        let ssh_from = ssh_from.iter().map(|c| (*c).to_owned()).collect();
        let wanted = spec(&["dmz"], |site| {
            site.floating_network = Some(named("public"));
            site.security = Security::Temporary { ssh_from };
        });
        let at = booting(&server, LONG);
        for _ in 0..2 {
            at.cloud.boot(&at.cx, &wanted, LONG).await.unwrap();
        }
        let all = server.received_requests().await.unwrap();
        let place = |r: &Request| {
            (r.method.as_str() == "POST")
                .then(|| r.url.path().rsplit('/').next().unwrap().to_owned())
        };
        let order: Vec<String> = all
            .iter()
            .filter_map(place)
            .filter(|p| ["floatingips", "security-group-rules"].contains(&&**p))
            .collect();
        let rules = posted(&server, "/network/v2.0/security-group-rules").await;
        let cidrs: Vec<String> = rules
            .iter()
            .map(|r| r["security_group_rule"]["remote_ip_prefix"].as_str().unwrap().into())
            .collect();
        (cidrs, order)
    };
    // Towards the loopback this machine's source is the loopback, which says nothing of who it is
    // to others.
    let (cidrs, order) = rules(&[]).await;
    assert_eq!(cidrs, ["0.0.0.0/0"], "of the family of the address, and once for two machines");
    assert_eq!(order[..2], ["floatingips", "security-group-rules"]);
    assert_eq!(
        rules(&["192.0.2.0/24", "2001:db8::/32"]).await.0,
        ["192.0.2.0/24", "2001:db8::/32"],
        "as it is set"
    );
}

/// Two uplinks: what the API sees of this machine (a VPN, another provider) is not what the machine
/// sees.
#[tokio::test]
async fn the_source_is_asked_for_towards_each_machine() {
    let server = cloud().await;
    project(&server).await;
    let wanted = spec(&["dmz"], |site| {
        site.floating_network = Some(named("public"));
        site.security = Security::Temporary { ssh_from: Vec::new() };
    });
    let mut at = booting(&server, LONG);
    // The API is at 127.0.0.1, the floating IP is 127.0.0.9.
    at.cloud.source = |host, port| match (host, port) {
        ("127.0.0.9", 22) => "198.51.100.7/32".into(),
        ("10.2.0.4", 22) => "10.8.0.2/32".into(),
        other => panic!("asked for {other:?}"),
    };
    at.cloud.boot(&at.cx, &wanted, LONG).await.unwrap();
    let fixed = spec(&["dmz"], |site| site.security = Security::Temporary { ssh_from: Vec::new() });
    at.cloud.boot(&at.cx, &fixed, LONG).await.unwrap();
    let rules = posted(&server, "/network/v2.0/security-group-rules").await;
    let cidrs: Vec<&Value> =
        rules.iter().map(|r| &r["security_group_rule"]["remote_ip_prefix"]).collect();
    assert_eq!(
        cidrs,
        ["198.51.100.7/32", "10.8.0.2/32"],
        "of each machine its own, in the one group of the run"
    );
}

/// A machine that has IPv6 alone is reached by that.
#[tokio::test]
async fn a_machine_of_ipv6_alone_takes_no_floating_ip() {
    let server = cloud().await;
    let six = json!({ "server": { "id": "s1", "name": NAME, "status": "ACTIVE",
        "metadata": { "factory_run": RUN }, "addresses": {
        "six": [{ "addr": "2001:db8::4", "version": 6, "OS-EXT-IPS:type": "fixed" }],
    } } });
    Mock::given(method("GET"))
        .and(path("/compute/v2.1/servers/s1"))
        .respond_with(ok(six))
        .with_priority(1)
        .mount(&server)
        .await;
    project(&server).await;
    let wanted =
        spec(&["six"], |site| site.security = Security::Temporary { ssh_from: Vec::new() });
    let mut at = booting(&server, LONG);
    at.cloud.source = |host, _| format!("{}/128", host.replace("::4", "::99"));
    let machine = at.cloud.boot(&at.cx, &wanted, LONG).await.unwrap();
    assert_eq!((machine.host.as_str(), machine.port), ("2001:db8::4", 22));
    assert_eq!(asked(&server, "POST", "/network/v2.0/floatingips").await, 0);
    let rules = posted(&server, "/network/v2.0/security-group-rules").await;
    let rule = &rules[0]["security_group_rule"];
    assert_eq!(
        (rules.len(), &rule["ethertype"], &rule["remote_ip_prefix"]),
        (1, &json!("IPv6"), &json!("2001:db8::99/128"))
    );
    assert_eq!(
        (&rule["protocol"], &rule["port_range_min"], &rule["direction"]),
        (&json!("tcp"), &json!(22), &json!("ingress"))
    );
}

/// The request is sent again where its answer was lost, and the rule may be there by then.
#[tokio::test]
async fn a_rule_that_is_there_is_none_the_worse() {
    for (message, well) in [
        ("Security group rule already exists. Rule id is r.", true),
        ("Quota exceeded for resources: ['x'].", false),
    ] {
        let server = cloud().await;
        let rules = || Mock::given(method("POST")).and(path("/network/v2.0/security-group-rules"));
        rules()
            .respond_with(gateway_timeout())
            .up_to_n_times(1)
            .with_priority(1)
            .mount(&server)
            .await;
        let refused = ResponseTemplate::new(409)
            .set_body_json(json!({ "NeutronError": { "type": "X", "message": message } }));
        rules().respond_with(refused).with_priority(2).mount(&server).await;
        project(&server).await;
        let wanted = spec(&["dmz"], |site| {
            site.security = Security::Temporary { ssh_from: vec!["192.0.2.0/24".into()] }
        });
        assert_eq!(boots(&server, &wanted).await.is_ok(), well, "{message}");
    }
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
        let machine = at.cloud.boot(&at.cx, &spec(&["dmz"], |_| ()), LONG).await.unwrap();
        let wanted = VolumePlan {
            size_gib: 2,
            kind: kind.map(str::to_owned),
            zone: zone.map(str::to_owned),
        };
        at.cloud.attach_volume(&at.cx, "r1", &machine, &wanted, LONG).await.unwrap();
        let body = &posted(&server, "/volume/v3/p1/volumes").await[0]["volume"];
        let said = |key: &str| body.get(key).and_then(Value::as_str);
        assert_eq!(
            (&body["size"], said("volume_type"), said("availability_zone")),
            (&json!(2), kind, sent)
        );
    }
}

/// Shows the server in lists when it was asked for so often.
async fn comes_after(server: &MockServer, looks: u64) {
    let none = ok(json!({ "servers": [] }));
    if looks > 0 {
        Mock::given(method("GET"))
            .and(path(SERVERS))
            .respond_with(none)
            .up_to_n_times(looks)
            .with_priority(1)
            .mount(server)
            .await;
    }
    Mock::given(method("GET"))
        .and(path(SERVERS))
        .respond_with(ok(json!({ "servers": [active()] })))
        .with_priority(2)
        .mount(server)
        .await;
}

fn gateway_timeout() -> ResponseTemplate {
    ResponseTemplate::new(504)
        .set_body_raw("<html><body><h1>504 Gateway Time-out</h1></body></html>", "text/html")
}

/// The gateway gave up, Nova did not: the machine is taken as it comes, and no other is asked for.
#[tokio::test]
async fn a_machine_that_comes_without_an_answer_is_taken() {
    let server = cloud().await;
    Mock::given(method("POST"))
        .and(path(POST_SERVERS))
        .respond_with(gateway_timeout())
        .with_priority(1)
        .mount(&server)
        .await;
    comes_after(&server, 2).await;
    project(&server).await;
    let at = booting(&server, LONG);
    let machine = at.cloud.boot(&at.cx, &spec(&["dmz"], |_| ()), LONG).await.unwrap();
    assert_eq!((machine.id.as_str(), asked(&server, "POST", POST_SERVERS).await), ("s1", 1));
    let owned = at.cx.ledger.entries();
    assert!(
        owned.len() == 1 && owned[0].id.as_deref() == Some("s1") && owned[0].unanswered.is_none(),
        "{owned:?}"
    );
}

fn address(id: &str, machine: &str) -> Value {
    json!({ "id": id, "floating_ip_address": "192.0.2.7", "description": format!("image-factory \
        run {RUN}, machine {machine}") })
}

/// Two machines side by side: the one whose answer was lost does not take the address of the other,
/// which the other's ledger does not know yet, nor gives it back in the end.
#[tokio::test]
async fn what_comes_to_another_machine_of_the_run_is_not_taken() {
    const ADDRESSES: &str = "/network/v2.0/floatingips";
    let server = cloud().await;
    let at = booting(&server, LONG);
    at.cx.ledger.intend(Kind::Address, "factory-20261120-233145-abcdef-other").unwrap();
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let list = move |_: &Request| {
        let there =
            [address("ip-other", "factory-20261120-233145-abcdef-other"), address("ip-ours", NAME)];
        ok(json!({ "floatingips": there[..looks.fetch_add(1,
                std::sync::atomic::Ordering::Relaxed).min(2)] }))
    };
    Mock::given(method("GET")).and(path(ADDRESSES)).respond_with(list).mount(&server).await;
    let lost = || async {
        let (what, message) = ("take a floating IP".to_owned(), "gateway".to_owned());
        Err(ApiError::Refused { what, status: 504, request_id: None, message })
    };
    let new = New { run: RUN, kind: Kind::Address, name: NAME };
    assert_eq!(create::own(&at.cloud, &at.cx, new, lost).await.unwrap(), "ip-ours");

    for id in ["ip-ours", "ip-other"] {
        answers(
            &server,
            "GET",
            &format!("{ADDRESSES}/{id}"),
            ok(json!({ "floatingip": address(id, NAME) })),
        )
        .await;
        answers(&server, "DELETE", &format!("{ADDRESSES}/{id}"), ResponseTemplate::new(204)).await;
    }
    let unanswered = Some(jiff::Timestamp::now());
    let thing = Entry { seq: 9, kind: Kind::Address, name: NAME.into(), id: None, unanswered };
    at.cloud.delete_resource(RUN, &thing).await.unwrap();
    for (id, times) in [("ip-ours", 1), ("ip-other", 0)] {
        assert_eq!(asked(&server, "DELETE", &format!("{ADDRESSES}/{id}")).await, times, "{id}");
    }
}

/// Of either version's descriptions the run is told.
#[test]
fn a_description_tells_the_run() {
    use super::super::{description, description_for, run_of_description};
    for text in [description(RUN), description_for(RUN, NAME)] {
        assert_eq!(run_of_description(Some(&text)), Some(RUN), "{text}");
    }
    assert_eq!(run_of_description(Some("image-factory")), None);
}

/// It does not come in time: the ledger says that it may, deletion says so too, and finds it when
/// it has come.
#[tokio::test]
async fn what_may_still_come_is_no_success_and_is_found_later() {
    let server = cloud().await;
    Mock::given(method("POST"))
        .and(path(POST_SERVERS))
        .respond_with(gateway_timeout())
        .with_priority(1)
        .mount(&server)
        .await;
    project(&server).await;
    let none = Mock::given(method("GET"))
        .and(path(SERVERS))
        .respond_with(ok(json!({ "servers": [] })))
        .with_priority(3);
    none.mount(&server).await;
    let at = booting(&server, Duration::from_millis(100));
    let error = at.cloud.boot(&at.cx, &spec(&["dmz"], |_| ()), LONG).await.unwrap_err();
    assert!(error.to_string().contains("504"), "{error}");
    let owned = at.cx.ledger.entries();
    assert!(
        owned.len() == 1 && owned[0].id.is_none() && owned[0].unanswered.is_some(),
        "{owned:?}"
    );
    // A later process knows no more than what is written down.
    let told: Vec<Entry> = serde_json::from_value(serde_json::to_value(&owned).unwrap()).unwrap();
    let error = at.cloud.delete_resource(RUN, &told[0]).await.unwrap_err();
    assert!(error.to_string().contains("may still come"), "{error}");
    assert_eq!(asked(&server, "DELETE", "/compute/v2.1/servers/s1").await, 0);

    comes_after(&server, 0).await;
    answers(&server, "DELETE", "/compute/v2.1/servers/s1", ResponseTemplate::new(204)).await;
    let there = Mock::given(method("GET"))
        .and(path("/compute/v2.1/servers/s1"))
        .respond_with(ok(json!({ "server": active() })));
    there.up_to_n_times(1).with_priority(1).mount(&server).await;
    let gone = Mock::given(method("GET"))
        .and(path_regex("^/compute/v2.1/servers/s1$"))
        .respond_with(ResponseTemplate::new(404));
    gone.with_priority(2).mount(&server).await;
    at.cloud.delete_resource(RUN, &told[0]).await.unwrap();
    assert_eq!(asked(&server, "DELETE", "/compute/v2.1/servers/s1").await, 1);
    // What did not come for a quarter of an hour does not come.
    let old = Entry {
        unanswered: Some(jiff::Timestamp::now() - jiff::SignedDuration::from_mins(16)),
        name: "factory-x".into(),
        ..told[0].clone()
    };
    at.cloud.delete_resource(RUN, &old).await.unwrap();
    let crashed = Entry { kind: Kind::Machine, unanswered: None, ..old };
    at.cloud.delete_resource(RUN, &crashed).await.unwrap();
}

/// What the cloud refused was not made: there is nothing to be looked for, now or later.
#[tokio::test]
async fn what_was_refused_is_not_owned() {
    let server = cloud().await;
    let refused = ResponseTemplate::new(403).set_body_json(json!({ "forbidden": {
        "message": "Only volume-backed servers are allowed for flavors with zero \
            disk.", "code": 403 } }));
    Mock::given(method("POST"))
        .and(path(POST_SERVERS))
        .respond_with(refused)
        .with_priority(1)
        .mount(&server)
        .await;
    project(&server).await;
    let at = booting(&server, LONG);
    let error = at.cloud.boot(&at.cx, &spec(&["dmz"], |_| ()), LONG).await.unwrap_err();
    assert!(
        matches!(
            &error,
            CloudError::Refused { hint: Some(hint), .. } if hint.contains("`volume: {}`")
        ),
        "{error:?}"
    );
    assert_eq!((at.cx.ledger.entries(), asked(&server, "GET", SERVERS).await), (Vec::new(), 0));
}

#[tokio::test]
async fn a_cloud_without_consoles_says_so_as_what_it_cannot_do() {
    for status in [403, 501] {
        let server = cloud().await;
        answers(&server, "POST", "/compute/v2.1/servers/s1/action", ResponseTemplate::new(status))
            .await;
        let (cloud, _) = openstack(&server);
        let machine = Machine { name: NAME.into(), id: "s1".into(), host: String::new(), port: 22 };
        let error = cloud.console_log(&machine).await.unwrap_err();
        assert!(matches!(error, CloudError::Unable { .. }), "{error:?}");
    }
}

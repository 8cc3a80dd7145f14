//! What is asked before anything is made, of services that refuse, know nothing, or have what
//! cannot be used.
use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::lifecycle::{openstack, record};
use super::{asked, cloud};
use crate::model::facts::{BaseLookup, CloudFacts, FactsQuery, Leave, ProjectFacts, Publishing};
use crate::model::image::Visibility;
use crate::provider::Provider;

const IMAGES: &str = "/image/v2/images";

async fn get(server: &MockServer, place: &str, answer: ResponseTemplate) {
    Mock::given(method("GET"))
        .and(path(place))
        .respond_with(answer)
        .with_priority(9)
        .mount(server)
        .await;
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn refuses(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(
        json!({ "forbidden": { "message": "Policy does not allow it", "code": status } }),
    )
}

/// A project of one private network that tells everything; what a test mounts before comes first.
pub(super) async fn project(server: &MockServer) {
    let private = json!({ "id": "n1", "name": "private", "project_id": "p1", "subnets": ["s1"],
        "port_security_enabled": false });
    for (place, body) in [
        (
            "/compute/v2.1/flavors/detail",
            json!({ "flavors": [{ "id": "f", "name": "small", "vcpus": 1, "ram": 1024,
                "disk": 5 }] }),
        ),
        (
            "/compute/v2.1/limits",
            json!({ "limits": { "absolute": { "maxTotalInstances": 9,
                "totalInstancesUsed": 1 } } }),
        ),
        (
            "/compute/v2.1/os-availability-zone",
            json!({ "availabilityZoneInfo": [{ "zoneName": "az1" }] }),
        ),
        ("/compute/v2.1/servers", json!({ "servers": [] })),
        ("/network/v2.0/networks", json!({ "networks": [private] })),
        (
            "/network/v2.0/subnets",
            json!({ "subnets": [{ "network_id": "n1", "cidr": "2001:db8:1::/64" }] }),
        ),
        ("/network/v2.0/security-groups", json!({ "security_groups": [] })),
        (
            "/network/v2.0/quotas/p1/details.json",
            json!({ "quota": { "floatingip": { "limit": 3, "used": 1 } } }),
        ),
        (
            "/image/v2/info/usage",
            json!({ "usage": { "image_size_total": { "limit": 1000, "usage": 400 } } }),
        ),
        (IMAGES, json!({ "images": [] })),
        ("/volume/v3/p1/types", json!({ "volume_types": [{ "id": "t1", "name": "fast" }] })),
        ("/volume/v3/p1/types/t1/encryption", json!({})),
        (
            "/volume/v3/p1/os-availability-zone",
            json!({ "availabilityZoneInfo": [{ "zoneName": "nova" }] }),
        ),
        ("/volume/v3/p1/limits", json!({ "limits": { "absolute": {} } })),
    ] {
        get(server, place, ok(body)).await;
    }
}

async fn facts(server: &MockServer, wanted: FactsQuery) -> CloudFacts {
    let (cloud, cx) = openstack(server);
    cloud.facts(&wanted, &cx).await.unwrap()
}

async fn site(server: &MockServer, wanted: FactsQuery) -> ProjectFacts {
    facts(server, wanted).await.site.unwrap()
}

fn all() -> FactsQuery {
    FactsQuery {
        volumes: true,
        volume_type: Some("fast".into()),
        zones: true,
        ..FactsQuery::default()
    }
}

#[tokio::test]
async fn a_project_is_told_as_it_is() {
    let server = cloud().await;
    project(&server).await;
    let told = facts(&server, all()).await;
    assert_eq!(told.notes, [""; 0]);
    let site = told.site.unwrap();
    assert!(!site.networks[0].port_security && site.networks[0].v6_only, "{:?}", site.networks);
    assert_eq!((site.zones, site.volume_zones), (vec!["az1".to_owned()], vec!["nova".to_owned()]));
    assert_eq!((site.encrypts, site.volume_types), (Some(false), Some(vec!["fast".to_owned()])));
    assert_eq!(
        (site.room.servers, site.room.floating_ips, site.room.image_mib),
        (Some(8), Some(2), Some(600))
    );
    assert_eq!((site.publishing, site.consoles), (Leave::Unasked, Leave::Unasked));
}

/// The quota of volumes counts for a second disk, and so does its zone; the types are of no matter
/// where nothing boots from one.
#[tokio::test]
async fn of_a_second_disk_alone_the_quota_and_the_zones_are_asked() {
    let server = cloud().await;
    let limits =
        json!({ "limits": { "absolute": { "maxTotalVolumes": 3, "totalVolumesUsed": 1 } } });
    let at = Mock::given(method("GET")).and(path("/volume/v3/p1/limits"));
    at.respond_with(ok(limits)).with_priority(1).mount(&server).await;
    get(&server, "/volume/v3/p1/types", refuses(403)).await;
    project(&server).await;
    let wanted = FactsQuery { volumes: false, volume_type: None, second_disk: true, ..all() };
    let told = facts(&server, wanted).await;
    assert_eq!(told.notes, [""; 0]);
    let site = told.site.unwrap();
    assert_eq!(
        (site.room.volumes, site.volume_zones, site.volume_types),
        (Some(2), vec!["nova".to_owned()], None)
    );
    assert_eq!(asked(&server, "GET", "/volume/v3/p1/types").await, 0);
}

/// Where a subnet is another's, nobody knows of its family.
#[tokio::test]
async fn subnets_that_are_not_seen_are_not_guessed() {
    let server = cloud().await;
    let networks = json!({ "networks": [{ "id": "n1", "name": "shared", "shared": true,
        "subnets": ["s1", "s2"] }] });
    Mock::given(path("/network/v2.0/networks")).respond_with(ok(networks)).mount(&server).await;
    project(&server).await;
    let site = site(&server, FactsQuery::default()).await;
    assert!(!site.networks[0].v6_only && site.networks[0].port_security, "{:?}", site.networks);
}

#[tokio::test]
async fn a_fact_that_cannot_be_had_is_a_note() {
    let kept = [
        ("/compute/v2.1/limits", "of servers"),
        ("/compute/v2.1/os-availability-zone", "availability zones:"),
        ("/network/v2.0/subnets", "subnets"),
        ("/network/v2.0/security-groups", "security groups"),
        ("/network/v2.0/quotas/p1/details.json", "of floating IPs"),
        ("/volume/v3/p1/types", "volume types"),
        ("/volume/v3/p1/os-availability-zone", "zones of volumes"),
        ("/volume/v3/p1/limits", "of volumes"),
    ];
    for status in [302, 403, 404, 500, 501] {
        let server = cloud().await;
        for (place, _) in kept {
            Mock::given(path(place)).respond_with(refuses(status)).mount(&server).await;
        }
        project(&server).await;
        let told = facts(&server, all()).await;
        for (place, words) in kept {
            // A Neutron that has no such list has none of the things.
            let none = place.ends_with("security-groups") && status == 404;
            let said = told
                .notes
                .iter()
                .any(|n| n.contains(words) && n.contains(&format!("HTTP {status}")));
            assert!(said || none, "{place} {status}: {:?}", told.notes);
        }
        let site = told.site.unwrap();
        assert!(
            site.zones.is_empty()
                && site.encrypts.is_none()
                && site.volume_types == Some(Vec::new())
        );
    }
    // What a build cannot do without is an error all the same.
    let server = cloud().await;
    Mock::given(path("/compute/v2.1/flavors/detail"))
        .respond_with(refuses(403))
        .mount(&server)
        .await;
    project(&server).await;
    let (cloud, cx) = openstack(&server);
    assert!(cloud.facts(&all(), &cx).await.is_err());
}

#[tokio::test]
async fn encryption_is_asked_for() {
    let server = cloud().await;
    let luks = json!({ "provider": "luks", "encryption_id": "e1", "cipher": null });
    Mock::given(path("/volume/v3/p1/types/t1/encryption"))
        .respond_with(ok(luks))
        .mount(&server)
        .await;
    let default = json!({ "volume_type": { "id": "t1", "name": "fast" } });
    Mock::given(path("/volume/v3/p1/types/default")).respond_with(ok(default)).mount(&server).await;
    project(&server).await;
    assert_eq!(site(&server, all()).await.encrypts, Some(true));
    assert_eq!(
        site(&server, FactsQuery { volume_type: None, ..all() }).await.encrypts,
        Some(true),
        "of the default type"
    );
}

/// Glance is asked for an image under an ID that is taken: it makes none, and says first what it
/// thinks of the rest.
#[tokio::test]
async fn leave_to_publish_is_asked_for_and_nothing_is_made() {
    for (status, wanted) in [(409, "given"), (403, "refused"), (413, "refused"), (500, "unknown")] {
        let server = cloud().await;
        let listed = json!({ "images": [record(|_| ())] });
        Mock::given(method("GET")).and(path(IMAGES)).respond_with(ok(listed)).mount(&server).await;
        Mock::given(method("POST"))
            .and(path(IMAGES))
            .respond_with(refuses(status))
            .mount(&server)
            .await;
        project(&server).await;
        let publishing = Publishing {
            visibility: Visibility::Public,
            properties: [("os_distro".into(), "debian".into())].into(),
        };
        let told =
            site(&server, FactsQuery { publishing: Some(publishing), ..FactsQuery::default() })
                .await
                .publishing;
        let word = match &told {
            Leave::Given => "given",
            Leave::Refused(why) if why.contains("Policy does not allow it") => "refused",
            Leave::Unknown(_) => "unknown",
            _ => "?",
        };
        assert_eq!(word, wanted, "{status}: {told:?}");
        let sent = server.received_requests().await.unwrap();
        let bodies = sent.iter().filter(|r| r.method.as_str() == "POST" && r.url.path() == IMAGES);
        let [body]: [Value; 1] = bodies
            .map(|r| serde_json::from_slice(&r.body).unwrap())
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        assert_eq!(
            (&body["id"], &body["visibility"], &body["os_distro"]),
            (&json!("i1"), &json!("public"), &json!("debian"))
        );
    }
    // Without being asked for it is not asked.
    let server = cloud().await;
    project(&server).await;
    site(&server, FactsQuery::default()).await;
    assert_eq!(asked(&server, "POST", IMAGES).await, 0);
}

#[tokio::test]
async fn consoles_are_asked_for_of_a_machine_that_runs() {
    for (status, wanted) in
        [(200, "given"), (403, "refused"), (501, "refused"), (409, "unknown"), (0, "unknown")]
    {
        let server = cloud().await;
        if status > 0 {
            let one = json!({ "servers": [{ "id": "s9", "name": "web" }] });
            Mock::given(method("GET"))
                .and(path("/compute/v2.1/servers"))
                .respond_with(ok(one))
                .mount(&server)
                .await;
            let answer = if status == 200 { ok(json!({ "output": "x" })) } else { refuses(status) };
            Mock::given(method("POST"))
                .and(path("/compute/v2.1/servers/s9/action"))
                .respond_with(answer)
                .mount(&server)
                .await;
        }
        project(&server).await;
        let told =
            site(&server, FactsQuery { consoles: true, ..FactsQuery::default() }).await.consoles;
        let word = match told {
            Leave::Given => "given",
            Leave::Refused(_) => "refused",
            Leave::Unknown(_) => "unknown",
            Leave::Unasked => "unasked",
        };
        assert_eq!(word, wanted, "{status}");
    }
}

/// A Glance of these images that filters by name, and leaves hidden and community ones out of what
/// is not asked for.
pub(super) async fn glance(server: &MockServer, records: Vec<Value>) {
    let listed = records.clone();
    let list = move |request: &Request| {
        let of = |key: &str| {
            request.url.query_pairs().find(|(k, _)| k == key).map(|(_, value)| value.into_owned())
        };
        let fits = |record: &&Value| {
            let hidden = of("os_hidden").is_some_and(|h| h == "true");
            let community = of("visibility").is_some_and(|v| v == "community");
            let offered = of("member_status").is_some_and(|s| s == "all");
            let named = of("name").is_none_or(|name| record["name"] == *name);
            let family =
                of("factory_family").is_none_or(|family| record["factory_family"] == *family);
            let status = of("status").is_none_or(|status| record["status"] == *status);
            let pending = record["member_status"] == "pending";
            let shown = record["os_hidden"] == hidden
                && (record["visibility"] == "community") == community
                && (!pending || offered);
            named && family && status && shown
        };
        ok(json!({ "images": listed.iter().filter(fits).collect::<Vec<_>>() }))
    };
    Mock::given(method("GET")).and(path(IMAGES)).respond_with(list).mount(server).await;
    let one = move |request: &Request| {
        let id = request.url.path_segments().unwrap().next_back().unwrap();
        records
            .iter()
            .find(|r| r["id"] == *id)
            .map_or_else(|| ResponseTemplate::new(404), |r| ok(r.clone()))
    };
    Mock::given(method("GET"))
        .and(path_regex("^/image/v2/images/[^/]+$"))
        .respond_with(one)
        .mount(server)
        .await;
}

/// A plain image of nobody's factory.
pub(super) fn plain(id: &str, name: &str, more: Value) -> Value {
    let mut image = json!({
        "id": id, "name": name, "status": "active", "owner": "p1", "visibility": "private",
        "os_hidden": false, "protected": false,
        "min_disk": 0, "min_ram": 0, "size": 7, "virtual_size": 1 << 30, "disk_format": "qcow2",
        "container_format": "bare", "tags": [],
        "created_at": "2026-11-20T10:00:00Z",
    });
    for (key, value) in more.as_object().unwrap() {
        image[key] = value.clone();
    }
    image
}

async fn base(records: Vec<Value>, wanted: &str) -> BaseLookup {
    let server = cloud().await;
    glance(&server, records).await;
    facts(
        &server,
        FactsQuery { base: Some(wanted.into()), base_only: true, ..FactsQuery::default() },
    )
    .await
    .base
}

#[tokio::test]
async fn what_lists_leave_out_is_found_by_its_exact_name() {
    let hidden = || plain("h", "old", json!({ "os_hidden": true }));
    let community = || plain("c", "theirs", json!({ "visibility": "community", "owner": "p2" }));
    let pending = plain(
        "p",
        "offered",
        json!({ "visibility": "shared", "owner": "p2", "member_status": "pending" }),
    );
    for (record, name, id) in
        [(hidden(), "old", "h"), (community(), "theirs", "c"), (pending, "offered", "p")]
    {
        let found = base(vec![record, plain("x", "another", json!({}))], name).await;
        assert!(matches!(&found, BaseLookup::Found(image) if image.id == id), "{name}: {found:?}");
    }
    // What is in the lists comes first; of several out of them none is guessed.
    let shown = plain("s", "old", json!({}));
    assert!(matches!(
        base(vec![hidden(), shown], "old").await,
        BaseLookup::Found(image) if image.id == "s"
    ));
    let twice = vec![
        community(),
        plain("c2", "theirs", json!({ "visibility": "community", "owner": "p3" })),
    ];
    assert!(
        matches!(base(twice, "theirs").await, BaseLookup::Ambiguous(images) if images.len() == 2)
    );
    // Nor is another's image taken for a hidden one of this project's, whose name it has.
    let posing = plain("c3", "old", json!({ "visibility": "community", "owner": "p2" }));
    let told = base(vec![hidden(), posing], "old").await;
    assert!(matches!(&told, BaseLookup::Ambiguous(images) if images.len() == 2), "{told:?}");
    assert!(matches!(base(vec![hidden()], "none").await, BaseLookup::Missing { .. }));
}

#[tokio::test]
async fn a_base_that_boots_nothing_is_told_from_one_that_does() {
    let id = "0193c0de-0000-4000-8000-000000000001";
    let bdm = json!({ "size": 0, "block_device_mapping": "[{\"snapshot_id\": \"x\"}]" });
    for (more, words) in [
        (bdm, "its content is a snapshot in Cinder"),
        (json!({ "status": "queued", "size": null, "virtual_size": null }), "no content yet"),
        (json!({ "status": "deactivated" }), "deactivated"),
        (json!({ "status": "saving" }), "still being stored"),
        (json!({ "disk_format": "iso" }), "CD-ROM"),
        (json!({ "container_format": "docker", "disk_format": "raw" }), "a container's"),
        (json!({ "container_format": "ova", "disk_format": "vmdk" }), "packed"),
        (json!({ "size": 0 }), "empty"),
        (json!({ "cinder_encryption_key_id": "k" }), "encrypted volume"),
    ] {
        let records = vec![plain(id, "thing", more.clone())];
        for wanted in [id, "thing"] {
            match base(records.clone(), wanted).await {
                BaseLookup::Found(image) => {
                    let unusable =
                        image.unusable.unwrap_or_else(|| panic!("{wanted}: {more} would be used"));
                    assert!(
                        unusable.why.contains(words) && !unusable.way_out.is_empty(),
                        "{unusable:?}"
                    );
                }
                other => panic!("{wanted} {more}: {other:?}"),
            }
        }
    }
    for more in [
        json!({}),
        json!({ "container_format": null }),
        json!({ "container_format": "ovf" }),
        json!({ "disk_format": "raw", "block_device_mapping": "[]" }),
    ] {
        assert!(matches!(
            base(vec![plain(id, "thing", more)], id).await,
            BaseLookup::Found(image) if image.unusable.is_none()
        ));
    }
}

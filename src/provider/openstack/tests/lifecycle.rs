//! What is asked of Glance, Nova and Cinder about published images: one change is one request, and
//! what may not be deleted is not.
use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::super::{Config, OpenStack};
use super::{asked, cloud, login_of};
use crate::model::image::{Image, Lifecycle, State};
use crate::provider::{Provider, RunCx};

pub const IMAGE: &str = "/image/v2/images/i1";
pub const SERVERS: &str = "/compute/v2.1/servers/detail";
pub const VOLUMES: &str = "/volume/v3/p1/volumes/detail";

type Change = fn(&mut Value);

/// As Glance shows it; `change` makes it another.
pub fn record(change: impl FnOnce(&mut Value)) -> Value {
    let mut record = json!({
        "id": "i1", "name": "web-1", "status": "active", "owner": "p1", "visibility": "private",
        "os_hidden": false, "protected": false,
        "min_disk": 1, "min_ram": 0, "size": 7, "virtual_size": 1 << 30, "os_hash_algo": "sha512",
        "os_hash_value": "ab", "tags": ["factory-published"],
        "created_at": "2026-11-20T10:00:00Z", "factory_run": "r1", "factory_state": "active",
        "factory_family": "web",
        "factory_image_id": "i1",
    });
    change(&mut record);
    record
}

pub fn image(record: &Value) -> Image {
    let Value::Object(map) = record.clone() else { panic!() };
    super::super::glance::Record::of(map).image("p1")
}

pub fn openstack(server: &MockServer) -> (OpenStack, RunCx) {
    let home = std::path::PathBuf::from("/nonexistent");
    let config = Config {
        login: login_of(server),
        home: home.clone(),
        runtime: home,
        defaults: Default::default(),
        owner: "me".into(),
        ssh_from: Vec::new(),
    };
    let cx = RunCx::outside(Default::default());
    (OpenStack::new(config).unwrap(), cx)
}

fn deprecated(record: &mut Value) {
    (record["factory_state"], record["tags"]) = (json!("deprecated"), json!([]));
}

/// Shows `before` until a PATCH came, `after` from then on.
async fn glance(server: &MockServer, before: Value, after: Value, patched: u16) {
    let ok = |body: &Value| ResponseTemplate::new(200).set_body_json(body);
    let once = Mock::given(method("GET"))
        .and(path(IMAGE))
        .respond_with(ok(&before))
        .up_to_n_times(1)
        .with_priority(1);
    once.mount(server).await;
    Mock::given(method("GET")).and(path(IMAGE)).respond_with(ok(&after)).mount(server).await;
    let answer = if patched == 200 {
        ok(&after)
    } else {
        ResponseTemplate::new(patched).set_body_string("nothing")
    };
    Mock::given(method("PATCH")).and(path(IMAGE)).respond_with(answer).mount(server).await;
}

pub async fn patches(server: &MockServer) -> Vec<Value> {
    let all: Vec<Request> = server.received_requests().await.unwrap();
    all.iter()
        .filter(|r| r.method.as_str() == "PATCH")
        .map(|r| serde_json::from_slice(&r.body).unwrap())
        .collect()
}

fn hidden(at: &str) -> Lifecycle {
    Lifecycle {
        state: State::Deprecated,
        hidden: true,
        hidden_at: Some(at.parse().unwrap()),
        held_at: None,
    }
}

const DEPRECATED: Lifecycle =
    Lifecycle { state: State::Deprecated, hidden: false, hidden_at: None, held_at: None };
const AT: &str = "2026-11-21T10:00:00Z";

#[tokio::test]
async fn another_standing_is_one_patch() {
    let server = cloud().await;
    glance(&server, record(|_| ()), record(deprecated), 200).await;
    let (cloud, cx) = openstack(&server);
    let seen =
        cloud.artifacts().set_lifecycle(&cx, &image(&record(|_| ())), &DEPRECATED).await.unwrap();
    assert_eq!(seen.state, State::Deprecated);
    let wanted = json!([
        { "op": "add", "path": "/factory_state", "value": "deprecated" },
        { "op": "replace", "path": "/tags", "value": [] },
    ]);
    assert_eq!(patches(&server).await, [wanted]);
    assert_eq!(asked(&server, "GET", IMAGE).await, 2);

    // Hidden, and back.
    let hide = |r: &mut Value| {
        deprecated(r);
        (r["os_hidden"], r["factory_hidden_at"]) = (json!(true), json!(AT));
    };
    let server = super::cloud().await;
    glance(&server, record(|_| ()), record(hide), 200).await;
    let (cloud, cx) = openstack(&server);
    cloud.artifacts().set_lifecycle(&cx, &image(&record(|_| ())), &hidden(AT)).await.unwrap();
    let wanted = json!([
        { "op": "add", "path": "/factory_state", "value": "deprecated" },
        { "op": "replace", "path": "/os_hidden", "value": true },
        { "op": "add", "path": "/factory_hidden_at", "value": AT },
        { "op": "replace", "path": "/tags", "value": [] },
    ]);
    assert_eq!(patches(&server).await, [wanted]);

    let server = super::cloud().await;
    glance(&server, record(hide), record(|r| r["factory_held_at"] = json!(AT)), 200).await;
    let (cloud, cx) = openstack(&server);
    let held_at = Some(AT.parse().unwrap());
    let active = Lifecycle { state: State::Active, hidden: false, hidden_at: None, held_at };
    cloud.artifacts().set_lifecycle(&cx, &image(&record(hide)), &active).await.unwrap();
    let wanted = json!([
        { "op": "add", "path": "/factory_state", "value": "active" },
        { "op": "replace", "path": "/os_hidden", "value": false },
        { "op": "remove", "path": "/factory_hidden_at" },
        { "op": "add", "path": "/factory_held_at", "value": AT },
        { "op": "replace", "path": "/tags", "value": ["factory-published"] },
    ]);
    assert_eq!(patches(&server).await, [wanted]);
}

#[tokio::test]
async fn what_stands_so_already_is_not_written() {
    let server = cloud().await;
    let there = record(deprecated);
    glance(&server, there.clone(), there.clone(), 200).await;
    let (cloud, cx) = openstack(&server);
    cloud.artifacts().set_lifecycle(&cx, &image(&there), &DEPRECATED).await.unwrap();
    assert!(patches(&server).await.is_empty());
}

/// The answer is an error, the change was made: what Glance shows counts. It was not made: the
/// error is told.
#[tokio::test]
async fn a_lost_answer_is_looked_after() {
    for made in [true, false] {
        let server = cloud().await;
        let after = if made { record(deprecated) } else { record(|_| ()) };
        glance(&server, record(|_| ()), after, 409).await;
        let (cloud, cx) = openstack(&server);
        let done = cloud.artifacts().set_lifecycle(&cx, &image(&record(|_| ())), &DEPRECATED).await;
        assert_eq!(done.is_ok(), made, "{done:?}");
        assert_eq!(patches(&server).await.len(), 1);
    }
    let server = cloud().await;
    glance(&server, record(|_| ()), record(|_| ()), 200).await;
    let (cloud, cx) = openstack(&server);
    let error = cloud
        .artifacts()
        .set_lifecycle(&cx, &image(&record(|_| ())), &DEPRECATED)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("shows something else"), "{error}");
}

/// A person brings an image back while a prune is about to hide or to delete it.
#[tokio::test]
async fn what_stands_otherwise_by_now_is_let_alone() {
    let held = |r: &mut Value| r["factory_held_at"] = json!(AT);
    let judged = image(&record(|_| ()));
    let server = cloud().await;
    glance(&server, record(held), record(held), 200).await;
    users(&server, &[json!({ "servers": [] })], &[json!({ "volumes": [] })]).await;
    let (cloud, cx) = openstack(&server);
    let error = cloud.artifacts().set_lifecycle(&cx, &judged, &hidden(AT)).await.unwrap_err();
    let why = "it was active when it was looked at, and is active, held since 2026-11-21";
    assert!(error.to_string().contains(why), "{error}");
    let error = cloud.artifacts().delete(&cx, &judged).await.unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(patches(&server).await.len() + asked(&server, "DELETE", IMAGE).await, 0);

    // While its users are listed.
    let server = super::cloud().await;
    glance(&server, record(|_| ()), record(held), 200).await;
    users(&server, &[json!({ "servers": [] })], &[json!({ "volumes": [] })]).await;
    let (cloud, cx) = openstack(&server);
    let error = cloud.artifacts().delete(&cx, &judged).await.unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(asked(&server, "DELETE", IMAGE).await, 0);

    // While the answer to the change is lost: it is not sent again.
    let server = super::cloud().await;
    glance(&server, record(|_| ()), record(held), 409).await;
    let (cloud, cx) = openstack(&server);
    let error = cloud.artifacts().set_lifecycle(&cx, &judged, &hidden(AT)).await.unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(patches(&server).await.len(), 1);
}

#[tokio::test]
async fn what_is_not_ours_is_neither_changed_nor_deleted() {
    let strange: [(&str, Change); 8] = [
        ("those of image i0", |r| r["factory_image_id"] = json!("i0")),
        ("snapshot of a server", |r| r["image_type"] = json!("snapshot")),
        ("snapshot of a server", |r| r["instance_uuid"] = json!("s1")),
        ("image adopt i1", |r| drop(r.as_object_mut().unwrap().remove("factory_image_id"))),
        ("another project", |r| r["owner"] = json!("p2")),
        ("no run of the factory", |r| drop(r.as_object_mut().unwrap().remove("factory_run"))),
        ("staged", |r| r["factory_state"] = json!("building")),
        ("staged", |r| r["status"] = json!("saving")),
    ];
    for (why, change) in strange {
        let server = cloud().await;
        let there = record(change);
        glance(&server, there.clone(), there.clone(), 200).await;
        users(&server, &[json!({ "servers": [] })], &[json!({ "volumes": [] })]).await;
        let (cloud, cx) = openstack(&server);
        // As it was seen before, with nothing wrong.
        let image = image(&record(|_| ()));
        let error = cloud.artifacts().set_lifecycle(&cx, &image, &DEPRECATED).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        let error = cloud.artifacts().delete(&cx, &image).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(patches(&server).await.len() + asked(&server, "DELETE", IMAGE).await, 0);
    }
}

/// Answers to the lists of servers and volumes, page by page; each but the last says that there is
/// more.
async fn users(server: &MockServer, servers: &[Value], volumes: &[Value]) {
    for (place, key, pages) in [(SERVERS, "servers", servers), (VOLUMES, "volumes", volumes)] {
        let mut marker: Option<String> = None;
        for (index, page) in pages.iter().enumerate() {
            let mut body = page.clone();
            if index + 1 < pages.len() {
                body[format!("{key}_links")] =
                    json!([{ "rel": "next", "href": "http://192.0.2.3/elsewhere" }]);
            }
            let mock = Mock::given(method("GET")).and(path(place));
            let mock = match &marker {
                Some(marker) => mock.and(query_param("marker", marker)),
                None => mock.and(query_param_is_missing("marker")),
            };
            mock.respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(server).await;
            marker = page[key]
                .as_array()
                .unwrap()
                .last()
                .map(|last| last["id"].as_str().unwrap().to_owned());
        }
    }
}

fn server_of(id: &str, image: Value) -> Value {
    json!({ "id": id, "name": format!("name-{id}"), "status": "SHUTOFF", "fault": null,
        "image": image })
}

#[tokio::test]
async fn users_are_found_on_every_page() {
    let server = cloud().await;
    let pages = [
        json!({ "servers": [server_of("s1", json!("")), server_of("s2", json!({
            "id": "other" }))] }),
        json!({ "servers": [server_of("s3", json!({ "id": "i1" })), server_of("s4", json!({
            "id": "i1" }))] }),
    ];
    let volumes = [
        json!({ "volumes": [{ "id": "v1", "name": "data",
            "volume_image_metadata": { "image_id": "i2" } }] }),
        json!({ "volumes": [{ "id": "v2", "name": "",
            "volume_image_metadata": { "image_id": "i3" } }, { "id": "v3", "name": null }] }),
    ];
    users(&server, &pages, &volumes).await;
    let (cloud, _) = openstack(&server);
    let named = |id: &str| Image { id: id.into(), ..image(&record(|_| ())) };
    let uses = cloud
        .artifacts()
        .usage(&[named("i1"), named("i2"), named("i3"), named("i4")])
        .await
        .unwrap();
    let expected = [
        ("i1", "server name-s3 and 1 more use it"),
        ("i2", "volume data uses it"),
        ("i3", "volume v2 uses it"),
    ];
    assert_eq!(uses, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(
        (asked(&server, "GET", SERVERS).await, asked(&server, "GET", VOLUMES).await),
        (2, 2)
    );
}

#[tokio::test]
async fn who_uses_an_open_image_cannot_be_seen() {
    for (visibility, members, used) in [
        ("public", json!([]), true),
        ("community", json!([]), true),
        ("shared", json!([{ "member_id": "p2" }]), true),
        ("shared", json!([]), false),
    ] {
        let server = cloud().await;
        users(&server, &[json!({ "servers": [] })], &[json!({ "volumes": [] })]).await;
        let answer = ResponseTemplate::new(200).set_body_json(json!({ "members": members }));
        Mock::given(method("GET"))
            .and(path(format!("{IMAGE}/members")))
            .respond_with(answer)
            .mount(&server)
            .await;
        let (cloud, _) = openstack(&server);
        let uses = cloud
            .artifacts()
            .usage(&[image(&record(|r| r["visibility"] = json!(visibility)))])
            .await
            .unwrap();
        assert_eq!(
            uses.get("i1").is_some_and(|why| why.contains("other projects")),
            used,
            "{visibility}: {uses:?}"
        );
    }
}

#[tokio::test]
async fn an_image_is_deleted_only_if_nobody_uses_it() {
    let cases: [(&str, Value, Change); 3] = [
        ("server name-s1 uses it", json!({ "id": "i1" }), |_| ()),
        ("protected", json!(""), |r| r["protected"] = json!(true)),
        ("", json!({ "id": "i2" }), |_| ()),
    ];
    for (why, used, change) in cases {
        let server = cloud().await;
        let there = record(change);
        glance(&server, there.clone(), there.clone(), 200).await;
        users(
            &server,
            &[json!({ "servers": [server_of("s1", used)] })],
            &[json!({ "volumes": [] })],
        )
        .await;
        Mock::given(method("DELETE"))
            .and(path(IMAGE))
            .respond_with(ResponseTemplate::new(204))
            .mount(&server)
            .await;
        let (cloud, cx) = openstack(&server);
        match cloud.artifacts().delete(&cx, &image(&there)).await {
            Ok(()) => {
                assert!(why.is_empty() && asked(&server, "DELETE", IMAGE).await == 1, "{why}")
            }
            Err(e) => assert!(
                !why.is_empty()
                    && e.to_string().contains(why)
                    && asked(&server, "DELETE", IMAGE).await == 0,
                "{e}"
            ),
        }
    }
    // One that is gone is deleted; nothing more is asked.
    let server = cloud().await;
    Mock::given(method("GET"))
        .and(path(IMAGE))
        .respond_with(ResponseTemplate::new(404))
        .mount(&server)
        .await;
    let (cloud, cx) = openstack(&server);
    cloud.artifacts().delete(&cx, &image(&record(|_| ()))).await.unwrap();
    assert_eq!(asked(&server, "GET", SERVERS).await + asked(&server, "DELETE", IMAGE).await, 0);
}

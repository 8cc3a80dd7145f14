//! A Glance with images that carry the properties of a published one without being it: what is
//! meant, written and deleted there.
use std::collections::BTreeMap;

use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::lifecycle::{SERVERS, VOLUMES, image, openstack, patches, record};
use super::{asked, cloud};
use crate::model::facts::{BaseLookup, FactsQuery};
use crate::model::family::{self, Policy};
use crate::model::image::{Image, Lifecycle, Provenance, State};
use crate::provider::ledger::{Entry, Kind, Ledger};
use crate::provider::{Machine, Provider, Publication, RunCx};

const RUN: &str = "20261120-233145-abcdef";

fn with(id: &str, name: &str, more: Value) -> Value {
    let mut other = record(|_| ());
    (other["id"], other["name"], other["created_at"]) =
        (json!(id), json!(name), json!("2026-11-24T10:00:00Z"));
    for (key, value) in more.as_object().unwrap() {
        other[key] = value.clone();
    }
    other
}

/// Two real images of the family `web`, `i1` the newer.
fn real() -> [Value; 2] {
    let old = json!({ "factory_image_id": "i0", "factory_run": "r0",
        "created_at": "2026-11-19T10:00:00Z" });
    [record(|_| ()), with("i0", "web-0", old)]
}

/// All newer than the real ones, with all that `i1` says.
fn strange() -> Vec<Value> {
    let of_nova = json!({ "image_type": "snapshot", "instance_uuid": "s1", "base_image_ref": "i1",
        "boot_roles": "member", "tags": [] });
    let others = |visibility: &str, id: &str| {
        json!({ "owner": "p2", "visibility": visibility,
        "factory_image_id": id })
    };
    let staged = json!({ "factory_state": "building", "factory_image_id": "", "factory_run": RUN,
        "image_type": "snapshot" });
    vec![
        with("f1", "private backup of prod-db", of_nova.clone()),
        with("f2", "web", of_nova),
        with("f3", "web-1", json!({})),
        with(
            "f4",
            "web-1",
            json!({ "os_hidden": true, "factory_hidden_at": "2026-11-01T10:00:00Z",
                "factory_state": "deprecated" }),
        ),
        with("f5", "claims", json!({ "factory_image_id": "f5", "base_image_ref": "i1" })),
        with("f6", "volume", json!({ "tags": [], "signature_verified": "False" })),
        with("f7", "web-9", others("shared", "f7")),
        with("f8", "web", others("public", "f8")),
        with("f9", "web-9", others("community", "i1")),
        with("fa", &format!("factory-{RUN}-smoke-a"), staged),
        // Of before there was a proof, and of the same run as `i1`.
        with("fb", "older copy", json!({ "factory_image_id": null })),
    ]
}

/// A Glance that filters as the real one does, for a member of project p1.
async fn glance(records: Vec<Value>) -> MockServer {
    let server = cloud().await;
    let clean = |mut record: Value| {
        record.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        record
    };
    let records: Vec<Value> = records.into_iter().map(clean).collect();
    let listed = records.clone();
    let list = move |request: &Request| {
        let query: BTreeMap<String, String> = request.url.query_pairs().into_owned().collect();
        let fits = |record: &&Value| {
            let of = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            let hidden = query.get("os_hidden").is_some_and(|h| h == "true");
            let filters = query.iter().filter(|(key, _)| {
                !["sort", "limit", "marker", "os_hidden"].contains(&key.as_str())
            });
            record["os_hidden"] == json!(hidden)
                && of("visibility") != "community"
                && filters.into_iter().all(|(k, v)| of(k) == *v)
        };
        ResponseTemplate::new(200)
            .set_body_json(json!({ "images": listed.iter().filter(fits).collect::<Vec<_>>() }))
    };
    Mock::given(method("GET"))
        .and(path("/image/v2/images"))
        .respond_with(list)
        .mount(&server)
        .await;
    let one = move |request: &Request| {
        let id = request.url.path_segments().unwrap().next_back().unwrap();
        match records.iter().find(|r| r["id"] == *id) {
            Some(record) => ResponseTemplate::new(200).set_body_json(record),
            None => ResponseTemplate::new(404),
        }
    };
    Mock::given(method("GET"))
        .and(path_regex("^/image/v2/images/[^/]+$"))
        .respond_with(one.clone())
        .mount(&server)
        .await;
    Mock::given(method("PATCH"))
        .and(path_regex("^/image/v2/images/[^/]+$"))
        .respond_with(one)
        .mount(&server)
        .await;
    let gone = ResponseTemplate::new(204);
    Mock::given(method("DELETE"))
        .and(path_regex("^/image/v2/images/[^/]+$"))
        .respond_with(gone)
        .mount(&server)
        .await;
    for (place, key) in [(SERVERS, "servers"), (VOLUMES, "volumes")] {
        let none = ResponseTemplate::new(200).set_body_json(json!({ key: [] }));
        Mock::given(method("GET")).and(path(place)).respond_with(none).mount(&server).await;
    }
    server
}

/// IDs of images that were written or deleted.
async fn touched(server: &MockServer) -> Vec<String> {
    let all = server.received_requests().await.unwrap();
    let writes = all.iter().filter(|r| ["PATCH", "DELETE"].contains(&r.method.as_str()));
    writes.map(|r| format!("{} {}", r.method, r.url.path().rsplit('/').next().unwrap())).collect()
}

fn all() -> Vec<Value> {
    real().into_iter().chain(strange()).collect()
}

#[tokio::test]
async fn what_carries_our_properties_is_listed_and_means_nothing() {
    let server = glance(all()).await;
    let (cloud, cx) = openstack(&server);
    let images = cloud.artifacts().list().await.unwrap();
    let ours: Vec<&str> = images.iter().filter(|i| i.is_ours()).map(|i| i.id.as_str()).collect();
    assert_eq!(ours, ["i1", "i0"]);
    let foreign = images.iter().filter(|i| matches!(i.provenance(), Provenance::Foreign(_)));
    assert_eq!(
        foreign.map(|i| i.id.as_str()).collect::<std::collections::BTreeSet<_>>().len(),
        images.len() - 2
    );
    assert!(images.len() > 9, "those of this project are listed: {images:?}");
    assert_eq!(family::current(&images, "web").unwrap().id, "i1");
    assert_eq!(family::before(&images, "web").unwrap().id, "i0");
    assert_eq!(family::all(&images), ["web"]);
    for (base, meant) in
        [("web", "i1"), ("web-1", "i1"), ("web-0", "i0"), ("private backup of prod-db", "f1")]
    {
        let wanted =
            FactsQuery { base: Some(base.into()), base_only: true, ..FactsQuery::default() };
        let fact = cloud.facts(&wanted, &cx).await.unwrap().base;
        assert!(matches!(&fact, BaseLookup::Found(image) if image.id == meant), "{base}: {fact:?}");
    }
    assert!(touched(&server).await.is_empty());
}

/// With nothing of its own, a family is nobody else's either: the candidates are listed for a
/// person to choose by ID.
#[tokio::test]
async fn a_family_is_not_resolved_to_what_others_have() {
    for only in strange() {
        let id = only["id"].as_str().unwrap().to_owned();
        let seen = only["os_hidden"] == false
            && only["visibility"] != "community"
            && only["factory_state"] != "building";
        // What alone has no proof, and nothing against it, is from before: found, and said to be
        // so.
        let legacy = id == "fb";
        let server = glance(vec![only]).await;
        let (cloud, cx) = openstack(&server);
        for base_is_family in [false, true] {
            let wanted = FactsQuery {
                base: Some("web".into()),
                base_is_family,
                base_only: true,
                ..FactsQuery::default()
            };
            match cloud.facts(&wanted, &cx).await.unwrap().base {
                BaseLookup::Doubtful(of) => {
                    assert!(seen && of.len() == 1 && of[0].id == id, "{id}: {of:?}")
                }
                BaseLookup::Found(image) => {
                    assert!(legacy && image.provenance() == Provenance::Legacy, "{id}: {image:?}")
                }
                BaseLookup::Missing { .. } => assert!(!seen, "{id}"),
                other => panic!("{id}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_written_to_what_is_not_ours() {
    let server = glance(all()).await;
    let (cloud, cx) = openstack(&server);
    let hidden =
        Lifecycle { state: State::Deprecated, hidden: true, hidden_at: None, held_at: None };
    for record in strange() {
        let id = record["id"].as_str().unwrap();
        // As if it had been seen as one of ours before: what Glance shows now counts.
        let seen = Image { id: id.into(), ..image(&real()[0]) };
        assert!(cloud.artifacts().set_lifecycle(&cx, &seen, &hidden).await.is_err(), "{id}");
        assert!(cloud.artifacts().delete(&cx, &seen).await.is_err(), "{id}");
        // Alone, what has nothing against it may be adopted, by its ID and by a person.
        if id != "fb" {
            assert!(cloud.artifacts().adopt(&cx, &seen).await.is_err(), "{id}");
        }
        for run in ["r1", RUN] {
            let entry = Entry {
                seq: 1,
                kind: Kind::Image,
                name: seen.name.clone(),
                id: Some(id.into()),
                unanswered: None,
            };
            let _ = cloud.resources().delete(run, &entry).await;
        }
    }
    assert_eq!(touched(&server).await, [""; 0]);
}

#[tokio::test]
async fn a_prune_takes_ours_alone() {
    let server = glance(all()).await;
    let (cloud, cx) = openstack(&server);
    let prune = async |policy| {
        let (families, building) = ([("web".to_owned(), policy)], BTreeMap::new());
        let request = crate::lifecycle::prune::Request {
            families: &families,
            building: &building,
            own: None,
            dry_run: false,
        };
        crate::lifecycle::prune::prune(&cloud, &cx, request).await.unwrap()
    };
    let done = prune(Policy { keep: 2, at_once: true }).await;
    assert_eq!(done.len(), 2, "{done:?}");
    assert_eq!(touched(&server).await, [""; 0], "two are kept, and there are two");
    prune(Policy { keep: 1, at_once: true }).await;
    assert_eq!(touched(&server).await, ["DELETE i0"]);
}

/// A snapshot of a smoke machine by a person has the marks of the staged image below it.
#[tokio::test]
async fn a_sweep_takes_what_the_run_staged_alone() {
    let marks = json!({ "factory_run": RUN, "factory_state": "building", "factory_family": "",
        "factory_image_id": "", "image_type": "snapshot" });
    let named = |id: &str, name: &str, own: &str| {
        let mut record = with(id, name, marks.clone());
        record["factory_image_id"] = json!(own);
        record
    };
    let staged = format!("{RUN}-staged");
    let records = vec![
        named("s1", &staged, "s1"),
        named("s2", &format!("{RUN}-snapshot"), ""),
        named("f1", &format!("factory-{RUN}-smoke-a"), ""),
        named("f2", &staged, "s1"),
        with(
            "f3",
            &staged,
            json!({ "owner": "p2", "factory_state": "building", "factory_run": RUN,
                "factory_image_id": "f3" }),
        ),
    ];
    let server = glance(records).await;
    let (cloud, _) = openstack(&server);
    let entry = |id: Option<&str>, name: &str| Entry {
        seq: 1,
        kind: Kind::Image,
        name: name.into(),
        id: id.map(Into::into),
        unanswered: None,
    };
    for id in ["f1", "f2", "f3"] {
        assert!(cloud.resources().delete(RUN, &entry(Some(id), &staged)).await.is_err(), "{id}");
    }
    assert_eq!(touched(&server).await, [""; 0]);
    for id in ["s2", "s1"] {
        cloud.resources().delete(RUN, &entry(Some(id), "x")).await.unwrap();
    }
    assert_eq!(touched(&server).await, ["DELETE s2", "DELETE s1"]);
}

/// Killed between Cinder's upload and the mark, where Cinder did not take the marks before: the
/// ledger's name or ID finds it, and until then it is nobody's.
#[tokio::test]
async fn an_upload_of_a_volume_is_never_taken_for_its_base() {
    let name = format!("{RUN}-staged");
    for proof in [json!("i1"), Value::Null] {
        let uploaded = with("v1", &name, json!({ "factory_image_id": proof, "tags": [] }));
        let by_hand =
            with("f1", &name, json!({ "factory_image_id": proof, "image_type": "snapshot" }));
        let server = glance(vec![real()[0].clone(), uploaded, by_hand]).await;
        let (cloud, _) = openstack(&server);
        let images = cloud.artifacts().list().await.unwrap();
        assert_eq!(family::current(&images, "web").unwrap().id, "i1");
        assert_eq!(images.iter().filter(|i| i.counts()).count(), 1, "{images:?}");
        let entry = |id: Option<&str>| Entry {
            seq: 1,
            kind: Kind::Image,
            name: name.clone(),
            id: id.map(Into::into),
            unanswered: None,
        };
        for other in ["r1", "20261120-233145-abcdee"] {
            let _ = cloud.resources().delete(other, &entry(Some("v1"))).await;
        }
        assert!(cloud.resources().delete(RUN, &entry(Some("f1"))).await.is_err());
        assert_eq!(touched(&server).await, [""; 0]);
        for id in [None, Some("v1")] {
            cloud.resources().delete(RUN, &entry(id)).await.unwrap();
        }
        assert_eq!(touched(&server).await, ["DELETE v1", "DELETE v1"]);
    }
}

pub(super) fn publication(run: &str) -> Publication {
    let property = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Publication {
        name: "web-2".into(),
        chosen: false,
        family: "web".into(),
        properties: [
            property("factory_run", run),
            property("factory_state", "active"),
            property("factory_family", "web"),
        ]
        .into(),
        set_by: BTreeMap::new(),
        tags: vec!["mine".into()],
        min_disk_gib: None,
        min_ram_mib: 0,
        visibility: crate::model::image::Visibility::Private,
        members: Vec::new(),
        protected: false,
        hidden: false,
    }
}

/// What the image inherited is taken off while it is staged, and nothing makes it published before
/// that is seen; a copy of a staged image is refused.
#[tokio::test]
async fn what_an_image_inherited_goes_before_it_is_published() {
    let marks = |own: &str| {
        json!({ "factory_run": RUN, "factory_state": "building", "factory_family": "",
            "factory_image_id": own, "image_type": "snapshot",
                "instance_uuid": "b", "base_image_ref": "i1", "tags": [],
                "factory_held_at": "2026-11-21T10:00:00Z",
                "factory_published_at": "2026-11-20T10:00:00Z" })
    };
    let name = format!("{RUN}-staged");
    let one = record(|_| ());
    let server =
        glance(vec![one, with("s1", &name, marks("s1")), with("f1", &name, marks("s1"))]).await;
    let (cloud, cx) = openstack(&server);
    let staged = |id: &str| Image { id: id.into(), ..image(&with(id, &name, marks(id))) };
    for (id, run) in [("f1", RUN), ("i1", RUN), ("s1", "another")] {
        let error =
            cloud.artifacts().publish(&cx, &staged(id), &publication(run)).await.unwrap_err();
        assert!(error.to_string().contains("none that run"), "{error}");
    }
    assert_eq!(touched(&server).await, [""; 0]);
    // This Glance does not change: what is read back is wrong.
    let error = cloud
        .artifacts()
        .publish(&cx, &staged("s1"), &publication(RUN))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("shows something else"), "{error}");
    let [patch] = &patches(&server).await[..] else { panic!("not one write") };
    let ops = patch.as_array().unwrap();
    let of = |path: &str| {
        ops.iter()
            .find(|op| op["path"] == path)
            .unwrap_or_else(|| panic!("{path} is not in {patch:#}"))
    };
    // Its own ID is there since it was staged.
    assert!(!ops.iter().any(|op| op["path"] == "/factory_image_id"), "{patch:#}");
    for key in ["factory_published_at", "factory_state", "tags", "name"] {
        assert!(!ops.iter().any(|op| op["path"] == format!("/{key}")), "{key}: {patch:#}");
    }
    for key in ["image_type", "instance_uuid", "base_image_ref", "factory_held_at"] {
        assert_eq!(of(&format!("/{key}"))["op"], "remove");
    }
}

#[tokio::test]
async fn adoption_is_one_write_of_the_proof() {
    let legacy = record(|r| (r["factory_image_id"], r["tags"]) = (Value::Null, json!([])));
    let server = glance(vec![legacy.clone()]).await;
    let (cloud, cx) = openstack(&server);
    let seen = cloud.artifacts().list().await.unwrap().remove(0);
    assert_eq!(seen.provenance(), Provenance::Legacy);
    let error = cloud.artifacts().adopt(&cx, &seen).await.unwrap_err().to_string();
    assert!(error.contains("shows the image as it was"), "{error}");
    let wanted = json!([
        { "op": "add", "path": "/factory_image_id", "value": "i1" },
        { "op": "add", "path": "/factory_published_at", "value": "2026-11-20T10:00:00Z" },
        { "op": "replace", "path": "/tags", "value": ["factory-published"] },
    ]);
    assert_eq!(patches(&server).await, [wanted]);
    // One that has its proof is left as it is.
    let server = glance(vec![record(|_| ())]).await;
    let (cloud, cx) = openstack(&server);
    cloud.artifacts().adopt(&cx, &image(&record(|_| ()))).await.unwrap();
    assert_eq!(touched(&server).await, [""; 0]);
}

/// Cinder gives what it knows of a volume's image to what is made of the volume: the run's marks
/// are there before that.
#[tokio::test]
async fn a_volume_is_marked_before_it_is_uploaded() {
    for allowed in [true, false] {
        let name = format!("{RUN}-staged");
        let marks = json!({ "factory_run": RUN, "factory_state": "building", "factory_family": "",
            "factory_image_id": "" });
        let server = glance(vec![with("v9", &name, marks)]).await;
        let nova = "/compute/v2.1/servers/b1";
        let builder = json!({ "server": { "id": "b1", "name": "b", "status": "SHUTOFF",
            "image": "", "metadata": { "factory_run": RUN },
            "os-extended-volumes:volumes_attached": [{ "id": "v1" }] } });
        let there = Mock::given(method("GET"))
            .and(path(nova))
            .respond_with(ResponseTemplate::new(200).set_body_json(builder));
        there.up_to_n_times(2).with_priority(1).mount(&server).await;
        Mock::given(method("GET"))
            .and(path(nova))
            .respond_with(ResponseTemplate::new(404))
            .mount(&server)
            .await;
        Mock::given(method("DELETE"))
            .and(path(nova))
            .respond_with(ResponseTemplate::new(204))
            .mount(&server)
            .await;
        let volume = json!({ "volume": { "id": "v1", "status": "available" } });
        let there = Mock::given(method("GET")).and(path("/volume/v3/p1/volumes/v1"));
        there.respond_with(ResponseTemplate::new(200).set_body_json(volume)).mount(&server).await;
        let action = "/volume/v3/p1/volumes/v1/action";
        let act = move |request: &Request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            match body.get("os-set_image_metadata") {
                Some(_) if !allowed => ResponseTemplate::new(403).set_body_string("no"),
                _ => ResponseTemplate::new(202)
                    .set_body_json(json!({ "os-volume_upload_image": { "image_id": "v9" } })),
            }
        };
        Mock::given(method("POST")).and(path(action)).respond_with(act).mount(&server).await;
        let dir = tempfile::tempdir().unwrap();
        let (cloud, reading) = openstack(&server);
        let cx = RunCx {
            run: RUN.into(),
            ledger: Ledger::open(&dir.path().join("ledger")).unwrap(),
            ..reading
        };
        let machine = Machine { name: "b".into(), id: "b1".into(), host: String::new(), port: 22 };
        cloud
            .compute()
            .capture(&cx.within(std::time::Duration::from_secs(60)), &machine, &name)
            .await
            .unwrap();
        let all = server.received_requests().await.unwrap();
        let bodies: Vec<Value> = all
            .iter()
            .filter(|r| r.url.path() == action)
            .map(|r| serde_json::from_slice(&r.body).unwrap())
            .collect();
        let described = &bodies[0]["os-set_image_metadata"]["metadata"];
        assert_eq!(described["factory_run"], RUN);
        assert_eq!(
            (&described["factory_state"], &described["factory_image_id"]),
            (&json!("building"), &json!(""))
        );
        assert_eq!(bodies[1]["os-volume_upload_image"]["image_name"], json!(name));
        assert_eq!(
            asked(&server, "PATCH", "/image/v2/images/v9").await,
            2,
            "marked, and named by its own ID"
        );
    }
}

//! Where services are: the catalog or an override says it, in the region that counts, and no
//! version document.
use serde_json::{Value, json};
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::api::{Api, Service};
use super::super::endpoint::{Microversions, document, with_version};
use super::super::login::{self, Login};
use super::{TOKEN, asked, env};
use crate::system::cancel::Cancel;

const PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// A Keystone with a catalog of (type, region, URL), and services that answer `{}` to everything
/// else.
async fn cloud(catalog: &[(&str, &str, String)]) -> MockServer {
    let server = MockServer::start().await;
    let entry = |(kind, region, url): &(&str, &str, String)| {
        json!({ "type": kind,
        "endpoints": [{ "interface": "public", "region_id": region, "url": url.replace("HERE",
        &server.uri()) }] })
    };
    let token = json!({ "token": { "project": { "id": "p1", "name": "demo" },
        "catalog": catalog.iter().map(entry).collect::<Vec<Value>>() } });
    let answer =
        ResponseTemplate::new(201).insert_header("x-subject-token", TOKEN).set_body_json(token);
    Mock::given(method("POST"))
        .and(path("/identity/v3/auth/tokens"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

fn login_with(server: &MockServer, more: &[(&str, &str)]) -> Login {
    let mut env = env(server);
    env.remove("OS_REGION_NAME");
    env.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    login::login(None, &env, &login::Places::default()).unwrap()
}

fn api_with(server: &MockServer, more: &[(&str, &str)]) -> Api {
    Api::with_pauses(login_with(server, more), PAUSE).unwrap()
}

async fn answers(server: &MockServer, at: &str, answer: ResponseTemplate) {
    Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(server).await;
}

fn two_regions() -> Vec<(&'static str, &'static str, String)> {
    vec![
        ("compute", "R2", "HERE/n2/v2.1".into()),
        ("compute", "R1", "HERE/n1/v2.1".into()),
        ("image", "R1", "HERE/g1".into()),
        ("image", "R2", "HERE/g2".into()),
    ]
}

#[tokio::test]
async fn of_several_regions_one_is_named() {
    let server = cloud(&two_regions()).await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .with_priority(9)
        .mount(&server)
        .await;
    let cancel = Cancel::default();
    let error = api_with(&server, &[])
        .get(Service::Image, &["images"])
        .what("look")
        .send(&cancel)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("several regions, and none is named: R1, R2"), "{error}");
    assert!(error.hint().unwrap().contains("OS_REGION_NAME"));
    assert!(api_with(&server, &[]).has(Service::Volume, &cancel).await.is_err());
    let error = api_with(&server, &[("OS_REGION_NAME", "r1")])
        .has(Service::Image, &cancel)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no region `r1`; it has: R1, R2"), "{error}");
    for (region, nova, glance) in
        [("R1", "/n1/v2.1/servers", "/g1/v2/images"), ("R2", "/n2/v2.1/servers", "/g2/v2/images")]
    {
        let api = api_with(&server, &[("OS_REGION_NAME", region)]);
        api.get(Service::Compute, &["servers"]).send(&cancel).await.unwrap();
        api.get(Service::Image, &["images"]).send(&cancel).await.unwrap();
        assert_eq!(
            (asked(&server, "GET", nova).await, asked(&server, "GET", glance).await),
            (1, 1),
            "{region}"
        );
    }
    // Glance of another region than the rest, as it is said.
    let api = api_with(&server, &[("OS_REGION_NAME", "R1"), ("OS_IMAGE_REGION_NAME", "R2")]);
    api.get(Service::Image, &["images"]).send(&cancel).await.unwrap();
    assert_eq!(asked(&server, "GET", "/g2/v2/images").await, 2);
}

#[tokio::test]
async fn regions_of_services_that_are_not_ours_do_not_matter() {
    let catalog = [
        ("compute", "R1", "HERE/n/v2.1".into()),
        ("image", "R1", "HERE/g".into()),
        ("identity", "Global", "HERE/k".into()),
        ("dns", "R9", "HERE/d".into()),
    ];
    let server = cloud(&catalog).await;
    answers(&server, "/g/v2/images", ResponseTemplate::new(200)).await;
    api_with(&server, &[]).get(Service::Image, &["images"]).send(&Cancel::default()).await.unwrap();
}

#[tokio::test]
async fn interfaces_are_taken_in_the_order_of_preference() {
    let server = cloud(&[("image", "R1", "HERE/public".into())]).await;
    answers(&server, "/public/v2/images", ResponseTemplate::new(200)).await;
    let mut login = login_with(&server, &[]);
    login.interface = vec!["internal".into(), "public".into()];
    Api::with_pauses(login, PAUSE)
        .unwrap()
        .get(Service::Image, &["images"])
        .send(&Cancel::default())
        .await
        .unwrap();
    let error = api_with(&server, &[("OS_INTERFACE", "internal")])
        .get(Service::Image, &["images"])
        .what("look")
        .send(&Cancel::default())
        .await;
    assert!(error.unwrap_err().to_string().contains("no internal endpoint of `image`"));
}

/// A service that says it lives elsewhere is asked where the catalog says; what it says is good for
/// microversions.
#[tokio::test]
async fn a_version_document_tells_microversions_only() {
    let stranger = MockServer::start().await;
    let links = json!([{ "rel": "self", "href": format!("{}/v2.1/", stranger.uri()) }]);
    let of = |id: &str, newest: &str| {
        json!({ "id": id, "status": "CURRENT", "version": newest,
        "min_version": if newest.is_empty() { "" } else { "2.1" }, "links": links })
    };
    let page = ResponseTemplate::new(200).set_body_raw("\n<!DOCTYPE html><p>Welcome", "text/html");
    let known = Microversions::Known((2, 1), (2, 93));
    let unknown = |what: &str| Microversions::Unknown(what.into());
    for (answer, wanted) in [
        (
            ResponseTemplate::new(200).set_body_json(json!({ "version": of("v2.1", "2.93") })),
            known.clone(),
        ),
        (
            ResponseTemplate::new(300)
                .set_body_json(json!({ "versions": [of("v2.0", ""), of("v2.1", "2.93")] })),
            known,
        ),
        (page, unknown("a web page")),
        (ResponseTemplate::new(200).set_body_string("OK"), unknown("no JSON")),
        (ResponseTemplate::new(404), unknown("HTTP 404")),
        (ResponseTemplate::new(500), unknown("HTTP 500")),
        (
            ResponseTemplate::new(200).set_body_json(json!({ "version": of("v2.0", "") })),
            unknown("no microversions"),
        ),
        (ResponseTemplate::new(200).set_body_json(json!([1, 2])), unknown("no microversions")),
    ] {
        let server = cloud(&[("compute", "R1", "HERE/nova/v2.1/p1".into())]).await;
        answers(&server, "/nova/v2.1", answer).await;
        answers(
            &server,
            "/nova/v2.1/p1/servers",
            ResponseTemplate::new(200).set_body_json(json!({ "servers": [] })),
        )
        .await;
        let (api, cancel) = (api_with(&server, &[]), Cancel::default());
        assert_eq!(*api.microversions(&cancel).await.unwrap(), wanted);
        api.get(Service::Compute, &["servers"]).send(&cancel).await.unwrap();
        assert_eq!(asked(&server, "GET", "/nova/v2.1").await, 1, "{wanted:?}");
    }
    assert_eq!(stranger.received_requests().await.unwrap().len(), 0);
    // One that is away for a moment is asked again.
    let server = cloud(&[("compute", "R1", "HERE/nova/v2.1".into())]).await;
    let away =
        Mock::given(method("GET")).and(path("/nova/v2.1")).respond_with(ResponseTemplate::new(503));
    away.up_to_n_times(1).with_priority(1).mount(&server).await;
    answers(
        &server,
        "/nova/v2.1",
        ResponseTemplate::new(200).set_body_json(json!({ "version": of("v2.1", "2.90") })),
    )
    .await;
    assert_eq!(
        api_with(&server, &[]).microversions(&Cancel::default()).await.unwrap().newest(),
        Some((2, 90))
    );
}

#[tokio::test]
async fn an_override_ends_the_question() {
    let server = cloud(&[
        ("compute", "R1", "http://192.0.2.1:1/v2.1".into()),
        ("volumev3", "R1", "http://192.0.2.1:1/v3/p1".into()),
        ("compute", "R2", "http://192.0.2.1:1/v2.1".into()),
    ])
    .await;
    for at in ["/mine/v2/servers", "/vol/v3/p1/volumes"] {
        answers(&server, at, ResponseTemplate::new(200)).await;
    }
    let (nova, cinder) = (format!("{}/mine/v2", server.uri()), format!("{}/vol", server.uri()));
    let api = api_with(
        &server,
        &[
            ("OS_COMPUTE_ENDPOINT_OVERRIDE", &nova),
            ("OS_VOLUMEV3_ENDPOINT_OVERRIDE", &cinder),
            ("OS_REGION_NAME", "R3"),
        ],
    );
    let cancel = Cancel::default();
    api.get(Service::Compute, &["servers"]).send(&cancel).await.unwrap();
    api.get(Service::Volume, &["volumes"]).send(&cancel).await.unwrap();
    assert!(api.has(Service::Volume, &cancel).await.unwrap());
}

/// As keystoneauth does it: `block_storage_endpoint_override: https://…/v3/%(project_id)s`.
#[tokio::test]
async fn an_override_has_the_ids_of_the_login_filled_in() {
    let server = cloud(&[]).await;
    answers(&server, "/vol/v3/p1/volumes", ResponseTemplate::new(200)).await;
    answers(&server, "/mine/p1/v2.1/servers", ResponseTemplate::new(200)).await;
    let (cinder, nova) = (
        format!("{}/vol/v3/%(project_id)s", server.uri()),
        format!("{}/mine/%(tenant_id)s/v2.1", server.uri()),
    );
    let api = api_with(
        &server,
        &[("OS_VOLUMEV3_ENDPOINT_OVERRIDE", &cinder), ("OS_COMPUTE_ENDPOINT_OVERRIDE", &nova)],
    );
    api.get(Service::Volume, &["volumes"]).send(&Cancel::default()).await.unwrap();
    api.get(Service::Compute, &["servers"]).send(&Cancel::default()).await.unwrap();
    let mut env = env(&server);
    for (url, wrong) in [
        ("http://h/v3/%(porject_id)s", true),
        ("http://h/%(user_id", true),
        ("http://h/a%20b/%(user_id)s", false),
    ] {
        env.insert("OS_IMAGE_ENDPOINT_OVERRIDE".into(), url.into());
        let made = login::login(None, &env, &login::Places::default());
        assert_eq!(
            made.is_err_and(|e| e.to_string().contains("is nothing that is filled in")),
            wrong,
            "{url}"
        );
    }
}

#[test]
fn a_url_without_a_version_gets_the_one_we_speak() {
    let of = |url: &str, service, overridden| {
        with_version(url.parse().unwrap(), service, "p1", overridden).to_string()
    };
    for (url, service, wanted) in [
        ("http://h/compute/v2.1", Service::Compute, "http://h/compute/v2.1"),
        ("http://h:8774", Service::Compute, "http://h:8774/v2.1"),
        ("http://h/v2.1/abc", Service::Compute, "http://h/v2.1/abc"),
        ("http://h/v2/abc", Service::Compute, "http://h/v2.1/abc"),
        ("http://h/v1/gate/compute/", Service::Compute, "http://h/v1/gate/compute/v2.1"),
        ("http://h/a%20b/v2/abc", Service::Compute, "http://h/a%20b/v2.1/abc"),
        ("http://h:9292/", Service::Image, "http://h:9292/v2"),
        ("http://h/network/v2.0/", Service::Network, "http://h/network/v2.0/"),
        ("http://h/volume", Service::Volume, "http://h/volume/v3/p1"),
        ("http://h/v3/abc", Service::Volume, "http://h/v3/abc"),
        ("http://h/heat-api/v1/abc", Service::Orchestration, "http://h/heat-api/v1/abc"),
    ] {
        assert_eq!(of(url, service, false), wanted);
    }
    assert_eq!(of("http://h/v2/abc", Service::Compute, true), "http://h/v2/abc");
    assert_eq!(document("http://h/nova/v2.1/abc".parse().unwrap()).as_str(), "http://h/nova/v2.1");
    assert_eq!(document("http://h/nova/v2.1/".parse().unwrap()).as_str(), "http://h/nova/v2.1");
}

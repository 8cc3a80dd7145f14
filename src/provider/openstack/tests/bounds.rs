//! What a service may cost us: answers, errors and lists have an end.
use std::io::Write;

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::api::{ApiError, Service};
use super::super::body::LONGEST;
use super::super::{cinder, glance, nova};
use super::{api, cloud};
use crate::system::cancel::Cancel;

const IMAGES: &str = "/image/v2/images";

async fn answered(server: &MockServer, place: &str, answer: ResponseTemplate) {
    Mock::given(method("GET")).and(path(place)).respond_with(answer).mount(server).await;
}

async fn images(server: &MockServer) -> Result<Value, ApiError> {
    api(server).get(Service::Image, &["images"]).what("look").fetch(&Cancel::default()).await
}

fn blanks_and(text: &str) -> ResponseTemplate {
    let body = [vec![b' '; LONGEST], text.as_bytes().to_vec()].concat();
    ResponseTemplate::new(200).set_body_bytes(body)
}

#[tokio::test]
async fn a_body_is_read_up_to_a_bound() {
    let server = cloud().await;
    answered(&server, IMAGES, blanks_and("{}")).await;
    let error = images(&server).await.unwrap_err();
    assert!(
        error.to_string().contains("look") && error.to_string().contains("longer than 16 MiB"),
        "{error}"
    );

    let server = MockServer::start().await;
    let login = blanks_and("{}").insert_header("x-subject-token", "t");
    Mock::given(method("POST")).respond_with(login).mount(&server).await;
    let error = api(&server).project(&Cancel::default()).await.unwrap_err();
    assert!(error.to_string().contains("longer than 16 MiB"), "{error}");
}

#[tokio::test]
async fn the_begin_of_an_error_is_enough() {
    let server = cloud().await;
    answered(
        &server,
        IMAGES,
        ResponseTemplate::new(409).set_body_bytes("no ".repeat(9 << 20).into_bytes()),
    )
    .await;
    let error = images(&server).await.unwrap_err();
    assert_eq!(error.status(), Some(409));
    assert!(error.to_string().contains("no no no"), "{error}");
}

#[tokio::test]
async fn nothing_is_unpacked() {
    let server = cloud().await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(b"{}").unwrap();
    let body = packed.finish().unwrap();
    answered(
        &server,
        IMAGES,
        ResponseTemplate::new(200).set_body_bytes(body).insert_header("content-encoding", "gzip"),
    )
    .await;
    assert!(matches!(images(&server).await, Err(ApiError::BadAnswer { .. })));
    let asked = server.received_requests().await.unwrap();
    assert!(asked.iter().all(|r| !r.headers.contains_key("accept-encoding")));
}

/// The same page, for ever.
#[tokio::test]
async fn pages_that_repeat_are_an_end() {
    let server = cloud().await;
    let page = |key: &str| {
        let links = format!("{key}_links");
        ResponseTemplate::new(200)
            .set_body_json(json!({ key: [{ "id": "x" }], links: [{ "rel": "next" }] }))
    };
    answered(&server, "/compute/v2.1/servers/detail", page("servers")).await;
    answered(&server, "/volume/v3/p1/volumes/detail", page("volumes")).await;
    let whole: Vec<Value> = (0..200).map(|n| json!({ "id": format!("i{n}") })).collect();
    answered(&server, IMAGES, ResponseTemplate::new(200).set_body_json(json!({ "images": whole })))
        .await;
    let (api, cancel) = (api(&server), Cancel::default());
    for error in [
        nova::all_servers(&api, &cancel).await.map(drop).unwrap_err(),
        cinder::volumes(&api, &cancel).await.map(drop).unwrap_err(),
        glance::images(&api, &[], &cancel).await.map(drop).unwrap_err(),
    ] {
        assert!(error.to_string().contains("its pages repeat"), "{error}");
    }
}

/// Another page each time, for ever.
#[tokio::test]
async fn a_list_has_an_end() {
    let server = cloud().await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    let pages = move |_: &wiremock::Request| {
        let from = count.fetch_add(200, std::sync::atomic::Ordering::Relaxed);
        let page: Vec<Value> =
            (from..from + 200).map(|n| json!({ "id": format!("i{n}") })).collect();
        ResponseTemplate::new(200).set_body_json(json!({ "images": page }))
    };
    Mock::given(method("GET")).and(path(IMAGES)).respond_with(pages).mount(&server).await;
    let error = glance::images(&api(&server), &[], &Cancel::default()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("more than 10000 entries"), "{error}");
}

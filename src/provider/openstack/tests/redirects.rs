//! Tokens and passwords stay at the origins that we were told of.
use reqwest::Method;
use serde_json::json;
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::api::{ApiError, Service};
use super::super::endpoint::Microversions;
use super::{PASSWORD, TOKEN, api, asked, cloud, logins_answered};
use crate::system::cancel::Cancel;

/// Says yes to everything, and keeps what it was sent.
async fn stranger() -> MockServer {
    let server = MockServer::start().await;
    let fine = ResponseTemplate::new(200)
        .insert_header("x-subject-token", TOKEN)
        .set_body_json(json!({ "images": [] }));
    Mock::given(any()).respond_with(fine).mount(&server).await;
    server
}

async fn learned_nothing(stranger: &MockServer) {
    for request in stranger.received_requests().await.unwrap() {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert!(
            !request.headers.contains_key("x-auth-token") && !body.contains(PASSWORD),
            "{request:?}"
        );
    }
}

fn to(status: u16, url: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("location", url)
}

fn redirected(error: &ApiError, stranger: &MockServer) {
    assert!(matches!(error, ApiError::Redirected { .. }), "{error}");
    assert!(error.to_string().contains(&stranger.uri()) && error.hint().is_some(), "{error}");
    assert!(!error.to_string().contains("s3cr3t"), "{error}");
}

#[tokio::test]
async fn a_login_goes_nowhere_else() {
    for status in [301, 302, 303, 307, 308] {
        let (server, stranger) = (MockServer::start().await, stranger().await);
        let away = to(status, &format!("{}/v3/auth/tokens?q=s3cr3t", stranger.uri()));
        Mock::given(method("POST")).respond_with(away).mount(&server).await;
        let error = api(&server).project(&Cancel::default()).await.unwrap_err();
        redirected(&error, &stranger);
        assert_eq!(stranger.received_requests().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_token_goes_nowhere_else() {
    for status in [301, 302, 303, 307, 308] {
        for verb in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let (server, stranger) = (cloud().await, stranger().await);
            let away = to(status, &format!("{}/image/v2/images", stranger.uri()));
            Mock::given(path("/image/v2/images")).respond_with(away).mount(&server).await;
            let call = api(&server)
                .call(Service::Image, verb, &["images"])
                .what("do it")
                .send(&Cancel::default())
                .await;
            redirected(&call.unwrap_err(), &stranger);
            learned_nothing(&stranger).await;
        }
    }
}

/// The look at a service's version.
#[tokio::test]
async fn discovery_goes_nowhere_else() {
    let (server, stranger) = (MockServer::start().await, stranger().await);
    logins_answered(&server, 3600).await;
    let away = to(302, &format!("{}/compute/v2.1", stranger.uri()));
    Mock::given(method("GET")).and(path("/compute/v2.1")).respond_with(away).mount(&server).await;
    let api = api(&server);
    for _ in 0..2 {
        let Microversions::Unknown(why) = api.microversions(&Cancel::default()).await.unwrap()
        else {
            panic!("known")
        };
        assert!(why.contains("a redirect to") && why.contains(&stranger.uri()), "{why}");
    }
    assert_eq!(stranger.received_requests().await.unwrap().len(), 0);
    assert_eq!(
        asked(&server, "GET", "/compute/v2.1").await,
        1,
        "not asked again: the answer will not be better"
    );
}

#[tokio::test]
async fn within_the_origin_redirects_are_followed_and_keep_the_method() {
    for (status, verb, well) in [
        (302, Method::GET, true),
        (308, Method::PUT, true),
        (307, Method::DELETE, true),
        (302, Method::DELETE, false),
    ] {
        let server = cloud().await;
        let slash = to(status, "/image/v2/images/");
        Mock::given(path("/image/v2/images")).respond_with(slash).mount(&server).await;
        let fine = ResponseTemplate::new(204);
        Mock::given(method(verb.as_str()))
            .and(path("/image/v2/images/"))
            .respond_with(fine)
            .mount(&server)
            .await;
        let api = api(&server);
        let call = api.call(Service::Image, verb.clone(), &["images"]).what("do it");
        let done = call.query("limit", "1").send(&Cancel::default()).await;
        assert_eq!(done.is_ok(), well, "{status} {verb}: {done:?}");
        assert_eq!(asked(&server, verb.as_str(), "/image/v2/images/").await, usize::from(well));
        assert_eq!(
            asked(&server, "GET", "/image/v2/images/").await,
            usize::from(well && verb == Method::GET)
        );
    }
    let server = cloud().await;
    Mock::given(path("/image/v2/images"))
        .respond_with(to(307, "/image/v2/images"))
        .mount(&server)
        .await;
    let call =
        api(&server).get(Service::Image, &["images"]).what("circle").send(&Cancel::default()).await;
    assert!(
        matches!(call, Err(ApiError::Redirected { .. }))
            && asked(&server, "GET", "/image/v2/images").await == 6
    );
}

//! Retries, renewed logins, and what errors say.
use std::io::Write;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::api::{ApiError, Service};
use super::super::endpoint::Microversions;
use super::{api, asked, cloud, logins_answered};
use crate::system::cancel::Cancel;

const IMAGES: &str = "/image/v2/images";

async fn answers(server: &MockServer, verb: &str, answers: &[ResponseTemplate]) {
    for (index, answer) in answers.iter().enumerate() {
        let mut mock = Mock::given(method(verb)).and(path(IMAGES)).respond_with(answer.clone());
        if index + 1 < answers.len() {
            mock = mock.up_to_n_times(1);
        }
        mock.with_priority(u8::try_from(index + 1).unwrap()).mount(server).await;
    }
}

fn status(code: u16) -> ResponseTemplate {
    ResponseTemplate::new(code)
        .set_body_json(json!({ "fault": { "message": "so it is", "code": code } }))
}

fn fine() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "images": [] }))
}

async fn call(server: &MockServer, verb: Method) -> Result<Value, ApiError> {
    api(server)
        .call(Service::Image, verb, &["images"])
        .what("do it")
        .fetch(&Cancel::default())
        .await
}

#[tokio::test]
async fn what_may_be_repeated_is_repeated() {
    for code in [429, 502, 503, 504] {
        for verb in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let server = cloud().await;
            answers(
                &server,
                verb.as_str(),
                &[status(code).insert_header("retry-after", "3"), status(code), fine()],
            )
            .await;
            call(&server, verb.clone()).await.unwrap();
            assert_eq!(asked(&server, verb.as_str(), IMAGES).await, 3, "{verb} {code}");
        }
    }
}

#[tokio::test]
async fn a_create_is_not_repeated_unless_it_had_no_effect() {
    for (code, times) in [(503, 1), (502, 1), (500, 1), (409, 1), (429, 2)] {
        let server = cloud().await;
        answers(&server, "POST", &[status(code), fine()]).await;
        let done = call(&server, Method::POST).await;
        assert_eq!(asked(&server, "POST", IMAGES).await, times, "{code}");
        assert_eq!(done.is_ok(), times == 2, "{code}");
        if let Err(e) = done {
            assert_eq!((e.status(), e.in_doubt()), (Some(code), code >= 500));
        }
    }
}

#[tokio::test]
async fn attempts_have_an_end_and_errors_say_what_happened() {
    let server = cloud().await;
    answers(&server, "GET", &[status(503).insert_header("x-openstack-request-id", "req-1")]).await;
    let error = call(&server, Method::GET).await.unwrap_err();
    assert_eq!(error.to_string(), "do it: so it is (HTTP 503, request req-1)");
    assert_eq!(asked(&server, "GET", IMAGES).await, 5);
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let server = cloud().await;
    answers(&server, "POST", &[status(401), fine()]).await;
    call(&server, Method::POST).await.unwrap();
    assert_eq!(asked(&server, "POST", "/identity/v3/auth/tokens").await, 2);

    let server = cloud().await;
    answers(&server, "GET", &[status(401)]).await;
    assert_eq!(call(&server, Method::GET).await.unwrap_err().status(), Some(401));
    assert_eq!(asked(&server, "GET", IMAGES).await, 2);
}

#[tokio::test]
async fn a_token_is_used_until_its_end_is_near_whatever_the_clocks_say() {
    for (seconds, logins) in [(3600, 1), (60, 2)] {
        let server = cloud().await;
        // One that answers first, with another life.
        let early = ResponseTemplate::new(201)
            .insert_header("x-subject-token", "t")
            .set_body_json(super::token(&server, seconds));
        Mock::given(method("POST"))
            .and(path("/identity/v3/auth/tokens"))
            .respond_with(early)
            .with_priority(1)
            .mount(&server)
            .await;
        answers(&server, "GET", &[fine()]).await;
        let api = api(&server);
        for _ in 0..2 {
            api.get(Service::Image, &["images"]).fetch::<Value>(&Cancel::default()).await.unwrap();
        }
        let seen = asked(&server, "POST", "/identity/v3/auth/tokens").await;
        assert!(
            if logins == 1 { seen == 1 } else { seen >= logins },
            "{seen} logins with a life of {seconds} s"
        );
    }
}

#[tokio::test]
async fn silence_has_an_end() {
    let server = cloud().await;
    answers(&server, "POST", &[fine().set_delay(Duration::from_secs(30))]).await;
    let error = api(&server)
        .post(Service::Image, &["images"])
        .timeout(Duration::from_millis(200))
        .what("wait")
        .send(&Cancel::default())
        .await;
    let error = error.unwrap_err();
    assert!(matches!(error, ApiError::TimedOut { .. }) && error.in_doubt(), "{error}");
    assert_eq!(asked(&server, "POST", IMAGES).await, 1);
}

#[tokio::test]
async fn a_signal_ends_a_pause() {
    let server = cloud().await;
    answers(&server, "GET", &[status(503).insert_header("retry-after", "50")]).await;
    let api = super::super::api::Api::with_pauses(super::login_of(&server), Duration::from_secs(1))
        .unwrap();
    let cancel = Cancel::default();
    let stop = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.signal();
    });
    let begin = std::time::Instant::now();
    let done = api.get(Service::Image, &["images"]).send(&cancel).await;
    assert!(
        matches!(done, Err(ApiError::Cancelled(_))) && begin.elapsed() < Duration::from_secs(20)
    );
}

#[tokio::test]
async fn an_upload_tells_its_length_and_comes_whole() {
    let server = cloud().await;
    Mock::given(method("PUT"))
        .and(path("/image/v2/images/i1/file"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![7; 700_000]).unwrap();
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let keep = seen.clone();
    let call = api(&server);
    let call =
        call.put(Service::Image, &["images", "i1", "file"]).file(file.path(), move |done, of| {
            assert_eq!(of, 700_000);
            keep.store(done, std::sync::atomic::Ordering::Relaxed);
        });
    call.send(&Cancel::default()).await.unwrap();
    let all = server.received_requests().await.unwrap();
    let put = all.iter().find(|r| r.method.as_str() == "PUT").unwrap();
    assert_eq!(
        (put.body.len(), put.headers["content-length"].to_str().unwrap()),
        (700_000, "700000")
    );
    assert!(!put.headers.contains_key("transfer-encoding"));
    assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), 700_000);
}

#[tokio::test]
async fn endpoints_are_of_the_region_and_the_interface() {
    let server = cloud().await;
    let api = api(&server);
    let cancel = Cancel::default();
    assert!(
        api.has(Service::Volume, &cancel).await.unwrap()
            && !api.has(Service::Orchestration, &cancel).await.unwrap()
    );
    assert_eq!(*api.microversions(&cancel).await.unwrap(), Microversions::Known((2, 1), (2, 93)));
    let missing = api
        .post(Service::Orchestration, &["validate"])
        .what("validate")
        .send(&cancel)
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("no public endpoint of `orchestration` in region RegionOne"),
        "{missing}"
    );
    assert!(missing.to_string().contains("compute, image, network, volumev3"), "{missing}");
}

#[tokio::test]
async fn a_login_that_fails_is_told_in_seconds() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(status(401)).mount(&server).await;
    let error = api(&server).project(&Cancel::default()).await.unwrap_err();
    assert!(
        error.to_string().contains("refuses user demo in project demo: so it is (HTTP 401)"),
        "{error}"
    );

    let mut login = super::login_of(&server);
    login.auth_url = "http://127.0.0.1:9/v3".parse().unwrap();
    let api = super::super::api::Api::new(login).unwrap();
    let begin = std::time::Instant::now();
    let error = api.project(&Cancel::default()).await.unwrap_err();
    assert!(
        error.to_string().contains("127.0.0.1:9 is not reached") && error.hint().is_some(),
        "{error}"
    );
    assert!(begin.elapsed() < Duration::from_secs(10));
    logins_answered(&server, 1).await;
}

//! The layer below the verbs, against services that fail on demand.
use std::collections::BTreeMap;

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::api::Api;
use super::login::{self, Login};

mod boots;
mod bounds;
mod endpoints;
mod faults;
mod foreign;
mod lists;
mod logins;
mod preflight;
mod published;
mod redirects;
mod requests;
mod sdk;
mod secrets;
mod uploads;
mod lifecycle;
mod whole;

pub const PASSWORD: &str = "tr0ub4dor-password";
pub const TOKEN: &str = "gAAAA-token";

/// What the environment of a job holds.
pub fn env(server: &MockServer) -> BTreeMap<String, String> {
    let of = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
    [
        ("OS_AUTH_URL", format!("{}/identity", server.uri()).as_str()),
        ("OS_USERNAME", "demo"),
        ("OS_PASSWORD", PASSWORD),
        ("OS_PROJECT_NAME", "demo"),
        ("OS_REGION_NAME", "RegionOne"),
        ("OS_USER_DOMAIN_NAME", "Default"),
        ("OS_CACERT", ""),
    ]
    .map(of)
    .into()
}

pub fn login_of(server: &MockServer) -> Login {
    login::login(None, &env(server), &login::Places::default()).unwrap()
}

pub fn token(server: &MockServer, seconds: i64) -> Value {
    let uri = server.uri();
    let endpoint = |kind: &str, url: String, region: Value| {
        json!({ "type": kind, "endpoints": [
        { "interface": "admin", "region_id": region, "url": "http://192.0.2.1:1" },
        { "interface": "public", "region_id": region, "region": region, "url": url },
        { "interface": "public", "region_id": "Elsewhere", "url": "http://192.0.2.2:1" },
        { "interface": "public" },
    ] })
    };
    let now = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(300);
    json!({ "token": {
        // Its clock is far behind ours.
        "issued_at": now.to_string(),
        "expires_at": (now + jiff::SignedDuration::from_secs(seconds)).to_string(),
        "user": { "id": "u1", "name": "demo" },
        "project": { "id": "p1", "name": "demo" },
        "catalog": [
            endpoint("image", format!("{uri}/image"), json!("RegionOne")),
            endpoint("compute", format!("{uri}/compute/v2.1"), Value::Null),
            endpoint("network", format!("{uri}/network"), json!("RegionOne")),
            endpoint("volumev3", format!("{uri}/volume/v3/p1"), json!("RegionOne")),
            json!({ "type": "broken" }),
        ],
    } })
}

/// A Keystone, and services whose versions can be found out.
pub async fn cloud() -> MockServer {
    let server = MockServer::start().await;
    logins_answered(&server, 3600).await;
    let version = |id: &str, href: String| {
        json!({ "versions": [{ "id": id, "status": "CURRENT",
        "links": [{ "rel": "self", "href": href }] }] })
    };
    let image = version("v2.15", format!("{}/image/v2/", server.uri()));
    Mock::given(method("GET"))
        .and(path("/image"))
        .respond_with(ResponseTemplate::new(300).set_body_json(image))
        .mount(&server)
        .await;
    let links = json!([{ "rel": "self", "href": format!("{}/compute/v2.1/", server.uri()) }]);
    let nova = json!({ "version": { "id": "v2.1", "status": "CURRENT", "version": "2.93",
        "min_version": "2.1", "links": links } });
    Mock::given(method("GET"))
        .and(path("/compute/v2.1"))
        .respond_with(ResponseTemplate::new(200).set_body_json(nova))
        .mount(&server)
        .await;
    server
}

pub async fn logins_answered(server: &MockServer, seconds: i64) {
    let answer = ResponseTemplate::new(201)
        .insert_header("x-subject-token", TOKEN)
        .set_body_json(token(server, seconds));
    Mock::given(method("POST"))
        .and(path("/identity/v3/auth/tokens"))
        .respond_with(answer)
        .mount(server)
        .await;
}

/// Pauses are a thousand times shorter.
pub fn api(server: &MockServer) -> Api {
    Api::with_pauses(login_of(server), std::time::Duration::from_millis(1)).unwrap()
}

/// How often a path was asked for.
pub async fn asked(server: &MockServer, verb: &str, wanted: &str) -> usize {
    let all = server.received_requests().await.unwrap();
    all.iter().filter(|r| r.method.as_str() == verb && r.url.path() == wanted).count()
}

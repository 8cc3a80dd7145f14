//! What nobody may read.
use super::super::api::Api;
use super::super::login::{Method, Secret};
use super::{PASSWORD, TOKEN, api, cloud, login_of};
use crate::provider::openstack::api::Service;
use crate::system::cancel::Cancel;
use crate::system::http::Proxies;

/// A service that repeats what it was sent, to whoever reads its error.
#[tokio::test]
async fn what_a_service_repeats_of_us_is_not_shown() {
    let server = cloud().await;
    let echo = |path: &str, status: u16| {
        let said =
            serde_json::json!({ "error": { "message": format!("no {PASSWORD} and no {TOKEN}") } });
        wiremock::Mock::given(wiremock::matchers::path(path))
            .respond_with(wiremock::ResponseTemplate::new(status).set_body_json(said))
            .with_priority(1)
    };
    echo("/image/v2/images/echo", 400).mount(&server).await;
    let refused = api(&server)
        .get(Service::Image, &["images", "echo"])
        .what("look")
        .send(&Cancel::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("no *** and no ***"), "{refused}");
    echo("/identity/v3/auth/tokens", 401).mount(&server).await;
    let refused = api(&server).project(&Cancel::default()).await.unwrap_err().to_string();
    assert!(refused.contains("no *** and no"), "{refused}");
}

/// The whole request comes back in the text of an error: its JSON is escaped, and a proxy's login
/// is in its head.
#[tokio::test]
async fn a_request_that_is_sent_back_is_not_shown() {
    let password = "hu\"sh\\hush";
    let server = cloud().await;
    let head = "Proxy-Authorization: Basic bWU6c0BjcmV0";
    let echo = move |request: &wiremock::Request| {
        wiremock::ResponseTemplate::new(502)
            .set_body_string(format!("{head}\n{}", String::from_utf8_lossy(&request.body)))
    };
    wiremock::Mock::given(wiremock::matchers::path("/identity/v3/auth/tokens"))
        .respond_with(echo)
        .with_priority(1)
        .mount(&server)
        .await;
    let mut login = login_of(&server);
    let Method::Password { password: sent, .. } = &mut login.method else { panic!() };
    *sent = Secret::new(password);
    // The server stands for a proxy, too, which is asked for whatever is not on the loopback.
    let to = server.uri().replace("http://", "http://me:s%40cret@");
    login.proxies = Proxies::read(|name| (name == "http_proxy").then(|| to.clone().into()));
    let api = Api::with_pauses(login, std::time::Duration::from_millis(1)).unwrap();
    let refused = api.project(&Cancel::default()).await.unwrap_err().to_string();
    for secret in ["hush", "sh\\", "bWU6c0BjcmV0", "s@cret", "s%40cret"] {
        assert!(!refused.contains(secret), "{secret}: {refused}");
    }
    assert!(refused.contains("Basic ***") && refused.contains("through the proxy"), "{refused}");
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret() {
    let server = cloud().await;
    let api = api(&server);
    let cancel = Cancel::default();
    api.project(&cancel).await.unwrap();
    let refused =
        api.get(Service::Image, &["images", "none"]).what("look").send(&cancel).await.unwrap_err();
    let login = login_of(&server);
    let shown = [
        format!("{login:?}"),
        format!("{refused:?} {refused}"),
        format!("{:?}", Secret::new(PASSWORD)),
    ];
    for text in shown {
        assert!(!text.contains(PASSWORD) && !text.contains(TOKEN), "{text}");
    }
}

//! What nobody may read.
use super::super::login::Secret;
use super::{PASSWORD, TOKEN, api, cloud, login_of};
use crate::cancel::Cancel;
use crate::cloud::openstack::api::Service;

/// A service that repeats what it was sent, to whoever reads its error.
#[tokio::test]
async fn what_a_service_repeats_of_us_is_not_shown() {
    let server = cloud().await;
    let echo = |path: &str, status: u16| {
        let said = serde_json::json!({ "error": { "message": format!("no {PASSWORD} and no {TOKEN}") } });
        wiremock::Mock::given(wiremock::matchers::path(path))
            .respond_with(wiremock::ResponseTemplate::new(status).set_body_json(said))
            .with_priority(1)
    };
    echo("/image/v2/images/echo", 400).mount(&server).await;
    let refused =
        api(&server).get(Service::Image, &["images", "echo"]).what("look").send(&Cancel::default()).await.unwrap_err().to_string();
    assert!(refused.contains("no *** and no ***"), "{refused}");
    echo("/identity/v3/auth/tokens", 401).mount(&server).await;
    let refused = api(&server).project(&Cancel::default()).await.unwrap_err().to_string();
    assert!(refused.contains("no *** and no"), "{refused}");
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret() {
    let server = cloud().await;
    let api = api(&server);
    let cancel = Cancel::default();
    api.project(&cancel).await.unwrap();
    let refused = api.get(Service::Image, &["images", "none"]).what("look").send(&cancel).await.unwrap_err();
    let login = login_of(&server);
    let shown = [format!("{login:?}"), format!("{refused:?} {refused}"), format!("{:?}", Secret::new(PASSWORD))];
    for text in shown {
        assert!(!text.contains(PASSWORD) && !text.contains(TOKEN), "{text}");
    }
}

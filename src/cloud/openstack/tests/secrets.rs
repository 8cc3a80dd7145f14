//! What nobody may read.
use super::super::login::Secret;
use super::{PASSWORD, TOKEN, api, cloud, login_of};
use crate::cancel::Cancel;
use crate::cloud::openstack::api::Service;

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

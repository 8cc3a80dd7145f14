//! The writes of a publication: not answered, they may be done all the same.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::foreign::publication;
use super::lifecycle::{image, openstack, patches, record};
use super::{asked, cloud};
use crate::model::units::GIB;
use crate::provider::{CloudError, Provider, Publication};

const IMAGE: &str = "/image/v2/images/s1";

fn staged() -> Value {
    record(|r| {
        (r["id"], r["name"], r["tags"]) = (json!("s1"), json!("r9-staged"), json!([]));
        (r["factory_run"], r["factory_state"], r["factory_image_id"]) =
            (json!("r9"), json!("building"), json!("s1"));
        (r["factory_family"], r["instance_uuid"]) = (json!(""), json!("gone"));
    })
}

/// As Glance takes a change: what is taken away must be there.
fn apply(record: &mut Value, ops: &Value) -> bool {
    ops.as_array().unwrap().iter().all(|op| {
        let key = op["path"].as_str().unwrap().trim_start_matches('/');
        match op["op"].as_str() {
            Some("remove") => record.as_object_mut().unwrap().remove(key).is_some(),
            _ => {
                record[key] = op["value"].clone();
                true
            }
        }
    })
}

/// A Glance behind a gateway that gives up on each change; `does`: Glance makes it all the same.
async fn glance(server: &MockServer, does: bool) {
    let state = Arc::new(Mutex::new(staged()));
    let shown = state.clone();
    let show = move |_: &Request| ResponseTemplate::new(200).set_body_json(&*shown.lock().unwrap());
    let change = move |request: &Request| {
        let ops: Value = serde_json::from_slice(&request.body).unwrap();
        let mut now = state.lock().unwrap();
        let done = does && !apply(&mut now.clone(), &ops);
        if does && !done {
            apply(&mut now, &ops);
        }
        ResponseTemplate::new(if done { 409 } else { 504 })
    };
    Mock::given(method("GET")).and(path(IMAGE)).respond_with(show).mount(server).await;
    Mock::given(method("PATCH")).and(path(IMAGE)).respond_with(change).mount(server).await;
    let none = ResponseTemplate::new(200).set_body_json(json!({ "images": [] }));
    Mock::given(method("GET")).and(path("/image/v2/images")).respond_with(none).mount(server).await;
}

#[tokio::test]
async fn a_publication_whose_answer_is_lost_is_looked_at() {
    for does in [true, false] {
        let server = cloud().await;
        glance(&server, does).await;
        let (mut cloud, cx) = openstack(&server);
        cloud.patience = Duration::from_millis(300);
        let done = cloud.artifacts().publish(&cx, &image(&staged()), &publication("r9")).await;
        if does {
            let published = done.unwrap();
            assert_eq!(
                (published.name.as_str(), published.properties.get("instance_uuid")),
                ("web-2", None)
            );
            let writes = asked(&server, "PATCH", IMAGE).await;
            assert_eq!(writes, 2, "what is done is not sent again: properties, then the state");
        } else {
            let error = done.unwrap_err();
            assert!(matches!(error, CloudError::Unknown { .. }), "{error}");
            assert!(error.to_string().contains("HTTP 504"), "{error}");
        }
    }
}

/// Whatever a bundle claims: an image of 5 GiB fits on no smaller disk, and Nova and templates go
/// by what Glance says of it.
#[tokio::test]
async fn min_disk_is_never_less_than_the_disk() {
    for (claimed, bytes, written) in [
        (Some(3), 5 * GIB, 5),
        (None, 5 * GIB, 5),
        (Some(3), 5 * GIB + 1, 6),
        (Some(8), 5 * GIB, 8),
    ] {
        let server = cloud().await;
        let mut before = staged();
        (before["virtual_size"], before["min_disk"]) = (json!(bytes), json!(0));
        let state = Arc::new(Mutex::new(before.clone()));
        let shown = state.clone();
        let show =
            move |_: &Request| ResponseTemplate::new(200).set_body_json(&*shown.lock().unwrap());
        let change = move |request: &Request| {
            let done =
                apply(&mut state.lock().unwrap(), &serde_json::from_slice(&request.body).unwrap());
            ResponseTemplate::new(if done { 200 } else { 409 })
                .set_body_json(&*state.lock().unwrap())
        };
        Mock::given(method("GET")).and(path(IMAGE)).respond_with(show).mount(&server).await;
        Mock::given(method("PATCH")).and(path(IMAGE)).respond_with(change).mount(&server).await;
        let none = ResponseTemplate::new(200).set_body_json(json!({ "images": [] }));
        Mock::given(method("GET"))
            .and(path("/image/v2/images"))
            .respond_with(none)
            .mount(&server)
            .await;
        let (cloud, cx) = openstack(&server);
        let wanted = Publication { min_disk_gib: claimed, ..publication("r9") };
        let published = cloud.artifacts().publish(&cx, &image(&before), &wanted).await.unwrap();
        assert_eq!(published.min_disk_gib, written);
        let writes = patches(&server).await;
        let ops = writes.iter().flat_map(|ops| ops.as_array().unwrap());
        let of_disk: Vec<&Value> = ops.filter(|op| op["path"] == "/min_disk").collect();
        assert_eq!(
            of_disk,
            [&json!({ "op": "replace", "path": "/min_disk", "value": written })],
            "{claimed:?} {bytes}"
        );
    }
}

//! The one write of a publication: not answered, it may be done all the same.
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::foreign::publication;
use super::standing::{image, openstack, record};
use super::{asked, cloud};
use crate::cloud::Cloud;

const IMAGE: &str = "/image/v2/images/s1";

fn staged() -> Value {
    record(|r| {
        (r["id"], r["name"], r["tags"]) = (json!("s1"), json!("r9-staged"), json!([]));
        (r["factory_run"], r["factory_state"], r["factory_image_id"]) = (json!("r9"), json!("building"), json!("s1"));
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
        let (cloud, cx) = openstack(&server);
        let done = cloud.publish(&cx, &image(&staged()), &publication("r9")).await;
        if does {
            let published = done.unwrap();
            assert_eq!((published.name.as_str(), published.properties.get("instance_uuid")), ("web-2", None));
            assert_eq!(asked(&server, "PATCH", IMAGE).await, 2, "the same again is refused");
        } else {
            assert!(done.unwrap_err().to_string().contains("HTTP 504"));
        }
    }
}

//! Services that give less at once than they are asked for: each list is read to its end.
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::super::{cinder, glance, neutron, nova};
use super::lifecycle::{SERVERS, VOLUMES, openstack, record};
use super::{api, cloud};
use crate::provider::Provider;
use crate::system::cancel::Cancel;

/// How a service tells of the next page.
#[derive(Clone, Copy)]
enum Told {
    /// `next`, relative.
    Next,
    /// `X_links`, to an address that is not ours.
    Links(&'static str),
}

/// A list of `items` under `key` at `place`, 25 at once whatever is asked for.
async fn paged(
    server: &MockServer,
    place: &'static str,
    key: &'static str,
    told: Told,
    items: Vec<Value>,
) {
    let answer = move |request: &Request| {
        let marker =
            request.url.query_pairs().find(|(k, _)| k == "marker").map(|(_, m)| m.into_owned());
        let from = marker.map_or(0, |m| {
            items.iter().position(|i| i["id"] == *m).expect("a marker that was given") + 1
        });
        let page = &items[from..items.len().min(from + 25)];
        let mut body = json!({ key: page });
        if from + page.len() < items.len() {
            let marker = page.last().unwrap()["id"].as_str().unwrap();
            match told {
                Told::Next => body["next"] = json!(format!("/v2/images?limit=25&marker={marker}")),
                Told::Links(links) => {
                    let href = format!("http://192.0.2.1:1/internal?limit=25&marker={marker}");
                    body[links] = json!([{ "rel": "next", "href": href }]);
                }
            }
        }
        ResponseTemplate::new(200).set_body_json(body)
    };
    Mock::given(method("GET")).and(path(place)).respond_with(answer).mount(server).await;
}

fn sixty(more: &Value) -> Vec<Value> {
    let item = |n| {
        let mut item = json!({ "id": format!("id-{n}"), "name": format!("factory-r-{n}") });
        for (key, value) in more.as_object().unwrap() {
            item[key] = value.clone();
        }
        item
    };
    (0..60).map(item).collect()
}

#[tokio::test]
async fn every_list_is_read_to_its_end() {
    let server = cloud().await;
    let flavor = json!({ "vcpus": 1, "ram": 1, "disk": 1 });
    for (place, key, links, more) in [
        (SERVERS, "servers", "servers_links", json!({})),
        ("/compute/v2.1/flavors/detail", "flavors", "flavors_links", flavor),
        (VOLUMES, "volumes", "volumes_links", json!({})),
        ("/volume/v3/p1/types", "volume_types", "volume_type_links", json!({})),
        ("/network/v2.0/networks", "networks", "networks_links", json!({})),
        (
            "/network/v2.0/subnets",
            "subnets",
            "subnets_links",
            json!({ "network_id": "n", "cidr": "10.0.0.0/8" }),
        ),
        ("/network/v2.0/security-groups", "security_groups", "security_groups_links", json!({})),
        (
            "/network/v2.0/floatingips",
            "floatingips",
            "floatingips_links",
            json!({ "floating_ip_address": "192.0.2.9" }),
        ),
        ("/network/v2.0/ports", "ports", "ports_links", json!({ "network_id": "n" })),
    ] {
        paged(&server, place, key, Told::Links(links), sixty(&more)).await;
    }
    paged(&server, "/image/v2/images", "images", Told::Next, sixty(&json!({}))).await;
    let (api, cancel) = (api(&server), Cancel::default());
    let counts = [
        nova::servers(&api, "factory-r-", &cancel).await.unwrap().len(),
        nova::all_servers(&api, &cancel).await.unwrap().len(),
        nova::flavors(&api, &cancel).await.unwrap().len(),
        cinder::volumes(&api, &cancel).await.unwrap().len(),
        cinder::types(&api, &cancel).await.unwrap().len(),
        neutron::networks(&api, &cancel).await.unwrap().len(),
        neutron::subnets(&api, &cancel).await.unwrap().len(),
        neutron::groups(&api, "p1", &cancel).await.unwrap().len(),
        neutron::floating_ips(&api, "p1", &cancel).await.unwrap().len(),
        neutron::ports(&api, "s", &cancel).await.unwrap().len(),
        glance::images(&api, &[], &cancel).await.unwrap().len(),
    ];
    assert_eq!(counts, [60; 11]);
}

/// What a user sees: all images of a Glance that gives 25 at once are listed.
#[tokio::test]
async fn all_images_are_shown() {
    let server = cloud().await;
    let item = |n| {
        record(|r| {
            (r["id"], r["name"]) = (json!(format!("i{n}")), json!(format!("web-{n}")));
            (r["factory_image_id"], r["factory_run"]) =
                (json!(format!("i{n}")), json!(format!("r{n}")));
        })
    };
    paged(&server, "/image/v2/images", "images", Told::Next, (0..60).map(item).collect()).await;
    let (cloud, _) = openstack(&server);
    assert_eq!(cloud.artifacts().list().await.unwrap().len(), 60);
}

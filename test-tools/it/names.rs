//! One name, one meaning: whatever command is told the name of an image, lists leave some out, and
//! two may have one name.
use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::support::{Factory, Ran};

const IMAGES: &str = "/image/v2/images";
const HID_1: &str = "0193c0de-0000-4000-8000-000000000001";
const COM_1: &str = "0193c0de-0000-4000-8000-000000000002";
const TWO_1: &str = "0193c0de-0000-4000-8000-000000000003";
const TWO_2: &str = "0193c0de-0000-4000-8000-000000000004";
const ONE_1: &str = "0193c0de-0000-4000-8000-000000000005";
const BUNDLE: &str =
    "bundle: {name: x, img_base: NAME}\nssh_user: debian\nsteps: [{shell: 'true'}]\n";

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn image(id: &str, name: &str, more: Value) -> Value {
    let mut image = json!({
        "id": id, "name": name, "status": "active", "owner": "p1", "visibility": "private",
        "os_hidden": false, "protected": false,
        "min_disk": 0, "min_ram": 0, "size": 7, "virtual_size": 1 << 30, "disk_format": "qcow2",
        "container_format": "bare", "tags": [],
        "created_at": "2026-11-20T10:00:00Z", "os_hash_algo": "sha512", "os_hash_value": "ab",
    });
    for (key, value) in more.as_object().unwrap() {
        image[key] = value.clone();
    }
    image
}

/// A Glance that filters as the real one does: hidden and community images are in no list that does
/// not ask for them.
async fn glance(server: &MockServer, records: Vec<Value>) {
    let listed = records.clone();
    let list = move |request: &Request| {
        let of = |key: &str| {
            request.url.query_pairs().find(|(k, _)| k == key).map(|(_, value)| value.into_owned())
        };
        let fits = |record: &&Value| {
            let hidden = of("os_hidden").is_some_and(|h| h == "true");
            let community = of("visibility").is_some_and(|v| v == "community");
            let same = |key: &str| of(key).is_none_or(|wanted| record[key] == *wanted);
            let shown =
                record["os_hidden"] == hidden && (record["visibility"] == "community") == community;
            shown && ["name", "status", "factory_family", "factory_state"].into_iter().all(same)
        };
        ok(json!({ "images": listed.iter().filter(fits).collect::<Vec<_>>() }))
    };
    Mock::given(method("GET")).and(path(IMAGES)).respond_with(list).mount(server).await;
    let one = move |request: &Request| {
        let id = request.url.path_segments().unwrap().next_back().unwrap();
        records
            .iter()
            .find(|r| r["id"] == *id)
            .map_or_else(|| ResponseTemplate::new(404), |r| ok(r.clone()))
    };
    Mock::given(method("GET"))
        .and(path_regex("^/image/v2/images/[^/]+$"))
        .respond_with(one)
        .mount(server)
        .await;
}

/// A cloud of one small project.
async fn cloud() -> MockServer {
    let server = MockServer::start().await;
    let uri = server.uri();
    let at = |kind: &str, rest: &str| {
        let url = format!("{uri}{rest}");
        json!({ "type": kind, "endpoints": [{ "interface": "public", "region_id": "R",
            "url": url }] })
    };
    let token = json!({ "token": {
        "issued_at": jiff::Timestamp::now().to_string(),
        "expires_at": (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(9)).to_string(),
        "user": { "id": "u1", "name": "demo" }, "project": { "id": "p1", "name": "demo" },
        "catalog": [at("image", "/image"), at("compute", "/compute/v2.1"), at("network",
        "/network"), at("volumev3", "/volume/v3/p1")],
    } });
    let answer =
        ResponseTemplate::new(201).insert_header("x-subject-token", "t").set_body_json(token);
    Mock::given(method("POST"))
        .and(path("/identity/v3/auth/tokens"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let link = |rest: &str| json!([{ "rel": "self", "href": format!("{uri}{rest}") }]);
    for (place, body) in [
        (
            "/image",
            json!({ "versions": [{ "id": "v2.15", "status": "CURRENT",
                "links": link("/image/v2/") }] }),
        ),
        (
            "/compute/v2.1",
            json!({ "version": { "id": "v2.1", "status": "CURRENT", "version": "2.93",
                "min_version": "2.1", "links": link("/compute/v2.1/") } }),
        ),
        (
            "/compute/v2.1/flavors/detail",
            json!({ "flavors": [{ "id": "f", "name": "small", "vcpus": 1, "ram": 1024,
                "disk": 5 }] }),
        ),
        ("/compute/v2.1/limits", json!({ "limits": { "absolute": {} } })),
        (
            "/compute/v2.1/os-availability-zone",
            json!({ "availabilityZoneInfo": [{ "zoneName": "nova" }] }),
        ),
        ("/compute/v2.1/servers", json!({ "servers": [] })),
        ("/compute/v2.1/servers/detail", json!({ "servers": [] })),
        ("/volume/v3/p1/volumes/detail", json!({ "volumes": [] })),
        (
            "/network/v2.0/networks",
            json!({ "networks": [{ "id": "n1", "name": "lan", "project_id": "p1",
                "subnets": ["s1"], "port_security_enabled": true }] }),
        ),
        (
            "/network/v2.0/subnets",
            json!({ "subnets": [{ "network_id": "n1", "cidr": "2001:db8:1::/64" }] }),
        ),
        ("/network/v2.0/security-groups", json!({ "security_groups": [] })),
    ] {
        Mock::given(method("GET")).and(path(place)).respond_with(ok(body)).mount(&server).await;
    }
    server
}

/// The program with a login by the environment, and nothing else to go by.
fn run(factory: &Factory, server: &MockServer, args: &[&str]) -> Ran {
    let mut command = factory.command(args);
    for (name, value) in [
        ("USERNAME", "demo"),
        ("PASSWORD", "s3cret"),
        ("PROJECT_NAME", "demo"),
        ("USER_DOMAIN_NAME", "Default"),
    ] {
        command.env(format!("OS_{name}"), value);
    }
    command
        .env("OS_AUTH_URL", format!("{}/identity", server.uri()))
        .env("OS_REGION_NAME", "R")
        .env("no_proxy", "127.0.0.1");
    Ran::of(command.output().unwrap())
}

/// What is in no list is found by its exact name by all of them; what may not be changed is refused
/// by its ID, not as missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_lists_leave_out_is_the_same_image_to_every_command() {
    let server = cloud().await;
    let community = json!({ "visibility": "community", "owner": "p2" });
    glance(
        &server,
        vec![image(HID_1, "old", json!({ "os_hidden": true })), image(COM_1, "theirs", community)],
    )
    .await;
    for (name, id) in [("old", HID_1), ("theirs", COM_1)] {
        let factory = Factory::new().bundle("images/x", &BUNDLE.replace("NAME", name));
        let run = |args: &[&str]| run(&factory, &server, args);
        let planned = run(&["plan", "images/x"]).exits(0).says(id);
        assert!(planned.out.contains(name), "{}", planned.out);
        let shown: Value =
            serde_json::from_str(&run(&["image", "show", name, "--json"]).exits(0).out).unwrap();
        assert_eq!(shown["id"], id);
        run(&["image", "deprecate", name]).exits(20).says(&format!("{name} ({id}) is not changed"));
        run(&["image", "adopt", name]).exits(20).says(&format!("{name} ({id}) is not adopted"));
        // It gets as far as to what this cloud does not make.
        let tested = run(&["test", name]);
        assert!(tested.code != 0 && tested.err.contains("404"), "{}", tested.err);
        assert!(!tested.err.contains("no image `"), "{}", tested.err);
    }
    let changes = server
        .received_requests()
        .await
        .unwrap()
        .into_iter()
        .filter(|r| r.url.path().starts_with("/image"));
    let changes: Vec<String> = changes
        .filter(|r| r.method.as_str() != "GET")
        .map(|r| format!("{} {}", r.method, r.url.path()))
        .collect();
    assert_eq!(changes, [""; 0]);
}

/// None is guessed, and all name the candidates.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_with_one_name_no_command_takes_one() {
    let community = |owner: &str| json!({ "visibility": "community", "owner": owner });
    let all = [
        vec![image(TWO_1, "twins", json!({})), image(TWO_2, "twins", json!({}))],
        vec![image(TWO_1, "twins", community("p2")), image(TWO_2, "twins", community("p3"))],
        vec![
            image(TWO_1, "twins", json!({ "os_hidden": true })),
            image(TWO_2, "twins", community("p3")),
        ],
    ];
    for records in all {
        let server = cloud().await;
        glance(&server, records).await;
        let factory = Factory::new().bundle("images/x", &BUNDLE.replace("NAME", "twins"));
        for args in [
            &["plan", "images/x"][..],
            &["test", "twins"],
            &["image", "show", "twins"],
            &["image", "deprecate", "twins"],
            &["image", "adopt", "twins"],
        ] {
            let ran = run(&factory, &server, args);
            // Of a bundle it is the bundle that is wrong.
            let ran = ran.exits(if args[0] == "plan" { 10 } else { 20 });
            assert!(
                args[0] == "plan" || !ran.err.contains("build-vars.yml"),
                "of a file that nobody wrote: {}",
                ran.err
            );
            ran.says("2 images are called `twins`").says(TWO_1).says(TWO_2).says("by its ID");
        }
    }
}

/// What there is none of is missing to all.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_nothing_is_missing_to_every_command() {
    let server = cloud().await;
    glance(&server, vec![image(ONE_1, "other", json!({}))]).await;
    let factory = Factory::new().bundle("images/x", &BUNDLE.replace("NAME", "nothing"));
    run(&factory, &server, &["plan", "images/x"]).exits(10).says("`nothing` does not exist");
    for args in [
        &["test", "nothing"][..],
        &["image", "show", "nothing"],
        &["image", "deprecate", "nothing"],
        &["image", "adopt", "nothing"],
    ] {
        run(&factory, &server, args).exits(20).says("no image `nothing`");
    }
}

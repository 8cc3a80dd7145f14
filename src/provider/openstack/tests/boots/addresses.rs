//! How a machine is reached: interfaces, floating IPs, security groups.
use super::*;

#[tokio::test]
async fn interfaces_and_the_floating_ip_go_by_the_order_that_is_written() {
    let server = cloud().await;
    project(&server).await;
    let wanted =
        spec(&["six", "dmz", "mgmt"], |site| site.floating_network = Some(named("public")));
    assert_eq!(boots(&server, &wanted).await.unwrap().host, "127.0.0.9");
    let body = &posted(&server, POST_SERVERS).await[0]["server"];
    assert_eq!(
        body["networks"],
        json!([{ "uuid": "id-six" }, { "uuid": "id-dmz" }, { "uuid": "id-mgmt" }])
    );
    let floating = posted(&server, "/network/v2.0/floatingips").await;
    assert_eq!(
        (floating.len(), &floating[0]["floatingip"]["port_id"]),
        (1, &json!("port-dmz")),
        "IPv6 takes none"
    );
}

#[tokio::test]
async fn the_address_is_on_the_network_that_is_reached() {
    let server = cloud().await;
    project(&server).await;
    let on = async |reached: Option<&str>| {
        let wanted = spec(&["mgmt", "dmz"], |site| site.reached_on = reached.map(named));
        boots(&server, &wanted).await.unwrap().host
    };
    assert_eq!((on(None).await.as_str(), on(Some("dmz")).await.as_str()), ("10.1.0.4", "10.2.0.4"));
}

/// To name none is to say nothing of groups.
#[tokio::test]
async fn without_security_groups_none_is_made_and_none_is_sent() {
    let server = cloud().await;
    project(&server).await;
    boots(&server, &spec(&["dmz"], |_| ())).await.unwrap();
    assert!(posted(&server, POST_SERVERS).await[0]["server"].get("security_groups").is_none());
    assert_eq!(asked(&server, "POST", "/network/v2.0/security-groups").await, 0);
}

/// The group admits the address that this machine has towards the other, once it is known; not the
/// one towards the cloud's API.
#[tokio::test]
async fn ssh_is_admitted_from_the_source_towards_the_machine() {
    let rules = async |ssh_from: &[&str]| {
        let server = cloud().await;
        project(&server).await;
        let ssh_from = ssh_from.iter().map(|c| (*c).to_owned()).collect();
        let wanted = spec(&["dmz"], |site| {
            site.floating_network = Some(named("public"));
            site.security = Security::Temporary { ssh_from };
        });
        let at = booting(&server, LONG);
        for _ in 0..2 {
            at.cloud.compute().boot(&at.cx.within(LONG), &wanted).await.unwrap();
        }
        let all = server.received_requests().await.unwrap();
        let place = |r: &Request| {
            (r.method.as_str() == "POST")
                .then(|| r.url.path().rsplit('/').next().unwrap().to_owned())
        };
        let order: Vec<String> = all
            .iter()
            .filter_map(place)
            .filter(|p| ["floatingips", "security-group-rules"].contains(&&**p))
            .collect();
        let rules = posted(&server, "/network/v2.0/security-group-rules").await;
        let cidrs: Vec<String> = rules
            .iter()
            .map(|r| r["security_group_rule"]["remote_ip_prefix"].as_str().unwrap().into())
            .collect();
        (cidrs, order)
    };
    // Towards the loopback this machine's source is the loopback, which says nothing of who it is
    // to others.
    let (cidrs, order) = rules(&[]).await;
    assert_eq!(cidrs, ["0.0.0.0/0"], "of the family of the address, and once for two machines");
    assert_eq!(order[..2], ["floatingips", "security-group-rules"]);
    assert_eq!(
        rules(&["192.0.2.0/24", "2001:db8::/32"]).await.0,
        ["192.0.2.0/24", "2001:db8::/32"],
        "as it is set"
    );
}

/// Two uplinks: what the API sees of this machine (a VPN, another provider) is not what the machine
/// sees.
#[tokio::test]
async fn the_source_is_asked_for_towards_each_machine() {
    let server = cloud().await;
    project(&server).await;
    let wanted = spec(&["dmz"], |site| {
        site.floating_network = Some(named("public"));
        site.security = Security::Temporary { ssh_from: Vec::new() };
    });
    let mut at = booting(&server, LONG);
    // The API is at 127.0.0.1, the floating IP is 127.0.0.9.
    at.cloud.source = |host, port| match (host, port) {
        ("127.0.0.9", 22) => "198.51.100.7/32".into(),
        ("10.2.0.4", 22) => "10.8.0.2/32".into(),
        other => panic!("asked for {other:?}"),
    };
    at.cloud.compute().boot(&at.cx.within(LONG), &wanted).await.unwrap();
    let fixed = spec(&["dmz"], |site| site.security = Security::Temporary { ssh_from: Vec::new() });
    at.cloud.compute().boot(&at.cx.within(LONG), &fixed).await.unwrap();
    let rules = posted(&server, "/network/v2.0/security-group-rules").await;
    let cidrs: Vec<&Value> =
        rules.iter().map(|r| &r["security_group_rule"]["remote_ip_prefix"]).collect();
    assert_eq!(
        cidrs,
        ["198.51.100.7/32", "10.8.0.2/32"],
        "of each machine its own, in the one group of the run"
    );
}

/// A machine that has IPv6 alone is reached by that.
#[tokio::test]
async fn a_machine_of_ipv6_alone_takes_no_floating_ip() {
    let server = cloud().await;
    let six = json!({ "server": { "id": "s1", "name": NAME, "status": "ACTIVE",
        "metadata": { "factory_run": RUN }, "addresses": {
        "six": [{ "addr": "2001:db8::4", "version": 6, "OS-EXT-IPS:type": "fixed" }],
    } } });
    Mock::given(method("GET"))
        .and(path("/compute/v2.1/servers/s1"))
        .respond_with(ok(six))
        .with_priority(1)
        .mount(&server)
        .await;
    project(&server).await;
    let wanted =
        spec(&["six"], |site| site.security = Security::Temporary { ssh_from: Vec::new() });
    let mut at = booting(&server, LONG);
    at.cloud.source = |host, _| format!("{}/128", host.replace("::4", "::99"));
    let machine = at.cloud.compute().boot(&at.cx.within(LONG), &wanted).await.unwrap();
    assert_eq!((machine.host.as_str(), machine.port), ("2001:db8::4", 22));
    assert_eq!(asked(&server, "POST", "/network/v2.0/floatingips").await, 0);
    let rules = posted(&server, "/network/v2.0/security-group-rules").await;
    let rule = &rules[0]["security_group_rule"];
    assert_eq!(
        (rules.len(), &rule["ethertype"], &rule["remote_ip_prefix"]),
        (1, &json!("IPv6"), &json!("2001:db8::99/128"))
    );
    assert_eq!(
        (&rule["protocol"], &rule["port_range_min"], &rule["direction"]),
        (&json!("tcp"), &json!(22), &json!("ingress"))
    );
}

/// The request is sent again where its answer was lost, and the rule may be there by then.
#[tokio::test]
async fn a_rule_that_is_there_is_none_the_worse() {
    for (message, well) in [
        ("Security group rule already exists. Rule id is r.", true),
        ("Quota exceeded for resources: ['x'].", false),
    ] {
        let server = cloud().await;
        let rules = || Mock::given(method("POST")).and(path("/network/v2.0/security-group-rules"));
        rules()
            .respond_with(gateway_timeout())
            .up_to_n_times(1)
            .with_priority(1)
            .mount(&server)
            .await;
        let refused = ResponseTemplate::new(409)
            .set_body_json(json!({ "NeutronError": { "type": "X", "message": message } }));
        rules().respond_with(refused).with_priority(2).mount(&server).await;
        project(&server).await;
        let wanted = spec(&["dmz"], |site| {
            site.security = Security::Temporary { ssh_from: vec!["192.0.2.0/24".into()] }
        });
        assert_eq!(boots(&server, &wanted).await.is_ok(), well, "{message}");
    }
}

//! Creates whose answer was lost: taken as they come, or left to the ledger.
use super::*;

/// Shows the server in lists when it was asked for so often.
async fn comes_after(server: &MockServer, looks: u64) {
    let none = ok(json!({ "servers": [] }));
    if looks > 0 {
        Mock::given(method("GET"))
            .and(path(SERVERS))
            .respond_with(none)
            .up_to_n_times(looks)
            .with_priority(1)
            .mount(server)
            .await;
    }
    Mock::given(method("GET"))
        .and(path(SERVERS))
        .respond_with(ok(json!({ "servers": [active()] })))
        .with_priority(2)
        .mount(server)
        .await;
}

/// The gateway gave up, Nova did not: the machine is taken as it comes, and no other is asked for.
#[tokio::test]
async fn a_machine_that_comes_without_an_answer_is_taken() {
    let server = cloud().await;
    Mock::given(method("POST"))
        .and(path(POST_SERVERS))
        .respond_with(gateway_timeout())
        .with_priority(1)
        .mount(&server)
        .await;
    comes_after(&server, 2).await;
    project(&server).await;
    let at = booting(&server, LONG);
    let machine =
        at.cloud.compute().boot(&at.cx.within(LONG), &spec(&["dmz"], |_| ())).await.unwrap();
    assert_eq!((machine.id.as_str(), asked(&server, "POST", POST_SERVERS).await), ("s1", 1));
    let owned = at.cx.ledger.entries();
    assert!(
        owned.len() == 1 && owned[0].id.as_deref() == Some("s1") && owned[0].unanswered.is_none(),
        "{owned:?}"
    );
}

fn address(id: &str, machine: &str) -> Value {
    json!({ "id": id, "floating_ip_address": "192.0.2.7", "description": format!("image-factory \
        run {RUN}, machine {machine}") })
}

/// Two machines side by side: the one whose answer was lost does not take the address of the other,
/// which the other's ledger does not know yet, nor gives it back in the end.
#[tokio::test]
async fn what_comes_to_another_machine_of_the_run_is_not_taken() {
    const ADDRESSES: &str = "/network/v2.0/floatingips";
    let server = cloud().await;
    let at = booting(&server, LONG);
    at.cx.ledger.intend(Kind::Address, "factory-20261120-233145-abcdef-other").unwrap();
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let list = move |_: &Request| {
        let there =
            [address("ip-other", "factory-20261120-233145-abcdef-other"), address("ip-ours", NAME)];
        ok(json!({ "floatingips": there[..looks.fetch_add(1,
                std::sync::atomic::Ordering::Relaxed).min(2)] }))
    };
    Mock::given(method("GET")).and(path(ADDRESSES)).respond_with(list).mount(&server).await;
    let lost = || async {
        let (what, message) = ("take a floating IP".to_owned(), "gateway".to_owned());
        Err(ApiError::Refused { what, status: 504, request_id: None, message })
    };
    let new = New { kind: Kind::Address, name: NAME };
    assert_eq!(create::own(&at.cloud, &at.cx, new, lost).await.unwrap(), "ip-ours");

    for id in ["ip-ours", "ip-other"] {
        answers(
            &server,
            "GET",
            &format!("{ADDRESSES}/{id}"),
            ok(json!({ "floatingip": address(id, NAME) })),
        )
        .await;
        answers(&server, "DELETE", &format!("{ADDRESSES}/{id}"), ResponseTemplate::new(204)).await;
    }
    let unanswered = Some(jiff::Timestamp::now());
    let thing = Entry { seq: 9, kind: Kind::Address, name: NAME.into(), id: None, unanswered };
    at.cloud.resources().delete(RUN, &thing).await.unwrap();
    for (id, times) in [("ip-ours", 1), ("ip-other", 0)] {
        assert_eq!(asked(&server, "DELETE", &format!("{ADDRESSES}/{id}")).await, times, "{id}");
    }
}

/// Of either version's descriptions the run is told.
#[test]
fn a_description_tells_the_run() {
    use crate::provider::openstack::{description, description_for, run_of_description};
    for text in [description(RUN), description_for(RUN, NAME)] {
        assert_eq!(run_of_description(Some(&text)), Some(RUN), "{text}");
    }
    assert_eq!(run_of_description(Some("image-factory")), None);
}

/// It does not come in time: the ledger says that it may, deletion says so too, and finds it when
/// it has come.
#[tokio::test]
async fn what_may_still_come_is_no_success_and_is_found_later() {
    let server = cloud().await;
    Mock::given(method("POST"))
        .and(path(POST_SERVERS))
        .respond_with(gateway_timeout())
        .with_priority(1)
        .mount(&server)
        .await;
    project(&server).await;
    let none = Mock::given(method("GET"))
        .and(path(SERVERS))
        .respond_with(ok(json!({ "servers": [] })))
        .with_priority(3);
    none.mount(&server).await;
    let at = booting(&server, Duration::from_millis(100));
    let error =
        at.cloud.compute().boot(&at.cx.within(LONG), &spec(&["dmz"], |_| ())).await.unwrap_err();
    assert!(error.to_string().contains("504"), "{error}");
    let owned = at.cx.ledger.entries();
    assert!(
        owned.len() == 1 && owned[0].id.is_none() && owned[0].unanswered.is_some(),
        "{owned:?}"
    );
    // A later process knows no more than what is written down.
    let told: Vec<Entry> = serde_json::from_value(serde_json::to_value(&owned).unwrap()).unwrap();
    let error = at.cloud.resources().delete(RUN, &told[0]).await.unwrap_err();
    assert!(error.to_string().contains("may still come"), "{error}");
    assert_eq!(asked(&server, "DELETE", "/compute/v2.1/servers/s1").await, 0);

    comes_after(&server, 0).await;
    answers(&server, "DELETE", "/compute/v2.1/servers/s1", ResponseTemplate::new(204)).await;
    let there = Mock::given(method("GET"))
        .and(path("/compute/v2.1/servers/s1"))
        .respond_with(ok(json!({ "server": active() })));
    there.up_to_n_times(1).with_priority(1).mount(&server).await;
    let gone = Mock::given(method("GET"))
        .and(path_regex("^/compute/v2.1/servers/s1$"))
        .respond_with(ResponseTemplate::new(404));
    gone.with_priority(2).mount(&server).await;
    at.cloud.resources().delete(RUN, &told[0]).await.unwrap();
    assert_eq!(asked(&server, "DELETE", "/compute/v2.1/servers/s1").await, 1);
    // What did not come for a quarter of an hour does not come.
    let old = Entry {
        unanswered: Some(jiff::Timestamp::now() - jiff::SignedDuration::from_mins(16)),
        name: "factory-x".into(),
        ..told[0].clone()
    };
    at.cloud.resources().delete(RUN, &old).await.unwrap();
    let crashed = Entry { kind: Kind::Machine, unanswered: None, ..old };
    at.cloud.resources().delete(RUN, &crashed).await.unwrap();
}

/// What the cloud refused was not made: there is nothing to be looked for, now or later.
#[tokio::test]
async fn what_was_refused_is_not_owned() {
    let server = cloud().await;
    let refused = ResponseTemplate::new(403).set_body_json(json!({ "forbidden": {
        "message": "Only volume-backed servers are allowed for flavors with zero \
            disk.", "code": 403 } }));
    Mock::given(method("POST"))
        .and(path(POST_SERVERS))
        .respond_with(refused)
        .with_priority(1)
        .mount(&server)
        .await;
    project(&server).await;
    let at = booting(&server, LONG);
    let error =
        at.cloud.compute().boot(&at.cx.within(LONG), &spec(&["dmz"], |_| ())).await.unwrap_err();
    assert!(
        matches!(
            &error,
            CloudError::Refused { hint: Some(hint), .. } if hint.contains("`volume: {}`")
        ),
        "{error:?}"
    );
    assert_eq!((at.cx.ledger.entries(), asked(&server, "GET", SERVERS).await), (Vec::new(), 0));
}

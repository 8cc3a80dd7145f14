//! Actions whose answer was lost: Nova may be at them, or done, and is asked.
use super::*;
use crate::provider::{AttachedVolume, Reboot};

const ACTION: &str = "/compute/v2.1/servers/s1/action";
const SERVER: &str = "/compute/v2.1/servers/s1";
const VOLUME: &str = "/volume/v3/p1/volumes/v2";
const ATTACHMENTS: &str = "/compute/v2.1/servers/s1/os-volume_attachments";
/// Time to look for what became of a request.
const SHORT: Duration = Duration::from_millis(300);

/// Shows these bodies one after the other, and the last one from then on.
async fn shows(server: &MockServer, place: &str, bodies: &[Value]) {
    let (last, first) = bodies.split_last().unwrap();
    for (at, body) in first.iter().enumerate() {
        Mock::given(method("GET"))
            .and(path(place))
            .respond_with(ok(body.clone()))
            .up_to_n_times(1)
            .with_priority(u8::try_from(at + 1).unwrap())
            .mount(server)
            .await;
    }
    answers(server, "GET", place, ok(last.clone())).await;
}

fn machine() -> Machine {
    Machine { name: NAME.into(), id: "s1".into(), host: String::new(), port: 22 }
}

fn is(status: &str, task: Option<&str>) -> Value {
    let mut server = active();
    (server["status"], server["OS-EXT-STS:task_state"]) = (json!(status), json!(task));
    json!({ "server": server })
}

fn is_unknown(done: &Result<(), CloudError>) -> bool {
    matches!(done, Err(CloudError::Unknown { reason, .. }) if reason.contains("HTTP 504"))
}

#[tokio::test]
async fn a_reboot_or_a_rescue_whose_answer_is_lost_is_looked_at() {
    let idle = || is("ACTIVE", None);
    let reboot: &[Value] = &[is("ACTIVE", Some("rebooting")), idle()];
    let hard: &[Value] = &[is("HARD_REBOOT", None), idle()];
    let (nothing, rescued): (&[Value], &[Value]) = (&[idle()], &[is("RESCUE", None)]);
    for (rescues, shown, known) in [
        (false, reboot, true),
        (false, hard, true),
        (false, nothing, false),
        (true, rescued, true),
        (true, nothing, false),
    ] {
        let server = cloud().await;
        answers(&server, "POST", ACTION, gateway_timeout()).await;
        shows(&server, SERVER, shown).await;
        let at = booting(&server, SHORT);
        let (cx, machine) = (at.cx.within(LONG), machine());
        let done = match rescues {
            true => at.cloud.rescue().unwrap().rescue(&cx, &machine).await,
            false => at.cloud.compute().reboot(&cx, &machine, Reboot::Orderly).await,
        };
        assert!(if known { done.is_ok() } else { is_unknown(&done) }, "{shown:?}: {done:?}");
        assert_eq!(asked(&server, "POST", ACTION).await, 1);
    }
    // What was refused was not done.
    let server = cloud().await;
    answers(&server, "POST", ACTION, ResponseTemplate::new(409)).await;
    let at = booting(&server, SHORT);
    let done = at.cloud.compute().reboot(&at.cx, &machine(), Reboot::Hard).await;
    assert!(matches!(done, Err(CloudError::Refused { .. })), "{done:?}");
    assert_eq!(asked(&server, "GET", SERVER).await, 0);
}

#[tokio::test]
async fn a_volume_whose_attachment_is_not_answered_is_looked_at() {
    let volume = |status: &str| json!({ "volume": { "id": "v2", "status": status } });
    let comes: &[Value] = &[volume("available"), volume("attaching"), volume("in-use")];
    for (shown, known) in [(comes, true), (&[volume("available")][..], false)] {
        let server = cloud().await;
        answers(&server, "POST", "/volume/v3/p1/volumes", ok(volume("creating"))).await;
        let zones = ok(json!({ "availabilityZoneInfo": [] }));
        answers(&server, "GET", "/volume/v3/p1/os-availability-zone", zones).await;
        answers(&server, "POST", ATTACHMENTS, gateway_timeout()).await;
        shows(&server, VOLUME, shown).await;
        let at = booting(&server, SHORT);
        let wanted = VolumePlan { size_gib: 1, kind: None, zone: None };
        let volumes = at.cloud.volumes().unwrap();
        let done = volumes.attach(&at.cx.within(LONG), &machine(), &wanted).await;
        let done = done.map(|disk: AttachedVolume| assert_eq!(disk.id, "v2"));
        assert!(if known { done.is_ok() } else { is_unknown(&done) }, "{shown:?}: {done:?}");
        assert_eq!(asked(&server, "POST", ATTACHMENTS).await, 1);
    }
}

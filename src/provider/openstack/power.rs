//! Polls a server's power state, and stops it.
use std::time::Duration;

use serde_json::json;

use super::nova::{self, Server};
use super::{OpenStack, poll};
use crate::provider::{CloudError, Machine, Power, Reboot, RunCx};
use crate::system::cancel::Cancel;

pub async fn power(cloud: &OpenStack, id: &str) -> Result<Power, CloudError> {
    let server = nova::server(&cloud.api, id, &Cancel::default()).await?;
    Ok(server.map_or_else(|| Power::Gone("Nova knows no such server".into()), |s| judge(&s)))
}

/// `OS-EXT-STS:power_state` of a domain that is shut off. Source:
/// nova.objects.fields.InstancePowerState.
const SHUTDOWN: u32 = 4;

fn judge(server: &Server) -> Power {
    match server.status.as_str() {
        "SHUTOFF" => Power::Off,
        // Nova sees a guest that powered itself off before it changes the status.
        "ACTIVE" if server.power_state == Some(SHUTDOWN) => Power::Off,
        "ERROR" => Power::Stuck(format!("Nova says ERROR: {}", server.fault())),
        "DELETED" | "SOFT_DELETED" => Power::Gone("it was deleted".into()),
        "PAUSED" | "SUSPENDED" | "SHELVED" | "SHELVED_OFFLOADED" | "UNKNOWN" => {
            Power::Stuck(format!("Nova says {}", server.status))
        }
        _ => Power::On,
    }
}

pub async fn shutdown(
    cloud: &OpenStack,
    cx: &RunCx,
    machine: &Machine,
    deadline: Duration,
) -> Result<(), CloudError> {
    let what = format!("stop {}", machine.name);
    let look = || async {
        let Some(server) = nova::server(&cloud.api, &machine.id, &cx.cancel).await? else {
            return Err(CloudError::refused(&what, "it is gone"));
        };
        Ok(match judge(&server) {
            Power::Off if server.task_state.is_none() => Some(server),
            Power::Stuck(why) => return Err(CloudError::refused(&what, why)),
            _ => None,
        })
    };
    // Of one that is off already Nova says so.
    nova::stop(&cloud.api, &machine.id, &cx.cancel).await?;
    poll(&cx.cancel, &what, deadline, Duration::from_secs(5), look)
        .await
        .map(|server| cloud.seen.off.put(server))
}

pub async fn reboot(
    cloud: &OpenStack,
    cx: &RunCx,
    machine: &Machine,
    how: Reboot,
    deadline: Duration,
) -> Result<(), CloudError> {
    let kind = if how == Reboot::Hard { "HARD" } else { "SOFT" };
    nova::act(
        &cloud.api,
        &machine.id,
        "reboot",
        &json!({ "reboot": { "type": kind } }),
        &cx.cancel,
    )
    .await?;
    comes_to(cloud, cx, machine, "reboot", "ACTIVE", deadline).await
}

pub async fn rescue(
    cloud: &OpenStack,
    cx: &RunCx,
    machine: &Machine,
    deadline: Duration,
) -> Result<(), CloudError> {
    match nova::act(&cloud.api, &machine.id, "rescue", &json!({ "rescue": {} }), &cx.cancel).await {
        // Servers of volumes before Nova 21; hypervisors that cannot; policy.
        Err(e) if matches!(e.status(), Some(400 | 403 | 501)) => {
            return Err(CloudError::unable(format!("rescue {}", machine.name), e.reason()));
        }
        done => done?,
    }
    comes_to(cloud, cx, machine, "rescue", "RESCUE", deadline).await
}

pub async fn unrescue(
    cloud: &OpenStack,
    cx: &RunCx,
    machine: &Machine,
    deadline: Duration,
) -> Result<(), CloudError> {
    nova::act(&cloud.api, &machine.id, "unrescue", &json!({ "unrescue": null }), &cx.cancel)
        .await?;
    comes_to(cloud, cx, machine, "unrescue", "ACTIVE", deadline).await
}

/// Waits until Nova has finished an action.
async fn comes_to(
    cloud: &OpenStack,
    cx: &RunCx,
    machine: &Machine,
    doing: &str,
    status: &str,
    deadline: Duration,
) -> Result<(), CloudError> {
    let what = format!("{doing} {}", machine.name);
    let look = || async {
        let Some(server) = nova::server(&cloud.api, &machine.id, &cx.cancel).await? else {
            return Err(CloudError::refused(&what, "it is gone"));
        };
        match server.status.as_str() {
            "ERROR" => {
                Err(CloudError::refused(&what, format!("Nova says ERROR: {}", server.fault())))
            }
            now if now == status && server.task_state.is_none() => Ok(Some(())),
            _ => Ok(None),
        }
    };
    poll(&cx.cancel, &what, deadline, Duration::from_secs(2), look).await
}

/// URL of the graphical console: noVNC, or another one on offer.
pub async fn screen(cloud: &OpenStack, machine: &Machine) -> Result<String, CloudError> {
    let mut refused = String::new();
    for (protocol, kind) in [("vnc", "novnc"), ("spice", "spice-html5")] {
        match nova::screen(&cloud.api, &machine.id, protocol, kind, &Cancel::default()).await {
            Ok(url) => return Ok(url),
            // What a cloud does not offer it refuses in one of these ways.
            Err(e) if matches!(e.status(), Some(400 | 404 | 409 | 501)) => refused = e.reason(),
            Err(e) => return Err(e.into()),
        }
    }
    Err(CloudError::unable(
        format!("screen of {}", machine.name),
        format!("the cloud offers neither VNC nor SPICE: {refused}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Server {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn states_are_judged() {
        let judged = |text: &str| judge(&server(text));
        assert_eq!(judged(r#"{"id":"1","status":"ACTIVE","OS-EXT-STS:power_state":1}"#), Power::On);
        assert_eq!(
            judged(r#"{"id":"1","status":"ACTIVE","OS-EXT-STS:power_state":4}"#),
            Power::Off
        );
        assert_eq!(judged(r#"{"id":"1","status":"BUILD"}"#), Power::On);
        assert_eq!(judged(r#"{"id":"1","status":"SHUTOFF"}"#), Power::Off);
        assert!(matches!(
            judged(r#"{"id":"1","status":"ERROR","fault":{"message":"no host","code":500}}"#),
            Power::Stuck(why) if why.contains("no host")
        ));
        assert!(matches!(judged(r#"{"id":"1","status":"PAUSED"}"#), Power::Stuck(_)));
        assert!(matches!(judged(r#"{"id":"1","status":"DELETED"}"#), Power::Gone(_)));
    }

    #[test]
    fn servers_of_volumes_and_of_images_are_told_apart() {
        let volume = r#"{"id":"1","image":"","os-extended-volumes:volumes_attached":[{"id":"v"}]}"#;
        assert_eq!(server(volume).boot_volume(), Some("v"));
        let image =
            r#"{"id":"1","image":{"id":"i"},"os-extended-volumes:volumes_attached":[{"id":"v"}]}"#;
        assert_eq!(server(image).boot_volume(), None);
    }
}

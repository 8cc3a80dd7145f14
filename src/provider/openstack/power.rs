//! Polls a server's power state, and stops it.
use std::time::Duration;

use serde_json::json;

use super::api::ApiError;
use super::nova::{self, Server};
use super::settle::{self, Doubt};
use super::{OpenStack, wait};
use crate::model::error_kind::ErrorKind;
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

pub async fn shutdown(cloud: &OpenStack, cx: &RunCx, machine: &Machine) -> Result<(), CloudError> {
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
    let looks = wait(&what, &cx.cancel, cx.deadline(), Duration::from_secs(1));
    settle::until(looks, look).await.map(|server| cloud.seen.off.put(server))
}

pub async fn reboot(
    cloud: &OpenStack,
    cx: &RunCx,
    machine: &Machine,
    how: Reboot,
) -> Result<(), CloudError> {
    let action = Action { cloud, cx, machine, name: "reboot", task: "reboot", from: "ACTIVE" };
    let kind = if how == Reboot::Hard { "HARD" } else { "SOFT" };
    action.send(&json!({ "reboot": { "type": kind } })).await?;
    action.comes_to("ACTIVE").await
}

pub async fn rescue(cloud: &OpenStack, cx: &RunCx, machine: &Machine) -> Result<(), CloudError> {
    let action = Action { cloud, cx, machine, name: "rescue", task: "rescu", from: "ACTIVE" };
    match action.sent(&json!({ "rescue": {} })).await {
        // Servers of volumes before Nova 21; hypervisors that cannot; policy.
        Err(e) if matches!(e.status(), Some(400 | 403 | 501)) => {
            return Err(CloudError::unable(format!("rescue {}", machine.name), e.reason()));
        }
        done => action.taken(done).await?,
    }
    action.comes_to("RESCUE").await
}

pub async fn unrescue(cloud: &OpenStack, cx: &RunCx, machine: &Machine) -> Result<(), CloudError> {
    let action = Action { cloud, cx, machine, name: "unrescue", task: "unrescu", from: "RESCUE" };
    action.send(&json!({ "unrescue": null })).await?;
    action.comes_to("ACTIVE").await
}

/// A server action.
struct Action<'a> {
    cloud: &'a OpenStack,
    cx: &'a RunCx,
    machine: &'a Machine,
    name: &'static str,
    /// Begin of Nova's task states of it. Source: nova.compute.task_states.
    task: &'static str,
    /// Status of a server to which it was not done.
    from: &'static str,
}

impl Action<'_> {
    async fn send(&self, body: &serde_json::Value) -> Result<(), CloudError> {
        self.taken(self.sent(body).await).await
    }

    async fn sent(&self, body: &serde_json::Value) -> Result<(), ApiError> {
        let call = nova::action(&self.cloud.api, &self.machine.id, self.name, body);
        call.send(&self.cx.cancel).await.map(drop)
    }

    /// After a lost answer Nova is asked whether it is at the action, or done with it. A server
    /// that shows nothing of it tells nothing: a reboot may be over between two looks.
    async fn taken(&self, sent: Result<(), ApiError>) -> Result<(), CloudError> {
        let error = match sent {
            Err(e) if e.in_doubt() => e,
            told => return Ok(told?),
        };
        let Self { cloud, cx, machine, .. } = self;
        cx.events.warn(format!("{error}: it may be done all the same; looking at the machine"));
        let look = || async {
            let server = nova::server(&cloud.api, &machine.id, &cx.cancel).await?;
            Ok(server.filter(|s| self.is_seen(s)).map(drop))
        };
        Doubt::of(error, cloud, &cx.cancel).settled(look).await
    }

    /// Whether the server shows that the action was taken.
    fn is_seen(&self, server: &Server) -> bool {
        let task = server.task_state.as_deref();
        task.is_some_and(|task| task.starts_with(self.task)) || server.status != self.from
    }

    /// Waits until Nova has finished the action, with the server in `status`.
    async fn comes_to(&self, status: &str) -> Result<(), CloudError> {
        let Self { cloud, cx, machine, name, .. } = self;
        let what = format!("{name} {}", machine.name);
        let look = || async {
            let Some(server) = nova::server(&cloud.api, &machine.id, &cx.cancel).await? else {
                return Err(CloudError::refused(&what, "it is gone"));
            };
            match server.status.as_str() {
                // Whatever the guest does, it is Nova that fails.
                "ERROR" => Err(CloudError::Refused {
                    what: what.clone(),
                    reason: format!("Nova says ERROR: {}", server.fault()),
                    hint: None,
                    kind: ErrorKind::Internal,
                }),
                now if now == status && server.task_state.is_none() => Ok(Some(())),
                _ => Ok(None),
            }
        };
        settle::until(wait(&what, &cx.cancel, cx.deadline(), Duration::from_secs(2)), look).await
    }
}

/// URL of the graphical console: noVNC, or another one on offer.
pub async fn screen(cloud: &OpenStack, machine: &Machine) -> Result<String, CloudError> {
    let mut refused = String::new();
    for console in [nova::VNC, nova::SPICE] {
        match nova::screen(&cloud.api, &machine.id, console, &Cancel::default()).await {
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

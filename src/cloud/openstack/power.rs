//! Whether a server is on, and having it stop.
use std::time::Duration;

use super::nova::{self, Server};
use super::{OpenStack, poll};
use crate::cancel::Cancel;
use crate::cloud::{CloudError, Cx, Machine, Power};

pub async fn power(cloud: &OpenStack, id: &str) -> Result<Power, CloudError> {
    let server = nova::server(&cloud.api, id, &Cancel::default()).await?;
    Ok(server.map_or_else(|| Power::Gone("Nova knows no such server".into()), |s| judge(&s)))
}

/// libvirt's number for a domain that is shut off, in `OS-EXT-STS:power_state`. Source: nova.objects.fields.InstancePowerState.
const SHUTDOWN: u32 = 4;

fn judge(server: &Server) -> Power {
    match server.status.as_str() {
        "SHUTOFF" => Power::Off,
        // Nova sees a guest that powered itself off before it changes the status.
        "ACTIVE" if server.power_state == Some(SHUTDOWN) => Power::Off,
        "ERROR" => Power::Stuck(format!("Nova says ERROR: {}", server.fault())),
        "DELETED" | "SOFT_DELETED" => Power::Gone("it was deleted".into()),
        "PAUSED" | "SUSPENDED" | "SHELVED" | "SHELVED_OFFLOADED" | "RESCUE" | "UNKNOWN" => {
            Power::Stuck(format!("Nova says {}", server.status))
        }
        _ => Power::On,
    }
}

pub async fn shutdown(cloud: &OpenStack, cx: &Cx, machine: &Machine, deadline: Duration) -> Result<(), CloudError> {
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
        .map(|server| *cloud.seen.off.lock().expect("plain assignments do not panic") = Some(server))
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
        assert_eq!(judged(r#"{"id":"1","status":"ACTIVE","OS-EXT-STS:power_state":4}"#), Power::Off);
        assert_eq!(judged(r#"{"id":"1","status":"BUILD"}"#), Power::On);
        assert_eq!(judged(r#"{"id":"1","status":"SHUTOFF"}"#), Power::Off);
        assert!(
            matches!(judged(r#"{"id":"1","status":"ERROR","fault":{"message":"no host","code":500}}"#), Power::Stuck(why) if why.contains("no host"))
        );
        assert!(matches!(judged(r#"{"id":"1","status":"PAUSED"}"#), Power::Stuck(_)));
        assert!(matches!(judged(r#"{"id":"1","status":"DELETED"}"#), Power::Gone(_)));
    }

    #[test]
    fn servers_of_volumes_and_of_images_are_told_apart() {
        let volume = r#"{"id":"1","image":"","os-extended-volumes:volumes_attached":[{"id":"v"}]}"#;
        assert_eq!(server(volume).boot_volume(), Some("v"));
        let image = r#"{"id":"1","image":{"id":"i"},"os-extended-volumes:volumes_attached":[{"id":"v"}]}"#;
        assert_eq!(server(image).boot_volume(), None);
    }
}

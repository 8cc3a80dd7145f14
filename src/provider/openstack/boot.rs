//! A server, from the request to ACTIVE, and the address at which its SSH is reached.
use std::time::Duration;

use base64ct::{Base64, Encoding};
use serde_json::json;

use super::create::{self, New};
use super::floating::Taking;
use super::nova::{self, Server};
use super::resources::PREFIX;
use super::{Group, OpenStack, cinder, description, neutron, settle, wait};
use crate::model::facts::{Named, QuotaHeadroom};
use crate::model::placement::Security;
use crate::provider::ledger::Kind;
use crate::provider::{BootSpec, CloudError, Machine, MachinePlacement, RunCx};

const SSH: u16 = 22;

pub async fn boot(cloud: &OpenStack, cx: &RunCx, spec: &BootSpec) -> Result<Machine, CloudError> {
    let place = spec.place.as_ref().ok_or_else(|| {
        CloudError::refused(format!("boot {}", spec.name), "no flavor and network are named")
    })?;
    let groups = Box::pin(groups(cloud, cx, place)).await?;
    let volume = Box::pin(volume(cloud, cx, spec, place)).await?;
    let mut body = body(spec, place, &groups, volume.as_deref());
    body["metadata"] = json!(cloud.marks(&cx.run));
    let server = match Box::pin(active(cloud, cx, spec, &body)).await? {
        Ok(server) => server,
        Err(failed) if failed.is_of_scheduler() => {
            // A host may have been full for a moment, or the scheduler's view of it old: once more,
            // elsewhere perhaps.
            cx.events.warn(format!("{}: {}; trying once more", spec.name, failed.reason));
            super::resources::delete_server(cloud, &cx.run, &failed.id).await?;
            cx.ledger.gone_by_id(Kind::Machine, &failed.id)?;
            match Box::pin(active(cloud, cx, spec, &body)).await? {
                Ok(server) => server,
                Err(failed) => return Err(explain(cloud, cx, spec, failed).await),
            }
        }
        Err(failed) => return Err(explain(cloud, cx, spec, failed).await),
    };
    let host = match &place.site.floating_network {
        Some(network) => {
            let taking = Taking { cloud, cx, spec, network };
            Box::pin(taking.first(&place.site.networks, &server)).await?
        }
        None => fixed(place, &server).ok_or_else(|| {
            CloudError::refused(
                format!("boot {}", spec.name),
                "Nova gave it no address on the networks it was put on",
            )
        })?,
    };
    if let Security::Temporary { ssh_from } = &place.site.security
        && ssh_from.is_empty()
    {
        Box::pin(admit(cloud, cx, &host)).await?;
    }
    Ok(Machine { name: spec.name.clone(), id: server.id, host, port: SSH })
}

/// The content of `server` in the create request, without its owner tags.
fn body(
    spec: &BootSpec,
    place: &MachinePlacement,
    groups: &[Named],
    volume: Option<&str>,
) -> serde_json::Value {
    let mut body = json!({
        "name": spec.name,
        "flavorRef": place.flavor.id,
        "user_data": Base64::encode_string(spec.user_data.as_bytes()),
        "config_drive": true,
        "networks": place.site.networks.iter().map(|n| json!({ "uuid": n.id })).collect::<Vec<_>>(),
    });
    // To name none is another thing than to name no group: Nova takes neither word where a network
    // has no port security.
    if !matches!(place.site.security, Security::None) {
        body["security_groups"] = groups.iter().map(nova::group).collect();
    }
    match volume {
        None => body["imageRef"] = json!(spec.image),
        Some(volume) => {
            body["block_device_mapping_v2"] = json!([{
                "boot_index": 0, "uuid": volume, "source_type": "volume",
                "destination_type": "volume", "delete_on_termination": false,
            }]);
        }
    }
    if let Some(zone) = &place.site.zone {
        body["availability_zone"] = json!(zone);
    }
    body
}

/// The groups that are named, or the run's own, made with its first machine.
async fn groups(
    cloud: &OpenStack,
    cx: &RunCx,
    place: &MachinePlacement,
) -> Result<Vec<Named>, CloudError> {
    let ssh_from = match &place.site.security {
        Security::Groups(groups) => return Ok(groups.clone()),
        Security::None => return Ok(Vec::new()),
        Security::Temporary { ssh_from } => ssh_from,
    };
    let name = format!("{PREFIX}{}-ssh", cx.run);
    // Machines that boot side by side wait here for the one that makes it.
    let mut known = cloud.group.lock().await;
    if let Some(group) = known.get(&cx.run) {
        return Ok(vec![Named { id: group.id.clone(), name }]);
    }
    cx.cancel.check()?;
    let create = || async {
        let group =
            neutron::create_group(&cloud.api, &name, &description(&cx.run), &cx.cancel).await;
        group.map(|group| group.id)
    };
    let id = create::own(cloud, cx, New { kind: Kind::SecurityGroup, name: &name }, create).await?;
    for cidr in ssh_from {
        neutron::admit_ssh(&cloud.api, &id, cidr, &cx.cancel).await?;
    }
    tag(cloud, cx, "security-groups", &id).await;
    known.insert(
        cx.run.clone(),
        Group { id: id.clone(), admitted: ssh_from.iter().cloned().collect() },
    );
    Ok(vec![Named { id, name }])
}

/// Admits SSH from the address that this machine has towards `host`: towards the cloud's API it may
/// have another one.
async fn admit(cloud: &OpenStack, cx: &RunCx, host: &str) -> Result<(), CloudError> {
    let mut known = cloud.group.lock().await;
    let Some(group) = known.get_mut(&cx.run) else { return Ok(()) };
    let cidr = (cloud.source)(host, SSH);
    if group.admitted.contains(&cidr) {
        return Ok(());
    }
    neutron::admit_ssh(&cloud.api, &group.id, &cidr, &cx.cancel).await?;
    cx.events.note(format!("SSH to {host} is admitted from {cidr}"));
    group.admitted.insert(cidr);
    Ok(())
}

/// A courtesy to people who look at lists; a cloud without tags is no worse a cloud.
pub(super) async fn tag(cloud: &OpenStack, cx: &RunCx, kind: &str, id: &str) {
    let _ = neutron::tag(&cloud.api, kind, id, &cx.cancel).await;
}

/// The volume that it boots from, if it does.
async fn volume(
    cloud: &OpenStack,
    cx: &RunCx,
    spec: &BootSpec,
    place: &MachinePlacement,
) -> Result<Option<String>, CloudError> {
    let Some(wanted) = &place.site.volume else { return Ok(None) };
    let wanted = crate::model::placement::VolumePlan {
        size_gib: wanted.size_gib.max(spec.disk_gib),
        ..wanted.clone()
    };
    cx.cancel.check()?;
    let marks = cloud.marks(&cx.run);
    let create = || async {
        let new = cinder::NewVolume {
            name: &spec.name,
            wanted: &wanted,
            image: Some(&spec.image),
            metadata: &marks,
        };
        cinder::create(&cloud.api, &new, &cx.cancel).await.map(|volume| volume.id)
    };
    let id = create::own(cloud, cx, New { kind: Kind::Volume, name: &spec.name }, create).await?;
    let what = format!("make volume {}", spec.name);
    let ready = || async {
        let seen = cinder::volume(&cloud.api, &id, &cx.cancel).await?;
        if seen.as_ref().is_some_and(|v| v.encrypted) {
            let reason = "its type encrypts: an image of such a volume is of use only with its \
                key, and boots no machine";
            return Err(CloudError::refused(&what, reason)
                .hint("`volume: {type: ...}` names a type that does not encrypt"));
        }
        match seen.as_ref().map(|v| v.status.as_str()) {
            Some("available") => Ok(Some(())),
            Some(status) if status.starts_with("error") => {
                Err(CloudError::refused(&what, format!("Cinder says {status}"))
                    .hint("cinder-volume's log has the reason"))
            }
            Some(_) => Ok(None),
            None => Err(CloudError::refused(&what, "it is gone")),
        }
    };
    let looks = wait(&what, &cx.cancel, cx.deadline(), Duration::from_secs(1));
    settle::until(looks, ready).await?;
    Ok(Some(id))
}

/// A server that came up in ERROR.
struct Failed {
    id: String,
    reason: String,
}

impl Failed {
    fn is_of_scheduler(&self) -> bool {
        self.reason.contains("No valid host")
            || self.reason.contains("Exceeded maximum number of retries")
    }
}

/// One create, and the wait for ACTIVE. Outer error: the cloud. Inner error: the server.
async fn active(
    cloud: &OpenStack,
    cx: &RunCx,
    spec: &BootSpec,
    body: &serde_json::Value,
) -> Result<Result<Server, Failed>, CloudError> {
    cx.cancel.check()?;
    let new = New { kind: Kind::Machine, name: &spec.name };
    let id = create::own(cloud, cx, new, || nova::create(&cloud.api, &spec.name, body, &cx.cancel))
        .await?;
    let look = || async {
        let server = nova::server(&cloud.api, &id, &cx.cancel).await?;
        let server = server.ok_or_else(|| {
            CloudError::refused(format!("boot {}", spec.name), "it is gone: somebody deleted it")
        })?;
        Ok(match server.status.as_str() {
            "ACTIVE" => Some(Ok(server)),
            "ERROR" => Some(Err(Failed { reason: server.fault(), id: server.id })),
            _ => None,
        })
    };
    // No cloud makes a server faster.
    let what = format!("boot {}", spec.name);
    settle::until(wait(&what, &cx.cancel, cx.deadline(), Duration::from_secs(4)), look).await
}

/// Nova's fault, the end of the console, and what the quota leaves.
async fn explain(cloud: &OpenStack, cx: &RunCx, spec: &BootSpec, failed: Failed) -> CloudError {
    let console = nova::console(&cloud.api, &failed.id, &cx.cancel).await.unwrap_or_default();
    for line in console.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev() {
        cx.events.output("console", line);
    }
    let error = CloudError::refused(
        format!("boot {}", spec.name),
        format!("Nova says ERROR: {}", failed.reason),
    );
    let Ok(QuotaHeadroom { servers, cores, ram_mib, .. }) =
        nova::room(&cloud.api, &cx.cancel).await
    else {
        return error;
    };
    let text = |left: Option<u64>, what: &str| left.map(|n| format!("{n} {what}"));
    let left: Vec<String> =
        [text(servers, "servers"), text(cores, "cores"), text(ram_mib, "MiB of RAM")]
            .into_iter()
            .flatten()
            .collect();
    if left.is_empty() {
        error
    } else {
        error.hint(format!("the quota leaves {}; an administrator sees more", left.join(", ")))
    }
}

/// The address on the network that is reached from here, else on those that were asked for, in
/// their order; IPv4 first.
fn fixed(place: &MachinePlacement, server: &Server) -> Option<String> {
    let of = |network: &Named| server.addresses.get(&network.name).into_iter().flatten();
    let reached = || place.site.reached_on.iter().flat_map(of);
    let on_ours = || place.site.networks.iter().flat_map(of);
    let any = || server.addresses.values().flatten();
    let is_fixed = |a: &&nova::Address| a.kind.as_deref() != Some("floating");
    let v4 = |a: &&nova::Address| a.version != 6;
    let near = || reached().filter(is_fixed).find(v4).or_else(|| reached().find(is_fixed));
    let found = near()
        .or_else(|| on_ours().filter(is_fixed).find(v4))
        .or_else(|| on_ours().find(is_fixed))
        .or_else(|| any().find(is_fixed));
    found.map(|a| a.addr.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::placement::Placement;

    fn place(networks: &[&str]) -> MachinePlacement {
        let named = |n: &&str| Named { id: format!("id-{n}"), name: (*n).into() };
        let site = Placement {
            networks: networks.iter().map(named).collect(),
            floating_network: None,
            security: Security::Groups(Vec::new()),
            zone: None,
            volume: None,
            reached_on: None,
        };
        MachinePlacement { flavor: named(&"f"), site }
    }

    fn server(addresses: serde_json::Value) -> Server {
        serde_json::from_value(json!({ "id": "s", "addresses": addresses })).unwrap()
    }

    #[test]
    fn the_address_is_the_first_networks_and_ipv4_where_there_is_one() {
        let both = server(json!({
            "b": [{ "addr": "10.2.0.4", "version": 4 }],
            "a": [{ "addr": "2001:db8::4", "version": 6 }, { "addr": "192.0.2.4", "version": 4,
            "OS-EXT-IPS:type": "fixed" }],
        }));
        assert_eq!(fixed(&place(&["a", "b"]), &both).as_deref(), Some("192.0.2.4"));
        assert_eq!(fixed(&place(&["b", "a"]), &both).as_deref(), Some("10.2.0.4"));
        let v6 = server(json!({ "a": [{ "addr": "2001:db8::4", "version": 6 }] }));
        assert_eq!(fixed(&place(&["a"]), &v6).as_deref(), Some("2001:db8::4"));
        // The name on the network may be another's than the one we know it by.
        assert_eq!(fixed(&place(&["z"]), &v6).as_deref(), Some("2001:db8::4"));
        assert_eq!(fixed(&place(&["a"]), &server(json!({}))), None);
    }

    #[test]
    fn a_full_cloud_is_told_from_a_bad_request() {
        let failed = |reason: &str| Failed { id: String::new(), reason: reason.into() };
        assert!(
            failed("No valid host was found. There are not enough hosts available.")
                .is_of_scheduler()
        );
        assert!(!failed("Flavor's disk is too small for requested image.").is_of_scheduler());
    }
}

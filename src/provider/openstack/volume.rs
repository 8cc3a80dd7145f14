//! A second disk for a running server: a Cinder volume.
use crate::provider::Volumes;
use async_trait::async_trait;
use std::time::Duration;

#[async_trait]
impl Volumes for OpenStack {
    async fn attach(
        &self,
        cx: &RunCx,
        run: &str,
        machine: &Machine,
        wanted: &VolumePlan,
        deadline: Duration,
    ) -> Result<AttachedVolume, CloudError> {
        attach(self, cx, run, machine, wanted, deadline).await
    }

    async fn detach(
        &self,
        cx: &RunCx,
        run: &str,
        machine: &Machine,
        disk: &AttachedVolume,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        detach(self, cx, run, machine, disk, deadline).await
    }
}

use super::create::{self, New};
use super::{OpenStack, Service, cinder, nova, poll, resources};
use crate::model::placement::VolumePlan;
use crate::provider::ledger::Kind;
use crate::provider::{AttachedVolume, CloudError, Machine, RunCx};

pub async fn attach(
    cloud: &OpenStack,
    cx: &RunCx,
    run: &str,
    machine: &Machine,
    wanted: &VolumePlan,
    deadline: Duration,
) -> Result<AttachedVolume, CloudError> {
    if !cloud.api.has(Service::Volume, &cx.cancel).await? {
        return Err(CloudError::unable(
            format!("attach a volume to {}", machine.name),
            "this cloud has no block storage",
        ));
    }
    cx.cancel.check()?;
    let wanted = &VolumePlan { zone: zone(cloud, cx, machine, wanted).await?, ..wanted.clone() };
    let (name, marks) = (format!("{}-disk", machine.name), cloud.marks(run));
    let create = || async {
        cinder::create(&cloud.api, &name, wanted, None, &marks, &cx.cancel)
            .await
            .map(|volume| volume.id)
    };
    let id = create::own(cloud, cx, New { run, kind: Kind::Volume, name: &name }, create).await?;
    comes_to(cloud, cx, &id, &format!("make volume {name}"), "available", deadline).await?;
    nova::attach(&cloud.api, &machine.id, &id, &cx.cancel).await?;
    comes_to(cloud, cx, &id, &format!("attach volume {name}"), "in-use", deadline).await?;
    // Of a serial number the guest sees 20 characters.
    Ok(AttachedVolume { serial: id.chars().take(20).collect(), id })
}

/// Zone of the volume. Without a planned zone it is the server's, because many clouds do not attach
/// volumes across zones.
async fn zone(
    cloud: &OpenStack,
    cx: &RunCx,
    machine: &Machine,
    wanted: &VolumePlan,
) -> Result<Option<String>, CloudError> {
    if wanted.zone.is_some() {
        return Ok(wanted.zone.clone());
    }
    let zones = cinder::zones(&cloud.api, &cx.cancel).await?;
    if zones.len() < 2 {
        return Ok(None);
    }
    let server = nova::server(&cloud.api, &machine.id, &cx.cancel).await?;
    Ok(server.and_then(|server| server.zone).filter(|zone| zones.contains(zone)))
}

pub async fn detach(
    cloud: &OpenStack,
    cx: &RunCx,
    run: &str,
    machine: &Machine,
    disk: &AttachedVolume,
    deadline: Duration,
) -> Result<(), CloudError> {
    nova::detach(&cloud.api, &machine.id, &disk.id, &cx.cancel).await?;
    comes_to(
        cloud,
        cx,
        &disk.id,
        &format!("detach the volume of {}", machine.name),
        "available",
        deadline,
    )
    .await?;
    resources::delete_volume(cloud, run, &disk.id).await?;
    Ok(cx.ledger.gone_by_id(Kind::Volume, &disk.id)?)
}

async fn comes_to(
    cloud: &OpenStack,
    cx: &RunCx,
    id: &str,
    what: &str,
    status: &str,
    deadline: Duration,
) -> Result<(), CloudError> {
    let look = || async {
        match cinder::volume(&cloud.api, id, &cx.cancel).await?.as_ref().map(|v| v.status.as_str())
        {
            Some(now) if now == status => Ok(Some(())),
            Some(now) if now.starts_with("error") => {
                Err(CloudError::refused(what, format!("Cinder says {now}")))
            }
            Some(_) => Ok(None),
            None => Err(CloudError::refused(what, "it is gone")),
        }
    };
    poll(&cx.cancel, what, deadline, Duration::from_secs(1), look).await
}

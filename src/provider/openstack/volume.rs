//! A second disk for a running server: a Cinder volume.
use std::time::Duration;

use async_trait::async_trait;

use super::api::ApiError;
use super::create::{self, New};
use super::settle::{self, Doubt};
use super::{OpenStack, Service, cinder, nova, resources, wait};
use crate::model::placement::VolumePlan;
use crate::provider::ledger::Kind;
use crate::provider::{AttachedVolume, CloudError, Machine, RunCx, Volumes};

#[async_trait]
impl Volumes for OpenStack {
    async fn attach(
        &self,
        cx: &RunCx,
        machine: &Machine,
        wanted: &VolumePlan,
    ) -> Result<AttachedVolume, CloudError> {
        attach(self, cx, machine, wanted).await
    }

    async fn detach(
        &self,
        cx: &RunCx,
        machine: &Machine,
        disk: &AttachedVolume,
    ) -> Result<(), CloudError> {
        detach(self, cx, machine, disk).await
    }
}

pub async fn attach(
    cloud: &OpenStack,
    cx: &RunCx,
    machine: &Machine,
    wanted: &VolumePlan,
) -> Result<AttachedVolume, CloudError> {
    if !cloud.api.has(Service::Volume, &cx.cancel).await? {
        return Err(CloudError::unable(
            format!("attach a volume to {}", machine.name),
            "this cloud has no block storage",
        ));
    }
    cx.cancel.check()?;
    let wanted = &VolumePlan { zone: zone(cloud, cx, machine, wanted).await?, ..wanted.clone() };
    let (name, marks) = (format!("{}-disk", machine.name), cloud.marks(&cx.run));
    let create = || async {
        let new = cinder::NewVolume { name: &name, wanted, image: None, metadata: &marks };
        cinder::create(&cloud.api, &new, &cx.cancel).await.map(|volume| volume.id)
    };
    let id = create::own(cloud, cx, New { kind: Kind::Volume, name: &name }, create).await?;
    let made = Wanted { id: &id, status: "available", what: format!("make volume {name}") };
    comes_to(cloud, cx, &made).await?;
    let sent = nova::attach(&cloud.api, &machine.id, &id, &cx.cancel).await;
    Box::pin(taken(cloud, cx, &Before { id: &id, status: "available" }, sent)).await?;
    // Each of the two waits has the whole time.
    let cx = &cx.anew();
    let attached = Wanted { id: &id, status: "in-use", what: format!("attach volume {name}") };
    comes_to(cloud, cx, &attached).await?;
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
    machine: &Machine,
    disk: &AttachedVolume,
) -> Result<(), CloudError> {
    let sent = nova::detach(&cloud.api, &machine.id, &disk.id, &cx.cancel).await;
    Box::pin(taken(cloud, cx, &Before { id: &disk.id, status: "in-use" }, sent)).await?;
    let what = format!("detach the volume of {}", machine.name);
    comes_to(cloud, cx, &Wanted { id: &disk.id, status: "available", what }).await?;
    resources::delete_volume(cloud, &cx.run, &disk.id).await?;
    Ok(cx.ledger.gone_by_id(Kind::Volume, &disk.id)?)
}

/// A volume, and its status until Nova takes the request.
struct Before<'a> {
    id: &'a str,
    status: &'static str,
}

/// After a lost answer Cinder is asked whether Nova took the request: it marks the volume before it
/// answers. What comes of that is for the wait after it to tell.
async fn taken(
    cloud: &OpenStack,
    cx: &RunCx,
    before: &Before<'_>,
    sent: Result<(), ApiError>,
) -> Result<(), CloudError> {
    let error = match sent {
        Err(e) if e.in_doubt() => e,
        told => return Ok(told?),
    };
    cx.events.warn(format!("{error}: it may be done all the same; looking at the volume"));
    let look = || async {
        let seen = cinder::volume(&cloud.api, before.id, &cx.cancel).await?;
        Ok(seen.filter(|v| v.status != before.status).map(drop))
    };
    Doubt::of(error, cloud, &cx.cancel).settled(look).await
}

/// The status that a volume is to have.
struct Wanted<'a> {
    id: &'a str,
    status: &'static str,
    what: String,
}

async fn comes_to(
    cloud: &OpenStack,
    cx: &RunCx,
    Wanted { id, status, what }: &Wanted<'_>,
) -> Result<(), CloudError> {
    let look = || async {
        match cinder::volume(&cloud.api, id, &cx.cancel).await?.as_ref().map(|v| v.status.as_str())
        {
            Some(now) if now == *status => Ok(Some(())),
            Some(now) if now.starts_with("error") => {
                Err(CloudError::refused(what, format!("Cinder says {now}")))
            }
            Some(_) => Ok(None),
            None => Err(CloudError::refused(what, "it is gone")),
        }
    };
    settle::until(wait(what, &cx.cancel, cx.deadline(), Duration::from_secs(1)), look).await
}

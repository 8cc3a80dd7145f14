//! Finds and deletes resources of a run in the project, without its ledger. Owner tags:
//! `factory_run` and the run in the name (servers, volumes); `factory_run` and the run's naming
//! scheme (staged images; properties are copied, names are not); the description (security groups,
//! floating IPs).
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;

use super::glance;
use super::{
    Api, CloudError, HASTE, OpenStack, Service, cinder, description_for, neutron, nova,
    run_of_description, settle, wait,
};
use crate::model::error_kind::ErrorKind;
use crate::model::image::{self, Image};
use crate::provider::Resources;
use crate::provider::ledger::{Entry, Kind};
use crate::provider::local_resources::{self, Found, foreign};
use crate::system::cancel::Cancel;
use crate::system::wait::Deadline;

#[async_trait]
impl Resources for OpenStack {
    async fn list(&self, run: &str) -> Result<Vec<Entry>, CloudError> {
        owned(self, run).await
    }

    async fn list_runs(&self) -> Result<Vec<String>, CloudError> {
        runs(self).await
    }

    async fn delete(&self, run: &str, thing: &Entry) -> Result<(), CloudError> {
        delete(self, run, thing).await
    }
}

/// Prefix of all resource names; the run ID follows.
pub const PREFIX: &str = "factory-";
/// Time limit for a deletion. The caller has a deadline of its own.
const GONE: Duration = Duration::from_secs(110);
/// Interval between searches for a resource whose create was not answered.
const AGAIN: Duration = Duration::from_secs(4);
/// Age after which an unanswered create is considered failed.
const GIVEN_UP: Duration = Duration::from_secs(15 * 60);

pub async fn delete(cloud: &OpenStack, run: &str, thing: &Entry) -> Result<(), CloudError> {
    if matches!(thing.kind, Kind::Process | Kind::Directory) {
        return cloud.host.delete(run, thing).await;
    }
    let ids = match &thing.id {
        Some(id) => vec![id.clone()],
        None => lost(cloud, run, thing).await?,
    };
    for id in &ids {
        match thing.kind {
            Kind::Machine => delete_server(cloud, run, id).await?,
            Kind::Volume => delete_volume(cloud, run, id).await?,
            Kind::Address => give_back(cloud, run, id).await?,
            Kind::SecurityGroup => delete_group(cloud, run, id).await?,
            Kind::Image => discard(cloud, run, id, &thing.name).await?,
            Kind::Process | Kind::Directory => {}
        }
    }
    Ok(())
}

/// IDs of resources whose create was not answered. If none is visible, the entry is kept until it
/// is old enough to be given up.
async fn lost(cloud: &OpenStack, run: &str, thing: &Entry) -> Result<Vec<String>, CloudError> {
    let age = || thing.unanswered.map(|at| Timestamp::now().duration_since(at).unsigned_abs());
    let (mut looks, begin) = (0, Instant::now());
    loop {
        match unnamed(cloud, run, thing).await {
            Ok(ids) if !ids.is_empty() => return Ok(ids),
            Ok(_) => looks += 1,
            // No answer is none: what may be there is not given up for that.
            Err(e) if e.kind() != ErrorKind::Unavailable || begin.elapsed() > cloud.patience => {
                return Err(e);
            }
            Err(_) => {}
        }
        if looks >= 2 && age().is_none_or(|age| age >= cloud.patience) {
            break;
        }
        tokio::time::sleep(AGAIN / HASTE).await;
    }
    match age() {
        Some(age) if age < GIVEN_UP => {
            let what = format!("delete {} {}", thing.kind.name(), thing.name);
            let reason = "the answer to its create was lost, and it is not to be seen so far: it \
                may still come to be there";
            Err(CloudError::refused(what, reason))
        }
        _ => Ok(Vec::new()),
    }
}

/// IDs of the run's resources with the name of an entry without an ID.
pub async fn unnamed(
    cloud: &OpenStack,
    run: &str,
    thing: &Entry,
) -> Result<Vec<String>, CloudError> {
    if thing.kind == Kind::Address {
        return addresses_of(cloud, run, &thing.name).await;
    }
    let mut found = of_kind(cloud, run, thing.kind).await?;
    if thing.kind == Kind::Image {
        found.extend(unmarked(cloud, run, &thing.name).await?);
    }
    Ok(found
        .into_iter()
        .filter(|(_, name, _)| *name == thing.name)
        .filter_map(|(_, _, id)| id)
        .collect())
}

/// Floating IPs have no name: the description names the run's machine. An address used by another
/// machine belongs to that one, whatever the ledger says.
async fn addresses_of(
    cloud: &OpenStack,
    run: &str,
    machine: &str,
) -> Result<Vec<String>, CloudError> {
    let (api, cancel) = (&cloud.api, Cancel::default());
    let all = neutron::floating_ips(api, &project(api, &cancel).await?, &cancel).await?;
    let wanted = description_for(run, machine);
    Ok(all
        .into_iter()
        .filter(|ip| ip.description.as_deref() == Some(&wanted))
        .map(|ip| ip.id)
        .collect())
}

pub async fn delete_server(cloud: &OpenStack, run: &str, id: &str) -> Result<(), CloudError> {
    let cancel = Cancel::default();
    let sent = AtomicBool::new(false);
    let gone = || async {
        let captured = cloud.seen.captured.take(|s| s.id == id);
        let seen = match captured {
            Some(server) => Some(server),
            None => nova::server(&cloud.api, id, &cancel).await?,
        };
        let gone = |s: &nova::Server| matches!(s.status.as_str(), "DELETED" | "SOFT_DELETED");
        let Some(server) = seen.filter(|s| !gone(s)) else { return Ok(Some(())) };
        if server.metadata.get(image::RUN).map(String::as_str) != Some(run) {
            return Err(foreign(format!("server {id}"), run));
        }
        if !sent.load(Relaxed) {
            nova::delete(&cloud.api, id, &cancel).await?;
            sent.store(true, Relaxed);
        }
        Ok(None)
    };
    done(&format!("delete server {id}"), &cancel, gone).await
}

/// Takes the steps of a deletion until it is done, or its time is over.
async fn done<F>(what: &str, cancel: &Cancel, step: impl Fn() -> F) -> Result<(), CloudError>
where
    F: Future<Output = Result<Option<()>, CloudError>>,
{
    let deadline = Deadline::after(GONE / HASTE);
    settle::until(wait(what, cancel, deadline, Duration::ZERO), step).await
}

pub async fn delete_volume(cloud: &OpenStack, run: &str, id: &str) -> Result<(), CloudError> {
    let cancel = Cancel::default();
    let gone = || async {
        let Some(volume) = cinder::volume(&cloud.api, id, &cancel).await? else {
            return Ok(Some(()));
        };
        if !is_volume_of(&volume, run) {
            return Err(foreign(format!("volume {id}"), run));
        }
        // A deleted server releases its volume with a delay; until then Cinder refuses.
        match cinder::delete(&cloud.api, id, &cancel).await {
            Err(e) if !matches!(e.status(), Some(400 | 409)) => Err(e.into()),
            Err(e) if volume.status == "error_deleting" => Err(e.into()),
            _ => Ok(None),
        }
    };
    done(&format!("delete volume {id}"), &cancel, gone).await
}

/// A volume restored from a backup has copied metadata, but a name of its own.
fn is_volume_of(volume: &cinder::Volume, run: &str) -> bool {
    let named =
        volume.name.as_deref().is_some_and(|name| name.starts_with(&format!("{PREFIX}{run}-")));
    named && volume.metadata.get(image::RUN).map(String::as_str) == Some(run)
}

async fn give_back(cloud: &OpenStack, run: &str, id: &str) -> Result<(), CloudError> {
    let cancel = Cancel::default();
    let made_here = cloud.seen.take_address(id);
    let gone = || async {
        if made_here.as_deref() != Some(run) {
            let seen = neutron::floating_ip(&cloud.api, id, &cancel).await?;
            let Some(ip) = seen else { return Ok(Some(())) };
            if run_of_description(ip.description.as_deref()) != Some(run) {
                return Err(foreign(format!("floating IP {}", ip.floating_ip_address), run));
            }
        }
        neutron::delete_floating_ip(&cloud.api, id, &cancel).await?;
        Ok(Some(()))
    };
    done(&format!("delete floating IP {id}"), &cancel, gone).await
}

async fn delete_group(cloud: &OpenStack, run: &str, id: &str) -> Result<(), CloudError> {
    let cancel = Cancel::default();
    cloud.group.lock().await.retain(|_, known| known.id != id);
    let gone = || async {
        let seen = neutron::group(&cloud.api, id, &cancel).await?;
        let Some(group) = seen else { return Ok(Some(())) };
        if run_of_description(group.description.as_deref()) != Some(run) {
            return Err(foreign(format!("security group {}", group.name), run));
        }
        match neutron::delete_group(&cloud.api, id, &cancel).await {
            Ok(()) => Ok(Some(())),
            // A port of a server that is just gone still has it.
            Err(e) if e.status() == Some(409) => Ok(None),
            Err(e) => Err(e.into()),
        }
    };
    done(&format!("delete security group {id}"), &cancel, gone).await
}

async fn discard(cloud: &OpenStack, run: &str, id: &str, name: &str) -> Result<(), CloudError> {
    let cancel = Cancel::default();
    let gone = || async {
        let seen = glance::image(&cloud.api, id, &cancel).await?;
        let Some(record) = seen else { return Ok(Some(())) };
        let image = record.image(&project(&cloud.api, &cancel).await?);
        if !image.is_staged_by(run) && !is_unmarked(&image, run) {
            // Published, or kept as a checkpoint, meanwhile: it is no run's any more.
            let kept =
                image.properties.get(image::RUN).is_some_and(|r| r == run) && image.is_ours();
            let foreign = || Err(foreign(format!("image {name} ({id})"), run));
            return if kept { Ok(Some(())) } else { foreign() };
        }
        match glance::delete(&cloud.api, id, &cancel).await {
            Ok(()) => Ok(Some(())),
            // In use by a server that goes away.
            Err(e) if e.status() == Some(409) => Ok(None),
            Err(e) => Err(e.into()),
        }
    };
    done(&format!("delete image {name}"), &cancel, gone).await
}

/// Images that the run's ledger lists but that carry no owner tags: Cinder created them with the
/// volume's image properties.
async fn unmarked(cloud: &OpenStack, run: &str, name: &str) -> Result<Vec<Found>, CloudError> {
    let (api, cancel) = (&cloud.api, Cancel::default());
    let project = project(api, &cancel).await?;
    let all = glance::images(api, &[("name", name.to_owned())], &cancel).await?;
    let of_run = all.iter().map(|i| i.image(&project)).filter(|i| is_unmarked(i, run));
    Ok(of_run.map(|i| (Kind::Image, i.name, Some(i.id))).collect())
}

/// Whether an image has a name of the run, and nothing indicates another maker. Not sufficient for
/// deletion without the ledger.
fn is_unmarked(image: &Image, run: &str) -> bool {
    let has = |key: &str| image.properties.contains_key(key);
    let staged = image.properties.get(image::STATE).is_some_and(|state| state == "building");
    // Nova makes no snapshot without these, and Cinder none with them.
    let of_nova = has("image_type") || has("instance_uuid");
    image.stranger.is_none()
        && image::is_staged_name(&image.name, run)
        && !staged
        && !of_nova
        && !image.is_ours()
}

/// Resources of `run` of one kind.
async fn of_kind(cloud: &OpenStack, run: &str, kind: Kind) -> Result<Vec<Found>, CloudError> {
    let (api, cancel) = (&cloud.api, Cancel::default());
    let is_of = |metadata: &std::collections::BTreeMap<String, String>| {
        metadata.get(image::RUN).map(String::as_str) == Some(run)
    };
    let ours =
        |description: &Option<String>| run_of_description(description.as_deref()) == Some(run);
    Ok(match kind {
        Kind::Machine => {
            let all = nova::servers(api, &format!("{PREFIX}{run}-"), &cancel).await?;
            all.into_iter()
                .filter(|s| is_of(&s.metadata))
                .map(|s| (kind, s.name, Some(s.id)))
                .collect()
        }
        Kind::Volume if api.has(Service::Volume, &cancel).await? => {
            let all = cinder::volumes(api, &cancel).await?;
            all.into_iter()
                .filter(|v| is_volume_of(v, run))
                .map(|v| (kind, v.name.unwrap_or_default(), Some(v.id)))
                .collect()
        }
        Kind::Address => {
            let all = neutron::floating_ips(api, &project(api, &cancel).await?, &cancel).await?;
            let of_it = all.into_iter().filter(|f| ours(&f.description));
            of_it.map(|f| (kind, f.floating_ip_address, Some(f.id))).collect()
        }
        Kind::SecurityGroup => {
            let all = neutron::groups(api, &project(api, &cancel).await?, &cancel).await?;
            all.into_iter()
                .filter(|g| ours(&g.description))
                .map(|g| (kind, g.name, Some(g.id)))
                .collect()
        }
        Kind::Image => {
            let project = project(api, &cancel).await?;
            let all = glance::images(api, &[(image::RUN, run.to_owned())], &cancel).await?;
            let staged = all.iter().map(|i| i.image(&project)).filter(|i| i.is_staged_by(run));
            staged.map(|i| (kind, i.name, Some(i.id))).collect()
        }
        Kind::Volume | Kind::Process | Kind::Directory => Vec::new(),
    })
}

async fn project(api: &Api, cancel: &Cancel) -> Result<String, CloudError> {
    Ok(api.project(cancel).await?)
}

/// In deletion order: users before what they use.
pub async fn owned(cloud: &OpenStack, run: &str) -> Result<Vec<Entry>, CloudError> {
    let (mut found, dirs): (Vec<_>, Vec<_>) =
        cloud.host.owned(run)?.into_iter().partition(|(kind, ..)| *kind == Kind::Process);
    for kind in [Kind::Machine, Kind::Address, Kind::SecurityGroup, Kind::Volume, Kind::Image] {
        found.extend(of_kind(cloud, run, kind).await?);
    }
    found.extend(dirs);
    Ok(local_resources::entries(found))
}

pub async fn runs(cloud: &OpenStack) -> Result<Vec<String>, CloudError> {
    let (api, cancel) = (&cloud.api, Cancel::default());
    let project = project(api, &cancel).await?;
    let mut runs = cloud.host.runs();
    runs.extend(
        nova::servers(api, PREFIX, &cancel)
            .await?
            .into_iter()
            .filter_map(|mut s| s.metadata.remove(image::RUN)),
    );
    let text = |d: Option<String>| run_of_description(d.as_deref()).map(str::to_owned);
    runs.extend(
        neutron::floating_ips(api, &project, &cancel)
            .await?
            .into_iter()
            .filter_map(|f| text(f.description)),
    );
    runs.extend(
        neutron::groups(api, &project, &cancel)
            .await?
            .into_iter()
            .filter_map(|g| text(g.description)),
    );
    if api.has(Service::Volume, &cancel).await? {
        runs.extend(
            cinder::volumes(api, &cancel)
                .await?
                .into_iter()
                .filter_map(|mut v| v.metadata.remove(image::RUN)),
        );
    }
    let staged = glance::images(api, &[(image::STATE, "building".to_owned())], &cancel).await?;
    runs.extend(staged.iter().filter_map(|i| {
        let run = i.property(image::RUN)?;
        i.image(&project).is_staged_by(run).then(|| run.to_owned())
    }));
    Ok(runs.into_iter().collect())
}

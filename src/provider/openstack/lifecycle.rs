//! Published images: users, lifecycle changes, deletion.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::glance::{self, Patch, Record};
use super::{OpenStack, cinder, nova, settle};
use crate::model::image::{self, Image, Lifecycle, Visibility};
use crate::provider::artifacts::overtaken;
use crate::provider::openstack::api::{ApiError, Service};
use crate::provider::{self, CloudError, RunCx};
use crate::system::cancel::Cancel;

/// Reads the image again, and checks that it may be changed: owned by this project, published, with
/// a proof.
async fn ours(
    cloud: &OpenStack,
    image: &Image,
    what: &str,
    cancel: &Cancel,
) -> Result<Option<Record>, CloudError> {
    let Some(record) = glance::image(&cloud.api, &image.id, cancel).await? else { return Ok(None) };
    match provider::why_immutable(&record.image(&cloud.api.project(cancel).await?)) {
        Some(why) => Err(CloudError::refused(what, why)),
        None => Ok(Some(record)),
    }
}

/// Applies one change to an image that stands as it was judged, and reads it back. Glance compares
/// nothing with a change, so that a moment remains between the last look and the write.
pub async fn set(
    cloud: &OpenStack,
    cx: &RunCx,
    image: &Image,
    to: &Lifecycle,
) -> Result<Image, CloudError> {
    let what = format!("change image {}", image.name);
    let gone = || CloudError::refused(&what, format!("image {} is gone", image.id));
    let now = ours(cloud, image, &what, &cx.cancel).await?.ok_or_else(gone)?;
    let project = cloud.api.project(&cx.cancel).await?;
    if change(&now, to).is_empty() {
        return Ok(now.image(&project));
    }
    let late = |now: &Record| {
        let now = now.image(&project);
        overtaken(image, &now).filter(|_| now.standing() != *to)
    };
    if let Some(why) = late(&now) {
        return Err(CloudError::refused(&what, why));
    }
    // After a lost answer the image is looked at again, and may be another's by then.
    let left = |now: &Record| match late(now) {
        Some(_) => Patch::default(),
        None => change(now, to),
    };
    let after = changed(cloud, cx, now, left).await?.ok_or_else(gone)?;
    let left = change(&after, to);
    match late(&after) {
        Some(why) => Err(CloudError::refused(&what, why)),
        None if left.is_empty() => Ok(after.image(&project)),
        None => Err(CloudError::refused(
            &what,
            format!("Glance took the change, and shows something else: {left:?} is not done"),
        )),
    }
}

/// Makes one change and reads the image back. What was written is asked for even when a signal came
/// meanwhile; a second one ends that.
async fn changed(
    cloud: &OpenStack,
    cx: &RunCx,
    record: Record,
    left: impl Fn(&Record) -> Patch,
) -> Result<Option<Record>, CloudError> {
    cx.cancel.check()?;
    let (id, cancel) = (record.id().to_owned(), cx.cancel.for_unwind());
    settle::change(cloud, record, &cancel, left).await?;
    settle::read(cloud, &id, &cancel).await
}

/// Adds the proof of origin to an image without one.
pub async fn adopt(cloud: &OpenStack, cx: &RunCx, image: &Image) -> Result<Image, CloudError> {
    let what = format!("adopt image {}", image.name);
    let gone = || CloudError::refused(&what, format!("image {} is gone", image.id));
    let project = cloud.api.project(&cx.cancel).await?;
    let now = glance::image(&cloud.api, &image.id, &cx.cancel).await?.ok_or_else(gone)?;
    let mut adopted = now.image(&project);
    if let Some(why) = provider::artifacts::unadoptable(&adopted) {
        return Err(CloudError::refused(&what, why));
    }
    if adopted.is_ours() {
        return Ok(adopted);
    }
    adopted.prove(adopted.created);
    let proof = |now: &Record| {
        let mut patch = Patch::default();
        for key in [image::IMAGE_ID, image::PUBLISHED_AT] {
            if now.property(key) != Some(&adopted.properties[key]) {
                patch.set(key, adopted.properties[key].as_str());
            }
        }
        tag(now, adopted.standing().is_listed(), &mut patch);
        patch
    };
    let after = changed(cloud, cx, now, proof).await?.ok_or_else(gone)?.image(&project);
    match after.is_ours() {
        true => Ok(after),
        false => {
            Err(CloudError::refused(&what, "Glance took the change, and shows the image as it was"))
        }
    }
}

/// Sets or removes the tag for other clients.
fn tag(now: &Record, listed: bool, patch: &mut Patch) {
    let had = now.tags();
    let tags: BTreeSet<String> =
        image::with_mark(had.iter().cloned().collect(), listed).into_iter().collect();
    if tags != had {
        patch.replace("tags", json!(tags));
    }
}

fn change(now: &Record, to: &Lifecycle) -> Patch {
    let mut patch = Patch::default();
    if now.property(image::STATE) != Some(to.state.name()) {
        patch.set(image::STATE, to.state.name());
    }
    if now.flag("os_hidden") != to.hidden {
        patch.replace("os_hidden", json!(to.hidden));
    }
    for (key, time) in to.times() {
        match (now.property(key), time) {
            (Some(_), None) => patch.remove(key),
            (had, Some(at)) if had != Some(&at) => patch.set(key, at),
            _ => {}
        }
    }
    tag(now, to.is_listed(), &mut patch);
    patch
}

/// Servers that boot from an image, and volumes created from it, in this project. Other projects'
/// machines are invisible, so an image that they may use counts as used.
pub async fn uses(
    cloud: &OpenStack,
    images: &[Image],
) -> Result<BTreeMap<String, String>, CloudError> {
    let (api, cancel) = (&cloud.api, Cancel::default());
    if images.is_empty() {
        return Ok(BTreeMap::new());
    }
    let volumes = async {
        match api.has(Service::Volume, &cancel).await? {
            true => cinder::volumes(api, &cancel).await,
            false => Ok(Vec::new()),
        }
    };
    let (servers, volumes) = tokio::try_join!(nova::all_servers(api, &cancel), volumes)?;
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let servers = servers.iter().filter_map(|s| Some((s.image()?, format!("server {}", s.name))));
    let volumes =
        volumes.iter().filter_map(|v| Some((v.image()?, format!("volume {}", v.label()))));
    for (id, user) in servers.chain(volumes).filter(|(id, _)| images.iter().any(|i| i.id == *id)) {
        users.entry(id.to_owned()).or_default().push(user);
    }
    let mut uses = provider::artifacts::describe_users(users);
    for image in images {
        if uses.contains_key(&image.id) {
            continue;
        }
        let open = match image.visibility {
            Visibility::Private => None,
            // Glance calls an image shared before anybody is named.
            Visibility::Shared => {
                (!glance::members(api, &image.id, &cancel).await?.is_empty()).then_some("shared")
            }
            Visibility::Community => Some("a community image"),
            Visibility::Public => Some("public"),
        };
        if let Some(word) = open {
            uses.insert(
                image.id.clone(),
                format!("it is {word}: who uses it in other projects cannot be seen"),
            );
        }
    }
    Ok(uses)
}

/// The image as it is, if it may be deleted by what it shows itself.
async fn deletable(
    cloud: &OpenStack,
    cx: &RunCx,
    judged: &Image,
    what: &str,
) -> Result<Option<Image>, CloudError> {
    let Some(now) = ours(cloud, judged, what, &cx.cancel).await? else { return Ok(None) };
    let now = now.image(&cloud.api.project(&cx.cancel).await?);
    let protected = now.protected.then(|| "it is protected".to_owned());
    match overtaken(judged, &now).or(protected) {
        Some(why) => Err(CloudError::refused(what, why)),
        None => Ok(Some(now)),
    }
}

pub async fn discard(cloud: &OpenStack, cx: &RunCx, image: &Image) -> Result<(), CloudError> {
    let what = format!("delete image {}", image.name);
    let Some(now) = deletable(cloud, cx, image, &what).await? else { return Ok(()) };
    if let Some(user) = uses(cloud, std::slice::from_ref(&now)).await?.remove(&now.id) {
        return Err(CloudError::refused(what, user));
    }
    // On a large cloud it takes seconds to list all servers and volumes.
    if deletable(cloud, cx, image, &what).await?.is_none() {
        return Ok(());
    }
    cx.cancel.check()?;
    match glance::delete(&cloud.api, &now.id, &cx.cancel.for_unwind()).await {
        Err(ApiError::Cancelled(stopped)) => {
            Err(CloudError::Unknown { what, reason: stopped.to_string() })
        }
        done => Ok(done?),
    }
}

//! Calls of Cinder: volumes that machines boot from. Source: the Block Storage API v3 reference.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, ApiError, Service};
use super::nova::{PAGE, absent_is_fine, room_left, usable_zones};
use super::pages::{self, List};
use crate::model::facts::{Named, QuotaHeadroom};
use crate::model::placement::VolumePlan;
use crate::system::cancel::Cancel;

#[derive(Debug, Clone, Deserialize)]
pub struct Volume {
    pub id: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub encrypted: bool,
    /// Properties and `image_id` of the image that the volume was created from, as of then.
    #[serde(default)]
    volume_image_metadata: Value,
}

impl Volume {
    /// Image that it was created from.
    pub fn image(&self) -> Option<&str> {
        self.volume_image_metadata["image_id"].as_str()
    }

    /// Name for people.
    pub fn label(&self) -> &str {
        self.name.as_deref().filter(|n| !n.is_empty()).unwrap_or(&self.id)
    }
}

#[derive(Deserialize)]
struct One {
    volume: Volume,
}

/// `None` if absent.
pub async fn volume(api: &Api, id: &str, cancel: &Cancel) -> Result<Option<Volume>, ApiError> {
    match api
        .get(Service::Volume, &["volumes", id])
        .what(format!("look at volume {id}"))
        .fetch::<One>(cancel)
        .await
    {
        Ok(one) => Ok(Some(one.volume)),
        Err(e) if e.status() == Some(404) => Ok(None),
        Err(e) => Err(e),
    }
}

/// All volumes of the project.
pub async fn volumes(api: &Api, cancel: &Cancel) -> Result<Vec<Volume>, ApiError> {
    let list = List { what: "list volumes".into(), key: "volumes", page: Some(PAGE) };
    pages::all(list, || api.get(Service::Volume, &["volumes", "detail"]), cancel).await
}

/// A volume to create, empty or from an image.
pub struct NewVolume<'a> {
    pub name: &'a str,
    pub wanted: &'a VolumePlan,
    pub image: Option<&'a str>,
    pub metadata: &'a BTreeMap<String, String>,
}

/// Sends one create request.
pub async fn create(api: &Api, new: &NewVolume<'_>, cancel: &Cancel) -> Result<Volume, ApiError> {
    let NewVolume { name, wanted, image, metadata } = *new;
    let mut body = json!({ "name": name, "size": wanted.size_gib, "metadata": metadata });
    if let Some(image) = image {
        body["imageRef"] = json!(image);
    }
    if let Some(kind) = &wanted.kind {
        body["volume_type"] = json!(kind);
    }
    if let Some(zone) = &wanted.zone {
        body["availability_zone"] = json!(zone);
    }
    let call = api.post(Service::Volume, &["volumes"]).json(&json!({ "volume": body }));
    Ok(call.what(format!("create volume {name}")).fetch::<One>(cancel).await?.volume)
}

/// Sets properties in Cinder's copy of the image metadata, which images made of the volume inherit.
/// `false` if the cloud does not permit it.
pub async fn describe_image(
    api: &Api,
    id: &str,
    properties: &BTreeMap<String, String>,
    cancel: &Cancel,
) -> Result<bool, ApiError> {
    let body = json!({ "os-set_image_metadata": { "metadata": properties } });
    let call = api.post(Service::Volume, &["volumes", id, "action"]).json(&body);
    match call.what(format!("describe the image of volume {id}")).send(cancel).await {
        Ok(_) => Ok(true),
        // By policy, or from before there was such a call.
        Err(e) if matches!(e.status(), Some(400 | 403 | 404)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Sends one request to upload a volume to Glance; returns the image's ID.
pub async fn upload(api: &Api, id: &str, image: &str, cancel: &Cancel) -> Result<String, ApiError> {
    let what = format!("upload volume {id} as image {image}");
    let body = json!({ "os-volume_upload_image": { "image_name": image, "disk_format": "qcow2",
        "container_format": "bare", "force": false } });
    let answer: Value = api
        .post(Service::Volume, &["volumes", id, "action"])
        .json(&body)
        .what(what.clone())
        .fetch(cancel)
        .await?;
    let id = answer["os-volume_upload_image"]["image_id"].as_str();
    id.map(str::to_owned).ok_or_else(|| ApiError::bad_answer(what, "no image ID"))
}

pub async fn delete(api: &Api, id: &str, cancel: &Cancel) -> Result<(), ApiError> {
    absent_is_fine(
        api.delete(Service::Volume, &["volumes", id])
            .what(format!("delete volume {id}"))
            .send(cancel)
            .await
            .map(drop),
    )
}

/// Volume types.
pub async fn types(api: &Api, cancel: &Cancel) -> Result<Vec<Named>, ApiError> {
    let list = List { what: "list volume types".into(), key: "volume_types", page: Some(PAGE) };
    pages::all(list, || api.get(Service::Volume, &["types"]), cancel).await
}

/// Whether volumes of this type, or of the default type, are encrypted. `None` if not disclosed.
pub async fn encrypts(
    api: &Api,
    types: &[Named],
    wanted: Option<&str>,
    cancel: &Cancel,
) -> Option<bool> {
    let id = match wanted {
        Some(wanted) => types.iter().find(|t| t.id == wanted || t.name == wanted)?.id.clone(),
        None => told(api, &["types", "default"], cancel).await?["volume_type"]["id"]
            .as_str()?
            .to_owned(),
    };
    let encryption = told(api, &["types", &id, "encryption"], cancel).await?;
    Some(encryption["provider"].is_string() || encryption["encryption_id"].is_string())
}

async fn told(api: &Api, path: &[&str], cancel: &Cancel) -> Option<Value> {
    api.get(Service::Volume, path).what("look at the volume type").fetch(cancel).await.ok()
}

/// Names of available zones; empty if not disclosed.
pub async fn zones(api: &Api, cancel: &Cancel) -> Result<Vec<String>, ApiError> {
    let answer: Value = api
        .get(Service::Volume, &["os-availability-zone"])
        .what("list availability zones of volumes")
        .fetch(cancel)
        .await?;
    Ok(usable_zones(&answer))
}

/// Remaining quota of volumes and GiB.
pub async fn room(api: &Api, cancel: &Cancel) -> Result<QuotaHeadroom, ApiError> {
    let answer: Value = api
        .get(Service::Volume, &["limits"])
        .what("read the limits of volumes")
        .fetch(cancel)
        .await?;
    let limits = &answer["limits"]["absolute"];
    let left = |most: &str, used: &str| room_left(limits[most].as_i64(), limits[used].as_i64());
    Ok(QuotaHeadroom {
        volumes: left("maxTotalVolumes", "totalVolumesUsed"),
        volume_gib: left("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
        ..QuotaHeadroom::default()
    })
}

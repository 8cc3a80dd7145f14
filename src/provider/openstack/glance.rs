//! Glance, as far as the factory needs it, and its images in the factory's words. Source: the Image
//! API v2 reference.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Api, ApiError, Call, Service};
use super::nova::{absent_is_fine, room_left};
use super::pages::{self, List};
use crate::model::digest::{Algorithm, Digest};
use crate::model::facts::{Leave, Publishing, QuotaHeadroom};
use crate::model::image::{self, Image, State, Visibility};
use crate::model::units::GIB;
use crate::system::cancel::Cancel;

mod unusable;

/// Keys of an image that are not custom properties. Source: `/v2/schemas/image`.
const OWN_KEYS: &[&str] = &[
    "checksum",
    "container_format",
    "created_at",
    "direct_url",
    "disk_format",
    "file",
    "id",
    "locations",
    "min_disk",
    "min_ram",
    "name",
    "os_hash_algo",
    "os_hash_value",
    "os_hidden",
    "owner",
    "protected",
    "schema",
    "self",
    "size",
    "status",
    "stores",
    "tags",
    "updated_at",
    "virtual_size",
    "visibility",
];

/// An image as Glance shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Record(Map<String, Value>);

impl Record {
    #[cfg(test)]
    pub fn of(map: Map<String, Value>) -> Self {
        Self(map)
    }

    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key).and_then(Value::as_u64)
    }

    pub fn id(&self) -> &str {
        self.text("id")
    }

    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// `queued`, `saving`, `active`, `killed`, `deleted` and what later versions add.
    pub fn status(&self) -> &str {
        self.text("status")
    }

    pub fn size(&self) -> u64 {
        self.number("size").unwrap_or(0)
    }

    /// Of the content, as Glance took it; `None` on clouds that are set to another algorithm, or
    /// were made before there was one.
    pub fn sha512(&self) -> Option<Digest> {
        (self.text("os_hash_algo") == "sha512")
            .then(|| Digest::parse(Algorithm::Sha512, self.text("os_hash_value")))
            .flatten()
    }

    pub fn owner(&self) -> &str {
        self.text("owner")
    }

    pub fn property(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    /// Custom properties; those that are no text are not ours to judge.
    pub fn properties(&self) -> BTreeMap<String, String> {
        let custom = self.0.iter().filter(|(key, _)| !OWN_KEYS.contains(&key.as_str()));
        custom.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    pub fn tags(&self) -> BTreeSet<String> {
        let tags = self.0.get("tags").and_then(Value::as_array).into_iter().flatten();
        tags.filter_map(|t| t.as_str().map(str::to_owned)).collect()
    }

    pub fn visibility(&self) -> Visibility {
        match self.text("visibility") {
            "public" => Visibility::Public,
            "shared" => Visibility::Shared,
            "community" => Visibility::Community,
            _ => Visibility::Private,
        }
    }

    pub fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn min_disk_gib(&self) -> u64 {
        self.number("min_disk").unwrap_or(0)
    }

    pub fn min_ram_mib(&self) -> u64 {
        self.number("min_ram").unwrap_or(0)
    }

    /// In the factory's words, as `project` sees it. An image without `factory_state` was made by
    /// others, and is in use.
    pub fn image(&self, project: &str) -> Image {
        let state = match self.property(image::STATE) {
            Some("building" | image::KEPT_CHECKPOINT) => State::Staged,
            _ if self.status() != "active" => State::Staged,
            Some("deprecated") => State::Deprecated,
            _ => State::Active,
        };
        let created = self.text("created_at").parse().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let sum = self.sha512().map(|d| d.hex).unwrap_or_default();
        Image {
            id: self.id().into(),
            name: self.name().into(),
            family: self.property(image::FAMILY).unwrap_or_default().into(),
            state,
            created,
            size: self.size(),
            virtual_size: self.virtual_size(),
            checksum: sum,
            properties: self.properties(),
            tags: self.tags().into_iter().collect(),
            min_disk_gib: self.min_disk_gib(),
            min_ram_mib: self.min_ram_mib(),
            visibility: self.visibility(),
            protected: self.flag("protected"),
            hidden: self.flag("os_hidden"),
            stranger: (self.owner() != project).then(|| match self.owner() {
                "" => "it belongs to no project".to_owned(),
                owner => format!("it belongs to another project, {owner}"),
            }),
            unusable: unusable::why(self),
        }
    }

    /// Whether it is a checkpoint that proves itself: a copy has the ID of another.
    pub fn is_kept_checkpoint(&self, project: &str) -> bool {
        self.property(image::STATE) == Some(image::KEPT_CHECKPOINT)
            && self.property(image::IMAGE_ID) == Some(self.id())
            && self.owner() == project
    }

    /// Bytes of the disk that a machine sees.
    pub fn virtual_size(&self) -> u64 {
        // Old clouds do not look into what they are given.
        self.number("virtual_size").unwrap_or_else(|| (self.min_disk_gib() * GIB).max(self.size()))
    }

    /// It has properties of the factory's, its own or another's.
    pub fn has_marks(&self) -> bool {
        self.0.keys().any(|key| key.starts_with("factory_"))
    }
}

/// `None`: it is not there, or not for us to see.
pub async fn image(api: &Api, id: &str, cancel: &Cancel) -> Result<Option<Record>, ApiError> {
    match api
        .get(Service::Image, &["images", id])
        .what(format!("look at image {id}"))
        .fetch(cancel)
        .await
    {
        Ok(record) => Ok(Some(Record(record))),
        Err(e) if e.status() == Some(404) => Ok(None),
        Err(e) => Err(e),
    }
}

/// All images that match, newest first.
pub async fn images(
    api: &Api,
    query: &[(&str, String)],
    cancel: &Cancel,
) -> Result<Vec<Record>, ApiError> {
    let list = List { what: "list images".into(), key: "images", page: Some(200) };
    let call = || {
        let newest = api.get(Service::Image, &["images"]).query("sort", "created_at:desc");
        query.iter().fold(newest, |call, (key, value)| call.query(key, value))
    };
    pages::all(list, call, cancel).await
}

/// Sends one create of an image without content; returns the ID.
pub async fn create(
    api: &Api,
    name: &str,
    properties: &BTreeMap<String, String>,
    cancel: &Cancel,
) -> Result<String, ApiError> {
    let mut body = json!({ "name": name, "disk_format": "qcow2", "container_format": "bare",
        "visibility": "private" });
    for (key, value) in properties {
        body[key] = json!(value);
    }
    let what = format!("create image {name}");
    let record: Map<String, Value> =
        api.post(Service::Image, &["images"]).json(&body).what(what.clone()).fetch(cancel).await?;
    let id = record.get("id").and_then(Value::as_str);
    id.map(str::to_owned).ok_or_else(|| ApiError::bad_answer(what, "no ID"))
}

/// The request that sends the content of an image. After a lost answer the caller looks first.
pub fn upload<'a>(
    api: &'a Api,
    id: &str,
    file: &Path,
    progress: impl Fn(u64, u64) + Send + Sync + 'static,
) -> Call<'a> {
    let call = api.put(Service::Image, &["images", id, "file"]).file(file, progress);
    call.once_in_doubt().what(format!("upload image {id}"))
}

/// One change of an image, whole or not at all. Source: the JSON patch of Glance's v2.1, a subset
/// of RFC 6902.
#[derive(Debug, Default)]
pub struct Patch(Vec<Value>);

impl Patch {
    /// Sets a key, whether it is there or not.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push(json!({ "op": "add", "path": pointer(key), "value": value.into() }));
    }

    /// Replaces the value of a key that every image has.
    pub fn replace(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push(json!({ "op": "replace", "path": pointer(key), "value": value.into() }));
    }

    pub fn remove(&mut self, key: &str) {
        self.0.push(json!({ "op": "remove", "path": pointer(key) }));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// RFC 6901.
fn pointer(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Sends one change. After a lost answer [`settle::change`](super::settle::change) looks first.
pub async fn patch(
    api: &Api,
    id: &str,
    patch: &Patch,
    cancel: &Cancel,
) -> Result<Record, ApiError> {
    // With any other type Glance answers 415.
    const TYPE: &str = "application/openstack-images-v2.1-json-patch";
    let body = serde_json::to_vec(&patch.0).expect("JSON can be written");
    let call = api.patch(Service::Image, &["images", id]).body(TYPE, body);
    call.once_in_doubt().what(format!("change image {id}")).fetch(cancel).await.map(Record)
}

/// Lets a project see a shared image; one that may already is no error.
pub async fn add_member(
    api: &Api,
    id: &str,
    project: &str,
    cancel: &Cancel,
) -> Result<(), ApiError> {
    let call = api
        .post(Service::Image, &["images", id, "members"])
        .json(&json!({ "member": project }))
        .idempotent();
    match call.what(format!("share image {id} with project {project}")).send(cancel).await {
        Err(e) if e.status() == Some(409) => Ok(()),
        done => done.map(drop),
    }
}

pub async fn members(api: &Api, id: &str, cancel: &Cancel) -> Result<BTreeSet<String>, ApiError> {
    let answer: Value = api
        .get(Service::Image, &["images", id, "members"])
        .what(format!("list members of image {id}"))
        .fetch(cancel)
        .await?;
    let all = answer["members"].as_array().cloned().unwrap_or_default();
    Ok(all.iter().filter_map(|m| m["member_id"].as_str().map(str::to_owned)).collect())
}

pub async fn delete(api: &Api, id: &str, cancel: &Cancel) -> Result<(), ApiError> {
    absent_is_fine(
        api.delete(Service::Image, &["images", id])
            .what(format!("delete image {id}"))
            .send(cancel)
            .await
            .map(drop),
    )
}

/// Images that the project may still have, and MiB of them. Clouds that have no such limits in
/// Keystone, or are from before there were any, tell none; one of theirs may be set in Glance's own
/// settings all the same.
pub async fn room(api: &Api, cancel: &Cancel) -> Result<QuotaHeadroom, ApiError> {
    let answer: Value = match api
        .get(Service::Image, &["info", "usage"])
        .what("read the limits of images")
        .fetch(cancel)
        .await
    {
        Ok(answer) => answer,
        Err(e) if matches!(e.status(), Some(403 | 404)) => return Ok(QuotaHeadroom::default()),
        Err(e) => return Err(e),
    };
    let left = |key: &str| {
        let limit = &answer["usage"][key];
        room_left(limit["limit"].as_i64(), limit["usage"].as_i64())
    };
    let unlimited =
        answer["usage"]["image_size_total"]["limit"].as_i64().is_some_and(|most| most < 0);
    Ok(QuotaHeadroom {
        images: left("image_count_total"),
        image_mib: left("image_size_total").or(unlimited.then_some(u64::MAX)),
        ..QuotaHeadroom::default()
    })
}

/// The name of what [`may_publish`] would make, if it made anything.
const QUESTION: &str = "image-factory-asks-for-leave";

/// Whether Glance would let us make an image with this visibility and these properties. It is asked
/// to make one under the ID of an image that is there: it looks at the policy first, then refuses
/// with 409.
pub async fn may_publish(api: &Api, taken: &str, wanted: &Publishing, cancel: &Cancel) -> Leave {
    let mut body = json!({
        "id": taken, "name": QUESTION, "disk_format": "qcow2", "container_format": "bare",
        "visibility": wanted.visibility.word(),
    });
    for (key, value) in &wanted.properties {
        body[key] = json!(value);
    }
    let call = api.post(Service::Image, &["images"]).json(&body).what("ask for leave to publish");
    let made: Result<Map<String, Value>, ApiError> = call.fetch(cancel).await;
    match made {
        Err(e) if e.status() == Some(409) => Leave::Given,
        Err(e) if matches!(e.status(), Some(400 | 403 | 413)) => Leave::Refused(e.reason()),
        Err(e) => Leave::Unknown(e.reason()),
        // The image that had the ID was deleted, and purged, since we saw it.
        Ok(made) => {
            let ours = made.get("name").and_then(Value::as_str) == Some(QUESTION)
                && made.get("id").and_then(Value::as_str) == Some(taken);
            let removed = if ours { delete(api, taken, cancel).await } else { Ok(()) };
            match removed {
                Ok(()) => Leave::Given,
                Err(e) => Leave::Unknown(format!(
                    "image {QUESTION} ({taken}) was made by asking, and is left: {}",
                    e.reason()
                )),
            }
        }
    }
}

/// ID of some image that we may see.
pub async fn any(api: &Api, cancel: &Cancel) -> Result<Option<String>, ApiError> {
    let call = api.get(Service::Image, &["images"]).query("limit", "1").what("list images");
    let answer: Value = call.fetch(cancel).await?;
    Ok(answer["images"][0]["id"].as_str().map(str::to_owned))
}

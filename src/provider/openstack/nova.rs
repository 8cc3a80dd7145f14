//! Calls of Nova. Parses tolerantly, because clouds omit fields and add states. Source: the Compute
//! API reference; microversion 2.1 unless stated otherwise.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, ApiError, Call, Service};
use super::pages::{self, List};
use crate::model::facts::{Flavor, Leave, Named, QuotaHeadroom};
use crate::system::cancel::Cancel;

/// Microversion in which `createImage` returns the image's ID; earlier ones have only the
/// `Location` header.
const IMAGE_ID: (u16, u16) = (2, 45);

#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    pub fault: Option<Fault>,
    #[serde(default)]
    pub addresses: BTreeMap<String, Vec<Address>>,
    /// Its availability zone; empty until scheduled.
    #[serde(rename = "OS-EXT-AZ:availability_zone", default)]
    pub zone: Option<String>,
    #[serde(rename = "OS-EXT-STS:task_state")]
    pub task_state: Option<String>,
    #[serde(rename = "OS-EXT-STS:power_state")]
    pub power_state: Option<u32>,
    /// A map if it boots from an image, an empty text if it boots from a volume.
    #[serde(default)]
    image: Value,
    #[serde(rename = "os-extended-volumes:volumes_attached", default)]
    volumes: Vec<Attached>,
    /// A map with its ID.
    #[serde(default)]
    flavor: Value,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Fault {
    #[serde(default)]
    pub message: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Address {
    pub addr: String,
    #[serde(default)]
    pub version: u8,
    #[serde(rename = "OS-EXT-IPS:type")]
    pub kind: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Attached {
    id: String,
}

impl Server {
    /// Its boot volume; `None` if it boots from an image.
    pub fn boot_volume(&self) -> Option<&str> {
        if self.image.is_object() { None } else { self.volumes.first().map(|v| v.id.as_str()) }
    }

    /// ID of its flavor.
    pub fn flavor(&self) -> Option<&str> {
        self.flavor["id"].as_str()
    }

    /// Image that it boots from.
    pub fn image(&self) -> Option<&str> {
        self.image["id"].as_str()
    }

    /// Cause of its ERROR state.
    pub fn fault(&self) -> String {
        self.fault.as_ref().map_or_else(|| "Nova gives no reason".to_owned(), |f| f.message.clone())
    }
}

#[derive(Deserialize)]
struct One {
    server: Server,
}

/// Page size to request; an operator may have set a lower limit. Source: the Compute and Block
/// Storage API guides, paginated collections.
pub const PAGE: usize = 500;

/// `None` if absent.
pub async fn server(api: &Api, id: &str, cancel: &Cancel) -> Result<Option<Server>, ApiError> {
    match api
        .get(Service::Compute, &["servers", id])
        .what(format!("look at server {id}"))
        .fetch::<One>(cancel)
        .await
    {
        Ok(one) => Ok(Some(one.server)),
        Err(e) if e.status() == Some(404) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Servers whose name begins with `prefix`. The factory's names contain no pattern characters.
pub async fn servers(api: &Api, prefix: &str, cancel: &Cancel) -> Result<Vec<Server>, ApiError> {
    let call =
        || api.get(Service::Compute, &["servers", "detail"]).query("name", format!("^{prefix}"));
    let all: Vec<Server> = pages::all(list("servers"), call, cancel).await?;
    Ok(all.into_iter().filter(|s| s.name.starts_with(prefix)).collect())
}

/// All servers of the project.
pub async fn all_servers(api: &Api, cancel: &Cancel) -> Result<Vec<Server>, ApiError> {
    pages::all(list("servers"), || api.get(Service::Compute, &["servers", "detail"]), cancel).await
}

fn list(key: &'static str) -> List {
    List { what: format!("list {key}"), key, page: Some(PAGE) }
}

/// Sends one create request; `body` is the content of `server`. Returns the ID.
pub async fn create(
    api: &Api,
    name: &str,
    body: &Value,
    cancel: &Cancel,
) -> Result<String, ApiError> {
    #[derive(Deserialize)]
    struct Born {
        server: Id,
    }
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let call = api.post(Service::Compute, &["servers"]).json(&json!({ "server": body }));
    Ok(call
        .what(format!("create server {name}"))
        .timeout(Duration::from_secs(120))
        .fetch::<Born>(cancel)
        .await?
        .server
        .id)
}

/// Success if absent.
pub async fn delete(api: &Api, id: &str, cancel: &Cancel) -> Result<(), ApiError> {
    absent_is_fine(
        api.delete(Service::Compute, &["servers", id])
            .what(format!("delete server {id}"))
            .send(cancel)
            .await
            .map(drop),
    )
}

pub fn absent_is_fine(done: Result<(), ApiError>) -> Result<(), ApiError> {
    match done {
        Err(e) if e.status() == Some(404) => Ok(()),
        done => done,
    }
}

/// Requests an orderly power-off. Success if the server is off or shutting down.
pub async fn stop(api: &Api, id: &str, cancel: &Cancel) -> Result<(), ApiError> {
    let call = api
        .post(Service::Compute, &["servers", id, "action"])
        .json(&json!({ "os-stop": null }))
        .idempotent();
    match call.what(format!("stop server {id}")).send(cancel).await {
        Err(e) if e.status() == Some(409) => Ok(()),
        done => done.map(drop),
    }
}

/// The request of a server action; `body` is its name and arguments.
pub fn action<'a>(api: &'a Api, id: &str, what: &str, body: &Value) -> Call<'a> {
    api.post(Service::Compute, &["servers", id, "action"])
        .json(body)
        .what(format!("{what} server {id}"))
        .timeout(Duration::from_secs(120))
}

/// Sends one request to attach a volume.
pub async fn attach(api: &Api, id: &str, volume: &str, cancel: &Cancel) -> Result<(), ApiError> {
    let call = api.post(Service::Compute, &["servers", id, "os-volume_attachments"]);
    let call = call
        .json(&json!({ "volumeAttachment": { "volumeId": volume } }))
        .timeout(Duration::from_secs(120));
    call.what(format!("attach volume {volume} to server {id}")).send(cancel).await.map(drop)
}

/// Detaches a volume; success if it is not attached.
pub async fn detach(api: &Api, id: &str, volume: &str, cancel: &Cancel) -> Result<(), ApiError> {
    let call = api.delete(Service::Compute, &["servers", id, "os-volume_attachments", volume]);
    absent_is_fine(
        call.what(format!("detach volume {volume} from server {id}")).send(cancel).await.map(drop),
    )
}

/// Microversion of consoles with protocol and type.
const CONSOLES: (u16, u16) = (2, 6);

/// A kind of browser console.
#[derive(Clone, Copy)]
pub struct BrowserConsole {
    protocol: &'static str,
    kind: &'static str,
}

pub const VNC: BrowserConsole = BrowserConsole { protocol: "vnc", kind: "novnc" };
pub const SPICE: BrowserConsole = BrowserConsole { protocol: "spice", kind: "spice-html5" };

/// URL of a browser console. Contains a token that grants access.
pub async fn screen(
    api: &Api,
    id: &str,
    BrowserConsole { protocol, kind }: BrowserConsole,
    cancel: &Cancel,
) -> Result<String, ApiError> {
    let what = format!("ask for a {kind} console of server {id}");
    let call = api
        .post(Service::Compute, &["servers", id, "remote-consoles"])
        .microversion(CONSOLES.0, CONSOLES.1);
    let call = call.json(&json!({ "remote_console": { "protocol": protocol, "type": kind } }));
    let answer: Value = call.what(what.clone()).fetch(cancel).await?;
    answer["remote_console"]["url"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| ApiError::bad_answer(what, "no address"))
}

/// Text of the serial console; empty if there is none.
pub async fn console(api: &Api, id: &str, cancel: &Cancel) -> Result<String, ApiError> {
    #[derive(Deserialize)]
    struct Log {
        output: Option<String>,
    }
    let call = api
        .post(Service::Compute, &["servers", id, "action"])
        .json(&json!({ "os-getConsoleOutput": {} }))
        .idempotent();
    match call.what(format!("read the console of server {id}")).fetch::<Log>(cancel).await {
        Ok(log) => Ok(log.output.unwrap_or_default()),
        // Not scheduled yet, or gone.
        Err(e) if matches!(e.status(), Some(404 | 409)) => Ok(String::new()),
        Err(e) => Err(e),
    }
}

/// An image to create of a server.
pub struct NewImage<'a> {
    pub name: &'a str,
    /// Overrides inherited properties.
    pub metadata: &'a BTreeMap<String, String>,
}

/// Sends one `createImage` request; returns the image's ID.
pub async fn create_image(
    api: &Api,
    server: &str,
    image: &NewImage<'_>,
    cancel: &Cancel,
) -> Result<String, ApiError> {
    let NewImage { name, metadata } = *image;
    #[derive(Deserialize)]
    struct Born {
        image_id: String,
    }
    let what = format!("create image {name} of server {server}");
    let call = api.post(Service::Compute, &["servers", server, "action"]);
    let call = call
        .json(&json!({ "createImage": { "name": name, "metadata": metadata } }))
        .timeout(Duration::from_secs(120));
    let modern = api.microversions(cancel).await?.newest().is_some_and(|newest| newest >= IMAGE_ID);
    if modern {
        return Ok(call
            .microversion(IMAGE_ID.0, IMAGE_ID.1)
            .what(what)
            .fetch::<Born>(cancel)
            .await?
            .image_id);
    }
    let answer = call.what(what.clone()).send(cancel).await?;
    let place = answer.headers.get("location").and_then(|l| l.to_str().ok()).unwrap_or_default();
    match place.trim_end_matches('/').rsplit('/').next().filter(|id| !id.is_empty()) {
        Some(id) => Ok(id.to_owned()),
        None => Err(ApiError::bad_answer(what, "no Location header with the image's ID")),
    }
}

pub async fn flavors(api: &Api, cancel: &Cancel) -> Result<Vec<Flavor>, ApiError> {
    #[derive(Deserialize)]
    struct One {
        id: String,
        name: String,
        vcpus: u32,
        ram: u64,
        disk: u64,
    }
    let all: Vec<One> =
        pages::all(list("flavors"), || api.get(Service::Compute, &["flavors", "detail"]), cancel)
            .await?;
    let flavor =
        |f: One| Flavor { id: f.id, name: f.name, cpus: f.vcpus, ram_mib: f.ram, disk_gib: f.disk };
    Ok(all.into_iter().map(flavor).collect())
}

/// Names of available zones; empty if not disclosed.
pub async fn zones(api: &Api, cancel: &Cancel) -> Result<Vec<String>, ApiError> {
    let answer: Value = api
        .get(Service::Compute, &["os-availability-zone"])
        .what("list availability zones")
        .fetch(cancel)
        .await?;
    Ok(usable_zones(&answer))
}

/// Available zones in a response of Nova or Cinder.
pub fn usable_zones(answer: &Value) -> Vec<String> {
    let all = answer["availabilityZoneInfo"].as_array().into_iter().flatten();
    let usable = all.filter(|z| z["zoneState"]["available"] != json!(false));
    usable.filter_map(|z| z["zoneName"].as_str().map(str::to_owned)).collect()
}

/// Whether the cloud permits reading consoles, tried on a running server of the project.
pub async fn shows_consoles(api: &Api, cancel: &Cancel) -> Leave {
    let call =
        api.get(Service::Compute, &["servers"]).query("limit", "1").query("status", "ACTIVE");
    let id = match call.what("list servers").fetch::<Value>(cancel).await {
        Ok(answer) => answer["servers"][0]["id"].as_str().map(str::to_owned),
        Err(e) => return Leave::Unknown(e.reason()),
    };
    let Some(id) = id else { return Leave::Unknown("no machine runs in this project now".into()) };
    let call = api
        .post(Service::Compute, &["servers", &id, "action"])
        .json(&json!({ "os-getConsoleOutput": { "length": 1 } }))
        .idempotent();
    match call.what(format!("read the console of server {id}")).send(cancel).await {
        Ok(_) => Leave::Given,
        Err(e) if has_no_console(&e) => Leave::Refused(e.reason()),
        Err(e) => Leave::Unknown(e.reason()),
    }
}

/// Whether policy or hypervisor denies the console.
pub fn has_no_console(e: &ApiError) -> bool {
    matches!(e.status(), Some(403 | 405 | 501))
}

/// Remaining quota of servers, cores and RAM.
pub async fn room(api: &Api, cancel: &Cancel) -> Result<QuotaHeadroom, ApiError> {
    let answer: Value = api
        .get(Service::Compute, &["limits"])
        .what("read the limits of servers")
        .fetch(cancel)
        .await?;
    let limits = &answer["limits"]["absolute"];
    let left = |most: &str, used: &str| room_left(limits[most].as_i64(), limits[used].as_i64());
    Ok(QuotaHeadroom {
        servers: left("maxTotalInstances", "totalInstancesUsed"),
        cores: left("maxTotalCores", "totalCoresUsed"),
        ram_mib: left("maxTotalRAMSize", "totalRAMUsed"),
        ..QuotaHeadroom::default()
    })
}

/// `None`: unlimited (-1 in OpenStack) or unknown.
pub fn room_left(most: Option<i64>, used: Option<i64>) -> Option<u64> {
    let most = most.filter(|m| *m >= 0)?;
    Some(u64::try_from(most - used.unwrap_or(0)).unwrap_or(0))
}

/// A security group as Nova names it in requests.
pub fn group(named: &Named) -> Value {
    json!({ "name": named.id })
}

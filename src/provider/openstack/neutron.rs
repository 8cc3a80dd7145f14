//! Calls of Neutron: networks, security groups, floating IPs, quotas. Source: the Networking API
//! v2.0 reference.
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, ApiError, Service};
use super::nova::{absent_is_fine, room_left};
use super::pages::{self, List};
use crate::model::facts::{Named, QuotaHeadroom};
use crate::system::cancel::Cancel;

#[derive(Debug, Clone, Deserialize)]
pub struct Network {
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub shared: bool,
    #[serde(rename = "router:external", default)]
    pub external: bool,
    /// Absent without the extension; security groups then apply.
    #[serde(default)]
    port_security_enabled: Option<bool>,
    /// IDs, including invisible ones.
    #[serde(default)]
    pub subnets: Vec<String>,
    #[serde(default)]
    tenant_id: Option<String>,
    #[serde(default)]
    project_id: Option<String>,
}

impl Network {
    /// Owner; old clouds use only `tenant_id`.
    pub fn owner(&self) -> Option<&str> {
        self.project_id.as_deref().or(self.tenant_id.as_deref())
    }

    pub fn has_port_security(&self) -> bool {
        self.port_security_enabled.unwrap_or(true)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Subnet {
    pub network_id: String,
    pub cidr: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Group {
    pub id: String,
    #[serde(default)]
    pub name: String,
    /// `null` if no client set it.
    #[serde(default)]
    pub description: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct FloatingIp {
    pub id: String,
    pub floating_ip_address: String,
    #[serde(default)]
    pub description: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Port {
    pub id: String,
    pub network_id: String,
    #[serde(default)]
    fixed_ips: Vec<FixedIp>,
}

#[derive(Debug, Clone, Deserialize)]
struct FixedIp {
    ip_address: String,
}

impl Port {
    /// Whether it has an IPv4 address, which floating IPs require.
    pub fn takes_floating_ips(&self) -> bool {
        self.fixed_ips.is_empty() || self.fixed_ips.iter().any(|ip| !ip.ip_address.contains(':'))
    }
}

/// A list under `key`. Neutron pages only if its operator configured that.
async fn list<T: serde::de::DeserializeOwned>(
    api: &Api,
    key: &'static str,
    query: &[(&str, &str)],
    cancel: &Cancel,
) -> Result<Vec<T>, ApiError> {
    let path = key.replace('_', "-");
    let call = || {
        query
            .iter()
            .fold(api.get(Service::Network, &[&path]), |call, (key, value)| call.query(key, *value))
    };
    let list = List { what: format!("list {}", key.replace('_', " ")), key, page: None };
    pages::all(list, call, cancel).await
}

pub async fn networks(api: &Api, cancel: &Cancel) -> Result<Vec<Network>, ApiError> {
    list(api, "networks", &[], cancel).await
}

pub async fn subnets(api: &Api, cancel: &Cancel) -> Result<Vec<Subnet>, ApiError> {
    list(api, "subnets", &[], cancel).await
}

/// Security groups of the project; an administrator would see others too.
pub async fn groups(api: &Api, project: &str, cancel: &Cancel) -> Result<Vec<Group>, ApiError> {
    let query =
        [("project_id", project), ("fields", "id"), ("fields", "name"), ("fields", "description")];
    none_without_extension(list(api, "security_groups", &query, cancel).await)
}

pub async fn floating_ips(
    api: &Api,
    project: &str,
    cancel: &Cancel,
) -> Result<Vec<FloatingIp>, ApiError> {
    none_without_extension(list(api, "floatingips", &[("project_id", project)], cancel).await)
}

/// An empty list if Neutron lacks the extension for routers or security groups.
fn none_without_extension<T>(listed: Result<Vec<T>, ApiError>) -> Result<Vec<T>, ApiError> {
    match listed {
        Err(e) if e.status() == Some(404) => Ok(Vec::new()),
        listed => listed,
    }
}

pub async fn ports(api: &Api, server: &str, cancel: &Cancel) -> Result<Vec<Port>, ApiError> {
    list(api, "ports", &[("device_id", server)], cancel).await
}

async fn one<T: serde::de::DeserializeOwned>(
    api: &Api,
    path: [&str; 2],
    key: &str,
    cancel: &Cancel,
) -> Result<Option<T>, ApiError> {
    let what = format!("look at {} {}", key.replace('_', " "), path[1]);
    let answer: Value =
        match api.get(Service::Network, &[path[0], path[1]]).what(what.clone()).fetch(cancel).await
        {
            Ok(answer) => answer,
            Err(e) if e.status() == Some(404) => return Ok(None),
            Err(e) => return Err(e),
        };
    serde_json::from_value(answer[key].clone())
        .map(Some)
        .map_err(|e| ApiError::bad_answer(what, e.to_string()))
}

pub async fn group(api: &Api, id: &str, cancel: &Cancel) -> Result<Option<Group>, ApiError> {
    one(api, ["security-groups", id], "security_group", cancel).await
}

pub async fn floating_ip(
    api: &Api,
    id: &str,
    cancel: &Cancel,
) -> Result<Option<FloatingIp>, ApiError> {
    one(api, ["floatingips", id], "floatingip", cancel).await
}

/// A create request.
struct Create<'a> {
    path: &'a str,
    /// Of the content in request and response.
    key: &'a str,
    what: String,
    body: Value,
}

async fn create<T: serde::de::DeserializeOwned>(
    api: &Api,
    request: Create<'_>,
    cancel: &Cancel,
) -> Result<T, ApiError> {
    let Create { path, key, what, body } = request;
    let mut answer: Value = api
        .post(Service::Network, &[path])
        .json(&json!({ key: body }))
        .what(what.clone())
        .fetch(cancel)
        .await?;
    serde_json::from_value(answer[key].take())
        .map_err(|e| ApiError::bad_answer(what, e.to_string()))
}

pub async fn create_group(
    api: &Api,
    name: &str,
    description: &str,
    cancel: &Cancel,
) -> Result<Group, ApiError> {
    let body = json!({ "name": name, "description": description });
    let request = Create {
        path: "security-groups",
        key: "security_group",
        what: format!("create security group {name}"),
        body,
    };
    create(api, request, cancel).await
}

/// Admits SSH from an IPv4 or IPv6 CIDR. Success if the rule exists.
pub async fn admit_ssh(
    api: &Api,
    group: &str,
    cidr: &str,
    cancel: &Cancel,
) -> Result<(), ApiError> {
    let body = json!({
        "security_group_id": group,
        "direction": "ingress",
        "ethertype": if cidr.contains(':') { "IPv6" } else { "IPv4" },
        "protocol": "tcp",
        "port_range_min": 22,
        "port_range_max": 22,
        "remote_ip_prefix": cidr,
    });
    let call = api
        .post(Service::Network, &["security-group-rules"])
        .json(&json!({ "security_group_rule": body }))
        .idempotent();
    match call.what(format!("admit SSH from {cidr}")).send(cancel).await {
        Err(ApiError::Refused { status: 409, message, .. })
            if message.contains("already exists") =>
        {
            Ok(())
        }
        done => done.map(drop),
    }
}

/// A floating IP to create.
pub struct NewFloatingIp<'a> {
    pub network: &'a Named,
    pub port: &'a str,
    pub description: &'a str,
}

pub async fn create_floating_ip(
    api: &Api,
    new: &NewFloatingIp<'_>,
    cancel: &Cancel,
) -> Result<FloatingIp, ApiError> {
    let NewFloatingIp { network, port, description } = *new;
    let body =
        json!({ "floating_network_id": network.id, "port_id": port, "description": description });
    let request = Create {
        path: "floatingips",
        key: "floatingip",
        what: format!("take a floating IP of {}", network.name),
        body,
    };
    create(api, request, cancel).await
}

/// Tags a resource as the factory's, for people; deletion relies on the description.
pub async fn tag(api: &Api, kind: &str, id: &str, cancel: &Cancel) -> Result<(), ApiError> {
    let tags = json!({ "tags": ["image-factory"] });
    let call = api.put(Service::Network, &[kind, id, "tags"]).json(&tags);
    call.what(format!("tag {kind} {id}")).send(cancel).await.map(drop)
}

pub async fn delete_group(api: &Api, id: &str, cancel: &Cancel) -> Result<(), ApiError> {
    let call = api
        .delete(Service::Network, &["security-groups", id])
        .what(format!("delete security group {id}"));
    absent_is_fine(call.send(cancel).await.map(drop))
}

pub async fn delete_floating_ip(api: &Api, id: &str, cancel: &Cancel) -> Result<(), ApiError> {
    let call = api
        .delete(Service::Network, &["floatingips", id])
        .what(format!("give floating IP {id} back"));
    absent_is_fine(call.send(cancel).await.map(drop))
}

/// Remaining quota of floating IPs and security groups.
pub async fn room(api: &Api, project: &str, cancel: &Cancel) -> Result<QuotaHeadroom, ApiError> {
    let call = api
        .get(Service::Network, &["quotas", project, "details.json"])
        .what("read the quotas of networks");
    let answer: Value = call.fetch(cancel).await?;
    let left = |key: &str| {
        let quota = &answer["quota"][key];
        let used = quota["used"].as_i64().unwrap_or(0) + quota["reserved"].as_i64().unwrap_or(0);
        room_left(quota["limit"].as_i64(), Some(used))
    };
    Ok(QuotaHeadroom {
        floating_ips: left("floatingip"),
        security_groups: left("security_group"),
        ..QuotaHeadroom::default()
    })
}

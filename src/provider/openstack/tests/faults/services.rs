//! Keystone, Glance, Nova and Neutron as far as a build needs them, in one state.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// A request: verb, parts of the path, query, body.
#[derive(Clone)]
pub struct Asked {
    pub verb: String,
    pub path: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub body: Value,
}

/// Status and body.
pub type Told = (u16, Value);

#[derive(Default)]
pub struct Services {
    pub servers: BTreeMap<String, Value>,
    pub groups: BTreeMap<String, Value>,
    pub addresses: BTreeMap<String, Value>,
    pub images: BTreeMap<String, Value>,
    pub members: BTreeMap<String, BTreeSet<String>>,
    /// Answer to a login, and what Glance and Nova say of their versions.
    pub token: Value,
    pub versions: [Value; 2],
    made: u32,
}

const NONE: Told = (404, Value::Null);

impl Services {
    /// One line for each thing.
    pub fn snapshot(&self) -> Vec<String> {
        let line = |kind: &str, all: &BTreeMap<String, Value>| -> Vec<String> {
            let of = |v: &Value| v["factory_state"].as_str().unwrap_or_default().to_owned();
            all.iter().map(|(id, v)| format!("{kind} {id} {} {}", v["name"], of(v))).collect()
        };
        [
            line("server", &self.servers),
            line("group", &self.groups),
            line("address", &self.addresses),
            line("image", &self.images),
        ]
        .concat()
    }

    fn id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}{}", self.made)
    }

    pub fn serve(&mut self, asked: &Asked) -> Told {
        let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
        match (asked.verb.as_str(), &path[..]) {
            ("POST", ["identity", "v3", "auth", "tokens"]) => (201, self.token.clone()),
            ("GET", ["image"]) => (300, self.versions[0].clone()),
            ("GET", ["compute", "v2.1"]) => (200, self.versions[1].clone()),
            (_, ["image", "v2", "images", rest @ ..]) => self.glance(asked, rest),
            (_, ["compute", "v2.1", "servers", rest @ ..]) => self.nova(asked, rest),
            (_, ["network", "v2.0", rest @ ..]) => self.neutron(asked, rest),
            ("GET", ["volume", "v3", "p1", "volumes", "detail"]) => (200, json!({ "volumes": [] })),
            _ => NONE,
        }
    }

    fn glance(&mut self, asked: &Asked, rest: &[&str]) -> Told {
        match (asked.verb.as_str(), rest) {
            ("GET", []) => {
                let fits = |image: &&Value| {
                    let hidden = asked.query.get("os_hidden").is_some_and(|h| h == "true");
                    let plain = |k: &&String| !["sort", "limit", "os_hidden"].contains(&k.as_str());
                    let mut filters = asked.query.iter().filter(|(k, _)| plain(k));
                    image["os_hidden"] == json!(hidden)
                        && filters.all(|(k, v)| image[k].as_str().unwrap_or_default() == v)
                };
                (200, json!({ "images": self.images.values().filter(fits).collect::<Vec<_>>() }))
            }
            ("GET", [id]) => self.images.get(*id).map_or(NONE, |image| (200, image.clone())),
            ("PATCH", [id]) => {
                let Some(image) = self.images.get_mut(*id) else { return NONE };
                match changed(image, &asked.body) {
                    Some(done) => {
                        *image = done.clone();
                        (200, done)
                    }
                    None => (409, Value::Null),
                }
            }
            ("DELETE", [id]) => self.images.remove(*id).map_or(NONE, |_| (204, Value::Null)),
            ("GET", [id, "members"]) => {
                let all = self.members.get(*id).into_iter().flatten();
                let all: Vec<Value> = all.map(|m| json!({ "member_id": m })).collect();
                (200, json!({ "members": all }))
            }
            ("POST", [id, "members"]) => {
                let project = asked.body["member"].as_str().unwrap_or_default().to_owned();
                match self.images.get(*id) {
                    Some(image) if image["visibility"] == "shared" => {
                        let new = self.members.entry((*id).to_owned()).or_default().insert(project);
                        (if new { 200 } else { 409 }, json!({}))
                    }
                    Some(_) => (403, Value::Null),
                    None => NONE,
                }
            }
            _ => NONE,
        }
    }

    fn nova(&mut self, asked: &Asked, rest: &[&str]) -> Told {
        match (asked.verb.as_str(), rest) {
            ("GET", ["detail"]) => {
                let prefix = asked.query.get("name").map_or("", |n| n.trim_start_matches('^'));
                let named = |s: &&Value| s["name"].as_str().unwrap_or_default().starts_with(prefix);
                let all: Vec<&Value> = self.servers.values().filter(named).collect();
                (200, json!({ "servers": all }))
            }
            ("POST", []) => {
                let id = self.id("server");
                let wanted = &asked.body["server"];
                let place = json!({ "id": wanted["imageRef"] });
                let address = json!({ "net": [{ "addr": "10.0.0.4", "version": 4 }] });
                let server = json!({ "id": id, "name": wanted["name"], "status": "ACTIVE",
                    "metadata": wanted["metadata"], "image": place, "addresses": address,
                    "flavor": { "id": wanted["flavorRef"] } });
                self.servers.insert(id.clone(), server);
                (202, json!({ "server": { "id": id } }))
            }
            ("GET", [id]) => {
                self.servers.get(*id).map_or(NONE, |server| (200, json!({ "server": server })))
            }
            ("DELETE", [id]) => self.servers.remove(*id).map_or(NONE, |_| (204, Value::Null)),
            ("POST", [id, "action"]) if self.servers.contains_key(*id) => {
                if asked.body["os-stop"].is_null() && asked.body.get("os-stop").is_some() {
                    let server = self.servers.get_mut(*id).unwrap();
                    let off = server["status"] == "SHUTOFF";
                    server["status"] = json!("SHUTOFF");
                    return (if off { 409 } else { 202 }, Value::Null);
                }
                if asked.body.get("createImage").is_some() {
                    return (202, json!({ "image_id": self.snapshot_of(id, &asked.body) }));
                }
                (200, json!({ "output": "" }))
            }
            _ => NONE,
        }
    }

    fn snapshot_of(&mut self, server: &str, body: &Value) -> String {
        let id = self.id("image");
        let mut image = json!({ "id": id, "name": body["createImage"]["name"], "status": "active",
            "owner": "p1", "visibility": "private", "os_hidden": false, "protected": false,
            "min_disk": 1, "min_ram": 0, "size": 7, "virtual_size": 1 << 30, "tags": [],
            "os_hash_algo": "sha512", "os_hash_value": "ab".repeat(64),
            "created_at": "2026-11-20T10:00:00Z", "image_type": "snapshot",
            "instance_uuid": server, "base_image_ref": "base" });
        for (key, value) in body["createImage"]["metadata"].as_object().unwrap() {
            image[key] = value.clone();
        }
        self.images.insert(id.clone(), image);
        id
    }

    fn neutron(&mut self, asked: &Asked, rest: &[&str]) -> Told {
        let mut make = |kind: &str, key: &str| {
            let id = self.id(kind);
            let mut thing = asked.body[key].clone();
            (thing["id"], thing["floating_ip_address"]) = (json!(id), json!("127.0.0.9"));
            thing
        };
        match (asked.verb.as_str(), rest) {
            ("GET", ["ports"]) => {
                let fixed = json!([{ "ip_address": "10.0.0.4" }]);
                (200, json!({ "ports": [{ "id": "port", "network_id": "n", "fixed_ips": fixed }] }))
            }
            ("POST", ["security-group-rules"]) => (201, json!({ "security_group_rule": {} })),
            ("POST", ["security-groups"]) => {
                let thing = make("group", "security_group");
                self.groups.insert(thing["id"].as_str().unwrap().into(), thing.clone());
                (201, json!({ "security_group": thing }))
            }
            ("POST", ["floatingips"]) => {
                let thing = make("ip", "floatingip");
                self.addresses.insert(thing["id"].as_str().unwrap().into(), thing.clone());
                (201, json!({ "floatingip": thing }))
            }
            ("PUT", [_, _, "tags"]) => (200, asked.body.clone()),
            (verb, [kind @ ("security-groups" | "floatingips"), rest @ ..]) => {
                let (all, key) = match *kind {
                    "floatingips" => (&mut self.addresses, "floatingip"),
                    _ => (&mut self.groups, "security_group"),
                };
                match (verb, rest) {
                    ("GET", []) => {
                        (200, json!({ format!("{key}s"): all.values().collect::<Vec<_>>() }))
                    }
                    ("GET", [id]) => all.get(*id).map_or(NONE, |t| (200, json!({ key: t }))),
                    ("DELETE", [id]) => all.remove(*id).map_or(NONE, |_| (204, Value::Null)),
                    _ => NONE,
                }
            }
            _ => NONE,
        }
    }
}

/// The image after a patch; `None`: what is to be removed is not there.
fn changed(image: &Value, ops: &Value) -> Option<Value> {
    let mut image = image.clone();
    for op in ops.as_array()? {
        let key = op["path"].as_str()?.trim_start_matches('/');
        match op["op"].as_str()? {
            "remove" => drop(image.as_object_mut()?.remove(key)?),
            _ => image[key] = op["value"].clone(),
        }
    }
    Some(image)
}

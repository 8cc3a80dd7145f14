//! Where machines go on a cloud that offers a choice: flavor, networks, address, security groups, zone, volume. Pure.
//!
//! The bundle's word counts first, then the environment's, then the one choice there is. Where there are several, nothing
//! is guessed: the error lists them.
use serde::{Deserialize, Serialize};

use super::facts::{Flavor, Named, Network, Room, SiteFacts};
use crate::bundle::Bundle;
use crate::diagnostic::{Diagnostic, Place};

/// Where the machines of a run go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitePlan {
    pub networks: Vec<Named>,
    /// Machines get a floating IP of this network.
    pub floating_network: Option<Named>,
    pub security: Security,
    pub zone: Option<String>,
    pub volume: Option<VolumePlan>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    Groups(Vec<Named>),
    /// One of the run's own that admits SSH from these CIDRs and nothing else.
    Temporary {
        ssh_from: Vec<String>,
    },
}

/// Machines boot from a volume of this size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlan {
    pub size_gb: u64,
    /// Volume type; `None`: the cloud's default.
    pub kind: Option<String>,
}

/// What a machine must have at least.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    pub cpus: u32,
    pub ram_mb: u64,
    pub disk_gb: u64,
}

/// `floating_network: none` says that the fixed address is reached.
const NO_FLOATING: &str = "none";

pub fn site(bundle: &Bundle, facts: &SiteFacts, disk_gb: u64, wrong: &mut Vec<Diagnostic>) -> SitePlan {
    let at = |key: &str| bundle.places.get(key).cloned();
    let networks = networks(bundle, facts, wrong);
    let floating_network = floating(bundle, facts, &networks, wrong);
    let asked = if bundle.security_groups.is_empty() { &facts.defaults.security_groups } else { &bundle.security_groups };
    let security = if asked.is_empty() {
        Security::Temporary { ssh_from: facts.ssh_from.clone() }
    } else {
        let find = |name: &String| one("security group", name, &facts.security_groups, at("security_groups"), wrong);
        Security::Groups(asked.iter().filter_map(find).collect())
    };
    if let Some(zone) = bundle.availability_zone.as_ref().filter(|z| !facts.zones.is_empty() && !facts.zones.contains(z)) {
        wrong.push(missing("availability zone", zone, &facts.zones, at("availability_zone")));
    }
    SitePlan {
        networks: networks.into_iter().map(|n| Named { id: n.id.clone(), name: n.name.clone() }).collect(),
        floating_network,
        security,
        zone: bundle.availability_zone.clone(),
        volume: volume(bundle, facts, disk_gb, wrong),
    }
}

fn networks<'a>(bundle: &Bundle, facts: &'a SiteFacts, wrong: &mut Vec<Diagnostic>) -> Vec<&'a Network> {
    let at = bundle.places.get("network").cloned();
    let asked = if bundle.network.is_empty() { &facts.defaults.networks } else { &bundle.network };
    if !asked.is_empty() {
        let all: Vec<Named> = facts.networks.iter().map(|n| Named { id: n.id.clone(), name: n.name.clone() }).collect();
        let find = |name: &String| one("network", name, &all, at.clone(), wrong);
        let found: Vec<Named> = asked.iter().filter_map(find).collect();
        return facts.networks.iter().filter(|n| found.iter().any(|f| f.id == n.id)).collect();
    }
    let own: Vec<&Network> = facts.networks.iter().filter(|n| n.own && !n.external).collect();
    let usable: Vec<&Network> = if own.is_empty() { facts.networks.iter().filter(|n| n.shared || n.own).collect() } else { own };
    if usable.len() == 1 {
        return usable;
    }
    let what = match usable.len() {
        0 => "there is no network to boot machines on".to_owned(),
        n => format!("there are {n} networks to boot machines on, and none is named"),
    };
    let names: Vec<&str> = usable.iter().map(|n| n.name.as_str()).collect();
    wrong.push(Diagnostic::error(at, what).hint(match names.is_empty() {
        true => "have one made, or name one by `network` or FACTORY_NETWORK_ID".to_owned(),
        false => format!("name one by `network`, `--set network=` or FACTORY_NETWORK_ID: {}", names.join(", ")),
    }));
    Vec::new()
}

/// A floating IP is taken if it was asked for by name; and if not, where machines come up on private networks that this
/// machine is not in, and there is one external network.
fn floating(bundle: &Bundle, facts: &SiteFacts, networks: &[&Network], wrong: &mut Vec<Diagnostic>) -> Option<Named> {
    let external: Vec<Named> =
        facts.networks.iter().filter(|n| n.external).map(|n| Named { id: n.id.clone(), name: n.name.clone() }).collect();
    let found = match bundle.floating_network.as_deref() {
        Some(NO_FLOATING) => None,
        Some(name) => one("floating network", name, &external, bundle.places.get("floating_network").cloned(), wrong),
        None if networks.is_empty() || networks.iter().any(|n| n.external || n.shared || n.near) => None,
        None if external.len() == 1 => external.first().cloned(),
        None => None,
    };
    // An address on that very network is as good.
    found.filter(|f| networks.iter().all(|n| n.id != f.id))
}

fn volume(bundle: &Bundle, facts: &SiteFacts, disk_gb: u64, wrong: &mut Vec<Diagnostic>) -> Option<VolumePlan> {
    let asked = bundle.volume.as_ref()?;
    let at = |key: &str| bundle.places.get(key).or_else(|| bundle.places.get("volume")).cloned();
    match &facts.volume_types {
        None => wrong.push(Diagnostic::error(at("volume"), "this cloud has no block storage").hint("leave `volume` out")),
        Some(types) => {
            if let Some(kind) = asked.kind.as_ref().filter(|k| !types.is_empty() && !types.contains(k)) {
                wrong.push(missing("volume type", kind, types, at("volume.type")));
            }
        }
    }
    let size_gb = asked.size_gb.unwrap_or(disk_gb);
    if size_gb < disk_gb {
        wrong.push(
            Diagnostic::error(at("volume.size"), format!("a volume of {size_gb} GiB is too small for the base"))
                .hint(format!("`size: {disk_gb}` or more")),
        );
    }
    Some(VolumePlan { size_gb, kind: asked.kind.clone() })
}

/// The flavor that is named, if it is large enough; or the smallest that is. `key` is where the bundle names one.
pub fn flavor(
    bundle: &Bundle,
    facts: &SiteFacts,
    key: &str,
    asked: Option<&str>,
    needs: Needs,
    wrong: &mut Vec<Diagnostic>,
) -> Option<Flavor> {
    let at = bundle.places.get(key).cloned();
    let on_volume = bundle.volume.is_some();
    let fits = |f: &Flavor| f.cpus >= needs.cpus && f.ram_mb >= needs.ram_mb && (on_volume || f.disk_gb == 0 || f.disk_gb >= needs.disk_gb);
    let text = |f: &Flavor| format!("`{}` ({} CPUs, {} MiB RAM, {} GiB disk)", f.name, f.cpus, f.ram_mb, f.disk_gb);
    let smallest =
        facts.flavors.iter().filter(|f| fits(f) && (on_volume || f.disk_gb > 0)).min_by_key(|f| (f.ram_mb, f.cpus, f.disk_gb, &f.id));
    let need = format!("{} MiB RAM and {} GiB disk", needs.ram_mb, needs.disk_gb);
    let Some(asked) = asked else {
        if smallest.is_none() {
            let all: Vec<String> = facts.flavors.iter().map(text).collect();
            wrong.push(Diagnostic::error(at, format!("no flavor has {need}")).hint(format!("there are: {}", all.join(", "))));
        }
        return smallest.cloned();
    };
    let all: Vec<Named> = facts.flavors.iter().map(|f| Named { id: f.id.clone(), name: f.name.clone() }).collect();
    let found = one("flavor", asked, &all, at.clone(), wrong)?;
    let found = facts.flavors.iter().find(|f| f.id == found.id)?;
    if !fits(found) {
        let better = smallest.map_or_else(|| "no flavor is large enough".to_owned(), |f| format!("the smallest that fits is {}", text(f)));
        wrong.push(Diagnostic::error(at, format!("flavor {} is too small: {need} are needed", text(found))).hint(better));
    }
    Some(found.clone())
}

/// What a run has at the same time, at most.
pub struct Peak {
    pub machines: u64,
    pub cores: u64,
    pub ram_mb: u64,
}

pub fn room(room: &Room, site: &SitePlan, peak: &Peak, wrong: &mut Vec<Diagnostic>) {
    let floating = if site.floating_network.is_some() { peak.machines } else { 0 };
    let group = u64::from(matches!(site.security, Security::Temporary { .. }));
    let (volumes, gb) = site.volume.as_ref().map_or((0, 0), |v| (peak.machines, peak.machines * v.size_gb));
    let asked = [
        ("servers", room.servers, peak.machines),
        ("cores", room.cores, peak.cores),
        ("MiB of RAM", room.ram_mb, peak.ram_mb),
        ("floating IPs", room.floating_ips, floating),
        ("security groups", room.security_groups, group),
        ("volumes", room.volumes, volumes),
        ("GiB of volumes", room.volume_gb, gb),
        ("images", room.images, 1),
    ];
    for (what, left, need) in asked {
        if let Some(left) = left.filter(|left| *left < need) {
            let hint = match what {
                "floating IPs" => "free some, or boot on a network that is reached directly and say `floating_network: none`",
                _ => "delete what is not needed, or have the project's quota raised",
            };
            wrong.push(Diagnostic::error(None, format!("the project's quota leaves {left} {what}, and {need} are needed")).hint(hint));
        }
    }
}

/// The one thing with this ID, or with this name.
fn one(what: &str, asked: &str, all: &[Named], at: Option<Place>, wrong: &mut Vec<Diagnostic>) -> Option<Named> {
    if let Some(found) = all.iter().find(|n| n.id == asked) {
        return Some(found.clone());
    }
    let named: Vec<&Named> = all.iter().filter(|n| n.name == asked).collect();
    match named.as_slice() {
        [found] => return Some((*found).clone()),
        [] => wrong.push(missing(what, asked, &all.iter().map(|n| n.name.clone()).collect::<Vec<_>>(), at)),
        several => {
            let ids: Vec<&str> = several.iter().map(|n| n.id.as_str()).collect();
            wrong.push(
                Diagnostic::error(at, format!("{} {what}s are called `{asked}`", several.len()))
                    .hint(format!("name one by its ID: {}", ids.join(", "))),
            );
        }
    }
    None
}

/// Names as near as a slip of the pen.
fn missing(what: &str, asked: &str, names: &[String], at: Option<Place>) -> Diagnostic {
    let near: Vec<&str> = names.iter().filter(|n| strsim::jaro_winkler(n, asked) > 0.85).map(String::as_str).collect();
    let hint = match (near.as_slice(), names) {
        ([], []) => "there is none".to_owned(),
        ([], all) => format!("there are: {}", all.iter().take(20).cloned().collect::<Vec<_>>().join(", ")),
        (near, _) => format!("did you mean `{}`?", near.join("` or `")),
    };
    Diagnostic::error(at, format!("{what} `{asked}` does not exist")).hint(hint)
}

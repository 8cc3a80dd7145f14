//! Where machines go on a cloud that offers a choice: flavor, networks, address, security groups,
//! zone, volume. Pure.
//!
//! The bundle's word counts first, then the environment's, then the one choice there is. Where
//! there are several, nothing is guessed: the error lists them.
use serde::{Deserialize, Serialize};

use super::Findings;
use super::facts::{Flavor, Leave, Named, Network, ProjectFacts};
use crate::bundle::{Bundle, Volume};
use crate::diagnostic::{Diagnostic, Location, there_are};

/// Where the machines of a run go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub networks: Vec<Named>,
    /// Machines get a floating IP of this network.
    pub floating_network: Option<Named>,
    pub security: Security,
    /// Where servers go. Volumes have zones of their own.
    pub zone: Option<String>,
    pub volume: Option<VolumePlan>,
    /// The network whose addresses are reached from here, where there is no floating IP; `None`:
    /// the first.
    #[serde(default)]
    pub reached_on: Option<Named>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    Groups(Vec<Named>),
    /// One of the run's own that admits SSH from these CIDRs and nothing else. Without any: from
    /// the address that this machine has towards the one that was booted.
    Temporary {
        ssh_from: Vec<String>,
    },
    /// Nova is asked for none: the networks have no port security, or the bundle says so.
    None,
}

/// A volume, and where it is made: machines boot from it, or it is attached to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlan {
    #[serde(rename = "size_gb")]
    pub size_gib: u64,
    /// Volume type; `None`: the cloud's default.
    pub kind: Option<String>,
    /// Cinder's zone; `None`: its default.
    #[serde(default)]
    pub zone: Option<String>,
}

/// What a machine must have at least.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    pub cpus: u32,
    pub ram_mib: u64,
    pub disk_gib: u64,
}

/// `floating_network: none` says that the fixed address is reached; `security_groups: none` that
/// Nova is asked for no group.
const NONE: &str = "none";

pub(super) fn site(
    bundle: &Bundle,
    facts: &ProjectFacts,
    disk_gib: u64,
    found: &mut Findings,
) -> Placement {
    let at = |key: &str| bundle.places.get(key).cloned();
    let networks = networks(bundle, facts, &mut found.wrong);
    let (floating_network, reached_on) = reach(bundle, facts, &networks, found);
    if let Some(zone) = bundle
        .availability_zone
        .as_ref()
        .filter(|z| !facts.zones.is_empty() && !facts.zones.contains(z))
    {
        found.wrong.push(missing("availability zone", zone, &facts.zones, at("availability_zone")));
    }
    Placement {
        security: security(bundle, facts, &networks, found),
        networks: networks.into_iter().map(Network::named).collect(),
        floating_network,
        zone: bundle.availability_zone.clone(),
        volume: bundle.volume.as_ref().map(|asked| volume(bundle, asked, facts, disk_gib, found)),
        reached_on,
    }
}

/// In the order in which they are written: the first is the machine's first interface.
fn networks<'a>(
    bundle: &Bundle,
    facts: &'a ProjectFacts,
    wrong: &mut Vec<Diagnostic>,
) -> Vec<&'a Network> {
    let at = bundle.places.get("network").cloned();
    let asked = if bundle.network.is_empty() { &facts.defaults.networks } else { &bundle.network };
    if !asked.is_empty() {
        let all: Vec<Named> = facts.networks.iter().map(Network::named).collect();
        let find = |name: &String| one("network", name, &all, at.clone(), wrong);
        let found: Vec<Named> = asked.iter().filter_map(find).collect();
        return found.iter().filter_map(|f| facts.networks.iter().find(|n| n.id == f.id)).collect();
    }
    let own: Vec<&Network> = facts.networks.iter().filter(|n| n.own && !n.external).collect();
    let usable: Vec<&Network> = if own.is_empty() {
        facts.networks.iter().filter(|n| n.shared || n.own).collect()
    } else {
        own
    };
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
        false => format!(
            "name one by `network`, `--set network=` or FACTORY_NETWORK_ID: {}",
            names.join(", ")
        ),
    }));
    Vec::new()
}

/// How this machine reaches the others: by a floating IP of the first, at a fixed address on the
/// second. A floating IP is taken if it was asked for by name; and if not, where machines come up
/// on private networks that this machine is not in, and there is one external network.
fn reach(
    bundle: &Bundle,
    facts: &ProjectFacts,
    networks: &[&Network],
    found: &mut Findings,
) -> (Option<Named>, Option<Named>) {
    let at = bundle.places.get("floating_network").cloned();
    let external: Vec<Named> =
        facts.networks.iter().filter(|n| n.external).map(Network::named).collect();
    let direct = networks.iter().find(|n| n.is_direct()).map(|n| n.named());
    let names = |all: &[Named]| all.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    // A floating IP is IPv4's.
    let v6_only = !networks.is_empty() && networks.iter().all(|n| n.v6_only);
    let on = networks.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    match bundle.floating_network.as_deref() {
        Some(NONE) => (None, direct),
        Some(name) => {
            let Some(asked) =
                one("floating network", name, &external, at.clone(), &mut found.wrong)
            else {
                return (None, direct);
            };
            // An address on that very network is as good.
            if networks.iter().any(|n| n.id == asked.id) {
                return (None, Some(asked));
            }
            if v6_only {
                let message =
                    format!("network {on} has subnets of IPv6 alone, and a floating IP is IPv4's");
                found.wrong.push(
                    Diagnostic::error(at, message)
                        .hint("`floating_network: none`: SSH goes to the IPv6 address"),
                );
            }
            (Some(asked), None)
        }
        None if direct.is_some() || networks.is_empty() => (None, direct),
        None if v6_only => {
            found.notes.push(format!(
                "network {on} has subnets of IPv6 alone: no floating IP is \
                taken, and SSH goes to the IPv6 address"
            ));
            (None, None)
        }
        None => match external.as_slice() {
            [one] => (Some(one.clone()), None),
            [] => {
                let text = "no external network gives floating IPs: SSH goes to the fixed address, \
                    which this machine has to reach";
                found.notes.push(format!("network {on}: {text}"));
                (None, None)
            }
            several => {
                let message = format!(
                    "network {on} is not reached from here, and {} external networks give floating \
                        IPs",
                    several.len()
                );
                let hint = format!(
                    "say `floating_network: NAME`, or `none` if the fixed address is reached: {}",
                    names(several)
                );
                found.wrong.push(
                    Diagnostic::error(
                        at.or_else(|| bundle.places.get("network").cloned()),
                        message,
                    )
                    .hint(hint),
                );
                (None, None)
            }
        },
    }
}

/// The groups that are named, or one of the run's own. Nova takes none for a machine that has a
/// network without port security.
fn security(
    bundle: &Bundle,
    facts: &ProjectFacts,
    networks: &[&Network],
    found: &mut Findings,
) -> Security {
    let at = bundle.places.get("security_groups").cloned();
    let asked = if bundle.security_groups.is_empty() {
        &facts.defaults.security_groups
    } else {
        &bundle.security_groups
    };
    if asked.iter().any(|group| group == NONE) {
        if asked.len() > 1 {
            let message = "`security_groups` names some, and says `none`";
            found.wrong.push(Diagnostic::error(at, message).hint("either the one or the other"));
        }
        return Security::None;
    }
    let bare: Vec<&str> =
        networks.iter().filter(|n| !n.port_security).map(|n| n.name.as_str()).collect();
    if !bare.is_empty() {
        let message = format!(
            "network {} has no port security: Nova takes no security groups there",
            bare.join(", ")
        );
        if bundle.security_groups.is_empty() && bare.len() == networks.len() {
            found.notes.push(format!("{message}, and none is asked for"));
        } else {
            let hint = "`security_groups: none`; on the other networks the project's default group \
                counts then";
            found.wrong.push(
                Diagnostic::error(at.or_else(|| bundle.places.get("network").cloned()), message)
                    .hint(hint),
            );
        }
        return Security::None;
    }
    if asked.is_empty() {
        return Security::Temporary { ssh_from: facts.ssh_from.clone() };
    }
    // Every project has a default group: without any, the list was kept from us. Nova takes names
    // as well as IDs.
    if facts.security_groups.is_empty() {
        return Security::Groups(
            asked.iter().map(|name| Named { id: name.clone(), name: name.clone() }).collect(),
        );
    }
    let find = |name: &String| {
        one("security group", name, &facts.security_groups, at.clone(), &mut found.wrong)
    };
    Security::Groups(asked.iter().filter_map(find).collect())
}

fn volume(
    bundle: &Bundle,
    asked: &Volume,
    facts: &ProjectFacts,
    disk_gib: u64,
    found: &mut Findings,
) -> VolumePlan {
    let at = |key: &str| bundle.places.get(key).or_else(|| bundle.places.get("volume")).cloned();
    let of_type = asked.kind.as_ref().map_or_else(
        || "the default volume type".to_owned(),
        |kind| format!("volume type `{kind}`"),
    );
    match &facts.volume_types {
        None => found.wrong.push(
            Diagnostic::error(at("volume"), "this cloud has no block storage")
                .hint("leave `volume` out"),
        ),
        Some(types) => {
            if let Some(kind) =
                asked.kind.as_ref().filter(|k| !types.is_empty() && !types.contains(k))
            {
                found.wrong.push(missing("volume type", kind, types, at("volume.type")));
            } else if facts.encrypts == Some(true) {
                let message = format!(
                    "{of_type} encrypts: an image of such a volume is of use only with its key, \
                        and boots no machine"
                );
                found.wrong.push(
                    Diagnostic::error(at("volume.type"), message)
                        .hint("name a `type` that does not encrypt"),
                );
            } else if facts.encrypts.is_none() {
                let text =
                    "does not tell; if it does, the build ends when its first volume is made";
                found.notes.push(format!("whether {of_type} encrypts, this cloud {text}"));
            }
        }
    }
    let size_gib = asked.size_gib.unwrap_or(disk_gib);
    if size_gib < disk_gib {
        found.wrong.push(
            Diagnostic::error(
                at("volume.size"),
                format!("a volume of {size_gib} GiB is too small for the base"),
            )
            .hint(format!("`size: {disk_gib}` or more")),
        );
    }
    VolumePlan {
        size_gib,
        kind: asked.kind.clone(),
        zone: volume_zone(bundle, asked, facts, found),
    }
}

/// Cinder's zones are not Nova's, though many clouds give them the same names.
fn volume_zone(
    bundle: &Bundle,
    asked: &Volume,
    facts: &ProjectFacts,
    found: &mut Findings,
) -> Option<String> {
    let known = &facts.volume_zones;
    match (&asked.zone, &bundle.availability_zone) {
        (Some(zone), _) => {
            if !known.is_empty() && !known.contains(zone) {
                let at = bundle.places.get("volume.availability_zone").cloned();
                found.wrong.push(missing("availability zone of volumes", zone, known, at));
            }
            Some(zone.clone())
        }
        (None, Some(zone)) if known.contains(zone) => Some(zone.clone()),
        (None, Some(zone)) if !known.is_empty() => {
            let all = known.join(", ");
            found.notes.push(format!(
                "volumes go to Cinder's default zone: it has no `{zone}`, but \
                {all} (`volume.availability_zone`)"
            ));
            None
        }
        (None, _) => None,
    }
}

/// The disk that the check `volume` gives to a machine. Where machines boot from volumes, it is of
/// their kind and place. Elsewhere it has to be in the zone of its server, where Cinder has that:
/// many clouds attach none across zones.
pub(super) fn second_disk(size_gib: u64, facts: &ProjectFacts, plan: &Placement) -> VolumePlan {
    match &plan.volume {
        Some(volume) => VolumePlan { size_gib, ..volume.clone() },
        None => VolumePlan {
            size_gib,
            kind: None,
            zone: plan.zone.clone().filter(|zone| facts.volume_zones.contains(zone)),
        },
    }
}

/// What the cloud was asked for leave to do, where that matters.
pub(super) fn leave(bundle: &Bundle, facts: &ProjectFacts, smoke: bool, found: &mut Findings) {
    let visibility = bundle.published_as();
    match &facts.publishing {
        Leave::Refused(words) => {
            let place = bundle
                .places
                .get("visibility")
                .or_else(|| bundle.places.get("final_glance_options"))
                .cloned();
            let message =
                format!("Glance would not publish such an image ({}): {words}", visibility.word());
            found.wrong.push(
                Diagnostic::error(place, message)
                    .hint("an administrator can tell which role or quota is missing"),
            );
        }
        Leave::Unknown(why) => {
            found.notes.push(format!(
                "whether this user may publish {} images shows when it is done: {why}",
                visibility.word()
            ));
        }
        Leave::Unasked | Leave::Given => {}
    }
    match &facts.consoles {
        Leave::Refused(words) if smoke => {
            let message = format!(
                "this cloud shows no consoles of machines, and smoke machines tell their host keys \
                    there: {words}"
            );
            found.wrong.push(
                Diagnostic::error(None, message).hint("`build --no-smoke` publishes untested"),
            );
        }
        Leave::Unknown(why) if smoke => {
            found.notes.push(format!(
                "whether the cloud shows consoles is asked of the first machine: {why}"
            ));
        }
        _ => {}
    }
}

/// The smallest flavor that suffices and has a disk, or needs none.
pub(super) fn smallest<'a>(
    facts: &'a ProjectFacts,
    bundle: &Bundle,
    needs: Needs,
) -> Option<&'a Flavor> {
    let on_volume = bundle.volume.is_some();
    let fits = facts
        .flavors
        .iter()
        .filter(|f| suffices(f, needs, on_volume) && (on_volume || f.disk_gib > 0));
    fits.min_by_key(|f| (f.ram_mib, f.cpus, f.disk_gib, &f.id))
}

fn suffices(f: &Flavor, needs: Needs, on_volume: bool) -> bool {
    f.cpus >= needs.cpus
        && f.ram_mib >= needs.ram_mib
        && (on_volume || f.disk_gib == 0 || f.disk_gib >= needs.disk_gib)
}

/// The flavor that is named, if it is large enough; or the smallest that is. `asked` is where the
/// bundle names one, and that.
pub(super) fn flavor(
    bundle: &Bundle,
    facts: &ProjectFacts,
    asked: (&str, Option<&str>),
    needs: Needs,
    found: &mut Findings,
) -> Option<Flavor> {
    let (key, asked) = asked;
    let at = bundle.places.get(key).cloned();
    let on_volume = bundle.volume.is_some();
    let text = |f: &Flavor| {
        format!("`{}` ({} CPUs, {} MiB RAM, {} GiB disk)", f.name, f.cpus, f.ram_mib, f.disk_gib)
    };
    let smallest = smallest(facts, bundle, needs);
    let need = format!("{} MiB RAM and {} GiB disk", needs.ram_mib, needs.disk_gib);
    let Some(asked) = asked else {
        if smallest.is_none() {
            let all: Vec<String> = facts.flavors.iter().map(text).collect();
            let diskless =
                facts.flavors.iter().any(|f| f.disk_gib == 0 && suffices(f, needs, on_volume));
            let volume = if diskless {
                "`volume: {}` boots from volumes, which takes a flavor without a disk; "
            } else {
                ""
            };
            let hint = format!("{volume}{}", there_are(&all));
            found.wrong.push(Diagnostic::error(at, format!("no flavor has {need}")).hint(hint));
        }
        return smallest.cloned();
    };
    let all: Vec<Named> =
        facts.flavors.iter().map(|f| Named { id: f.id.clone(), name: f.name.clone() }).collect();
    let named = one("flavor", asked, &all, at.clone(), &mut found.wrong)?;
    let flavor = facts.flavors.iter().find(|f| f.id == named.id)?;
    if !suffices(flavor, needs, on_volume) {
        let better = smallest.map_or_else(
            || "no flavor is large enough".to_owned(),
            |f| format!("the smallest that fits is {}", text(f)),
        );
        let message = format!("flavor {} is too small: {need} are needed", text(flavor));
        found.wrong.push(Diagnostic::error(at, message).hint(better));
    } else if flavor.disk_gib == 0 && !on_volume {
        let rule = "from images, Nova lets members boot on such only where its operator says so \
            (403 otherwise)";
        found.notes.push(format!(
            "flavor `{}` has no disk: {rule}; `volume: {{}}` boots from volumes",
            flavor.name
        ));
    }
    Some(flavor.clone())
}

/// The one thing with this ID, or with this name.
fn one(
    what: &str,
    asked: &str,
    all: &[Named],
    at: Option<Location>,
    wrong: &mut Vec<Diagnostic>,
) -> Option<Named> {
    if let Some(found) = all.iter().find(|n| n.id == asked) {
        return Some(found.clone());
    }
    let named: Vec<&Named> = all.iter().filter(|n| n.name == asked).collect();
    match named.as_slice() {
        [found] => return Some((*found).clone()),
        [] => wrong.push(missing(
            what,
            asked,
            &all.iter().map(|n| n.name.clone()).collect::<Vec<_>>(),
            at,
        )),
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
fn missing(what: &str, asked: &str, names: &[String], at: Option<Location>) -> Diagnostic {
    let near: Vec<&str> = names
        .iter()
        .filter(|n| strsim::jaro_winkler(n, asked) > 0.85)
        .map(String::as_str)
        .collect();
    let hint = match (near.as_slice(), names) {
        ([], all) => there_are(all),
        (near, _) => format!("did you mean `{}`?", near.join("` or `")),
    };
    Diagnostic::error(at, format!("{what} `{asked}` does not exist")).hint(hint)
}

//! What the project has, and what it may still have: read side by side, nothing is created.
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};

use super::api::Service;
use super::glance::{self, Record};
use super::{OpenStack, cinder, neutron, nova};
use crate::cancel::Cancel;
use crate::cloud::{self, CloudError, Cx};
use crate::image::{self, Image};
use crate::plan::{BaseFact, CloudFacts, Network, Room, SiteFacts, Wanted};

pub async fn facts(cloud: &OpenStack, wanted: &Wanted, cx: &Cx) -> Result<CloudFacts, CloudError> {
    let cancel = &cx.cancel;
    // First of all, so that a login that fails is told once and not by every call.
    let project = cloud.api.project(cancel).await?;
    let lacks = lacks(cloud, cancel).await?;
    if !lacks.is_empty() {
        return Ok(CloudFacts { lacks, ..nothing(BaseFact::None) });
    }
    let base = async { base(cloud, wanted, &project, cancel).await };
    if wanted.base_only {
        let base = base.await?;
        if let (BaseFact::Found(image), Some(name)) = (&base, &wanted.base) {
            cloud.seen.base.put((name.clone(), (**image).clone()));
        }
        return Ok(nothing(base));
    }
    let site = site(cloud, wanted, &project, cancel);
    let taken = async {
        if wanted.image_name.is_empty() {
            return Ok(Vec::new());
        }
        named(cloud, &wanted.image_name, cancel).await
    };
    let (base, taken, site, version) =
        tokio::try_join!(base, taken, site, async { cloud.api.version(Service::Compute, cancel).await.map_err(CloudError::from) })?;
    let nova = version.map_or_else(|| "Nova 2.1".to_owned(), |(_, newest)| format!("Nova {}.{}", newest.0, newest.1));
    let who = cloud.api.who(cancel).await?;
    let own = taken.iter().filter(|i| i.owner() == project && i.property(image::STATE) != Some("building"));
    Ok(CloudFacts {
        name_taken_by: own.map(|i| i.id().to_owned()).collect(),
        how: format!("OpenStack {}: {nova}, {who}", cloud.api.name()),
        site: Some(site),
        ..nothing(base)
    })
}

fn nothing(base: BaseFact) -> CloudFacts {
    CloudFacts {
        base,
        name_taken_by: Vec::new(),
        how: String::new(),
        max_cpus: None,
        max_ram_mb: None,
        free_bytes: None,
        lacks: Vec::new(),
        site: None,
    }
}

/// Services without which nothing is built.
async fn lacks(cloud: &OpenStack, cancel: &Cancel) -> Result<Vec<(String, String)>, CloudError> {
    let mut lacks = Vec::new();
    for (service, name) in [(Service::Compute, "Nova"), (Service::Image, "Glance"), (Service::Network, "Neutron")] {
        if !cloud.api.has(service, cancel).await? {
            let what = format!("cloud {} has no {name} in its service catalog", cloud.api.name());
            lacks.push((what, "is the region right, and the interface (OS_REGION_NAME, OS_INTERFACE)?".to_owned()));
        }
    }
    Ok(lacks)
}

async fn named(cloud: &OpenStack, name: &str, cancel: &Cancel) -> Result<Vec<Record>, CloudError> {
    Ok(glance::images(&cloud.api, &[("name", name.to_owned())], cancel).await?)
}

/// What [`family::meaning`] says of all that a name may mean: images of others are among these, for who asks by ID or exact name.
async fn base(cloud: &OpenStack, facts: &Wanted, project: &str, cancel: &Cancel) -> Result<BaseFact, CloudError> {
    let Some(wanted) = facts.base.as_deref() else { return Ok(BaseFact::None) };
    // Of use for the next look only: another build may publish a newer one.
    let seen = cloud.seen.base.take_fresh(|(name, _)| name == wanted);
    if let Some((_, image)) = seen.filter(|_| !facts.base_only) {
        return Ok(BaseFact::Found(Box::new(image)));
    }
    if !facts.base_is_family
        && uuid::Uuid::parse_str(wanted).is_ok()
        && let Some(found) = glance::image(&cloud.api, wanted, cancel).await?
    {
        return Ok(BaseFact::Found(Box::new(found.image(project))));
    }
    let by_name = async {
        match facts.base_is_family {
            true => Ok(Vec::new()),
            false => named(cloud, wanted, cancel).await,
        }
    };
    let by_family = async { of_family(cloud, wanted, cancel).await };
    let (by_name, by_family) = tokio::try_join!(by_name, by_family)?;
    let usable = |i: &&Record| i.status() == "active" && i.property(image::STATE) != Some("building");
    let mut images: Vec<Image> = by_family.iter().chain(&by_name).filter(usable).map(|i| i.image(project)).collect();
    let mut ids = std::collections::BTreeSet::new();
    images.retain(|i| ids.insert(i.id.clone()));
    image::tell_copies(&mut images);
    match cloud::base_among(&images, wanted, facts.base_is_family, Vec::new) {
        BaseFact::Missing { .. } => Ok(BaseFact::Missing { near: near(cloud, wanted, project, cancel).await? }),
        found => Ok(found),
    }
}

/// All that carry a family's name, whoever made them.
pub async fn of_family(cloud: &OpenStack, family: &str, cancel: &Cancel) -> Result<Vec<Record>, CloudError> {
    let query = [(image::FAMILY, family.to_owned()), ("status", "active".to_owned())];
    Ok(glance::images(&cloud.api, &query, cancel).await?)
}

/// Names and families that look like `wanted`.
async fn near(cloud: &OpenStack, wanted: &str, project: &str, cancel: &Cancel) -> Result<Vec<String>, CloudError> {
    let all = glance::images(&cloud.api, &[("status", "active".to_owned())], cancel).await?;
    let mut near: Vec<String> = all
        .iter()
        .map(|i| i.image(project))
        .flat_map(|i| [i.counts().then_some(i.family), Some(i.name)])
        .flatten()
        .filter(|n| !n.is_empty())
        .collect();
    near.retain(|n| strsim::jaro_winkler(n, wanted) > 0.85);
    near.sort();
    near.dedup();
    near.truncate(3);
    Ok(near)
}

async fn site(cloud: &OpenStack, wanted: &Wanted, project: &str, cancel: &Cancel) -> Result<SiteFacts, CloudError> {
    let api = &cloud.api;
    let volumes = async {
        if !wanted.volumes || !api.has(Service::Volume, cancel).await? {
            return Ok((None, Room::default()));
        }
        let (types, room) = tokio::try_join!(cinder::types(api, cancel), cinder::room(api, cancel))?;
        Ok((Some(types.into_iter().map(|t| t.name).collect()), room))
    };
    let (flavors, networks, subnets, groups, zones, servers, net_room, images, (volume_types, volume_room)) = tokio::try_join!(
        nova::flavors(api, cancel),
        neutron::networks(api, cancel),
        neutron::subnets(api, cancel),
        neutron::groups(api, project, cancel),
        async { if wanted.zones { nova::zones(api, cancel).await } else { Ok(Vec::new()) } },
        nova::room(api, cancel),
        neutron::room(api, project, cancel),
        glance::room(api, cancel),
        volumes,
    )?;
    let near = |id: &str| subnets.iter().any(|s| s.network_id == id && is_near(&s.cidr));
    let network = |n: neutron::Network| Network {
        near: near(&n.id),
        own: n.owner() == Some(project),
        id: n.id,
        name: n.name,
        external: n.external,
        shared: n.shared,
    };
    Ok(SiteFacts {
        flavors,
        networks: networks.into_iter().map(network).collect(),
        security_groups: groups.into_iter().map(|g| crate::plan::Named { id: g.id, name: g.name }).collect(),
        zones,
        volume_types,
        room: Room {
            floating_ips: net_room.floating_ips,
            security_groups: net_room.security_groups,
            volumes: volume_room.volumes,
            volume_gb: volume_room.volume_gb,
            images,
            ..servers
        },
        defaults: cloud.defaults.clone(),
        ssh_from: if cloud.ssh_from.is_empty() { ssh_from(&cloud.api.host(), cloud.api.port()) } else { cloud.ssh_from.clone() },
    })
}

/// The address that this machine sends from to that one; nothing is sent to find it out.
fn source_towards(to: (IpAddr, u16)) -> Option<IpAddr> {
    let any: IpAddr = if to.0.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|a| a.ip())
}

/// Whether this machine has an address in `cidr`: then what it sends there has a source in it.
fn is_near(cidr: &str) -> bool {
    let Some((net, bits)) = parse_cidr(cidr) else { return false };
    source_towards((next(net), 9)).is_some_and(|source| in_net(source, net, bits))
}

fn parse_cidr(cidr: &str) -> Option<(IpAddr, u32)> {
    let (net, bits) = cidr.split_once('/')?;
    Some((net.parse().ok()?, bits.parse().ok()?))
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The first address after a network's own.
fn next(net: IpAddr) -> IpAddr {
    match net {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).wrapping_add(1).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).wrapping_add(1).into()),
    }
}

fn in_net(ip: IpAddr, net: IpAddr, bits: u32) -> bool {
    let width = if net.is_ipv4() { 32 } else { 128 };
    let host_bits = width - bits.min(width);
    let cut = |n: u128| if host_bits >= 128 { 0 } else { n >> host_bits };
    ip.is_ipv4() == net.is_ipv4() && cut(number(ip)) == cut(number(net))
}

/// From where our SSH will be seen to come. The address we have towards the cloud's API is it, unless a router on the way
/// writes another over it; then nobody can tell from here, and SSH is admitted from everywhere: it opens to one key alone.
fn ssh_from(host: &str, port: u16) -> Vec<String> {
    let everywhere = || vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let Some(to) = (host, port).to_socket_addrs().ok().and_then(|mut all| all.next()) else { return everywhere() };
    let Some(source) = source_towards((to.ip(), port)) else { return everywhere() };
    if source.is_loopback() || is_private(source) != is_private(to.ip()) {
        return everywhere();
    }
    vec![format!("{source}/{}", if source.is_ipv4() { 32 } else { 128 })]
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Images of this project that are the factory's or have its properties, newest first; staged and hidden ones too.
pub async fn images(cloud: &OpenStack, cancel: &Cancel) -> Result<Vec<Image>, CloudError> {
    let project = cloud.api.project(cancel).await?;
    let owner = ("owner", project.clone());
    let (shown, hidden) = ([owner.clone()], [owner, ("os_hidden", "true".to_owned())]);
    let (mut all, hidden) = tokio::try_join!(glance::images(&cloud.api, &shown, cancel), glance::images(&cloud.api, &hidden, cancel))?;
    all.extend(hidden.into_iter().filter(|i| i.flag("os_hidden")));
    let mut images: Vec<Image> = all.iter().filter(|i| i.has_marks()).map(|i| i.image(&project)).collect();
    images.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
    images.dedup_by(|a, b| a.id == b.id);
    image::tell_copies(&mut images);
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_their_networks() {
        let inside = |ip: &str, cidr: &str| {
            let (net, bits) = parse_cidr(cidr).unwrap();
            in_net(ip.parse().unwrap(), net, bits)
        };
        assert!(inside("10.20.0.7", "10.20.0.0/24") && !inside("10.20.1.7", "10.20.0.0/24"));
        assert!(inside("2001:db8::7", "2001:db8::/64") && !inside("10.0.0.1", "2001:db8::/64"));
        assert!(inside("192.0.2.1", "0.0.0.0/0"));
        assert!(is_near("127.0.0.0/8") && !is_near("nonsense"));
    }

    #[test]
    fn behind_a_router_ssh_comes_from_nobody_knows_where() {
        assert_eq!(ssh_from("127.0.0.1", 80), ["0.0.0.0/0", "::/0"]);
        assert_eq!(ssh_from("no such host", 80), ["0.0.0.0/0", "::/0"]);
    }
}

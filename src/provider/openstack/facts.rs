//! Reads resources and remaining quotas of the project, concurrently and without changes.
use std::future::Future;
use std::sync::Mutex;

use super::api::{Api, ApiError, Service};
use super::endpoint::Microversions;
use super::glance::{self, Record};
use super::source::is_near;
use super::{OpenStack, base, cinder, neutron, nova};
use crate::model::facts::{
    BaseLookup, CloudFacts, FactsQuery, Leave, Network, ProjectFacts, QuotaHeadroom,
};
use crate::model::image::{self, Image};
use crate::provider::{CloudError, RunCx};
use crate::system::cancel::Cancel;

/// Facts that the cloud does not disclose, collected during concurrent reads.
#[derive(Default)]
struct Untold(Mutex<Vec<String>>);

impl Untold {
    /// Reads an optional fact. Some clouds withhold it from members, or lack the call; a real fault
    /// shows where the fact is needed.
    async fn or<T>(
        &self,
        what: &str,
        otherwise: T,
        asked: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        match asked.await {
            Err(e) if matches!(e, ApiError::Cancelled(_) | ApiError::Login { .. }) => Err(e),
            Err(e) if e.status() == Some(401) => Err(e),
            Err(e) => {
                self.add(format!("the cloud does not tell {what}: {}", e.reason()));
                Ok(otherwise)
            }
            told => told,
        }
    }

    fn add(&self, note: String) {
        self.0.lock().expect("plain pushes do not panic").push(note);
    }

    fn notes(self) -> Vec<String> {
        let mut notes = self.0.into_inner().expect("plain pushes do not panic");
        notes.sort();
        notes
    }
}

pub async fn facts(
    cloud: &OpenStack,
    wanted: &FactsQuery,
    cx: &RunCx,
) -> Result<CloudFacts, CloudError> {
    let cancel = &cx.cancel;
    // Logs in first, so that a failed login is reported once and not by every call.
    let project = cloud.api.project(cancel).await?;
    let missing_prerequisites = missing_prerequisites(cloud, cancel).await?;
    if !missing_prerequisites.is_empty() {
        return Ok(CloudFacts { missing_prerequisites, ..nothing(BaseLookup::None) });
    }
    let base = Box::pin(base::base(cloud, wanted, &project, cancel));
    if wanted.base_only {
        let base = base.await?;
        if let (BaseLookup::Found(image), Some(name)) = (&base, &wanted.base) {
            cloud.seen.base.put((name.clone(), (**image).clone()));
        }
        return Ok(nothing(base));
    }
    let untold = Untold::default();
    let site = Box::pin(site(cloud, wanted, &untold, cancel));
    let taken = async {
        if wanted.image_name.is_empty() {
            return Ok(Vec::new());
        }
        base::published_as(cloud, &wanted.image_name, &project, cancel).await
    };
    let (base, taken, mut site, version) = tokio::try_join!(base, taken, site, async {
        cloud.api.microversions(cancel).await.map_err(CloudError::from)
    })?;
    site.publishing = Box::pin(publishing(cloud, wanted, &base, cancel)).await;
    let nova = match version {
        Microversions::Known(_, newest) => format!("Nova {}.{}", newest.0, newest.1),
        Microversions::Unknown(what) => format!("Nova 2.1 (its version document is {what})"),
    };
    let who = cloud.api.who(cancel).await?;
    Ok(CloudFacts {
        name_taken_by: taken.iter().map(|image| image.id().to_owned()).collect(),
        how: format!("OpenStack {}: {nova}, {who}", cloud.api.name()),
        site: Some(site),
        notes: untold.notes(),
        ..nothing(base)
    })
}

/// Checks permission to publish, using the ID of the base or another image: Glance checks the
/// policy before it notices that the ID exists.
async fn publishing(
    cloud: &OpenStack,
    wanted: &FactsQuery,
    base: &BaseLookup,
    cancel: &Cancel,
) -> Leave {
    let Some(publishing) = &wanted.publishing else { return Leave::Unasked };
    let taken = match base {
        BaseLookup::Found(image) => Ok(Some(image.id.clone())),
        _ => glance::any(&cloud.api, cancel).await,
    };
    match taken {
        Ok(Some(id)) => glance::may_publish(&cloud.api, &id, publishing, cancel).await,
        Ok(None) => Leave::Unknown("there is no image yet to ask with".into()),
        Err(e) => Leave::Unknown(e.reason()),
    }
}

fn nothing(base: BaseLookup) -> CloudFacts {
    CloudFacts {
        base,
        name_taken_by: Vec::new(),
        how: String::new(),
        max_cpus: None,
        max_ram_mib: None,
        free_bytes: None,
        missing_prerequisites: Vec::new(),
        site: None,
        notes: Vec::new(),
    }
}

/// Required services that are missing.
async fn missing_prerequisites(
    cloud: &OpenStack,
    cancel: &Cancel,
) -> Result<Vec<(String, String)>, CloudError> {
    let mut missing_prerequisites = Vec::new();
    for (service, name) in
        [(Service::Compute, "Nova"), (Service::Image, "Glance"), (Service::Network, "Neutron")]
    {
        if !cloud.api.has(service, cancel).await? {
            let what = format!("cloud {} has no {name} in its service catalog", cloud.api.name());
            missing_prerequisites.push((
                what,
                "is the region right, and the interface (OS_REGION_NAME, OS_INTERFACE)?".to_owned(),
            ));
        }
    }
    Ok(missing_prerequisites)
}

async fn site(
    cloud: &OpenStack,
    wanted: &FactsQuery,
    untold: &Untold,
    cancel: &Cancel,
) -> Result<ProjectFacts, CloudError> {
    let api = &cloud.api;
    let project = &api.project(cancel).await?;
    // On the heap, each of them: together they would be more than a stack has room for.
    let consoles = async {
        if wanted.consoles { nova::shows_consoles(api, cancel).await } else { Leave::Unasked }
    };
    let zones =
        async { if wanted.zones { nova::zones(api, cancel).await } else { Ok(Vec::new()) } };
    let (flavors, networks, subnets, groups, zones, headroom, volumes, consoles) = tokio::try_join!(
        Box::pin(nova::flavors(api, cancel)),
        Box::pin(neutron::networks(api, cancel)),
        untold.or("the subnets", Vec::new(), Box::pin(neutron::subnets(api, cancel))),
        untold.or(
            "the security groups",
            Vec::new(),
            Box::pin(neutron::groups(api, project, cancel))
        ),
        untold.or("its availability zones", Vec::new(), Box::pin(zones)),
        Box::pin(headroom(api, project, untold, cancel)),
        Box::pin(volumes(cloud, wanted, untold, cancel)),
        Box::pin(async { Ok::<_, ApiError>(consoles.await) }),
    )?;
    Ok(ProjectFacts {
        flavors,
        networks: networks.into_iter().map(|n| network(n, &subnets, project)).collect(),
        security_groups: groups
            .into_iter()
            .map(|g| crate::model::facts::Named { id: g.id, name: g.name })
            .collect(),
        zones,
        room: QuotaHeadroom {
            volumes: volumes.room.volumes,
            volume_gib: volumes.room.volume_gib,
            ..headroom
        },
        volume_zones: volumes.zones,
        volume_types: volumes.types,
        encrypts: volumes.encrypts,
        publishing: Leave::Unasked,
        consoles,
        defaults: cloud.defaults.clone(),
        ssh_from: cloud.ssh_from.clone(),
    })
}

/// What the project may still have, but for volumes.
async fn headroom(
    api: &Api,
    project: &str,
    untold: &Untold,
    cancel: &Cancel,
) -> Result<QuotaHeadroom, ApiError> {
    let (servers, addresses, images) = tokio::try_join!(
        untold.or(
            "what the project may still have of servers",
            QuotaHeadroom::default(),
            Box::pin(nova::room(api, cancel))
        ),
        untold.or(
            "what the project may still have of floating IPs",
            QuotaHeadroom::default(),
            Box::pin(neutron::room(api, project, cancel))
        ),
        untold.or(
            "what the project may still have of images",
            QuotaHeadroom::default(),
            Box::pin(glance::room(api, cancel))
        ),
    )?;
    Ok(QuotaHeadroom {
        floating_ips: addresses.floating_ips,
        security_groups: addresses.security_groups,
        images: images.images,
        image_mib: images.image_mib,
        ..servers
    })
}

fn network(n: neutron::Network, subnets: &[neutron::Subnet], project: &str) -> Network {
    let seen = || subnets.iter().filter(|s| s.network_id == n.id);
    // Subnets of others' networks are not always seen.
    let all_seen = seen().count() >= n.subnets.len();
    Network {
        near: seen().any(|s| is_near(&s.cidr)),
        own: n.owner() == Some(project),
        port_security: n.has_port_security(),
        v6_only: all_seen && seen().count() > 0 && seen().all(|s| s.cidr.contains(':')),
        id: n.id,
        name: n.name,
        external: n.external,
        shared: n.shared,
    }
}

/// Facts for machines with volumes.
#[derive(Default)]
struct Volumes {
    /// As [`ProjectFacts::volume_types`].
    types: Option<Vec<String>>,
    encrypts: Option<bool>,
    zones: Vec<String>,
    room: QuotaHeadroom,
}

async fn volumes(
    cloud: &OpenStack,
    wanted: &FactsQuery,
    untold: &Untold,
    cancel: &Cancel,
) -> Result<Volumes, ApiError> {
    let api = &cloud.api;
    if !(wanted.volumes || wanted.second_disk) || !api.has(Service::Volume, cancel).await? {
        return Ok(Volumes::default());
    }
    let types = async {
        // A second disk is of the type that machines boot from, or of the cloud's default.
        if !wanted.volumes {
            return Ok((None, None));
        }
        let types =
            untold.or("its volume types", Vec::new(), Box::pin(cinder::types(api, cancel))).await?;
        let encrypts = cinder::encrypts(api, &types, wanted.volume_type.as_deref(), cancel).await;
        Ok::<_, ApiError>((Some(types), encrypts))
    };
    let zones =
        async { if wanted.zones { cinder::zones(api, cancel).await } else { Ok(Vec::new()) } };
    let ((types, encrypts), zones, room) = tokio::try_join!(
        types,
        untold.or("its availability zones of volumes", Vec::new(), Box::pin(zones)),
        untold.or(
            "what the project may still have of volumes",
            QuotaHeadroom::default(),
            Box::pin(cinder::room(api, cancel))
        ),
    )?;
    let types = types.map(|types| types.into_iter().map(|t| t.name).collect());
    Ok(Volumes { types, encrypts, zones, room })
}

/// Images of this project with the factory's properties, newest first; includes staged and hidden
/// ones, and no checkpoints.
pub async fn images(cloud: &OpenStack, cancel: &Cancel) -> Result<Vec<Image>, CloudError> {
    let project = cloud.api.project(cancel).await?;
    let all = base::shown_and_hidden(cloud, &[("owner", project.clone())], cancel).await?;
    let is_one = |i: &&Record| i.has_marks() && !i.is_kept_checkpoint(&project);
    let mut images: Vec<Image> = all.iter().filter(is_one).map(|i| i.image(&project)).collect();
    images.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
    images.dedup_by(|a, b| a.id == b.id);
    image::tell_copies(&mut images);
    Ok(images)
}

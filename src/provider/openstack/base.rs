//! Resolves image names in a project, for bases and for all commands.
use std::collections::BTreeSet;

use super::OpenStack;
use super::glance::{self, Record};
use crate::model::facts::{BaseLookup, FactsQuery};
use crate::model::image::{self, Image};
use crate::provider::{self, CloudError};
use crate::system::cancel::Cancel;
use crate::text::suggest;

pub async fn named(
    cloud: &OpenStack,
    name: &str,
    cancel: &Cancel,
) -> Result<Vec<Record>, CloudError> {
    Ok(glance::images(&cloud.api, &[("name", name.to_owned())], cancel).await?)
}

/// Images of a listing, hidden ones as well.
pub async fn shown_and_hidden(
    cloud: &OpenStack,
    query: &[(&'static str, String)],
    cancel: &Cancel,
) -> Result<Vec<Record>, CloudError> {
    let hidden = [query, &[("os_hidden", "true".to_owned())]].concat();
    let (mut all, hidden) = tokio::try_join!(
        glance::images(&cloud.api, query, cancel),
        glance::images(&cloud.api, &hidden, cancel)
    )?;
    // A Glance that does not know the filter shows the others again.
    all.extend(hidden.into_iter().filter(|record| record.flag("os_hidden")));
    Ok(all)
}

/// The project's published images of that name, hidden or not.
pub async fn published_as(
    cloud: &OpenStack,
    name: &str,
    project: &str,
    cancel: &Cancel,
) -> Result<Vec<Record>, CloudError> {
    let mut all = shown_and_hidden(cloud, &[("name", name.to_owned())], cancel).await?;
    all.retain(|i| i.name() == name && i.owner() == project && !is_staged(i));
    Ok(all)
}

/// Resolves `wanted` by [`family::meaning`] over all candidates, including foreign images
/// for lookups by ID or exact name.
pub async fn base(
    cloud: &OpenStack,
    facts: &FactsQuery,
    project: &str,
    cancel: &Cancel,
) -> Result<BaseLookup, CloudError> {
    let Some(wanted) = facts.base.as_deref() else { return Ok(BaseLookup::None) };
    // Of use for the next look only: another build may publish a newer one.
    let seen = cloud.seen.base.take_fresh(|(name, _)| name == wanted);
    if let Some((_, image)) = seen.filter(|_| !facts.base_only) {
        return Ok(BaseLookup::Found(Box::new(image)));
    }
    if !facts.base_is_family
        && uuid::Uuid::parse_str(wanted).is_ok()
        && let Some(found) = glance::image(&cloud.api, wanted, cancel).await?
    {
        return Ok(BaseLookup::Found(Box::new(found.image(project))));
    }
    let by_name = async {
        match facts.base_is_family {
            true => Ok(Vec::new()),
            false => named(cloud, wanted, cancel).await,
        }
    };
    let by_family = async { of_family(cloud, wanted, cancel).await };
    let (by_name, by_family) = tokio::try_join!(by_name, by_family)?;
    let all: Vec<Record> = by_family.into_iter().chain(by_name).collect();
    match among(&all, wanted, facts.base_is_family, project) {
        BaseLookup::Missing { .. } if !facts.base_is_family => {
            out_of_lists(cloud, wanted, all, cancel).await
        }
        BaseLookup::Missing { .. } => {
            Ok(BaseLookup::Missing { near: near(cloud, wanted, project, cancel).await? })
        }
        found => Ok(found),
    }
}

fn among(records: &[Record], wanted: &str, family_only: bool, project: &str) -> BaseLookup {
    let mut images: Vec<Image> = records
        .iter()
        .filter(|r| r.status() == "active" && !is_staged(r))
        .map(|i| i.image(project))
        .collect();
    let mut ids = BTreeSet::new();
    images.retain(|i| ids.insert(i.id.clone()));
    image::tell_copies(&mut images);
    provider::base_among(&images, wanted, family_only, Vec::new)
}

pub fn is_staged(record: &Record) -> bool {
    matches!(record.property(image::STATE), Some("building" | image::KEPT_CHECKPOINT))
}

/// Finds images that Glance omits from lists, by exact name, if no listed image has it: hidden,
/// community, and shared ones that this project has not accepted. Reports unusable ones as such.
async fn out_of_lists(
    cloud: &OpenStack,
    wanted: &str,
    listed: Vec<Record>,
    cancel: &Cancel,
) -> Result<BaseLookup, CloudError> {
    let project = &cloud.api.project(cancel).await?;
    let with = |more: &[(&'static str, &str)]| {
        let all = [("name", wanted)].into_iter().chain(more.iter().copied());
        all.map(|(key, value)| (key, value.to_owned())).collect::<Vec<_>>()
    };
    let (hidden, community) =
        (with(&[("os_hidden", "true")]), with(&[("visibility", "community")]));
    let offered = with(&[("visibility", "shared"), ("member_status", "all")]);
    let (hidden, community, offered) = tokio::try_join!(
        glance::images(&cloud.api, &hidden, cancel),
        glance::images(&cloud.api, &community, cancel),
        glance::images(&cloud.api, &offered, cancel),
    )?;
    let all: Vec<Record> =
        listed.into_iter().chain(hidden).chain(community).chain(offered).collect();
    let mut named: Vec<Image> = all
        .iter()
        .filter(|r| r.name() == wanted && !is_staged(r))
        .map(|r| r.image(project))
        .collect();
    let mut ids = BTreeSet::new();
    named.retain(|i| ids.insert(i.id.clone()));
    match among(&all, wanted, false, project) {
        BaseLookup::Missing { .. } => {}
        // A name is anybody's to give: what others offer does not come before a hidden image of
        // this project's.
        BaseLookup::Found(image) if !image.counts() && image.name == wanted && named.len() > 1 => {
            return Ok(BaseLookup::Ambiguous(named));
        }
        found => return Ok(found),
    }
    let mut unusable = named;
    unusable.retain(|i| i.unusable.is_some());
    match unusable.len() {
        0 => Ok(BaseLookup::Missing { near: near(cloud, wanted, project, cancel).await? }),
        1 => Ok(BaseLookup::Found(Box::new(unusable.remove(0)))),
        _ => Ok(BaseLookup::Ambiguous(unusable)),
    }
}

/// All images with a family's property, whoever made them.
pub async fn of_family(
    cloud: &OpenStack,
    family: &str,
    cancel: &Cancel,
) -> Result<Vec<Record>, CloudError> {
    let query = [(image::FAMILY, family.to_owned()), ("status", "active".to_owned())];
    Ok(glance::images(&cloud.api, &query, cancel).await?)
}

/// The same, with hidden ones: an image is published after these, too.
pub async fn all_of_family(
    cloud: &OpenStack,
    family: &str,
    cancel: &Cancel,
) -> Result<Vec<Record>, CloudError> {
    let query = [(image::FAMILY, family.to_owned()), ("status", "active".to_owned())];
    shown_and_hidden(cloud, &query, cancel).await
}

/// Names and families similar to `wanted`.
async fn near(
    cloud: &OpenStack,
    wanted: &str,
    project: &str,
    cancel: &Cancel,
) -> Result<Vec<String>, CloudError> {
    let all = glance::images(&cloud.api, &[("status", "active".to_owned())], cancel).await?;
    let mut near: Vec<String> = all
        .iter()
        .map(|i| i.image(project))
        .flat_map(|i| [i.counts().then_some(i.family), Some(i.name)])
        .flatten()
        .filter(|n| !n.is_empty())
        .collect();
    near.retain(|n| suggest::is_near(n, wanted));
    near.sort();
    near.dedup();
    near.truncate(3);
    Ok(near)
}

//! Publishes a staged image with one change, then reads it back and compares.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::glance::{self, Patch, Record};
use super::{OpenStack, base};
use crate::model::family;
use crate::model::image::{Image, Visibility};
use crate::provider::{self, CloudError, Publication, RunCx};
use crate::system::cancel::Cancel;

pub async fn publish(
    cloud: &OpenStack,
    cx: &RunCx,
    staged: &Image,
    publication: &Publication,
) -> Result<Image, CloudError> {
    let what = format!("publish {}", publication.name);
    let before = match cloud.seen.staged.take_fresh(|record| record.id() == staged.id) {
        Some(record) => Some(record),
        None => glance::image(&cloud.api, &staged.id, &cx.cancel).await?,
    };
    let before =
        before.ok_or_else(|| CloudError::refused(&what, format!("image {} is gone", staged.id)))?;
    let project = cloud.api.project(&cx.cancel).await?;
    let now = before.image(&project);
    if let Some(why) = provider::artifacts::unpublishable(&now, publication) {
        return Err(CloudError::refused(&what, why));
    }
    let family = base::all_of_family(cloud, &publication.family, &cx.cancel).await?;
    let family: Vec<Image> =
        family.iter().chain([&before]).map(|record| record.image(&project)).collect();
    let at = family::published_at(&family, &publication.family, &now.id, jiff::Timestamp::now());
    let publication = &publication.proven(&now.id, at);
    let change = change(&before, publication);
    if !change.is_empty()
        && let Err(e) = glance::patch(&cloud.api, &staged.id, &change, &cx.cancel).await
    {
        // The answer alone may have been lost, and the same again refused: what Glance shows
        // counts. It may be asked even when a signal came meanwhile.
        let now = glance::image(&cloud.api, &staged.id, &Cancel::default()).await?;
        if now.is_none_or(|now| !differences(&now, publication).is_empty()) {
            return Err(e.into());
        }
        cx.events.warn(format!("{e}: it is done all the same"));
    }
    for project in &publication.members {
        glance::add_member(&cloud.api, &staged.id, project, &cx.cancel).await?;
    }
    let after = glance::image(&cloud.api, &staged.id, &cx.cancel).await?;
    let after =
        after.ok_or_else(|| CloudError::refused(&what, "it is gone after it was published"))?;
    let mut wrong = differences(&after, publication);
    if !publication.members.is_empty() {
        let members = glance::members(&cloud.api, &staged.id, &cx.cancel).await?;
        wrong.extend(
            publication
                .members
                .iter()
                .filter(|m| !members.contains(*m))
                .map(|m| format!("it is not shared with project {m}")),
        );
    }
    if !wrong.is_empty() {
        return Err(CloudError::refused(
            &what,
            format!("Glance took the change, and shows something else: {}", wrong.join("; ")),
        ));
    }
    Ok(after.image(&project))
}

/// Properties that Glance manages itself.
fn is_glances(key: &str) -> bool {
    key.starts_with("os_glance_") || key.starts_with("os_hash_")
}

fn min_disk(record: &Record, publication: &Publication) -> u64 {
    publication.min_disk(record.virtual_size())
}

fn word(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Private => "private",
        Visibility::Shared => "shared",
        Visibility::Community => "community",
        Visibility::Public => "public",
    }
}

/// Patch from the current to the wanted state. Removes other properties, because a snapshot
/// inherits those of its base.
fn change(now: &Record, wanted: &Publication) -> Patch {
    let mut patch = Patch::default();
    let properties = now.properties();
    for key in
        properties.keys().filter(|key| !wanted.properties.contains_key(*key) && !is_glances(key))
    {
        patch.remove(key);
    }
    for (key, value) in
        wanted.properties.iter().filter(|(key, value)| properties.get(*key) != Some(value))
    {
        patch.set(key, value.as_str());
    }
    if now.name() != wanted.name {
        patch.replace("name", wanted.name.as_str());
    }
    let tags: BTreeSet<String> = wanted.tags.iter().cloned().collect();
    if now.tags() != tags {
        patch.replace("tags", json!(tags));
    }
    if now.min_disk_gib() != min_disk(now, wanted) {
        patch.replace("min_disk", min_disk(now, wanted));
    }
    if now.min_ram_mib() != wanted.min_ram_mib {
        patch.replace("min_ram", wanted.min_ram_mib);
    }
    if now.flag("os_hidden") != wanted.hidden {
        patch.replace("os_hidden", wanted.hidden);
    }
    if now.visibility() != wanted.visibility {
        patch.replace("visibility", word(wanted.visibility));
    }
    if now.flag("protected") != wanted.protected {
        patch.replace("protected", wanted.protected);
    }
    patch
}

fn differences(now: &Record, wanted: &Publication) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, shown: String, asked: String| {
        if shown != asked {
            wrong.push(format!("{what} is `{shown}`, not `{asked}`"));
        }
    };
    compare("its name", now.name().into(), wanted.name.clone());
    compare("min_disk", now.min_disk_gib().to_string(), min_disk(now, wanted).to_string());
    compare("min_ram", now.min_ram_mib().to_string(), wanted.min_ram_mib.to_string());
    compare("its visibility", word(now.visibility()).into(), word(wanted.visibility).into());
    compare("protected", now.flag("protected").to_string(), wanted.protected.to_string());
    compare("hidden", now.flag("os_hidden").to_string(), wanted.hidden.to_string());
    let list = |tags: BTreeSet<String>| tags.into_iter().collect::<Vec<_>>().join(", ");
    compare("the tags", list(now.tags()), list(wanted.tags.iter().cloned().collect()));
    let shown: BTreeMap<String, String> =
        now.properties().into_iter().filter(|(key, _)| !is_glances(key)).collect();
    for key in shown.keys().chain(wanted.properties.keys()).collect::<BTreeSet<_>>() {
        let text = |map: &BTreeMap<String, String>| {
            map.get(key).cloned().unwrap_or_else(|| "(absent)".into())
        };
        compare(&format!("property {key}"), text(&shown), text(&wanted.properties));
    }
    wrong
}

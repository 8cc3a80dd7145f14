//! Publishes a staged image. Members, and all that may be refused or left out, come before the
//! state is turned; what Glance shows is compared before and after.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::glance::{self, Patch, Record};
use super::{HASTE, OpenStack, base, settle, wait};
use crate::model::family;
use crate::model::image::{self, Image, State, Visibility};
use crate::provider::artifacts::{free_name, is_others_by_now, unpublishable};
use crate::provider::{CloudError, Publication, RunCx};
use crate::system::cancel::Cancel;
use crate::system::wait::Deadline;

/// Time for a run to see that an image before its own has the name that both chose, and to yield.
const YIELD: Duration = Duration::from_secs(60);

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
    if let Some(why) = unpublishable(&now, publication) {
        return Err(CloudError::refused(what, why));
    }
    if is_others_by_now(&now) {
        return Ok(now);
    }
    let publishing = Publishing { cloud, cx, what: &what, project: &project };
    let wanted = publishing.wanted(&before, &publication.of(&now)).await?;
    if now.state != State::Staged {
        // Its own image again.
        publishing.members(&before, &wanted).await?;
        return publishing.write(before, wanted, &cx.cancel).await;
    }
    let ready = publishing.prepare(before, &wanted).await?;
    cx.cancel.check()?;
    // From here on only a second signal ends it: what was written is to be known.
    publishing.write(ready, wanted, &cx.cancel.for_unwind()).await
}

/// A publication under way.
struct Publishing<'a> {
    cloud: &'a OpenStack,
    cx: &'a RunCx,
    /// "publish x"
    what: &'a str,
    project: &'a str,
}

impl Publishing<'_> {
    /// The publication with its proof, its time, and a name that is free now.
    async fn wanted(
        &self,
        before: &Record,
        publication: &Publication,
    ) -> Result<Publication, CloudError> {
        let Self { cloud, cx, project, .. } = *self;
        let (family, others) = tokio::try_join!(
            base::all_of_family(cloud, &publication.family, &cx.cancel),
            self.others(before.id(), &publication.name, &cx.cancel),
        )?;
        let family: Vec<Image> =
            family.iter().chain([before]).map(|record| record.image(project)).collect();
        let now = Timestamp::now();
        let at = family::published_at(&family, &publication.family, before.id(), now);
        let name = match base::is_staged(before) {
            true => free_name(publication, others.first().map(Record::id))?,
            // It is published under that name; [`Self::write`] settles whose it is.
            false => before.name().to_owned(),
        };
        Ok(Publication { name, ..publication.proven(before.id(), at) })
    }

    /// Other published images of that name in the project.
    async fn others(
        &self,
        id: &str,
        name: &str,
        cancel: &Cancel,
    ) -> Result<Vec<Record>, CloudError> {
        let mut all = base::published_as(self.cloud, name, self.project, cancel).await?;
        all.retain(|other| other.id() != id);
        Ok(all)
    }

    /// Everything but what makes the image published. A property that Glance leaves out and a
    /// member that it refuses are told while nobody may use the image.
    async fn prepare(&self, before: Record, wanted: &Publication) -> Result<Record, CloudError> {
        let Self { cloud, cx, what, .. } = *self;
        let id = before.id().to_owned();
        let left = |now: &Record| change(now, wanted, Phase::Staged);
        settle::change(cloud, before, &cx.cancel, left).await?;
        let ready = settle::read(cloud, &id, &cx.cancel).await?;
        let ready = ready.ok_or_else(|| CloudError::refused(what, "it is gone"))?;
        let wrong = differences(&ready, wanted, Phase::Staged);
        if !wrong.is_empty() {
            return Err(CloudError::refused(what, shows(&wrong)));
        }
        self.members(&ready, wanted).await?;
        Ok(ready)
    }

    /// Shares the image, and looks whether it is shared.
    async fn members(&self, image: &Record, wanted: &Publication) -> Result<(), CloudError> {
        let Self { cloud, cx, what, .. } = *self;
        if wanted.members.is_empty() {
            return Ok(());
        }
        for project in &wanted.members {
            glance::add_member(&cloud.api, image.id(), project, &cx.cancel).await?;
        }
        let shown = glance::members(&cloud.api, image.id(), &cx.cancel).await?;
        let lacking: Vec<String> = wanted
            .members
            .iter()
            .filter(|m| !shown.contains(*m))
            .map(|m| format!("it is not shared with project {m}"))
            .collect();
        if lacking.is_empty() { Ok(()) } else { Err(CloudError::refused(what, shows(&lacking))) }
    }

    /// The write that makes the image published; then what Glance shows is compared, and the name
    /// settled.
    async fn write(
        &self,
        ready: Record,
        mut wanted: Publication,
        cancel: &Cancel,
    ) -> Result<Image, CloudError> {
        let (cloud, id) = (self.cloud, ready.id().to_owned());
        let left = |now: &Record| change(now, &wanted, Phase::Published);
        let answer = settle::change(cloud, ready, cancel, left).await?;
        let mut after = self.seen(answer, cancel).await?;
        match self.others(&id, &wanted.name, cancel).await {
            Ok(others) if others.is_empty() => {}
            Ok(_) => after = self.rename(after, &mut wanted, cancel).await?,
            Err(e) => self.cx.events.warn(format!("another image may have that name: {e}")),
        }
        let wrong = differences(&after, &wanted, Phase::Published);
        if wrong.is_empty() {
            Ok(after.image(self.project))
        } else {
            Err(self.amiss(&after, wrong))
        }
    }

    /// The image as read back; as the change was answered if it cannot be read.
    async fn seen(&self, answer: Record, cancel: &Cancel) -> Result<Record, CloudError> {
        match settle::read(self.cloud, answer.id(), cancel).await {
            Ok(Some(after)) => Ok(after),
            Ok(None) => {
                Err(CloudError::refused(self.what, "the image is gone after it was published"))
            }
            Err(e) => {
                self.cx.events.warn(format!("{e}: it is taken for what its change was answered"));
                Ok(answer)
            }
        }
    }

    /// Another image was published under the name meanwhile. A name of ours gets the run's suffix;
    /// a chosen one is given up by the later of the two.
    async fn rename(
        &self,
        image: Record,
        wanted: &mut Publication,
        cancel: &Cancel,
    ) -> Result<Record, CloudError> {
        let other = match wanted.chosen {
            true => self.before(&image, wanted, cancel).await,
            false => {
                let others = self.others(image.id(), &wanted.name, cancel).await;
                others.map(|others| others.first().map(|other| other.id().to_owned()))
            }
        };
        let other = other.map_err(|e| self.unsettled(&image, e))?;
        match free_name(wanted, other.as_deref()) {
            Ok(name) => wanted.name = name,
            Err(taken) => return Err(self.withdrawn(&image, taken, cancel).await),
        }
        let left = |now: &Record| change(now, wanted, Phase::Published);
        let renamed = settle::change(self.cloud, image.clone(), cancel, left).await;
        let renamed = renamed.map_err(|e| self.unsettled(&image, e))?;
        self.seen(renamed, cancel).await
    }

    /// ID of the image that keeps the chosen name, if that is not this one. All that have it see
    /// the same order. The first waits for the others to yield; another may have been published
    /// before this one was seen, and stays then.
    async fn before(
        &self,
        image: &Record,
        wanted: &Publication,
        cancel: &Cancel,
    ) -> Result<Option<String>, CloudError> {
        let what = format!("look who has the name {}", wanted.name);
        let keeps = Mutex::new(None);
        let look = || async {
            let mut others = self.others(image.id(), &wanted.name, cancel).await?;
            others.sort_by_key(order);
            let first = others.first();
            *keeps.lock().expect("a plain assignment does not panic") =
                first.map(|other| other.id().to_owned());
            let waits = first.is_some_and(|other| order(image) < order(other));
            Ok((!waits).then_some(()))
        };
        let looks = wait(&what, cancel, Deadline::after(YIELD / HASTE), Duration::ZERO);
        match settle::until(looks, look).await {
            Ok(()) | Err(CloudError::Deadline { .. }) => {
                Ok(keeps.into_inner().expect("a plain assignment does not panic"))
            }
            Err(e) => Err(e),
        }
    }

    /// Takes the publication back, because its name is `taken`. The error to end with.
    async fn withdrawn(&self, image: &Record, taken: CloudError, cancel: &Cancel) -> CloudError {
        let back = |now: &Record| unpublish(now);
        match settle::change(self.cloud, image.clone(), cancel, back).await {
            Ok(_) => taken,
            // It may be done.
            Err(CloudError::Unknown { what, reason }) => {
                CloudError::Unknown { what, reason: format!("{taken}; {reason}") }
            }
            Err(e) => self.unsettled(image, format!("{taken}; {e}")),
        }
    }

    /// The image is published, and its name may be another's too.
    fn unsettled(&self, image: &Record, why: impl std::fmt::Display) -> CloudError {
        let reason = format!("another image has that name, and it was not settled: {why}");
        self.amiss_for(image, reason)
    }

    fn amiss(&self, after: &Record, wrong: Vec<String>) -> CloudError {
        self.amiss_for(after, shows(&wrong))
    }

    fn amiss_for(&self, after: &Record, reason: String) -> CloudError {
        let image = after.image(self.project);
        if image.state == State::Staged {
            return CloudError::refused(self.what, reason);
        }
        CloudError::Amiss { what: self.what.to_owned(), reason, image: Box::new(image) }
    }
}

fn shows(wrong: &[String]) -> String {
    format!("Glance took the change, and shows something else: {}", wrong.join("; "))
}

/// Order of images that were published under one name: time, then ID. One without a time was not
/// published by a run that looks at others, and comes first.
fn order(image: &Record) -> (Option<Timestamp>, String) {
    let at = image.property(image::PUBLISHED_AT).and_then(|at| at.parse().ok());
    (at, image.id().to_owned())
}

/// What is written, and compared: all but the state and what comes with it, or everything.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Staged,
    Published,
}

impl Phase {
    /// Whether this property is set with the state, and not before.
    fn leaves(self, key: &str) -> bool {
        self == Self::Staged && [image::STATE, image::PUBLISHED_AT].contains(&key)
    }

    /// Only a shared image takes members.
    fn sets(self, visibility: Visibility) -> bool {
        self == Self::Published || visibility == Visibility::Shared
    }
}

/// Patch that makes a published image a staged one of its run again.
fn unpublish(now: &Record) -> Patch {
    let mut patch = Patch::default();
    if now.property(image::STATE) != Some(State::Staged.name()) {
        patch.set(image::STATE, State::Staged.name());
    }
    if now.flag("protected") {
        patch.replace("protected", false);
    }
    let tags: Vec<String> = image::with_mark(now.tags().into_iter().collect(), false);
    if tags.len() != now.tags().len() {
        patch.replace("tags", json!(tags));
    }
    patch
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
fn change(now: &Record, wanted: &Publication, phase: Phase) -> Patch {
    let mut patch = Patch::default();
    let properties = now.properties();
    for key in
        properties.keys().filter(|key| !wanted.properties.contains_key(*key) && !is_glances(key))
    {
        patch.remove(key);
    }
    let set = |(key, value): &(&String, &String)| {
        properties.get(*key) != Some(*value) && !phase.leaves(key)
    };
    for (key, value) in wanted.properties.iter().filter(set) {
        patch.set(key, value.as_str());
    }
    if now.min_disk_gib() != min_disk(now, wanted) {
        patch.replace("min_disk", min_disk(now, wanted));
    }
    if now.min_ram_mib() != wanted.min_ram_mib {
        patch.replace("min_ram", wanted.min_ram_mib);
    }
    if now.visibility() != wanted.visibility && phase.sets(wanted.visibility) {
        patch.replace("visibility", word(wanted.visibility));
    }
    if phase == Phase::Staged {
        return patch;
    }
    if now.name() != wanted.name {
        patch.replace("name", wanted.name.as_str());
    }
    let tags: BTreeSet<String> = wanted.tags.iter().cloned().collect();
    if now.tags() != tags {
        patch.replace("tags", json!(tags));
    }
    if now.flag("os_hidden") != wanted.hidden {
        patch.replace("os_hidden", wanted.hidden);
    }
    if now.flag("protected") != wanted.protected {
        patch.replace("protected", wanted.protected);
    }
    patch
}

fn differences(now: &Record, wanted: &Publication, phase: Phase) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, shown: String, asked: String| {
        if shown != asked {
            wrong.push(format!("{what} is `{shown}`, not `{asked}`"));
        }
    };
    compare("min_disk", now.min_disk_gib().to_string(), min_disk(now, wanted).to_string());
    compare("min_ram", now.min_ram_mib().to_string(), wanted.min_ram_mib.to_string());
    if phase.sets(wanted.visibility) {
        compare("its visibility", word(now.visibility()).into(), word(wanted.visibility).into());
    }
    if phase == Phase::Published {
        compare("its name", now.name().into(), wanted.name.clone());
        compare("protected", now.flag("protected").to_string(), wanted.protected.to_string());
        compare("hidden", now.flag("os_hidden").to_string(), wanted.hidden.to_string());
        let list = |tags: BTreeSet<String>| tags.into_iter().collect::<Vec<_>>().join(", ");
        compare("the tags", list(now.tags()), list(wanted.tags.iter().cloned().collect()));
    }
    let shown: BTreeMap<String, String> =
        now.properties().into_iter().filter(|(key, _)| !is_glances(key)).collect();
    let keys: BTreeSet<&String> = shown.keys().chain(wanted.properties.keys()).collect();
    for key in keys.into_iter().filter(|key| !phase.leaves(key)) {
        let text = |map: &BTreeMap<String, String>| {
            map.get(key).cloned().unwrap_or_else(|| "(absent)".into())
        };
        compare(&format!("property {key}"), text(&shown), text(&wanted.properties));
    }
    wrong
}

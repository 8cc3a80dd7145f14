//! Lifecycle decisions for the images of a family: the current and the previous image, what a prune
//! does to each, and which are stale. Pure: image lists in, decisions out.
use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::image::{self, Image, Provenance, State};

#[cfg(test)]
mod tests;

/// Published images of a family, newest first. Foreign images are ignored, whatever properties they
/// carry.
fn of<'a>(images: &'a [Image], family: &str) -> Vec<&'a Image> {
    let mut found: Vec<&Image> =
        images.iter().filter(|i| i.family == family && i.counts()).collect();
    found.sort_by(|a, b| b.age_key().cmp(&a.age_key()));
    found
}

/// The image that a family's name refers to: the newest that is active and not hidden.
pub fn current<'a>(images: &'a [Image], family: &str) -> Option<&'a Image> {
    actives(images, family).first().copied()
}

/// The image that a build of its definition is compared with: the current one; for a definition
/// that `hides` its images, its newest active one.
pub fn latest<'a>(images: &'a [Image], family: &str, hides: bool) -> Option<&'a Image> {
    match hides {
        true => of(images, family).into_iter().find(|i| i.state == State::Active),
        false => current(images, family),
    }
}

/// Why the name of its family does not mean `image`, which was published just now. `None`: it does.
pub fn not_current(images: &[Image], image: &Image) -> Option<String> {
    let family = &image.family;
    let meant = match current(images, family) {
        Some(current) if current.id == image.id => return None,
        Some(current) => format!("`{family}` means {} ({})", current.name, current.id),
        None => format!("`{family}` means no image"),
    };
    let why = match images.iter().find(|i| i.id == image.id) {
        None => "it is not there any more".to_owned(),
        Some(now) if now.state == State::Deprecated => "it was deprecated since".to_owned(),
        Some(now) if now.hidden => "it is hidden".to_owned(),
        Some(_) => "that one was published after it".to_owned(),
    };
    Some(format!("{} is not current: {why}, and {meant}", image.name))
}

/// The image that becomes current if the current one is deprecated.
pub fn before<'a>(images: &'a [Image], family: &str) -> Option<&'a Image> {
    actives(images, family).get(1).copied()
}

fn actives<'a>(images: &'a [Image], family: &str) -> Vec<&'a Image> {
    of(images, family).into_iter().filter(|i| i.state == State::Active && !i.hidden).collect()
}

fn is_current(images: &[Image], image: &Image) -> bool {
    current(images, &image.family).is_some_and(|c| c.id == image.id)
}

/// Deprecated images, newest first. The order in which they were deprecated is not recorded.
pub fn deprecated<'a>(images: &'a [Image], family: &str) -> Vec<&'a Image> {
    of(images, family).into_iter().filter(|i| i.state == State::Deprecated).collect()
}

/// Hidden active images, newest first.
pub fn hidden<'a>(images: &'a [Image], family: &str) -> Vec<&'a Image> {
    of(images, family).into_iter().filter(|i| i.state == State::Active && i.hidden).collect()
}

/// Families with a published image, sorted.
pub fn all(images: &[Image]) -> Vec<&str> {
    let named =
        images.iter().filter(|i| i.counts() && !i.family.is_empty()).map(|i| i.family.as_str());
    named.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Publication time of image `id`: now, but after every image of the family, so that a clock set
/// back does not make it older. A clock that tells what is not [believed](image::is_believed) is no
/// clock. A published image keeps its time. Whole seconds.
pub fn published_at(
    images: &[Image],
    family: &str,
    id: &str,
    now: jiff::Timestamp,
) -> jiff::Timestamp {
    let proven = || of(images, family).into_iter().filter(|i| i.is_ours());
    if let Some(at) = proven().find(|i| i.id == id).and_then(Image::published_at) {
        return at;
    }
    let clock = Some(now).filter(|now| image::is_believed(*now)).unwrap_or_default().as_second();
    let newest = proven().map(|i| i.age_key().1.as_second()).max();
    let second = newest.map_or(clock, |newest| clock.max(newest + 1));
    jiff::Timestamp::from_second(second).unwrap_or_default()
}

/// What the name of a base refers to.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning<'a> {
    One(&'a Image),
    /// Several images have that exact name.
    Several(Vec<&'a Image>),
    /// No trusted image; these foreign ones have the name, or the properties of such a family.
    Doubtful(Vec<&'a Image>),
    Nothing,
}

/// Resolves `wanted` as a base: an ID, of any image; the exact name of one of ours; a family's
/// current image; the exact name of any other image. The family precedes foreign exact names, and
/// never includes copies, because anybody can choose a name. With `family_only`, IDs and exact
/// names are ignored.
pub fn meaning<'a>(images: &'a [Image], wanted: &str, family_only: bool) -> Meaning<'a> {
    let published = || images.iter().filter(|i| i.state != State::Staged);
    if let Some(one) = published().find(|i| i.id == wanted).filter(|_| !family_only) {
        return Meaning::One(one);
    }
    let named: Vec<&Image> = published().filter(|i| !family_only && i.name == wanted).collect();
    let (ours, others): (Vec<&Image>, Vec<&Image>) = named.into_iter().partition(|i| i.counts());
    let (ours, others) = (shown_first(ours), shown_first(others));
    match ours[..] {
        [one] => return Meaning::One(one),
        [_, _, ..] => return Meaning::Several(ours),
        [] => {}
    }
    if let Some(current) = current(images, wanted) {
        return Meaning::One(current);
    }
    let claims: Vec<&Image> = published().filter(|i| i.family == wanted).collect();
    if !claims.is_empty() && !wanted.is_empty() {
        let strange = claims.into_iter().filter(|i| !i.counts());
        let named = others.into_iter().filter(|i| i.family != wanted);
        let doubtful: Vec<&Image> = strange.chain(named).collect();
        return if doubtful.is_empty() { Meaning::Nothing } else { Meaning::Doubtful(doubtful) };
    }
    match others[..] {
        [] => Meaning::Nothing,
        [one] => Meaning::One(one),
        [_, _, ..] => Meaning::Several(others),
    }
}

/// The listed images of a name; the hidden ones if there are no others.
fn shown_first(named: Vec<&Image>) -> Vec<&Image> {
    let shown: Vec<&Image> = named.iter().copied().filter(|i| !i.hidden).collect();
    if shown.is_empty() { named } else { shown }
}

/// Resolves a name for a command: an ID, of any image; otherwise an exact name or a family, of
/// ours. Several images may have one name. A family without a current image means its newest one
/// (see [`is_stand_in`]).
pub fn find<'a>(images: &'a [Image], wanted: &str) -> Vec<&'a Image> {
    if let Some(one) = images.iter().find(|i| i.id == wanted) {
        return vec![one];
    }
    let named = shown_first(images.iter().filter(|i| i.counts() && i.name == wanted).collect());
    if !named.is_empty() {
        return named;
    }
    current(images, wanted).or_else(|| of(images, wanted).first().copied()).into_iter().collect()
}

/// Whether `image` was found by its family's name and is not what that name means: the family has
/// no current image.
pub fn is_stand_in(images: &[Image], image: &Image, wanted: &str) -> bool {
    image.id != wanted && image.name != wanted && !is_current(images, image)
}

/// What a prune does to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PruneAction {
    /// One of the newest.
    Keep,
    /// Beyond the limit, but needed or protected, for the given reason.
    Retain,
    /// Deprecates and hides it; its ID still works.
    Hide,
    Delete,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PruneDecision<'a> {
    pub image: &'a Image,
    pub fate: PruneAction,
    pub why: String,
}

/// Retention policy of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Number of newest active images to keep; at least one.
    pub keep: u32,
    /// Deletes images beyond the limit without hiding them first.
    pub at_once: bool,
}

/// Decides for each published image of `family`, newest first. `images` holds the images of all
/// families; `uses` maps IDs of images in use to descriptions of the users ("server web uses it").
///
/// Active images count, listed or hidden by their definition. The current one always stays. Only
/// images older than the last kept one are affected: the first prune hides them, a later one
/// deletes them. A newer deprecated image (a rollback) stays, because it may become active again.
/// Images without a proof are retained and do not count as kept.
pub fn prune<'a>(
    images: &'a [Image],
    family: &str,
    policy: Policy,
    uses: &BTreeMap<String, String>,
) -> Vec<PruneDecision<'a>> {
    let keep = policy.keep.max(1);
    let published = of(images, family);
    let counts = |i: &Image| i.state == State::Active && !is_legacy(i);
    let all = published.iter().filter(|i| counts(i)).count() as u32;
    // The current image may be older than hidden ones; a rollback is newer than it.
    let mut above_current = current(images, family).is_some();
    let mut kept = 0;
    let mut judge = |image: &'a Image| {
        let was_above = above_current;
        above_current &= !is_current(images, image);
        let (fate, why) = if is_legacy(image) {
            let why = "published before images proved whose they are: `image adopt` lets it be \
                pruned";
            (PruneAction::Retain, why.to_owned())
        } else if is_current(images, image) {
            kept += 1;
            (PruneAction::Keep, "current".to_owned())
        } else if kept < keep && image.state == State::Active {
            kept += 1;
            (PruneAction::Keep, format!("{kept} of the newest {keep}"))
        } else if kept < keep || was_above && image.state == State::Deprecated && !image.hidden {
            (PruneAction::Keep, stays(image, (kept, all), keep))
        } else {
            beyond(images, image, policy, uses)
        };
        PruneDecision { image, fate, why }
    };
    published.into_iter().map(&mut judge).collect()
}

fn is_legacy(image: &Image) -> bool {
    image.provenance() == Provenance::Legacy
}

/// Why a deprecated image stays. `counted`: how many images were kept before it, of how many.
fn stays(image: &Image, counted: (u32, u32), keep: u32) -> String {
    let is = if image.hidden { "hidden" } else { "deprecated" };
    match counted {
        (_, 0) => format!(
            "{is}; the family has no active image that would be kept, and nothing goes before it \
                has"
        ),
        (kept, all) if kept == all && all < keep => {
            format!(
                "{is}; older than the {all} active of the {keep} that are kept, and nothing goes \
                    before there are as many"
            )
        }
        _ => format!("{is}, and newer than the last one that is kept"),
    }
}

fn beyond(
    images: &[Image],
    image: &Image,
    policy: Policy,
    uses: &BTreeMap<String, String>,
) -> (PruneAction, String) {
    if image.protected {
        return (PruneAction::Retain, "it is protected".into());
    }
    if image.is_held() {
        let why = "a person made it active again: `image deprecate` lets it go";
        return (PruneAction::Retain, why.into());
    }
    let hidden_at = image.hidden_at().filter(|_| image.is_pruned());
    let why = match hidden_at {
        Some(at) => format!("hidden since {}", at.strftime("%Y-%m-%d %H:%M")),
        None => format!("beyond the newest {}", policy.keep.max(1)),
    };
    if hidden_at.is_none() && !policy.at_once {
        return (PruneAction::Hide, why);
    }
    // A machine of that image can be rebuilt only with it, and it documents the origin of a current
    // image.
    let child = images
        .iter()
        .filter(|i| i.base().is_some_and(|(id, _)| id == image.id))
        .find_map(|i| Some((i, in_use(images, i)?)));
    let user = match (uses.get(&image.id), child) {
        (Some(user), _) => user.clone(),
        (None, Some((child, how))) => format!("{} was built from it, and is {how}", child.name),
        (None, None) => return (PruneAction::Delete, why),
    };
    if hidden_at.is_some() {
        (PruneAction::Retain, user)
    } else {
        (PruneAction::Hide, format!("{why}; not deleted: {user}"))
    }
}

/// Why an image counts as in use: its family's name means it, it is the latest of a definition that
/// hides its images, or a person holds it.
fn in_use(images: &[Image], image: &Image) -> Option<&'static str> {
    let is_latest =
        || latest(images, &image.family, true).is_some_and(|latest| latest.id == image.id);
    match image {
        _ if is_current(images, image) => Some("current"),
        _ if image.is_held() => Some("held"),
        _ if image.hidden && is_latest() => Some("the latest of its definition"),
        _ => None,
    }
}

/// Inputs of a definition if it were built now; `None`: unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CurrentInputs {
    /// Digest of its files.
    pub inputs: Option<String>,
    /// Digest of its values, as [`image::VALUES`].
    pub values: Option<String>,
    pub base: Option<Image>,
    /// Checksum of the file that its source is, as [`image::SOURCE`].
    pub source: Option<String>,
    /// Why some of these could not be read.
    pub unknown: Option<String>,
}

/// Resolves `base` now: an ID, the only image of that name, or the family's current image.
pub fn resolve<'a>(images: &'a [Image], base: &str, is_family: bool) -> Option<&'a Image> {
    match meaning(images, base, is_family) {
        Meaning::One(image) => Some(image),
        Meaning::Several(_) | Meaning::Doubtful(_) | Meaning::Nothing => None,
    }
}

/// The current image of the base's family, for comparison if no definition is at hand.
pub fn newer_base<'a>(images: &'a [Image], image: &Image) -> Option<&'a Image> {
    let (id, _) = image.base()?;
    let base = images.iter().find(|i| i.id == id && i.counts() && !i.family.is_empty())?;
    current(images, &base.family)
}

/// Reasons why a build would give another image; empty if it would not. Unknown inputs are not
/// compared.
pub fn stale(image: &Image, now: &CurrentInputs) -> Vec<String> {
    let mut why = Vec::new();
    if let (Some((id, _)), Some(base)) = (image.base(), &now.base)
        && id != base.id
    {
        why.push(format!("its base is now {}", base.name));
    }
    if let (Some(had), Some(has)) = (image.properties.get(image::INPUTS), &now.inputs)
        && had != has
    {
        why.push("its definition changed".into());
    } else if let (Some(had), Some(has)) = (image.properties.get(image::VALUES), &now.values)
        && had != has
    {
        why.push("it was built with other values (`--set`)".into());
    }
    if let (Some(had), Some(has)) = (image.properties.get(image::SOURCE), &now.source)
        && had != has
    {
        let short: String = has.chars().take("sha512:".len() + 12).collect();
        why.push(format!("its source is another file now, {short}"));
    }
    why
}

/// A deprecated image of the same definition, base and source: building again would only repeat it.
/// It is newer than `image`, the latest one; if there is none, it is the family's newest.
pub fn rolled_back<'a>(
    images: &'a [Image],
    family: &str,
    image: Option<&Image>,
    now: &CurrentInputs,
) -> Option<&'a Image> {
    let inputs = now.inputs.as_ref()?;
    let same = |i: &&Image| {
        let base = i.base().map(|(id, _)| id);
        let source = i.properties.get(image::SOURCE);
        let values = i.properties.get(image::VALUES);
        i.properties.get(image::INPUTS) == Some(inputs)
            && base == now.base.as_ref().map(|b| b.id.as_str())
            && (source.is_none() || now.source.is_none() || source == now.source.as_ref())
            && (values.is_none() || now.values.is_none() || values == now.values.as_ref())
    };
    let published = of(images, family);
    let newer = match image {
        Some(image) => {
            published.into_iter().take_while(|i| i.age_key() > image.age_key()).collect()
        }
        None => published.into_iter().take(1).collect::<Vec<_>>(),
    };
    newer.into_iter().filter(|i| i.state == State::Deprecated && !i.is_pruned()).find(same)
}

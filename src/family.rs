//! The life of a family's images after their builds: which is current, which was before, what a
//! prune does to each, which is stale. Pure: what a cloud shows goes in, decisions come out.
use std::collections::BTreeMap;

use serde::Serialize;

use crate::image::{self, Image, Provenance, State};

#[cfg(test)]
mod tests;

/// Published images of a family, newest first. What is not ours is not there, whatever it carries.
fn of<'a>(images: &'a [Image], family: &str) -> Vec<&'a Image> {
    let mut found: Vec<&Image> =
        images.iter().filter(|i| i.family == family && i.counts()).collect();
    found.sort_by(|a, b| b.age_key().cmp(&a.age_key()));
    found
}

/// The image that a family's name means: its newest active one that is not hidden.
pub fn current<'a>(images: &'a [Image], family: &str) -> Option<&'a Image> {
    actives(images, family).first().copied()
}

/// The one that becomes current when the current one is deprecated.
pub fn before<'a>(images: &'a [Image], family: &str) -> Option<&'a Image> {
    actives(images, family).get(1).copied()
}

fn actives<'a>(images: &'a [Image], family: &str) -> Vec<&'a Image> {
    of(images, family).into_iter().filter(|i| i.state == State::Active && !i.hidden).collect()
}

fn is_current(images: &[Image], image: &Image) -> bool {
    current(images, &image.family).is_some_and(|c| c.id == image.id)
}

/// Those that are deprecated, newest first. Nothing tells which of several became so last.
pub fn deprecated<'a>(images: &'a [Image], family: &str) -> Vec<&'a Image> {
    of(images, family).into_iter().filter(|i| i.state == State::Deprecated).collect()
}

/// Those that are active and hidden, newest first.
pub fn hidden<'a>(images: &'a [Image], family: &str) -> Vec<&'a Image> {
    of(images, family).into_iter().filter(|i| i.state == State::Active && i.hidden).collect()
}

/// Families that have a published image, sorted.
pub fn all(images: &[Image]) -> Vec<&str> {
    let named =
        images.iter().filter(|i| i.counts() && !i.family.is_empty()).map(|i| i.family.as_str());
    named.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// When the image `id` of a family is published: now, and after every image of the family that is
/// there, so that no clock that was set back hides it behind an older one. One that was published
/// already keeps its time. To the second.
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
    let newest = proven().map(|i| i.age_key().1.as_second()).max();
    let second = newest.map_or(now.as_second(), |newest| now.as_second().max(newest + 1));
    jiff::Timestamp::from_second(second).unwrap_or(now)
}

/// What a base's name means.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning<'a> {
    One(&'a Image),
    /// Several have that exact name.
    Several(Vec<&'a Image>),
    /// Nothing that the factory would take for it: these, which are not ours, have the name or the
    /// properties of such a family.
    Doubtful(Vec<&'a Image>),
    Nothing,
}

/// What `wanted` means as a base: an ID, whatever it is of; the exact name of one of ours; a
/// family's current image; the exact name of another. A family comes before an exact name of what
/// is not ours, and a copy is never meant by the family whose properties it carries: a name is
/// anybody's to give. `family_only`: neither IDs nor exact names are looked for.
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

/// Of images of one name those that are shown in lists; the hidden ones where there are no others.
fn shown_first(named: Vec<&Image>) -> Vec<&Image> {
    let shown: Vec<&Image> = named.iter().copied().filter(|i| !i.hidden).collect();
    if shown.is_empty() { named } else { shown }
}

/// What a name means to a command: an ID, whatever it is of; or, of ours, an exact name, or a
/// family. Several images may have one name; the caller tells them apart.
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

/// What a prune does to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PruneAction {
    /// One of the newest.
    Keep,
    /// It would go, but for a reason.
    Retain,
    /// Deprecated and hidden: still there for who knows its ID.
    Hide,
    Delete,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PruneDecision<'a> {
    pub image: &'a Image,
    pub fate: PruneAction,
    pub why: String,
}

/// How much of a family stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// So many of the newest active images are kept; at least one is.
    pub keep: u32,
    /// Delete what is beyond at once, instead of hiding it until the next prune.
    pub at_once: bool,
}

/// What becomes of each published image of `family`, newest first. `images` are all there are,
/// other families' too; `uses` says by ID of what is used who uses it ("server web uses it").
///
/// Only what is older than the last one kept is touched: first hidden, and deleted by a later
/// prune. A newer one that was deprecated (a rollback) stays as it is, for it may become active
/// again. Images without a proof are spared, and do not count as kept.
pub fn prune<'a>(
    images: &'a [Image],
    family: &str,
    policy: Policy,
    uses: &BTreeMap<String, String>,
) -> Vec<PruneDecision<'a>> {
    let keep = policy.keep.max(1);
    let mut kept = 0;
    let legacy = |image: &Image| image.provenance() == Provenance::Legacy;
    let all = actives(images, family).into_iter().filter(|i| !legacy(i)).count() as u32;
    let stays = |is: &str, kept: u32| match all {
        0 => format!(
            "{is}; the family has no active image that would be kept, and nothing goes before it \
                has"
        ),
        _ if kept == all => {
            format!(
                "{is}; older than the {all} active of the {keep} that are kept, and nothing goes \
                    before there are as many"
            )
        }
        _ => format!("{is}, and newer than the last one that is kept"),
    };
    let judge = |image: &'a Image| {
        let (fate, why) = if legacy(image) {
            (
                PruneAction::Retain,
                "published before images proved whose they are: `image adopt` lets it be pruned"
                    .to_owned(),
            )
        } else if kept == keep {
            beyond(images, image, policy, uses)
        } else if image.hidden {
            (PruneAction::Keep, stays("hidden", kept))
        } else if image.state == State::Deprecated {
            (PruneAction::Keep, stays("deprecated", kept))
        } else {
            kept += 1;
            (
                PruneAction::Keep,
                if kept == 1 {
                    "current".to_owned()
                } else {
                    format!("{kept} of the newest {keep}")
                },
            )
        };
        PruneDecision { image, fate, why }
    };
    of(images, family).into_iter().map(judge).collect()
}

fn beyond(
    images: &[Image],
    image: &Image,
    policy: Policy,
    uses: &BTreeMap<String, String>,
) -> (PruneAction, String) {
    let hidden_at = image.hidden_at().filter(|_| image.hidden && image.state == State::Deprecated);
    if image.protected {
        return (PruneAction::Retain, "it is protected".into());
    }
    if image.hidden && hidden_at.is_none() {
        return (
            PruneAction::Retain,
            "it was hidden by hand or by its bundle, and not by a prune".into(),
        );
    }
    let why = match hidden_at {
        Some(at) => format!("hidden since {}", at.strftime("%Y-%m-%d %H:%M")),
        None => format!("beyond the newest {}", policy.keep.max(1)),
    };
    if hidden_at.is_none() && !policy.at_once {
        return (PruneAction::Hide, why);
    }
    // Who has a machine from it, and would rebuild it, needs the image; so does who wants to know
    // what a current image was made of.
    let child = images
        .iter()
        .find(|i| i.base().is_some_and(|(id, _)| id == image.id) && is_current(images, i));
    let user = match (uses.get(&image.id), child) {
        (Some(user), _) => user.clone(),
        (None, Some(child)) => format!("{} was built from it, and is current", child.name),
        (None, None) => return (PruneAction::Delete, why),
    };
    if hidden_at.is_some() {
        (PruneAction::Retain, user)
    } else {
        (PruneAction::Hide, format!("{why}; not deleted: {user}"))
    }
}

/// What a definition would be built from if it were built now; `None`: not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CurrentInputs {
    /// Digest of its files.
    pub inputs: Option<String>,
    pub base: Option<Image>,
}

/// What `base` means now: an ID, the one image of that name, or the current one of the family.
pub fn resolve<'a>(images: &'a [Image], base: &str, is_family: bool) -> Option<&'a Image> {
    match meaning(images, base, is_family) {
        Meaning::One(image) => Some(image),
        Meaning::Several(_) | Meaning::Doubtful(_) | Meaning::Nothing => None,
    }
}

/// The current image of the family that this image's base is of: what to compare with where no
/// definition is at hand.
pub fn newer_base<'a>(images: &'a [Image], image: &Image) -> Option<&'a Image> {
    let (id, _) = image.base()?;
    let base = images.iter().find(|i| i.id == id && i.counts() && !i.family.is_empty())?;
    current(images, &base.family)
}

/// Why an image is no longer what a build would give; empty: it is. What is not known of either
/// side makes nothing stale.
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
    }
    why
}

/// A newer image that was made of the same definition and base, and was deprecated: building again
/// would give it again.
pub fn rolled_back<'a>(
    images: &'a [Image],
    image: &Image,
    now: &CurrentInputs,
) -> Option<&'a Image> {
    let inputs = now.inputs.as_ref()?;
    let same = |i: &&Image| {
        let base = i.base().map(|(id, _)| id);
        i.properties.get(image::INPUTS) == Some(inputs)
            && base == now.base.as_ref().map(|b| b.id.as_str())
    };
    let newer = |i: &&Image| i.state == State::Deprecated && i.age_key() > image.age_key();
    of(images, &image.family).into_iter().filter(newer).find(same)
}

//! The life of a family's images after their builds: which is current, which was before, what a prune does to each, which is
//! stale. Pure: what a cloud shows goes in, decisions come out.
use std::collections::BTreeMap;

use serde::Serialize;

use crate::image::{self, Image, State};

#[cfg(test)]
mod tests;

/// Published images of a family, newest first.
fn of<'a>(images: &'a [Image], family: &str) -> Vec<&'a Image> {
    let mut found: Vec<&Image> = images.iter().filter(|i| i.family == family && i.state != State::Building).collect();
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

/// The newest one that is deprecated: what a rollback left behind.
pub fn deprecated<'a>(images: &'a [Image], family: &str) -> Option<&'a Image> {
    of(images, family).into_iter().find(|i| i.state == State::Deprecated)
}

/// Families that have a published image, sorted.
pub fn all(images: &[Image]) -> Vec<&str> {
    let named = images.iter().filter(|i| i.state != State::Building && !i.family.is_empty()).map(|i| i.family.as_str());
    named.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// What a name means: an ID, an exact name, or a family. Several images may have one name; the caller tells them apart.
pub fn find<'a>(images: &'a [Image], wanted: &str) -> Vec<&'a Image> {
    let published = || images.iter().filter(|i| i.state != State::Building);
    if let Some(one) = images.iter().find(|i| i.id == wanted) {
        return vec![one];
    }
    let named: Vec<&Image> = published().filter(|i| i.name == wanted).collect();
    if !named.is_empty() {
        return named;
    }
    current(images, wanted).or_else(|| of(images, wanted).first().copied()).into_iter().collect()
}

/// What a prune does to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// One of the newest.
    Keep,
    /// It would go, but for a reason.
    Spare,
    /// Deprecated and hidden: still there for who knows its ID.
    Hide,
    Delete,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Verdict<'a> {
    pub image: &'a Image,
    pub fate: Fate,
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

/// What becomes of each published image of `family`, newest first. `images` are all there are, other families' too; `uses` says
/// by ID of what is used who uses it ("server web uses it").
///
/// Only what is older than the last one kept is touched: first hidden, and deleted by a later prune. A newer one that was
/// deprecated (a rollback) stays as it is, for it may become active again.
pub fn prune<'a>(images: &'a [Image], family: &str, policy: Policy, uses: &BTreeMap<String, String>) -> Vec<Verdict<'a>> {
    let keep = policy.keep.max(1);
    let mut kept = 0;
    let judge = |image: &'a Image| {
        let (fate, why) = if kept == keep {
            beyond(images, image, policy, uses)
        } else if image.hidden {
            (Fate::Keep, "hidden, and newer than the last one that is kept".to_owned())
        } else if image.state == State::Deprecated {
            (Fate::Keep, "deprecated, and newer than the last one that is kept".to_owned())
        } else {
            kept += 1;
            (Fate::Keep, if kept == 1 { "current".to_owned() } else { format!("{kept} of the newest {keep}") })
        };
        Verdict { image, fate, why }
    };
    of(images, family).into_iter().map(judge).collect()
}

fn beyond(images: &[Image], image: &Image, policy: Policy, uses: &BTreeMap<String, String>) -> (Fate, String) {
    let hidden_at = image.hidden_at().filter(|_| image.hidden && image.state == State::Deprecated);
    if !image.is_ours() {
        return (Fate::Spare, "no run of the factory made it".into());
    }
    if image.protected {
        return (Fate::Spare, "it is protected".into());
    }
    if image.hidden && hidden_at.is_none() {
        return (Fate::Spare, "it was hidden by hand or by its bundle, and not by a prune".into());
    }
    let why = match hidden_at {
        Some(at) => format!("hidden since {}", at.strftime("%Y-%m-%d %H:%M")),
        None => format!("beyond the newest {}", policy.keep.max(1)),
    };
    if hidden_at.is_none() && !policy.at_once {
        return (Fate::Hide, why);
    }
    // Who has a machine from it, and would rebuild it, needs the image; so does who wants to know what a current image was made of.
    let child = images.iter().find(|i| i.base().is_some_and(|(id, _)| id == image.id) && is_current(images, i));
    let user = match (uses.get(&image.id), child) {
        (Some(user), _) => user.clone(),
        (None, Some(child)) => format!("{} was built from it, and is current", child.name),
        (None, None) => return (Fate::Delete, why),
    };
    if hidden_at.is_some() { (Fate::Spare, user) } else { (Fate::Hide, format!("{why}; not deleted: {user}")) }
}

/// What a definition would be built from if it were built now; `None`: not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Now {
    /// Digest of its files.
    pub inputs: Option<String>,
    pub base: Option<Image>,
}

/// What `base` means now: an ID, the one image of that name, or the current one of the family.
pub fn resolve<'a>(images: &'a [Image], base: &str, is_family: bool) -> Option<&'a Image> {
    let named = if is_family { Vec::new() } else { find(images, base) };
    match &named[..] {
        [] => current(images, base),
        [one] if one.id == base || one.name == base => Some(one),
        [one] => current(images, &one.family),
        _ => None,
    }
}

/// The current image of the family that this image's base is of: what to compare with where no definition is at hand.
pub fn newer_base<'a>(images: &'a [Image], image: &Image) -> Option<&'a Image> {
    let (id, _) = image.base()?;
    let base = images.iter().find(|i| i.id == id && !i.family.is_empty())?;
    current(images, &base.family)
}

/// Why an image is no longer what a build would give; empty: it is. What is not known of either side makes nothing stale.
pub fn stale(image: &Image, now: &Now) -> Vec<String> {
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

/// A newer image that was made of the same definition and base, and was deprecated: building again would give it again.
pub fn rolled_back<'a>(images: &'a [Image], image: &Image, now: &Now) -> Option<&'a Image> {
    let inputs = now.inputs.as_ref()?;
    let same = |i: &&Image| {
        let base = i.base().map(|(id, _)| id);
        i.properties.get(image::INPUTS) == Some(inputs) && base == now.base.as_ref().map(|b| b.id.as_str())
    };
    let newer = |i: &&Image| i.state == State::Deprecated && i.age_key() > image.age_key();
    of(images, &image.family).into_iter().filter(newer).find(same)
}

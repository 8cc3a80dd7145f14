//! Checks the bases of bundles: missing ones, and cycles.
use super::{Base, Definition, keys};
use crate::frontend;
use crate::model::category::{IMAGES, OS};
use crate::model::definition::Maker;
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::field::Field;

/// A finding that involves several bundles, and the bundle that it is on. Its location may be the
/// command line.
pub type OnBundle<'b> = (&'b Definition, Diagnostic);

/// Findings on `bundle.img_base` that involve several bundles: an `os/<name>` that is not in the
/// tree, a directory of images/ instead of a family, and cycles. Each cycle is reported once, at
/// the first of its bundles.
pub fn check_bases<'b>(bundles: &[&'b Definition]) -> Vec<OnBundle<'b>> {
    let of_one = |bundle: &Definition| missing(bundle).or_else(|| place_as_image(bundles, bundle));
    let mut findings: Vec<OnBundle<'b>> =
        bundles.iter().filter_map(|bundle| Some((*bundle, of_one(bundle)?))).collect();
    let bases: Vec<Option<usize>> =
        bundles.iter().map(|bundle| base_among(bundles, bundle)).collect();
    // Every bundle has one base, so a walk from each either ends or runs into a circle.
    let mut done = vec![false; bundles.len()];
    for start in 0..bundles.len() {
        let mut walk = Vec::new();
        let mut at = Some(start);
        while let Some(here) = at.filter(|here| !done[*here]) {
            done[here] = true;
            walk.push(here);
            at = bases[here];
        }
        if let Some(first) = at.and_then(|at| walk.iter().position(|w| *w == at)) {
            findings.push(circle(bundles, &walk[first..]));
        }
    }
    findings.sort_by(|(_, a), (_, b)| a.place.cmp(&b.place));
    findings
}

fn missing(bundle: &Definition) -> Option<Diagnostic> {
    let Some(Base::Os(name)) = &bundle.base else { return None };
    if frontend::base_of(&bundle.tree, bundle).is_some() {
        return None;
    }
    let there = of_os(bundle);
    let finding =
        Diagnostic::error(place(bundle), format!("the base os/{name} is not in this tree"));
    Some(match keys::nearest(name, there.iter().map(String::as_str)) {
        Some(near) => finding.hint(format!("did you mean os/{near}?")),
        None if there.is_empty() => finding.hint("os/ holds no definition at all"),
        None => finding.hint(format!("os/ holds {}", there.join(", "))),
    })
}

fn of_os(bundle: &Definition) -> Vec<String> {
    let all = frontend::all(&bundle.tree);
    all.iter()
        .filter_map(|dir| dir.strip_prefix(bundle.tree.join(OS.dir)).ok())
        .map(|dir| dir.display().to_string())
        .collect()
}

/// The definition `os/<name>` that a base, written without `os/`, probably means.
pub fn os_near(bundle: &Definition) -> Option<String> {
    let Some(Base::Image(image)) = &bundle.base else { return None };
    let there = of_os(bundle);
    there
        .iter()
        .find(|name| *name == image)
        .cloned()
        .or_else(|| keys::nearest(image, there.iter().map(String::as_str)).map(str::to_owned))
}

/// Index of the bundle in `bundles` that makes the base of `bundle`, which may be named by its
/// family or by the name that it gives its image. A bundle with the name of its own base uses an
/// image of the cloud.
pub fn base_among(bundles: &[&Definition], bundle: &Definition) -> Option<usize> {
    match bundle.base.as_ref()? {
        Base::Os(name) => bundles.iter().position(|other| OS.name(&other.label) == Some(name)),
        Base::Image(name) => {
            let makes =
                |one: &Definition| one.name == *name || one.target_name.as_ref() == Some(name);
            bundles.iter().position(|other| makes(other)).filter(|_| !makes(bundle))
        }
    }
}

/// The bundle that makes the base of `bundle`, if the base is not `os/<name>`: found by its family,
/// or by its directory, which is not a valid base.
pub fn maker(bundles: &[&Definition], bundle: &Definition) -> Option<Maker> {
    let Some(Base::Image(asked)) = &bundle.base else { return None };
    let asked = asked.strip_prefix("./").unwrap_or(asked).trim_end_matches('/');
    let is_of = |label: &str| label == asked || IMAGES.name(label) == Some(asked);
    let by_family = base_among(bundles, bundle).map(|at| bundles[at]);
    let by_place =
        || bundles.iter().copied().find(|other| is_of(&other.label) && other.label != bundle.label);
    let found = by_family.or_else(by_place).filter(|other| !other.name.is_empty())?;
    Some(Maker { label: found.label.clone(), family: found.name.clone() })
}

/// Reports a directory of images/ in place of an image's name.
fn place_as_image(bundles: &[&Definition], bundle: &Definition) -> Option<Diagnostic> {
    let Some(Base::Image(asked)) = &bundle.base else { return None };
    let maker =
        maker(bundles, bundle).filter(|maker| asked.contains('/') && maker.family != *asked)?;
    let message = format!(
        "`{asked}` is taken for the name of an image: {} makes the family `{}`",
        maker.label, maker.family
    );
    Some(Diagnostic::warning(place(bundle), message).hint(format!("`img_base: {}`", maker.family)))
}

fn circle<'b>(bundles: &[&'b Definition], walk: &[usize]) -> OnBundle<'b> {
    let least = (0..walk.len()).min_by_key(|at| &bundles[walk[*at]].label).unwrap_or(0);
    let mut labels: Vec<&str> = walk
        .iter()
        .cycle()
        .skip(least)
        .take(walk.len())
        .map(|at| bundles[*at].label.as_str())
        .collect();
    labels.push(labels[0]);
    let message = format!("bases run in a circle: {}", labels.join(" -> "));
    let first = bundles[walk[least]];
    (
        first,
        Diagnostic::error(place(first), message)
            .hint("one of them needs a base that is already there"),
    )
}

fn place(bundle: &Definition) -> Option<Location> {
    bundle.locations.of(Field::Base)
}

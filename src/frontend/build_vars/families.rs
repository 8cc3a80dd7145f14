//! Reports definitions of one tree that share a family. A family has one current image, so they
//! would hide each other's images, and a prune would delete them.
use std::collections::BTreeMap;

use super::{Definition, OnBundle};
use crate::model::diagnostic::{Diagnostic, Location, few};
use crate::model::field::Field;

/// Maximum number of locations shown.
const SHOWN: usize = 5;

/// One finding per definition whose `bundle.name` is shared, or that names its image as another's
/// family. A directory reached by several paths
/// (links) is one definition. Definitions outside of the tree are skipped.
pub fn check_families<'b>(bundles: &[&'b Definition]) -> Vec<OnBundle<'b>> {
    // By name, then by the real directory.
    let mut families: BTreeMap<&str, BTreeMap<&std::path::Path, &'b Definition>> = BTreeMap::new();
    for bundle in
        bundles.iter().filter(|b| !b.name.is_empty() && b.asks.definition.starts_with(&b.tree))
    {
        families.entry(&bundle.name).or_default().entry(&bundle.asks.definition).or_insert(bundle);
    }
    let shared = families.into_values().filter(|makers| makers.len() > 1);
    let mut findings: Vec<OnBundle<'b>> =
        shared.flat_map(|makers| of_family(&makers.into_values().collect::<Vec<_>>())).collect();
    findings.extend(
        bundles.iter().filter_map(|bundle| Some((*bundle, family_as_name(bundles, bundle)?))),
    );
    findings.sort_by(|(_, a), (_, b)| (&a.place, &a.message).cmp(&(&b.place, &b.message)));
    findings
}

fn of_family<'b>(makers: &[&'b Definition]) -> Vec<OnBundle<'b>> {
    let finding = |at: usize, bundle: &Definition| {
        let others: Vec<&Definition> = makers
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at)
            .map(|(_, other)| *other)
            .collect();
        let labels =
            few(&others.iter().map(|other| other.label.as_str()).collect::<Vec<_>>(), SHOWN);
        let message = format!(
            "`bundle.name` is `{}` in {labels}, too: a family has one maker, and they would prune \
                each other's images",
            bundle.name
        );
        let written = |other: &Definition| {
            place(other)
                .filter(|place| place.line > 0)
                .map_or_else(|| other.label.clone(), |p| p.to_string())
        };
        let places = few(&others.iter().map(|other| written(other)).collect::<Vec<_>>(), SHOWN);
        let verb = if others.len() == 1 { "other is" } else { "others are" };
        let hint = match place(bundle) {
            // A value of `--set` applies to every named definition.
            Some(place) if place.line == 0 => {
                format!(
                    "give `--set bundle.name` to one definition at a time, and a name that is \
                        free; the {verb}"
                )
            }
            _ => format!("give each a name of its own; the {verb} at"),
        };
        Diagnostic::error(place(bundle), message).hint(format!("{hint} {places}"))
    };
    makers.iter().enumerate().map(|(at, bundle)| (*bundle, finding(at, bundle))).collect()
}

/// The image of one definition is called as the family of another: the exact name comes first, so
/// that nobody could name that family.
fn family_as_name(bundles: &[&Definition], bundle: &Definition) -> Option<Diagnostic> {
    let target = bundle.target_name.as_ref()?;
    let other = bundles
        .iter()
        .find(|other| other.name == *target && other.asks.definition != bundle.asks.definition)?;
    let (place, key) =
        (bundle.locations.of(Field::TargetName), bundle.locations.key(Field::TargetName));
    let message = format!(
        "`{key}` is `{target}`, the family of {}: that name would mean this one image",
        other.label
    );
    let at = self::place(other).map_or_else(|| other.label.clone(), |at| at.to_string());
    Some(
        Diagnostic::error(place, message)
            .hint(format!("choose another name; the family is at {at}")),
    )
}

fn place(bundle: &Definition) -> Option<Location> {
    bundle.locations.of(Field::Family)
}

//! The publication part of a plan.
use super::Lines;
use crate::model::image;
use crate::model::publication::{SET_AT_THE_END, SetBy};
use crate::plan::{MinDisk, Origin, Plan};

/// All settings of the image in Glance, from the definition or a default.
pub(super) fn published(lines: &mut Lines, plan: &Plan) {
    let publish = &plan.publish;
    lines.add("name", publish.name.clone());
    lines.add("family", publish.family.clone());
    lines.add("visibility", publish.visibility.word().into());
    lines.add("members", listed(&publish.members));
    let disk = match plan.min_disk() {
        MinDisk::Exactly(gb) => format!("{gb} GiB"),
        MinDisk::AtLeast(gb) => format!("at least {gb} GiB, or what its disk needs"),
        MinDisk::AsItsDisk => "what its disk needs".into(),
    };
    lines.add("min_disk", disk);
    lines.add("min_ram", format!("{} MiB", publish.min_ram_mib));
    lines.add("protected", yes_or_no(publish.protected).into());
    lines.add("hidden", yes_or_no(publish.hidden).into());
    // Includes the tag by which other clients find current images.
    lines.add("tags", listed(&image::with_mark(publish.tags.clone(), !publish.hidden)));
    let known =
        publish.properties.iter().map(|(key, value)| format!("{key}={value}{}", set_by(plan, key)));
    let later = SET_AT_THE_END.map(|key| format!("{key} (the factory, once the image is there)"));
    lines.all("properties", known.chain(later));
}

fn set_by(plan: &Plan, key: &str) -> String {
    match plan.publish.set_by.get(key) {
        Some(SetBy::Base) => match &plan.origin {
            Origin::Base(base) => format!(" (base {})", base.name),
            Origin::Script(_) | Origin::Url { .. } => " (base)".into(),
        },
        Some(SetBy::BundleProperties) => " (bundle.properties)".into(),
        Some(SetBy::FinalGlanceOptions) => " (final_glance_options)".into(),
        Some(SetBy::Factory) => " (the factory)".into(),
        None => String::new(),
    }
}

/// Adds derived values to the JSON.
pub(super) fn complete(plan: &Plan, value: &mut serde_json::Value) {
    let (gb, at_least) = match plan.min_disk() {
        MinDisk::Exactly(gb) => (Some(gb), false),
        MinDisk::AtLeast(gb) => (Some(gb), true),
        MinDisk::AsItsDisk => (None, true),
    };
    value["publish"]["min_disk_gb"] = gb.into();
    value["publish"]["min_disk_at_least"] = at_least.into();
    value["publish"]["set_at_the_end"] = SET_AT_THE_END.to_vec().into();
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

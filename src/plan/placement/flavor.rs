//! Flavors: the one that is named, or the smallest that suffices.
use super::Project;
use super::named::Choices;
use crate::model::diagnostic::{Diagnostic, there_are};
use crate::model::facts::{Flavor, Named};
use crate::model::field::Field;
use crate::plan::Findings;

/// What a machine must have at least.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    pub cpus: u32,
    pub ram_mib: u64,
    pub disk_gib: u64,
}

/// The smallest flavor that suffices and has a disk, or needs none.
pub(in crate::plan) fn smallest(on: Project<'_>, needs: Needs) -> Option<&Flavor> {
    let on_volume = on.bundle.volume.is_some();
    let fits = on
        .facts
        .flavors
        .iter()
        .filter(|f| suffices(f, needs, on_volume) && (on_volume || f.disk_gib > 0));
    fits.min_by_key(|f| (f.ram_mib, f.cpus, f.disk_gib, &f.id))
}

fn suffices(f: &Flavor, needs: Needs, on_volume: bool) -> bool {
    f.cpus >= needs.cpus
        && f.ram_mib >= needs.ram_mib
        && (on_volume || f.disk_gib == 0 || f.disk_gib >= needs.disk_gib)
}

/// The flavor that is named, if it is large enough; or the smallest that is. `asked` is where the
/// bundle names one, and that.
pub(in crate::plan) fn flavor(
    on: Project<'_>,
    asked: (Field, Option<&str>),
    needs: Needs,
    found: &mut Findings,
) -> Option<Flavor> {
    let Project { bundle, facts } = on;
    let (field, asked) = asked;
    let at = bundle.locations.of(field);
    let on_volume = bundle.volume.is_some();
    let on_volumes = format!("{}: {{}}", bundle.locations.key(Field::Volume));
    let text = |f: &Flavor| {
        format!("`{}` ({} CPUs, {} MiB RAM, {} GiB disk)", f.name, f.cpus, f.ram_mib, f.disk_gib)
    };
    let smallest = smallest(on, needs);
    let need = format!("{} MiB RAM and {} GiB disk", needs.ram_mib, needs.disk_gib);
    let Some(asked) = asked else {
        if smallest.is_none() {
            let all: Vec<String> = facts.flavors.iter().map(text).collect();
            let diskless =
                facts.flavors.iter().any(|f| f.disk_gib == 0 && suffices(f, needs, on_volume));
            let volume = if diskless {
                format!("`{on_volumes}` boots from volumes, which takes a flavor without a disk; ")
            } else {
                String::new()
            };
            let hint = format!("{volume}{}", there_are(&all));
            found.wrong.push(Diagnostic::error(at, format!("no flavor has {need}")).hint(hint));
        }
        return smallest.cloned();
    };
    let all: Vec<Named> =
        facts.flavors.iter().map(|f| Named { id: f.id.clone(), name: f.name.clone() }).collect();
    let choices = Choices { what: "flavor", all: &all, at: at.clone() };
    let named = choices.one(asked, &mut found.wrong)?;
    let flavor = facts.flavors.iter().find(|f| f.id == named.id)?;
    if !suffices(flavor, needs, on_volume) {
        let better = smallest.map_or_else(
            || "no flavor is large enough".to_owned(),
            |f| format!("the smallest that fits is {}", text(f)),
        );
        let message = format!("flavor {} is too small: {need} are needed", text(flavor));
        found.wrong.push(Diagnostic::error(at, message).hint(better));
    } else if flavor.disk_gib == 0 && !on_volume {
        let rule = "from images, Nova lets members boot on such only where its operator says so \
            (403 otherwise)";
        found.notes.push(format!(
            "flavor `{}` has no disk: {rule}; `{on_volumes}` boots from volumes",
            flavor.name
        ));
    }
    Some(flavor.clone())
}

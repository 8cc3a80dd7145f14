//! The family of a published image is kept at the size that its bundle says.
use super::factory::Setup;
use crate::engine::run_dir::bases_of_live_runs;
use crate::lifecycle::prune;
use crate::model::family::{Policy, PruneAction};
use crate::model::image::Image;
use crate::plan::Plan;
use crate::provider::RunCx;

/// Keeps the family of `image`, which this run has published, at the size that its definition says.
/// The image is published whatever becomes of others, so that nothing in here fails a build.
pub(super) async fn prune_family(setup: Setup<'_>, plan: &Plan, image: &Image, cx: &RunCx) {
    let Some(keep) = plan.keep else { return };
    let families = [(plan.family.clone(), Policy { keep, at_once: false })];
    let building = match bases_of_live_runs(&setup.factory.home) {
        Ok(building) => building,
        Err(e) => {
            return cx.events.warn(format!(
                "family {} is not pruned: the index of runs cannot be read: {e}",
                plan.family
            ));
        }
    };
    let request = prune::Request {
        families: &families,
        building: &building,
        own: Some(&image.id),
        dry_run: false,
    };
    match prune::prune(&*setup.factory.provider, cx, request).await {
        Err(e) => cx.events.warn(format!("family {} is not pruned: {e}", plan.family)),
        Ok(done) => {
            for pruned in done.iter().filter(|p| p.fate != PruneAction::Keep) {
                let text = format!("keep {keep}: {}", pruned.text(false));
                if pruned.error.is_some() { cx.events.warn(text) } else { cx.events.note(text) }
            }
        }
    }
}

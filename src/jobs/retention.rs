//! What a published image makes of its family: which image is current, and which stay.
use super::factory::Setup;
use crate::engine::run_dir::bases_of_live_runs;
use crate::lifecycle::prune;
use crate::model::family::{self, Policy, PruneAction};
use crate::model::image::Image;
use crate::plan::Plan;
use crate::provider::RunCx;

/// Says if `image`, which was published just now, is not what its family's name means, and prunes
/// the family if its definition has `keep`. The image is published whatever becomes of others, so
/// that nothing in here fails a build.
pub(super) async fn settle_family(setup: Setup<'_>, plan: &Plan, image: &Image, cx: &RunCx) {
    match setup.factory.provider.artifacts().list().await {
        Ok(images) => {
            match family::not_current(&images, image) {
                // Its definition has it so.
                Some(why) if plan.publish.hidden => cx.events.note(why),
                Some(why) => cx.events.warn(why),
                None => {}
            }
        }
        Err(e) => {
            let name = &image.name;
            cx.events.warn(format!("whether {name} is current cannot be told: {e}"));
        }
    }
    if let Some(keep) = plan.keep {
        prune_family(setup, plan, (keep, image), cx).await;
    }
}

/// Keeps the family at the size that its definition says. The run's own image stays.
async fn prune_family(setup: Setup<'_>, plan: &Plan, (keep, own): (u32, &Image), cx: &RunCx) {
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
        own: Some(&own.id),
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

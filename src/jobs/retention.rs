//! The family of a published image is kept at the size that its bundle says, and checkpoints that
//! are images go when nobody begins from them any more.
use super::factory::Setup;
use crate::engine::run_dir::bases_of_live_runs;
use crate::lifecycle::prune::{self, Pruned, Stopped};
use crate::model::definition::Definition;
use crate::model::event::Events;
use crate::model::family::{Policy, PruneAction};
use crate::model::image::Image;
use crate::plan::Plan;
use crate::provider::RunCx;
use crate::provider::checkpoints::Expired;

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
    tell(&cx.events, &families[0], prune::prune(&*setup.factory.provider, cx, request).await);
}

/// Removes the checkpoints of the cloud that are over, if the definition keeps some.
pub(super) async fn expire_checkpoints(setup: Setup<'_>, bundle: &Definition, cx: &RunCx) {
    let Some(cloud) = setup.factory.provider.checkpoints().filter(|_| bundle.checkpoints) else {
        return;
    };
    if cx.cancel.check().is_err() {
        return;
    }
    match cloud.expire(cx, false).await {
        Ok(expired) => {
            for Expired { id, about, why } in expired {
                cx.events.note(format!("deletes the checkpoint of {about}, image {id}: {why}"));
            }
        }
        Err(e) => cx.events.warn(format!("checkpoints are not pruned: {e}")),
    }
}

/// Says what was done, before what stopped it.
fn tell(events: &Events, (family, policy): &(String, Policy), done: Result<Vec<Pruned>, Stopped>) {
    let (done, stopped) = match done {
        Ok(done) => (done, None),
        Err(Stopped { done, cause }) => (done, Some(cause)),
    };
    for pruned in done.iter().filter(|p| p.fate != PruneAction::Keep) {
        let text = format!("keep {}: {}", policy.keep, pruned.text(false));
        if pruned.error.is_some() { events.warn(text) } else { events.note(text) }
    }
    if let Some(cause) = stopped {
        let how = if done.is_empty() { "not pruned" } else { "not pruned to its end" };
        events.warn(format!("family {family} is {how}: {cause}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Recorder;
    use crate::model::event::Event;
    use crate::provider::CloudError;

    fn told(done: Vec<Pruned>) -> Vec<String> {
        let (events, recorder) = (Events::default(), Recorder::default());
        events.add(Box::new(recorder.clone()));
        let cause = CloudError::refused("list images", "no answer");
        let policy = Policy { keep: 1, at_once: false };
        tell(&events, &("web".to_owned(), policy), Err(Stopped { done, cause }));
        let text = |event| match event {
            Event::Warning { text } | Event::Note { text } => text,
            other => panic!("{other:?}"),
        };
        recorder.events().into_iter().map(|stamped| text(stamped.event)).collect()
    }

    #[test]
    fn what_a_prune_did_is_told_before_what_stopped_it() {
        assert_eq!(told(Vec::new()), ["family web is not pruned: list images: no answer"]);
        let (id, name, family, why) = ("i1".into(), "web-1".into(), "web".into(), "old".into());
        let done = vec![Pruned { id, name, family, fate: PruneAction::Delete, why, error: None }];
        let end = "family web is not pruned to its end: list images: no answer";
        assert_eq!(told(done), ["keep 1: deletes web-1 (old)", end]);
    }
}

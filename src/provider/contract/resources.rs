//! The contract of [`Resources`](crate::provider::Resources): what a run owns, without its ledger.
use std::path::Path;

use super::{DEADLINE, Run, rescue, volumes};
use crate::model::image::Image;
use crate::provider::ledger::Entry;
use crate::provider::{Power, Provider, Reboot};

/// Everything is found by its owner, and goes, while the ledger is not asked.
pub(super) async fn lost_ledger(cloud: &dyn Provider, run: &Run, base: &Image) {
    let machine = run.boot(cloud, "m", base).await;
    if let Some(capability) = cloud.volumes() {
        volumes::attaches(capability, run, &machine).await;
    }
    cloud.compute().reboot(&run.cx.within(DEADLINE), &machine, Reboot::Hard).await.expect("reboot");
    assert_eq!(cloud.compute().power(&machine).await.expect("power"), Power::On);
    if let Some(capability) = cloud.rescue() {
        rescue::comes_back(cloud.compute(), capability, run, &machine).await;
    }
    assert!(cloud.resources().list_runs().await.expect("runs").contains(&run.id));
    let owned = cloud.resources().list(&run.id).await.expect("owned");
    assert!(!owned.is_empty());
    let uses = cloud.artifacts().usage(std::slice::from_ref(base)).await.expect("uses");
    assert!(
        uses.get(&base.id).is_some_and(|who| who.contains(&run.id)),
        "a machine of it was not seen: {uses:?}"
    );
    assert!(
        cloud.artifacts().delete(&run.cx, base).await.is_err(),
        "an image was deleted that a machine uses"
    );
    assert!(cloud.artifacts().list().await.expect("images").contains(base));
    run.delete_all(cloud, &owned).await;
    assert!(matches!(cloud.compute().power(&machine).await.expect("power"), Power::Gone(_)));
    run.assert_owns_nothing(cloud).await;
    assert!(
        cloud.artifacts().usage(std::slice::from_ref(base)).await.expect("uses").is_empty(),
        "it counts as used by a machine that is gone"
    );
}

/// One run asks for the deletion of another's things; then their owner does, knowing their names
/// alone.
pub(super) async fn strangers(cloud: &dyn Provider, one: &Run, two: &Run, disk: &Path) {
    let staged = cloud
        .artifacts()
        .import(&one.cx.within(DEADLINE), &format!("{}-staged-source", one.id), disk)
        .await
        .expect("import");
    let machine = one.boot(cloud, "m", &staged).await;
    let entries = one.cx.ledger.entries();
    let nameless: Vec<Entry> = entries.iter().map(|e| Entry { id: None, ..e.clone() }).collect();
    for entry in entries.iter().chain(&nameless) {
        // By name it may find nothing of its own and say so with success; what counts is that all
        // is there.
        let _ = cloud.resources().delete(&two.id, entry).await;
    }
    assert_eq!(
        cloud.compute().power(&machine).await.expect("power"),
        Power::On,
        "another run's machine was deleted"
    );
    assert!(
        cloud.artifacts().list().await.expect("images").contains(&staged),
        "another run's image was deleted"
    );
    one.delete_all(cloud, &nameless).await;
    one.assert_owns_nothing(cloud).await;
    two.assert_owns_nothing(cloud).await;
}

//! The contract of [`Compute`](crate::provider::Compute): from a file to a published image.
use std::path::Path;

use super::{DEADLINE, Run, artifacts};
use crate::model::image::{self, Image, State};
use crate::provider::{Power, Provider};

/// From a file to a published image, every verb once and where it must be possible twice.
pub(super) async fn life(cloud: &dyn Provider, run: &Run, disk: &Path) -> Image {
    let staged = cloud
        .artifacts()
        .import(&run.cx.within(DEADLINE), &format!("{}-staged-source", run.id), disk)
        .await
        .expect("import");
    assert_eq!(staged.state, State::Staged);
    assert_eq!(staged.properties.get(image::RUN), Some(&run.id));
    assert!(
        staged.checksum.len() == 128 && staged.size > 0 && staged.virtual_size > 0,
        "{staged:?}"
    );

    let machine = run.boot(cloud, "m", &staged).await;
    let name = format!("{}-staged", run.id);
    assert!(
        cloud.compute().capture(&run.cx.within(DEADLINE), &machine, &name).await.is_err(),
        "a machine that is on was captured"
    );
    for _ in 0..2 {
        cloud.compute().shutdown(&run.cx.within(DEADLINE), &machine).await.expect("shutdown");
        assert_eq!(cloud.compute().power(&machine).await.expect("power"), Power::Off);
    }
    cloud.compute().console_log(&machine).await.expect("console");
    let captured =
        cloud.compute().capture(&run.cx.within(DEADLINE), &machine, &name).await.expect("capture");
    assert_eq!((captured.name.as_str(), captured.state), (name.as_str(), State::Staged));

    let published = artifacts::is_published(cloud, run, &captured).await;
    artifacts::is_found(cloud, run, &published).await;

    // The ledger has not heard that the image is kept: it was published all the same, and stays.
    run.delete_all(cloud, &run.cx.ledger.entries()).await;
    assert!(matches!(cloud.compute().power(&machine).await.expect("power"), Power::Gone(_)));
    run.assert_owns_nothing(cloud).await;
    let images = cloud.artifacts().list().await.expect("images");
    assert!(images.contains(&published) && images.iter().all(|i| i.id != staged.id));
    published
}

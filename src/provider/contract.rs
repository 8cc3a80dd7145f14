//! What every [`Provider`] must hold to, as checks that run on any of them, by capability. They
//! panic with what is wrong.
//!
//! - shutdown, publish and delete may be repeated; absent is deleted;
//! - a machine that is on is not captured;
//! - a published image is no run's any more: deleting its entry leaves it;
//! - a machine that was given a disk, and rebooted, goes like any other, and its disk with it;
//! - a run's things are found by owner without its ledger, and deleted by name where the ID was
//!   lost;
//! - another run's things are not deleted, neither by ID nor by name;
//! - a published image changes its standing and back, and a family means an active one that is not
//!   hidden;
//! - one that a machine was made from is known as used, and is not discarded; nor is a staged one;
//! - a published image proves by its own ID that it was published; a copy that carries all its
//!   properties is listed, is never meant, and is neither changed nor deleted ([`copies`]).
use std::path::Path;
use std::time::Duration;

use super::ledger::{Entry, Ledger};
use super::{BootSpec, Machine, MachinePlacement, Power, Provider, RunCx};
use crate::model::image::Image;

mod artifacts;
mod compute;
mod rescue;
mod resources;
mod volumes;

pub use artifacts::copies;

const DEADLINE: Duration = Duration::from_secs(300);

/// Runs all checks. `disk` is an image file whose machine powers itself off when asked to; `dir`
/// takes the ledgers. `place` is where machines go, on a cloud that wants to know. One published
/// image is left behind, and returned.
pub async fn check(
    cloud: &dyn Provider,
    dir: &Path,
    disk: &Path,
    place: Option<&MachinePlacement>,
) -> Image {
    let published = compute::life(cloud, &Run::new(dir, "life", place), disk).await;
    resources::lost_ledger(cloud, &Run::new(dir, "lost", place), &published).await;
    resources::strangers(cloud, &Run::new(dir, "one", place), &Run::new(dir, "two", place), disk)
        .await;
    artifacts::afterlife(cloud, &Run::new(dir, "after", place), disk).await;
    artifacts::one_name(cloud, &Run::new(dir, "name", place), disk).await;
    published
}

struct Run {
    id: String,
    cx: RunCx,
    place: Option<MachinePlacement>,
}

impl Run {
    fn new(dir: &Path, role: &str, place: Option<&MachinePlacement>) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let id = format!("contract-{role}-{}", &random[..6]);
        let ledger = Ledger::open(&dir.join(format!("{id}.jsonl"))).expect("open a ledger");
        Self {
            cx: RunCx::new(&id, ledger, Default::default(), Default::default()),
            id,
            place: place.cloned(),
        }
    }

    async fn boot(&self, cloud: &dyn Provider, role: &str, image: &Image) -> Machine {
        let spec = BootSpec {
            name: format!("factory-{}-{role}", self.id),
            image: image.id.clone(),
            cpus: 1,
            ram_mib: 128,
            disk_gib: 1,
            user_data: "#cloud-config\n{}\n".into(),
            place: self.place.clone(),
        };
        let machine = cloud.compute().boot(&self.cx.within(DEADLINE), &spec).await.expect("boot");
        assert_eq!(machine.name, spec.name);
        assert_eq!(cloud.compute().power(&machine).await.expect("power"), Power::On);
        machine
    }

    async fn delete_all(&self, cloud: &dyn Provider, entries: &[Entry]) {
        for entry in entries.iter().chain(entries) {
            cloud
                .resources()
                .delete(&self.id, entry)
                .await
                .unwrap_or_else(|e| panic!("delete {entry:?}, perhaps again: {e}"));
        }
    }

    async fn assert_owns_nothing(&self, cloud: &dyn Provider) {
        assert_eq!(cloud.resources().list(&self.id).await.expect("owned"), []);
        assert!(
            !cloud.resources().list_runs().await.expect("runs").contains(&self.id),
            "{} is still listed as a run",
            self.id
        );
    }
}

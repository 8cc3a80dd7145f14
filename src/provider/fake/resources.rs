//! What runs own in memory.
use async_trait::async_trait;

use super::Memory;
use super::world::{owner, uuid_number};
use crate::provider::ledger::{Entry, Kind};
use crate::provider::{CloudError, Resources};

#[async_trait]
impl Resources for Memory {
    async fn list(&self, run: &str) -> Result<Vec<Entry>, CloudError> {
        let world = self.world();
        let machines = world
            .machines
            .iter()
            .filter(|(_, m)| m.run == run)
            .map(|(id, m)| (Kind::Machine, &m.name, id));
        let images = world
            .images
            .values()
            .filter(|i| i.is_staged_by(run))
            .map(|i| (Kind::Image, &i.name, &i.id));
        let mut found: Vec<Entry> = machines
            .chain(images)
            .map(|(kind, name, id)| Entry {
                seq: uuid_number(id),
                kind,
                name: name.clone(),
                id: Some(id.clone()),
                unanswered: None,
            })
            .collect();
        found.sort_by_key(|e| std::cmp::Reverse(e.seq));
        Ok(found)
    }

    async fn list_runs(&self) -> Result<Vec<String>, CloudError> {
        let world = self.world();
        let staged =
            world.images.values().filter_map(|i| owner(i).filter(|run| i.is_staged_by(run)));
        let mut runs: Vec<String> = world
            .machines
            .values()
            .map(|m| m.run.as_str())
            .chain(staged)
            .map(str::to_owned)
            .collect();
        runs.sort();
        runs.dedup();
        Ok(runs)
    }

    async fn delete(&self, run: &str, thing: &Entry) -> Result<(), CloudError> {
        self.mutate("delete", |world| {
            let foreign = || {
                Err(CloudError::refused(
                    format!("delete {} {}", thing.kind.name(), thing.name),
                    format!("it is not of run {run}"),
                ))
            };
            match (thing.kind, &thing.id) {
                (Kind::Machine, Some(id))
                    if world.machines.get(id).is_some_and(|m| m.run != run) =>
                {
                    return foreign();
                }
                (Kind::Machine, Some(id)) => drop(world.machines.remove(id)),
                (Kind::Machine, None) => {
                    world.machines.retain(|_, m| m.run != run || m.name != thing.name)
                }
                (Kind::Image, Some(id)) => match world.images.get(id) {
                    Some(image) if image.is_staged_by(run) => drop(world.images.remove(id)),
                    // Published meanwhile: it is no run's any more.
                    Some(image) if owner(image) == Some(run) && image.is_ours() => {}
                    Some(_) => return foreign(),
                    None => {}
                },
                (Kind::Image, None) => {
                    world.images.retain(|_, i| !i.is_staged_by(run) || i.name != thing.name)
                }
                _ => {}
            }
            Ok(())
        })
    }
}

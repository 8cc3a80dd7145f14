//! Finds and deletes staged images of a run without its ledger, by `factory_run` and their own ID.
//! Machines are processes and directories here; [`crate::provider::local_resources`] handles those.
use std::path::Path;

use async_trait::async_trait;

use super::Local;
use super::store::{self, Store};
use crate::model::image::Image;
use crate::provider::ledger::{Entry, Kind, Leak};
use crate::provider::local_resources::{self, Found, foreign};
use crate::provider::{Cleared, CloudError, Resources};

#[async_trait]
impl Resources for Local {
    async fn list(&self, run: &str) -> Result<Vec<Entry>, CloudError> {
        // Processes first, and directories last: they hold what the others use.
        let (mut found, dirs): (Vec<_>, Vec<_>) =
            self.layout.0.owned(run)?.into_iter().partition(|(kind, ..)| *kind == Kind::Process);
        found.extend(staged(&self.store, run)?);
        found.extend(dirs);
        Ok(local_resources::entries(found))
    }

    async fn list_runs(&self) -> Result<Vec<String>, CloudError> {
        let mut runs = self.layout.0.runs();
        runs.extend(self::runs(&self.store)?);
        Ok(runs.into_iter().collect())
    }

    async fn clear_debris(&self, dry_run: bool) -> Result<Cleared, CloudError> {
        let mut cleared = Cleared::default();
        let found = self.store.debris()?.into_iter();
        let found = found.map(|id| (Kind::Image, format!("{id} without a description"), Some(id)));
        for entry in local_resources::entries(found.collect()) {
            let id = entry.id.as_deref().unwrap_or_default();
            match if dry_run { Ok(()) } else { self.store.remove(id) } {
                Ok(()) => cleared.things.push(entry),
                Err(e) => cleared.leaks.push(Leak { entry, reason: e.to_string() }),
            }
        }
        self.clear_checkpoints(dry_run, &mut cleared)?;
        Ok(cleared)
    }

    async fn delete(&self, run: &str, thing: &Entry) -> Result<(), CloudError> {
        match thing.kind {
            Kind::Image => discard(&self.store, run, thing),
            Kind::Directory => {
                // A state that a build leaves is there for the next, however the build ends.
                self.finished(Path::new(&thing.name)).await;
                self.layout.0.delete(run, thing).await
            }
            _ => self.layout.0.delete(run, thing).await,
        }
    }
}

/// Deletes a staged image of `run`. Success if absent, or published meanwhile.
pub fn discard(store: &Store, run: &str, thing: &Entry) -> Result<(), CloudError> {
    let ids = match &thing.id {
        // What a crash in the middle of a removal left; the ledger knows its ID, so it was this
        // run's.
        Some(id) if store.is_debris(id) => vec![id.clone()],
        // Whatever became of its disk.
        Some(id) => match store.described(id)? {
            Some(image) if image.is_staged_by(run) => vec![image.id],
            Some(image) if store::run_of(&image) != Some(run) || !image.is_ours() => {
                return Err(foreign(format!("image {id}"), run));
            }
            _ => Vec::new(),
        },
        None => {
            let lost = |i: &Image| i.is_staged_by(run) && i.name == thing.name;
            store.list()?.into_iter().filter(lost).map(|i| i.id).collect()
        }
    };
    ids.iter().try_for_each(|id| store.remove(id))
}

/// Staged images of `run`.
pub fn staged(store: &Store, run: &str) -> Result<Vec<Found>, CloudError> {
    Ok(store
        .list()?
        .into_iter()
        .filter(|i| i.is_staged_by(run))
        .map(|i| (Kind::Image, i.name, Some(i.id)))
        .collect())
}

/// Runs with staged images.
pub fn runs(store: &Store) -> Result<Vec<String>, CloudError> {
    let all = store.list()?;
    let staged = all.iter().filter_map(|i| store::run_of(i).filter(|run| i.is_staged_by(run)));
    Ok(staged.map(str::to_owned).collect())
}

//! Checkpoints of a project: images of a running builder's disk.
//!
//! Until Glance has all of it, such an image is a staged one of its run, and is deleted with what
//! the run owns. Then it is hidden, and no run's, until it expires ([`expiry`]). It is known by its
//! record in the home ([`records`]): no image is looked for in the project.
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;

use super::capture::{self, Unfinished};
use super::create::{self, New};
use super::glance::{self, Patch};
use super::{OpenStack, boot, nova, settle, wait};
use crate::model::image;
use crate::provider::checkpoints::{Checkpoint, Checkpoints, Expired, Keeps, NewCheckpoint, Saved};
use crate::provider::ledger::Kind;
use crate::provider::{BootSpec, CloudError, Machine, Provider, RunCx};

mod expiry;
mod records;

use records::{Place, Record, Records};

/// Steps that took less time together are run again. A state costs 10 to 25 s of a build (measured
/// on devcloud, a disk of 1 GiB in use), and a boot of it takes as long as one of the base.
const WORTH: Duration = Duration::from_secs(60);
/// Nova takes the content of a disk, and has not yet begun to upload it.
const UPLOADS: &str = "image_uploading";

/// The checkpoints of a home on a cloud.
pub struct Shelf {
    records: Records,
    /// Those whose content is on its way to Glance.
    unfinished: Mutex<Vec<Saving>>,
}

struct Saving {
    run: String,
    server: String,
    /// How long the build waited for Nova to take the content.
    took: Duration,
    record: Record,
}

impl Shelf {
    pub fn new(home: &Path) -> Self {
        Self { records: Records::of(home), unfinished: Mutex::default() }
    }

    /// Those of the run, which are its caller's to finish.
    fn take(&self, run: &str) -> Vec<Saving> {
        let mut all = self.unfinished.lock().expect("held for a change only");
        let (mine, others) = std::mem::take(&mut *all).into_iter().partition(|s| s.run == run);
        *all = others;
        mine
    }

    fn put(&self, saving: Saving) {
        self.unfinished.lock().expect("held for a change only").push(saving);
    }
}

#[async_trait]
impl Checkpoints for OpenStack {
    fn keeps(&self) -> Keeps {
        Keeps::Disk { worth: WORTH }
    }

    async fn find(
        &self,
        cx: &RunCx,
        spec: &BootSpec,
        key: &str,
    ) -> Result<Vec<Checkpoint>, CloudError> {
        let Some(on) = &spec.place else { return Ok(Vec::new()) };
        let of_key = |record: &Record| record.key == key && record.flavor == on.flavor.id;
        let known: Vec<Record> = self.shelf.records.all().into_iter().filter(of_key).collect();
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let (here, mut found) = (self.place(cx).await?, Vec::new());
        for record in known.into_iter().filter(|record| record.place == here) {
            let seen = glance::image(&self.api, &record.image, &cx.cancel).await?;
            let is_it = |image: &glance::Record| {
                image.is_kept_checkpoint(&here.project)
                    && image.status() == "active"
                    && image.property(image::CHECKPOINT) == Some(key)
            };
            match seen {
                Some(image) if is_it(&image) => found.push(record.into()),
                Some(_) => {}
                None => self.shelf.records.forget(&record.image),
            }
        }
        Ok(found)
    }

    async fn restore(
        &self,
        cx: &RunCx,
        spec: &BootSpec,
        checkpoint: &Checkpoint,
    ) -> Result<Machine, CloudError> {
        let spec = BootSpec { image: checkpoint.id.clone(), ..spec.clone() };
        boot::boot(self, cx, &spec).await
    }

    async fn save(
        &self,
        cx: &RunCx,
        machine: &Machine,
        new: &NewCheckpoint<'_>,
    ) -> Result<Saved, CloudError> {
        // Nova takes one at a time.
        self.settle(cx).await?;
        let (begin, what) = (Instant::now(), format!("keep the state of {}", machine.name));
        let refused = |why: &str| CloudError::refused(&what, why);
        let server = nova::server(&self.api, &machine.id, &cx.cancel).await?;
        let server = server.ok_or_else(|| refused("it is gone"))?;
        if server.boot_volume().is_some() {
            return Err(refused("it boots from a volume"));
        }
        let flavor = server.flavor().ok_or_else(|| refused("Nova does not tell its flavor"))?;
        let (place, flavor) = (self.place(cx).await?, flavor.to_owned());
        let name = format!("{}{}", cx.run, image::STAGED_CHECKPOINT);
        let new_image = nova::NewImage { name: &name, metadata: &self.staged_marks(&cx.run) };
        let created = New { kind: Kind::Image, name: &name };
        let image = create::own(self, cx, created, || {
            nova::create_image(&self.api, &server.id, &new_image, &cx.cancel)
        })
        .await?;
        if let Err(e) = self.taken(cx, &server.id, &what).await {
            cx.cancel.check()?;
            self.give_up(cx, &image).await;
            return Err(e);
        }
        let (key, about, note) = (new.key.to_owned(), new.about.to_owned(), new.note.clone());
        let record = Record { image, place, key, flavor, about, made: Timestamp::now(), note };
        let took = begin.elapsed();
        self.shelf.put(Saving { run: cx.run.clone(), server: server.id, took, record });
        Ok(Saved::Kept)
    }

    async fn settle(&self, cx: &RunCx) -> Result<(), CloudError> {
        for saving in self.shelf.take(&cx.run) {
            let id = saving.record.image.clone();
            if let Err(e) = finish(self, cx, saving).await {
                cx.cancel.check()?;
                self.give_up(cx, &id).await;
                return Err(e);
            }
        }
        Ok(())
    }

    async fn expire(&self, cx: &RunCx, dry_run: bool) -> Result<Vec<Expired>, CloudError> {
        expiry::expire(self, cx, dry_run).await
    }
}

impl OpenStack {
    async fn place(&self, cx: &RunCx) -> Result<Place, CloudError> {
        let project = self.api.project(&cx.cancel).await?;
        Ok(Place { cloud: self.api.name().to_owned(), project })
    }

    /// Deletes the image of a state that does not become whole, so that its server is free again.
    /// One that is not deleted stays in the ledger.
    async fn give_up(&self, cx: &RunCx, image: &str) {
        let all = cx.ledger.entries();
        let Some(entry) = all.iter().find(|entry| entry.id.as_deref() == Some(image)) else {
            return;
        };
        if self.resources().delete(&cx.run, entry).await.is_ok() {
            let _ = cx.ledger.gone(entry.seq);
        }
    }

    /// Waits until Nova has taken the content of the server's disk, which may change from then on.
    async fn taken(&self, cx: &RunCx, server: &str, what: &str) -> Result<(), CloudError> {
        let look = || async {
            let seen = nova::server(&self.api, server, &cx.cancel).await?;
            let seen = seen.ok_or_else(|| CloudError::refused(what, "the machine is gone"))?;
            Ok(seen.task_state.is_none_or(|task| task == UPLOADS).then_some(()))
        };
        let looks = wait(what, &cx.cancel, cx.deadline(), Duration::from_secs(1));
        settle::until(looks, look).await
    }
}

/// Waits until the image has its content; from then on it is no run's.
async fn finish(cloud: &OpenStack, cx: &RunCx, saving: Saving) -> Result<(), CloudError> {
    let Saving { server, took, record, .. } = saving;
    let (id, what) = (record.image.as_str(), format!("keep {}", record.about));
    let unfinished = Unfinished { id, what: &what, server: Some(&server) };
    let image = capture::finished(cloud, cx, &unfinished).await?;
    cx.cancel.check()?;
    let bytes = image.size();
    // First, so that nothing is kept that nobody knows of.
    cloud.shelf.records.write(&record)?;
    let left = |now: &glance::Record| {
        let mut patch = Patch::default();
        let own = [
            (image::STATE, image::KEPT_CHECKPOINT),
            (image::IMAGE_ID, id),
            (image::CHECKPOINT, record.key.as_str()),
        ];
        let missing = own.into_iter().filter(|(key, value)| now.property(key) != Some(*value));
        missing.for_each(|(key, value)| patch.set(key, value));
        if !now.flag("os_hidden") {
            patch.replace("os_hidden", true);
        }
        patch
    };
    let changed = settle::change(cloud, image, &cx.cancel, left).await;
    if let Err(e) = changed {
        cloud.shelf.records.forget(id);
        return Err(e);
    }
    cx.ledger.keep(Kind::Image, id)?;
    cx.events.note(format!(
        "{} is kept as image {id}, {} MiB; the build waited {:.1} s for it",
        record.about,
        bytes.div_ceil(1 << 20),
        took.as_secs_f64()
    ));
    Ok(())
}

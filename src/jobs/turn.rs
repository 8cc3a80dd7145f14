//! One build of a missing base at a time, in this home: who needs a base that another process makes
//! waits for it, and builds on the same image.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::base::looked_up;
use super::batch::Job;
use super::factory::{Factory, Setup};
use super::outcome::{RunError, RunOutcome};
use super::request::RunOptions;
use crate::engine::Goal;
use crate::model::definition::Definition;
use crate::model::digest::Algorithm;
use crate::model::event::{Event, Events, Stamped};
use crate::model::facts::BaseLookup;
use crate::model::image::Image;
use crate::system::digest::Hasher;
use crate::system::durable;
use crate::system::lock::Held;

/// Below the home: a lock for each family that is built.
const TURNS: &str = "turns";
/// Interval between two attempts to get a lock.
const AGAIN: Duration = Duration::from_millis(500);

impl Factory {
    /// Runs a job. One that was added, because its base is missing, waits for another process that
    /// makes the same; if that has an image then, it is the outcome.
    pub(super) async fn in_turn(self: &Arc<Self>, options: &RunOptions, job: &Job) -> RunOutcome {
        let request = job.request(options);
        if !matches!(request.options.goal, Goal::Published) {
            return self.run(request).outcome().await;
        }
        let held = match job.added {
            // It was asked for, and is built whoever else does. Who misses it waits.
            None => self.lock(&job.bundle).map(|held| (held, None)),
            Some(_) => self.turn(&request.options, &job.bundle).await,
        };
        match held {
            Ok((_, Some(image))) => RunOutcome::found(image),
            Ok((_held, None)) => self.run(request).outcome().await,
            Err(e) => {
                let setup = Setup { factory: self, options: &request.options };
                setup.not_begun(&job.bundle, e, &Events::default())
            }
        }
    }

    /// Waits for the lock of a family, as long as the process that has it lives. With it comes the
    /// image that was made meanwhile, if one was.
    async fn turn(
        &self,
        options: &RunOptions,
        base: &Definition,
    ) -> Result<(Option<Held>, Option<Image>), RunError> {
        let mut told = false;
        loop {
            let held = self.lock(base)?;
            if held.is_some() {
                return Ok((held, self.made(options, base).await?));
            }
            if !told {
                told = true;
                let text = format!("another build makes {}: waiting for it", base.label);
                let mut show = (options.show)(&base.label);
                show.take(&Stamped { at: Timestamp::now(), event: Event::Note { text } });
            }
            let waited = options.cancel.pause(AGAIN).await;
            waited.map_err(|stopped| RunError::Cloud(stopped.into()))?;
        }
    }

    /// `None`: another has it.
    pub(super) fn lock(&self, base: &Definition) -> Result<Option<Held>, RunError> {
        let path = self.lock_path(base);
        let io = |source| RunError::Io { path: path.clone(), source };
        self.home.secure()?;
        let dir = path.parent().unwrap_or(&self.home.data);
        durable::private_dir(dir, durable::Others::Look).map_err(io)?;
        let file = durable::open_to_append(&path).map_err(io)?;
        match Held::take(file) {
            Ok(held) => Ok(Some(held)),
            Err((_, std::fs::TryLockError::WouldBlock)) => Ok(None),
            Err((_, std::fs::TryLockError::Error(e))) => Err(io(e)),
        }
    }

    /// Of the images of one family on one cloud, whatever tree they are built from.
    fn lock_path(&self, base: &Definition) -> PathBuf {
        let mut name = Hasher::new(Algorithm::Sha256);
        for part in [self.provider.name(), &base.name] {
            name.update(part.as_bytes());
            name.update(b"\n");
        }
        self.home.data.join(TURNS).join(name.finish().hex)
    }

    /// The image of a base that was missing, if it was made meanwhile.
    async fn made(
        &self,
        options: &RunOptions,
        base: &Definition,
    ) -> Result<Option<Image>, RunError> {
        match looked_up(Setup { factory: self, options }, base).await?.base {
            BaseLookup::Found(image) => Ok(Some(*image)),
            _ => Ok(None),
        }
    }
}

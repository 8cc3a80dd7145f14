//! One build of a missing base at a time, in this home: who needs a base that another process makes
//! waits for it, and builds on the same image.
use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use super::base::looked_up;
use super::batch::Job;
use super::factory::{Factory, Setup};
use super::outcome::{RunError, RunOutcome};
use super::request::RunOptions;
use crate::engine::Goal;
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
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
/// Interval between two signs of life of who has a lock: the time of its file is set.
const SIGN: Duration = Duration::from_secs(20);
/// Time without a sign after which a lock is not waited for. A build has deadlines of its own, and
/// a process that is stopped has none.
const SILENCE: Duration = Duration::from_secs(600);
/// Interval between two notes on a wait.
const TELL: Duration = Duration::from_secs(60);

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
            Ok((held, None)) => {
                let outcome = self.run(request).outcome();
                tokio::select! {
                    outcome = outcome => outcome,
                    never = signs(held.as_ref()) => match never {},
                }
            }
            Err(e) => {
                let setup = Setup { factory: self, options: &request.options };
                setup.not_begun(&job.bundle, e, &Events::default())
            }
        }
    }

    /// Waits for the lock of a family, as long as who has it gives signs of life. With it comes the
    /// image that was made meanwhile, if one was.
    async fn turn(
        &self,
        options: &RunOptions,
        base: &Definition,
    ) -> Result<(Option<Held>, Option<Image>), RunError> {
        let mut watch = Watch::new(Instant::now());
        loop {
            let held = self.lock(base)?;
            if held.is_some() {
                return Ok((held, self.made(options, base).await?));
            }
            let path = self.lock_path(base);
            let sign = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
            if watch.is_silent(sign, Instant::now()) {
                let text = format!(
                    "another build makes {}, and has given no sign of life for {} minutes",
                    base.label,
                    SILENCE.as_secs() / 60
                );
                let hint = format!("continue or end that process; it holds {}", path.display());
                return Err(RunError::Refused(vec![Diagnostic::error(None, text).hint(hint)]));
            }
            if let Some(waited) = watch.note(Instant::now()) {
                let text = format!("another build makes {}: waiting for it{waited}", base.label);
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

/// Shows by the time of the lock's file that its holder is at work.
async fn signs(held: Option<&Held>) -> Infallible {
    loop {
        // Without a sign others wait less long, and that is all.
        let _ = held.map(|held| held.file().set_modified(SystemTime::now()));
        tokio::time::sleep(SIGN).await;
    }
}

/// A wait for another process, and what is seen of that.
struct Watch {
    began: Instant,
    /// When the last note was due.
    told: Option<Instant>,
    /// The last sign of life, and when it was seen to be another.
    sign: (Option<SystemTime>, Instant),
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self { began: now, told: None, sign: (None, now) }
    }

    /// Whether there was no new sign for [`SILENCE`].
    fn is_silent(&mut self, sign: Option<SystemTime>, now: Instant) -> bool {
        if sign != self.sign.0 {
            self.sign = (sign, now);
        }
        now - self.sign.1 >= SILENCE
    }

    /// The time waited, in words, if a note is due: at first, and then every [`TELL`].
    fn note(&mut self, now: Instant) -> Option<String> {
        let waited = match self.told {
            None => String::new(),
            Some(told) if now - told >= TELL => {
                format!(", for {} min by now", (now - self.began).as_secs() / 60)
            }
            Some(_) => return None,
        };
        self.told = Some(now);
        Some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stopped process was waited for for ever.
    #[test]
    fn who_gives_no_sign_of_life_is_not_waited_for() {
        let (began, second) = (Instant::now(), Duration::from_secs(1));
        let sign = |n: u64| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(n));
        let mut watch = Watch::new(began);
        assert!(!watch.is_silent(sign(5), began));
        assert!(!watch.is_silent(sign(5), began + SILENCE - second));
        // The clock may go back meanwhile.
        assert!(!watch.is_silent(sign(1), began + SILENCE - second));
        assert!(!watch.is_silent(sign(1), began + SILENCE * 2 - second * 2));
        assert!(watch.is_silent(sign(1), began + SILENCE * 2 - second));
        let mut watch = Watch::new(began);
        assert!(watch.is_silent(None, began + SILENCE), "it has no lock file that can be read");
    }

    #[test]
    fn a_wait_is_told_every_minute() {
        let (began, second) = (Instant::now(), Duration::from_secs(1));
        let mut watch = Watch::new(began);
        let told: Vec<String> = (0..=180).filter_map(|n| watch.note(began + second * n)).collect();
        assert_eq!(told, ["", ", for 1 min by now", ", for 2 min by now", ", for 3 min by now"]);
    }

    #[tokio::test]
    async fn who_holds_a_lock_gives_signs_of_life() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let held = Held::take(file.reopen().unwrap()).unwrap();
        held.file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            never = signs(Some(&held)) => match never {},
        }
        let sign = fs::metadata(file.path()).unwrap().modified().unwrap();
        assert_ne!(sign, SystemTime::UNIX_EPOCH);
    }
}

//! Waiting: a deadline, and polls until then that end on cancellation.
use std::future::Future;
use std::time::{Duration, Instant};

use super::cancel::{Cancel, Cancelled};

/// A point in time, with the time that was given until then, for error texts.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    begin: Instant,
    total: Duration,
}

impl Deadline {
    /// `total` from now on.
    pub fn after(total: Duration) -> Self {
        Self { begin: Instant::now(), total }
    }

    /// Time that was given at the start.
    pub fn total(&self) -> Duration {
        self.total
    }

    pub fn left(&self) -> Duration {
        self.total.saturating_sub(self.begin.elapsed())
    }

    pub fn has_passed(&self) -> bool {
        self.begin.elapsed() >= self.total
    }
}

/// Why a wait ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    #[error("{what}: not done after {after:?}")]
    Deadline { what: String, after: Duration },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A wait for something that has to be polled.
pub struct Wait<'a> {
    what: &'a str,
    cancel: &'a Cancel,
    deadline: Deadline,
    first: Duration,
    pause: Duration,
    longest: Duration,
}

impl<'a> Wait<'a> {
    /// Polls at once, and then every `interval`. `what` names the operation in error texts.
    pub fn new(what: &'a str, cancel: &'a Cancel, deadline: Deadline, interval: Duration) -> Self {
        Self { what, cancel, deadline, first: Duration::ZERO, pause: interval, longest: interval }
    }

    /// The operation, as error texts name it.
    pub fn what(&self) -> &str {
        self.what
    }

    /// Pauses before the first poll.
    #[must_use]
    pub fn first_after(self, pause: Duration) -> Self {
        Self { first: pause, ..self }
    }

    /// Polls less often the longer it takes, by a fifth each time, down to every `longest`.
    #[must_use]
    pub fn backing_off_to(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Polls until `look` returns `Some` or fails.
    pub async fn until<T, E, F>(mut self, mut look: impl FnMut() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<Option<T>, E>>,
        E: From<WaitError>,
    {
        let first = self.cancel.pause(self.first.min(self.deadline.left())).await;
        first.map_err(WaitError::from)?;
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            self.pause().await?;
        }
    }

    /// The pause between two polls of a loop. Fails after the deadline, and on cancellation.
    pub async fn pause(&mut self) -> Result<(), WaitError> {
        if self.deadline.has_passed() {
            let after = self.deadline.total();
            return Err(WaitError::Deadline { what: self.what.to_owned(), after });
        }
        self.cancel.pause(self.pause).await?;
        self.pause = (self.pause * 6 / 5).min(self.longest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_wait_ends_with_its_result_its_deadline_or_a_cancellation() {
        let (cancel, mut polls) = (Cancel::default(), 0);
        let wait = || Wait::new("count", &cancel, Deadline::after(SHORT), SHORT / 20);
        let third = wait()
            .until(|| {
                polls += 1;
                let seen = (polls == 3).then_some(polls);
                async move { Ok::<_, WaitError>(seen) }
            })
            .await;
        assert_eq!(third.unwrap(), 3);
        let never = || async { Ok::<Option<()>, WaitError>(None) };
        let late = wait().until(never).await.unwrap_err();
        assert_eq!(late.to_string(), "count: not done after 20ms");
        cancel.orderly();
        let stopped = wait().until(never).await.unwrap_err();
        assert!(matches!(stopped, WaitError::Cancelled(_)));
    }

    #[test]
    fn a_deadline_remembers_its_time() {
        let none = Deadline::after(Duration::ZERO);
        assert!(none.has_passed() && none.left().is_zero() && none.total().is_zero());
        let long = Deadline::after(Duration::MAX);
        assert!(!long.has_passed() && long.left() > SHORT);
    }
}

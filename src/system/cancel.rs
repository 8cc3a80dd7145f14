//! Cancellation of a run. It never interrupts a create: it is checked between requests and ends
//! waits.
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Two levels: the first signal requests an orderly end, the second a fast one.
#[derive(Clone, Default)]
pub struct Cancel {
    orderly: CancellationToken,
    fast: CancellationToken,
    /// The first signal arrived.
    signalled: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped by a signal")]
pub struct Cancelled;

impl Cancel {
    /// Requests an orderly end; every further call requests a fast one.
    pub fn signal(&self) {
        if self.signalled.swap(true, Ordering::SeqCst) {
            self.fast.cancel();
        }
        self.orderly.cancel();
    }

    /// Requests an orderly end without counting as a signal. The first signal after it does not
    /// make the end fast.
    pub fn orderly(&self) {
        self.orderly.cancel();
    }

    #[cfg(test)]
    pub fn is_fast(&self) -> bool {
        self.fast.is_cancelled()
    }

    pub fn check(&self) -> Result<(), Cancelled> {
        if self.orderly.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Waits for `work` or cancellation. `work` must be safe to drop.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Cancelled> {
        tokio::select! {
            biased;
            () = self.orderly.cancelled() => Err(Cancelled),
            done = work => Ok(done),
        }
    }

    /// Pause between two polls; ends on cancellation.
    pub async fn pause(&self, time: Duration) -> Result<(), Cancelled> {
        self.or(tokio::time::sleep(time)).await
    }

    /// Resolves when an orderly end is requested.
    pub async fn stopped(&self) {
        self.orderly.cancelled().await;
    }

    /// A cancellation for one run of several. Cancelling the parent cancels it too.
    pub fn child(&self) -> Cancel {
        Cancel {
            orderly: self.orderly.child_token(),
            fast: self.fast.child_token(),
            signalled: Arc::default(),
        }
    }

    /// For clean-up: ignores the first signal, and is cancelled by the second.
    pub fn for_unwind(&self) -> Cancel {
        Cancel { orderly: self.fast.clone(), fast: self.fast.clone(), signalled: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signals_make_an_end_a_fast_one() {
        let all = Cancel::default();
        let run = all.child();
        run.orderly();
        run.orderly();
        assert!(run.check().is_err() && !run.is_fast() && all.check().is_ok());
        all.signal();
        run.orderly();
        assert!(!run.is_fast(), "one signal");
        all.signal();
        assert!(run.is_fast() && run.for_unwind().check().is_err());
        let alone = Cancel::default();
        alone.orderly();
        alone.signal();
        assert!(!alone.is_fast(), "one signal after the disk got short");
        alone.signal();
        assert!(alone.is_fast());
    }
}

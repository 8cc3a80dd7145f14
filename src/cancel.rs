//! Stopping a run from outside. A create is never raced against this: cancellation is looked at
//! between requests and inside waits.
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Two levels: the first signal asks for an orderly end, the second one for a fast one.
#[derive(Clone, Default)]
pub struct Cancel {
    orderly: CancellationToken,
    fast: CancellationToken,
    /// A first signal came.
    signalled: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped by a signal")]
pub struct Cancelled;

impl Cancel {
    /// The first call asks for an orderly end, any later one for a fast one.
    pub fn signal(&self) {
        if self.signalled.swap(true, Ordering::SeqCst) {
            self.fast.cancel();
        }
        self.orderly.cancel();
    }

    /// Asks for an orderly end, and is no signal: neither this nor the first signal after it makes
    /// the end a fast one.
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

    /// Waits for `work`, which must be safe to drop, or for cancellation.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Cancelled> {
        tokio::select! {
            biased;
            () = self.orderly.cancelled() => Err(Cancelled),
            done = work => Ok(done),
        }
    }

    /// The pause of a polling wait.
    pub async fn pause(&self, time: Duration) -> Result<(), Cancelled> {
        self.or(tokio::time::sleep(time)).await
    }

    /// Resolves when an orderly end is asked for.
    pub async fn stopped(&self) {
        self.orderly.cancelled().await;
    }

    /// For one run of several: stopped with all of them, and by itself.
    pub fn child(&self) -> Cancel {
        Cancel {
            orderly: self.orderly.child_token(),
            fast: self.fast.child_token(),
            signalled: Arc::default(),
        }
    }

    /// For the way home: not cancelled by the first signal, cancelled by the second.
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

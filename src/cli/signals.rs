//! Signals that end a command.
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::{Context, show};

impl Context {
    /// The first INT, TERM, HUP or QUIT requests an orderly end, the second a fast one. Signals
    /// within a second count as one, because Jenkins and closing terminals send several at once.
    pub(super) fn listen_to_signals(&self) {
        show::patient::stopped_by(&self.cancel);
        let last: Arc<Mutex<Option<Instant>>> = Arc::default();
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ] {
            let Ok(mut stream) = signal(kind) else { continue };
            let (cancel, last) = (self.cancel.clone(), last.clone());
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    let before =
                        last.lock().expect("nothing panics in here").replace(Instant::now());
                    if before.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
                        cancel.signal();
                    }
                }
            });
        }
    }
}

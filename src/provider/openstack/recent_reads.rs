//! Caches recent reads, because consecutive operations often read the same resource.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::{glance, nova};
use crate::model::image::Image;

/// Maximum age of a cached read of a resource that others can modify.
const JUST_NOW: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct RecentReads {
    /// By the requested name.
    pub base: Recent<(String, Image)>,
    /// A server that was shut down.
    pub off: Recent<nova::Server>,
    /// A captured server, including its owner tags.
    pub captured: Recent<nova::Server>,
    pub staged: Recent<glance::Record>,
    /// Floating IPs created by this process: ID to run.
    addresses: Mutex<BTreeMap<String, String>>,
}

impl RecentReads {
    pub fn made_address(&self, id: &str, run: &str) {
        lock(&self.addresses).insert(id.into(), run.into());
    }

    /// The run of this floating IP; removes the entry.
    pub fn take_address(&self, id: &str) -> Option<String> {
        lock(&self.addresses).remove(id)
    }
}

/// A cached read, used once.
pub struct Recent<T>(Mutex<Option<(T, Instant)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Recent<T> {
    pub fn put(&self, value: T) {
        *lock(&self.0) = Some((value, Instant::now()));
    }

    /// Takes the cached value if it is the `wanted` one; otherwise keeps it.
    pub fn take(&self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        lock(&self.0).take_if(|(value, _)| wanted(value)).map(|(value, _)| value)
    }

    /// [`take`](Self::take) for a resource that others can modify: only if read recently.
    pub fn take_fresh(&self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let (value, at) = lock(&self.0).take_if(|(value, _)| wanted(value))?;
        (at.elapsed() < JUST_NOW).then_some(value)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("plain assignments do not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_told_once_and_only_to_who_asks_for_it() {
        let noted = Recent::default();
        noted.put(1);
        assert_eq!(noted.take(|n| *n == 2), None);
        assert_eq!(noted.take_fresh(|n| *n == 1), Some(1));
        assert_eq!(noted.take(|n| *n == 1), None);
    }

    #[test]
    fn a_note_grows_old() {
        let noted = Recent::default();
        *lock(&noted.0) = Some((1, Instant::now().checked_sub(JUST_NOW).unwrap()));
        assert_eq!(noted.take_fresh(|_| true), None);
        assert_eq!(noted.take(|_| true), None, "it was taken out");
    }
}

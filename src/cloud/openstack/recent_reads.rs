//! What one verb has just seen, for the next one, which would look at the same thing again at once.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::{glance, nova};
use crate::image::Image;

/// So old may be what was seen of a thing that others can change.
const JUST_NOW: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct RecentReads {
    /// By the name that was asked for.
    pub base: Recent<(String, Image)>,
    /// A server that was shut down.
    pub off: Recent<nova::Server>,
    /// A server that was captured; whose it is stands in it.
    pub captured: Recent<nova::Server>,
    pub staged: Recent<glance::Record>,
    /// Floating IPs that were made by this process, by ID, and their runs.
    addresses: Mutex<BTreeMap<String, String>>,
}

impl RecentReads {
    pub fn made_address(&self, id: &str, run: &str) {
        lock(&self.addresses).insert(id.into(), run.into());
    }

    /// The run that this floating IP was made for, told once.
    pub fn take_address(&self, id: &str) -> Option<String> {
        lock(&self.addresses).remove(id)
    }
}

/// One thing that was seen, told once.
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

    /// What was noted, if it is the `wanted`; another thing stays noted.
    pub fn take(&self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        lock(&self.0).take_if(|(value, _)| wanted(value)).map(|(value, _)| value)
    }

    /// The same of a thing that others can change: only if it was seen just now.
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

//! Things that go on side by side in one stage: what is waited for is what each of them does.
use std::sync::{Arc, Mutex, PoisonError};

use super::{Event, Events, Sink, Stamped};

/// Makes [`Events`] for each of the things. All events of theirs go on to the run's; of what they do ([`Event::Doing`]) the run is told
/// what all do that have not ended: `check tests/page · waiting for SSH of smoke-b`.
#[derive(Clone)]
pub struct Abreast {
    run: Events,
    doing: Arc<Mutex<Vec<Option<String>>>>,
}

impl Abreast {
    pub fn new(run: &Events) -> Self {
        Self { run: run.clone(), doing: Arc::default() }
    }

    /// For one more thing. It has ended when the last clone of what is returned is dropped.
    pub fn lane(&self) -> Events {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        doing.push(None);
        let lane = Lane { all: self.clone(), place: doing.len() - 1 };
        let events = Events::default();
        events.add(Box::new(lane));
        events
    }

    /// The thing at `place` does this now. Nothing is told where nothing is done.
    fn does(&self, place: usize, what: Option<String>) {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        if doing[place] == what {
            return;
        }
        doing[place] = what;
        let all: Vec<&str> = doing.iter().filter_map(Option::as_deref).collect();
        if !all.is_empty() {
            self.run.doing(all.join(" · "));
        }
    }
}

struct Lane {
    all: Abreast,
    place: usize,
}

impl Sink for Lane {
    fn take(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::Doing { what } => self.all.does(self.place, Some(what.clone())),
            event => self.all.run.emit(event.clone()),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.all.does(self.place, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl Sink for Seen {
        fn take(&mut self, stamped: &Stamped) {
            self.0.lock().unwrap().push(match &stamped.event {
                Event::Doing { what } => what.clone(),
                Event::Note { text } => format!("note {text}"),
                other => panic!("{other:?}"),
            });
        }
    }

    /// What one of them did last was the only thing that was ever shown.
    #[test]
    fn what_all_of_them_do_is_told_until_they_end() {
        let (run, seen) = (Events::default(), Seen::default());
        run.add(Box::new(seen.clone()));
        let abreast = Abreast::new(&run);
        let (a, b) = (abreast.lane(), abreast.lane());
        a.doing("check dns");
        b.doing("check reboot-soft");
        b.note("x");
        a.doing("check tests/page");
        let kept = b.clone();
        drop(b);
        drop(a);
        kept.doing("waiting for SSH of b");
        drop(kept);
        let told = seen.0.lock().unwrap().clone();
        let first = ["check dns", "check dns · check reboot-soft", "note x", "check tests/page · check reboot-soft"];
        assert_eq!(told[..4], first);
        assert_eq!(told[4..], ["check reboot-soft", "waiting for SSH of b"]);
    }
}

//! Combines the activities of parallel lanes within a stage into one status text.
use std::sync::{Arc, Mutex, PoisonError};

use super::{Event, Events, Sink, Stamped};

/// Makes [`Events`] for parallel lanes. Forwards all their events to the run, except that
/// [`Event::Doing`] is combined over the lanes that have not ended: `check tests/page · waiting for
/// SSH of smoke-b`. To fit a terminal's line, names lose their common prefix, and equal activities
/// appear once: `waiting for SSH of smoke-a and smoke-b`.
#[derive(Clone)]
pub struct Abreast {
    run: Events,
    /// Common prefix of all lane names.
    common: Arc<str>,
    doing: Arc<Mutex<Vec<Does>>>,
}

struct Does {
    /// Lane name without the common prefix.
    name: String,
    what: Option<String>,
}

impl Abreast {
    /// `common` is the common prefix of all lane names.
    pub fn new(run: &Events, common: &str) -> Self {
        Self { run: run.clone(), common: common.into(), doing: Arc::default() }
    }

    /// Adds a lane. It ends when the last clone of the returned value is dropped.
    pub fn lane(&self, name: &str) -> Events {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        doing.push(Does { name: self.short(name), what: None });
        let lane = Lane { all: self.clone(), place: doing.len() - 1 };
        let events = Events::default();
        events.add(Box::new(lane));
        events
    }

    fn short(&self, text: &str) -> String {
        text.replace(&*self.common, "")
    }

    /// Sets the activity of the lane at `place`, and reports the combined text unless it is empty.
    fn does(&self, place: usize, what: Option<&str>) {
        let what = what.map(|what| self.short(what));
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        if doing[place].what == what {
            return;
        }
        doing[place].what = what;
        let all = together(&doing);
        if !all.is_empty() {
            self.run.doing(all.join(" · "));
        }
    }
}

/// Each distinct activity once, with the names of its lanes.
fn together(doing: &[Does]) -> Vec<String> {
    let mut kinds: Vec<(String, Vec<&str>)> = Vec::new();
    for does in doing {
        let Some(what) = &does.what else { continue };
        // A place for the name that no text has.
        let kind = what.replacen(&does.name, "\0", 1);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, names)) => names.push(&does.name),
            None => kinds.push((kind, vec![&does.name])),
        }
    }
    kinds.into_iter().map(|(kind, names)| kind.replacen('\0', &names.join(" and "), 1)).collect()
}

struct Lane {
    all: Abreast,
    place: usize,
}

impl Sink for Lane {
    fn take(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::Doing { what } => self.all.does(self.place, Some(what)),
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
        let abreast = Abreast::new(&run, "factory-r1-");
        let (a, b) = (abreast.lane("factory-r1-a1"), abreast.lane("factory-r1-b2"));
        a.doing("check dns");
        b.doing("check reboot-soft");
        b.note("x");
        a.doing("check tests/page");
        let kept = b.clone();
        drop(b);
        drop(a);
        kept.doing("waiting for SSH of factory-r1-b2");
        drop(kept);
        let told = seen.0.lock().unwrap().clone();
        let first = [
            "check dns",
            "check dns · check reboot-soft",
            "note x",
            "check tests/page · check reboot-soft",
        ];
        assert_eq!(told[..4], first);
        assert_eq!(told[4..], ["check reboot-soft", "waiting for SSH of b2"]);
    }

    #[test]
    fn what_is_the_same_is_said_once() {
        let (run, seen) = (Events::default(), Seen::default());
        run.add(Box::new(seen.clone()));
        let abreast = Abreast::new(&run, "factory-r1-");
        let (a, b) = (abreast.lane("factory-r1-a1"), abreast.lane("factory-r1-b2"));
        a.doing("waiting for SSH of factory-r1-a1");
        b.doing("waiting for SSH of factory-r1-b2");
        a.doing("waiting for cloud-init of factory-r1-a1");
        let told = seen.0.lock().unwrap().clone();
        let both = [
            "waiting for SSH of a1 and b2",
            "waiting for cloud-init of a1 · waiting for SSH of b2",
        ];
        assert_eq!(told, [&["waiting for SSH of a1"][..], &both[..]].concat());
    }
}

//! Runs a sink on a thread of its own. A stopped terminal, a paused pager or a hanging CI agent
//! accepts no lines; the build and its signal handling must not wait for it.
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::log::budget::Budget;
use crate::model::event::{Event, Sink, Stamped};

/// Limits of queued events and their bytes. Beyond them, transient events (output, progress) are
/// dropped.
const EVENTS: usize = 2000;
const BYTES: usize = 4 << 20;
/// How long to wait for our own events, so that later output follows them. After one timeout, does
/// not wait again until all is shown.
const ORDER: Duration = Duration::from_millis(200);
/// How long the end of a run waits for its last lines.
const END: Duration = Duration::from_secs(2);

pub(super) struct Apart {
    shared: Arc<Shared>,
    /// For a sink that shows all output.
    budget: Option<Budget>,
    begun: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signals new events, or the end.
    more: Condvar,
    /// Signals an empty queue.
    idle: Condvar,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Stamped>,
    bytes: usize,
    dropped: u64,
    busy: bool,
    /// A wait timed out.
    stuck: bool,
    ended: bool,
    over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done`, at most for `limit`; returns whether it is.
    fn wait(&self, limit: Duration, done: impl Fn(&Queue) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut queue = self.lock();
        while !done(&queue) {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            queue = self.idle.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn serve(&self, mut sink: Box<dyn Sink>) {
        loop {
            let mut queue = self.lock();
            queue.busy = false;
            while queue.events.is_empty() && !queue.ended {
                queue.stuck = false;
                self.idle.notify_all();
                queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(event) = queue.events.pop_front() else { break };
            queue.bytes -= size(&event);
            queue.busy = true;
            let dropped = std::mem::take(&mut queue.dropped);
            drop(queue);
            if dropped > 0 {
                let text = format!(
                    "{dropped} lines are not shown here, for they were not read in time; the log \
                        has them"
                );
                sink.take(&Stamped { at: event.at, event: Event::Note { text } });
            }
            sink.take(&event);
        }
        drop(sink);
        self.lock().over = true;
        self.idle.notify_all();
    }
}

/// Approximate size in memory.
fn size(event: &Stamped) -> usize {
    let text = match &event.event {
        Event::Output { line, .. } => line.len(),
        Event::Check(check) => check.output.len(),
        _ => 0,
    };
    200 + text
}

impl Apart {
    pub(super) fn new(sink: Box<dyn Sink>, shows_output: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let serves = shared.clone();
        let thread =
            std::thread::Builder::new().name("show".into()).spawn(move || serves.serve(sink));
        Self { shared, budget: shows_output.then(Budget::default), begun: thread.is_ok() }
    }
}

fn put(shared: &Shared, event: &Stamped) -> usize {
    let passing =
        matches!(event.event, Event::Output { .. } | Event::Progress { .. } | Event::Doing { .. });
    let mut queue = shared.lock();
    if passing && (queue.events.len() >= EVENTS || queue.bytes >= BYTES) {
        queue.dropped += u64::from(matches!(event.event, Event::Output { .. }));
    } else {
        queue.bytes += size(event);
        queue.events.push_back(event.clone());
    }
    let waits = !passing && !queue.stuck;
    drop(queue);
    shared.more.notify_one();
    if waits && !shared.wait(ORDER, |queue| queue.events.is_empty() && !queue.busy) {
        shared.lock().stuck = true;
    }
    size(event)
}

impl Sink for Apart {
    fn take(&mut self, event: &Stamped) {
        match (&mut self.budget, self.begun) {
            (_, false) => {}
            (Some(budget), true) => budget.pass(event, &mut |event| put(&self.shared, event)),
            (None, true) => drop(put(&self.shared, event)),
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.more.notify_one();
        if self.begun {
            self.shared.wait(END, |queue| queue.over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows nothing until it may.
    struct Stuck(Arc<Mutex<()>>, Arc<Mutex<Vec<Event>>>);

    impl Sink for Stuck {
        fn take(&mut self, event: &Stamped) {
            let _gate = self.0.lock().unwrap();
            self.1.lock().unwrap().push(event.event.clone());
        }
    }

    fn stamped(event: Event) -> Stamped {
        Stamped { at: jiff::Timestamp::UNIX_EPOCH, event }
    }

    fn output(line: String) -> Stamped {
        stamped(Event::Output { source: "shell".into(), line })
    }

    #[test]
    fn a_reader_that_stops_holds_nobody_up_and_costs_bounded_memory() {
        let (gate, seen) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(Vec::new())));
        let held = gate.lock().unwrap();
        let mut sink = Apart::new(Box::new(Stuck(gate.clone(), seen.clone())), false);
        let begin = Instant::now();
        for n in 0..50_000 {
            sink.take(&output(format!("{n} {}", "x".repeat(1000))));
        }
        sink.take(&stamped(Event::Note { text: "ours".into() }));
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        {
            let queue = sink.shared.lock();
            assert!(
                queue.events.len() <= EVENTS + 1 && queue.bytes < BYTES + (8 << 10),
                "{} {}",
                queue.events.len(),
                queue.bytes
            );
        }
        let shared = sink.shared.clone();
        drop(sink);
        assert!(begin.elapsed() < Duration::from_secs(14), "{:?}", begin.elapsed());
        drop(held);
        shared.wait(Duration::from_secs(20), |queue| queue.over);
        let seen = seen.lock().unwrap();
        assert!(
            seen.iter()
                .any(|e| matches!(e, Event::Note { text } if text.contains("lines are not shown")))
        );
        assert!(
            matches!(seen.last(), Some(Event::Note { text }) if text == "ours"),
            "our own events are never dropped"
        );
    }

    #[test]
    fn what_shows_all_output_has_a_budget() {
        let (gate, seen) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(Vec::new())));
        let mut sink = Apart::new(Box::new(Stuck(gate, seen.clone())), true);
        sink.budget = Some(Budget::new(2000));
        (0..50).for_each(|n| sink.take(&output(n.to_string())));
        sink.take(&stamped(Event::Warning { text: "w".into() }));
        drop(sink);
        let seen = seen.lock().unwrap();
        let lines = seen.iter().filter(|e| matches!(e, Event::Output { .. })).count();
        let said = seen
            .iter()
            .filter(|e| matches!(e, Event::Warning { text } if text.contains("left out")))
            .count();
        assert!((9..12).contains(&lines) && said == 1, "{lines} {said}");
    }
}

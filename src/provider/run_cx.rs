//! Context of a call.
use std::time::Duration;

use super::ledger::Ledger;
use crate::model::event::Events;
use crate::system::cancel::Cancel;
use crate::system::wait::{Deadline, Wait};

/// Time for a call that was given none.
const LONG: Duration = Duration::from_secs(3600);

/// Context of a call: its run, the ledger that records what it creates, the events sink,
/// cancellation, and a deadline.
#[derive(Clone)]
pub struct RunCx {
    /// ID of the run, which owns what the call creates. Empty outside of a run.
    pub run: String,
    pub ledger: Ledger,
    pub events: Events,
    pub cancel: Cancel,
    pub(super) deadline: Option<Deadline>,
}

impl RunCx {
    pub fn new(run: &str, ledger: Ledger, events: Events, cancel: Cancel) -> Self {
        Self { run: run.to_owned(), ledger, events, cancel, deadline: None }
    }

    /// A context outside of a run: such calls create nothing.
    pub fn outside(cancel: Cancel) -> Self {
        Self::new("", Ledger::none(), Events::default(), cancel)
    }

    /// The same, with a deadline for one call.
    #[must_use]
    pub fn within(&self, time: Duration) -> Self {
        Self { deadline: Some(Deadline::after(time)), ..self.clone() }
    }

    /// The same for the next phase of a call, which has the call's whole time again.
    #[must_use]
    pub fn anew(&self) -> Self {
        self.within(self.deadline().total())
    }

    #[must_use]
    pub fn with_events(self, events: Events) -> Self {
        Self { events, ..self }
    }

    #[must_use]
    pub fn with_cancel(self, cancel: Cancel) -> Self {
        Self { cancel, ..self }
    }

    /// The same for another run, with the same ledger.
    #[must_use]
    pub fn for_run(&self, run: &str) -> Self {
        Self { run: run.to_owned(), ..self.clone() }
    }

    pub fn deadline(&self) -> Deadline {
        self.deadline.unwrap_or_else(|| Deadline::after(LONG))
    }

    /// A wait for `what`, polled every `interval`, until the deadline.
    pub fn wait<'a>(&'a self, what: &'a str, interval: Duration) -> Wait<'a> {
        Wait::new(what, &self.cancel, self.deadline(), interval)
    }
}

//! The factory: what all runs share, and how a run is started.
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::outcome::RunOutcome;
use super::request::{RunOptions, RunRequest};
use super::run;
use crate::engine::run_dir::Home;
use crate::guest::Connect;
use crate::model::event::Events;
use crate::provider::Provider;
use crate::report;
use crate::system::cancel::Cancel;
use crate::system::http::Proxies;
use crate::wall::Wall;

/// What all runs share.
pub struct Factory {
    pub provider: Arc<dyn Provider>,
    pub connect: Arc<dyn Connect>,
    pub wall: Arc<Wall>,
    /// By which downloads come.
    pub proxies: Proxies,
    pub home: Home,
    pub templates: report::Renderer,
}

/// A run that was started. Dropping the handle does not end the run.
pub struct RunHandle {
    /// Sinks can be added; they see events from then on.
    pub events: Events,
    /// Ends this run and no other.
    pub cancel: Cancel,
    task: JoinHandle<RunOutcome>,
}

impl RunHandle {
    /// Waits for the end of the run, after which its sinks are gone.
    pub async fn outcome(self) -> RunOutcome {
        drop(self.events);
        match self.task.await {
            Ok(outcome) => outcome,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }
}

/// What a run works with: the factory, and the caller's options.
#[derive(Clone, Copy)]
pub(super) struct Setup<'r> {
    pub factory: &'r Factory,
    pub options: &'r RunOptions,
}

impl Factory {
    /// Starts one run as a task of its own. Its base must exist; [`Factory::build`] builds it
    /// first.
    pub fn run(self: &Arc<Self>, request: RunRequest) -> RunHandle {
        let RunRequest { definition, mut options } = request;
        options.cancel = options.cancel.child();
        let (events, cancel) = (Events::default(), options.cancel.clone());
        let (factory, of_run) = (self.clone(), events.clone());
        let task = tokio::spawn(async move {
            let setup = Setup { factory: &factory, options: &options };
            if let Err(e) = setup.withdraw(&definition) {
                return setup.not_begun(&definition, e, &of_run);
            }
            run::one(setup, &definition, of_run).await
        });
        RunHandle { events, cancel, task }
    }
}

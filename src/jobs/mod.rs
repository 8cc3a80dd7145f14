//! Runs as jobs: one run of one definition (`run`, started by `factory`), and the scheduler of many
//! (`batch`, in the order of `schedule`).
//!
//! A run takes facts, makes the plan and the run directory, has the engine build, writes the
//! reports and prunes the family. What is here when it ends is the record of the run.

mod base;
mod batch;
mod building;
mod ending;
pub mod exit_code;
mod factory;
mod heat;
mod latest;
mod outcome;
mod outputs;
mod planning;
mod request;
mod results;
mod retention;
mod run;
mod schedule;
mod stale;
#[cfg(test)]
mod tests;
mod turn;
mod unchanged;
mod unplanned;
mod warm;

pub use batch::{End, Job, NOT_BEGUN};
pub use factory::{Factory, RunHandle};
pub use outcome::{RetainedMachine, RunError, RunOutcome};
pub use request::{RunOptions, RunRequest, Show};
pub use results::{NotBuilt, Results, none_built};
pub use stale::Need;
pub use warm::{AfterBuilds, Filled, NotKept};

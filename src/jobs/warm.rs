//! The pool of warm builders of a definition, filled up to the number that it wants.
use std::sync::Arc;

use jiff::Timestamp;

use super::factory::Factory;
use super::outcome::{RunError, RunOutcome};
use super::request::{RunOptions, RunRequest};
use crate::engine::Goal;
use crate::engine::pool::{Key, Records};
use crate::model::definition::Definition;
use crate::provider::CloudError;
use crate::provider::ledger::Leak;

/// What became of a pool.
pub struct Filled {
    /// Runs that made a builder, or failed to.
    pub runs: Vec<RunOutcome>,
    /// Builders for builds to come, of the definition's key.
    pub there: u32,
    /// Runs whose builders were too old or gone, and were removed.
    pub removed: Vec<String>,
    /// Of such builders, what could not be deleted.
    pub leaks: Vec<Leak>,
}

/// What became of the pools after builds.
pub struct AfterBuilds {
    /// Runs whose builders were too old or gone and were removed, and what could not be deleted.
    pub cleared: Result<(Vec<String>, Vec<Leak>), CloudError>,
    /// The pool of each definition that was published, and its label.
    pub filled: Vec<(String, Result<Filled, NotKept>)>,
}

/// Why there is no pool for a definition.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    #[error("{0} asks for no warm builder: it sets no `warm`")]
    NotWanted(String),
    #[error("warm builders are for OpenStack; machines of this one are no pool")]
    Here,
    #[error("{0} has no base to keep a builder of: {1}")]
    NoBase(String, &'static str),
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<CloudError> for NotKept {
    fn from(e: CloudError) -> Self {
        Self::Run(e.into())
    }
}

impl Factory {
    /// Removes warm builders that are nobody's any more, whatever the builds were of and came to,
    /// and fills the pools of `built`, which were published.
    pub async fn after_builds(
        self: &Arc<Self>,
        options: &RunOptions,
        built: &[Definition],
    ) -> AfterBuilds {
        let cleared = self.clear_pools(options).await;
        let mut filled = Vec::new();
        for bundle in built.iter().filter(|bundle| bundle.warm > 0) {
            filled.push((bundle.label.clone(), self.fill(options, bundle).await));
        }
        AfterBuilds { cleared, filled }
    }

    async fn clear_pools(
        &self,
        options: &RunOptions,
    ) -> Result<(Vec<String>, Vec<Leak>), CloudError> {
        Records::of(&self.home).clear(&*self.provider, &options.cancel).await
    }

    /// Removes warm builders that are nobody's any more, and boots as many as `bundle` lacks.
    /// Returns when the cloud has booted them; the builds that take them wait for the rest.
    pub async fn fill(
        self: &Arc<Self>,
        options: &RunOptions,
        bundle: &Definition,
    ) -> Result<Filled, NotKept> {
        let label = || bundle.label.clone();
        if bundle.warm == 0 {
            return Err(NotKept::NotWanted(label()));
        }
        if self.provider.is_here() {
            return Err(NotKept::Here);
        }
        let options = RunOptions { goal: Goal::Warm, ..options.clone() };
        let (removed, leaks) = self.clear_pools(&options).await?;
        let records = Records::of(&self.home);
        let plans = self.plans(&options, bundle, Timestamp::now()).await?;
        let key = match &plans[..] {
            [plan] => Key::of(plan, self.provider.project(&options.cancel).await?),
            _ => return Err(NotKept::NoBase(label(), "its image is missing, build it first")),
        };
        let why = "it has a source, or boots from a volume";
        let key = key.ok_or_else(|| NotKept::NoBase(label(), why))?;
        let count = || records.count(&key).map_err(CloudError::io("count warm builders"));
        let mut runs = Vec::new();
        for _ in count()?..bundle.warm {
            let request = RunRequest { definition: bundle.clone(), options: options.clone() };
            let ended = self.run(request).outcome().await;
            let failed = ended.result.is_err();
            runs.push(ended);
            if failed {
                break;
            }
        }
        Ok(Filled { runs, there: count()?, removed, leaks })
    }
}

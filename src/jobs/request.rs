//! What a caller asks of a run. Owned, so that a run can be a task.
use std::sync::Arc;

use crate::engine::Goal;
use crate::engine::checkpoints::Range;
use crate::model::definition::Definition;
use crate::model::event::Sink;
use crate::plan::Purpose;
use crate::system::cancel::Cancel;

/// Makes the sink that shows a run to the person who started it, from the definition's label.
pub type Show = Arc<dyn Fn(&str) -> Box<dyn Sink> + Send + Sync>;

/// How a definition is run.
#[derive(Clone)]
pub struct RunOptions {
    pub goal: Goal,
    pub keep_on_failure: bool,
    /// Test captured images before they are published.
    pub smoke: bool,
    /// Build an image even if there is one that a build would make again.
    pub force: bool,
    /// What the builder begins from, and which steps it runs.
    pub range: Range,
    /// Have rendered Heat templates checked by the cloud's Heat.
    pub check_templates: bool,
    pub show: Show,
    /// Cancels the run; the run itself cancels a child of it.
    pub cancel: Cancel,
}

impl RunOptions {
    pub(super) fn purpose(&self) -> Purpose {
        match self.goal {
            Goal::Tested => Purpose::Test { smoke: self.smoke },
            // What is looked at is the builder: nothing is captured that could be tested.
            Goal::Provisioned(_) | Goal::Warm => Purpose::Visit,
            Goal::Published => Purpose::Build { smoke: self.smoke },
        }
    }

    /// Nothing is built: the base is what is tested.
    pub(super) fn tests(&self) -> bool {
        matches!(self.goal, Goal::Tested)
    }

    /// The builder is opened for a person or left up for a build, and no image is made.
    pub(super) fn visits(&self) -> bool {
        matches!(self.goal, Goal::Provisioned(_) | Goal::Warm)
    }
}

/// One run: a definition, and how it is run.
#[derive(Clone)]
pub struct RunRequest {
    pub definition: Definition,
    pub options: RunOptions,
}

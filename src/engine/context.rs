//! What a build works with.
use std::path::PathBuf;
use std::time::Instant;

use super::checkpoints::Range;
use super::pool::Pool;
use super::{BuildError, Goal, space};
use crate::guest::Connect;
use crate::model::definition::Definition;
use crate::model::event::{Event, Stage, seconds};
use crate::plan::Plan;
use crate::provider::{Provider, RunCx};
use crate::system::http::Proxies;
use crate::wall::Wall;

/// Everything a build works with.
pub struct BuildContext<'a> {
    pub cloud: &'a dyn Provider,
    pub connect: &'a dyn Connect,
    pub cx: &'a RunCx,
    pub plan: &'a Plan,
    /// Whose files are looked at again when the image is published.
    pub definition: &'a Definition,
    /// Around everything that the definition brings.
    pub wall: &'a Wall,
    /// Where SSH keys, inventory and sockets of this run go: short path, only this user may look
    /// in.
    pub scratch: PathBuf,
    /// Where large files of this run go.
    pub work: PathBuf,
    /// Where downloads are kept, for all runs.
    pub downloads: PathBuf,
    /// By which they come.
    pub proxies: Proxies,
    pub until: Goal,
    /// Warm builders, if the definition has some.
    pub pool: Option<Pool>,
    /// Leave the machine of a failed build up.
    pub keep_on_failure: bool,
    /// Where the factory keeps what outlives a run.
    pub home: PathBuf,
    pub range: Range,
}

impl<'a> BuildContext<'a> {
    /// The same, with events, or a way to stop, of its own.
    pub(super) fn with<'b>(&'b self, cx: &'b RunCx) -> BuildContext<'b>
    where
        'a: 'b,
    {
        BuildContext { cx, ..self.of_plan(self.plan) }
    }

    /// The same, with the plan for what the source came to.
    pub(super) fn of_plan<'b>(&'b self, plan: &'b Plan) -> BuildContext<'b>
    where
        'a: 'b,
    {
        let BuildContext { cloud, connect, cx, definition, wall, keep_on_failure, range, .. } =
            *self;
        let (scratch, work, downloads) =
            (self.scratch.clone(), self.work.clone(), self.downloads.clone());
        let (proxies, until, home) = (self.proxies.clone(), self.until.clone(), self.home.clone());
        let pool = self.pool.clone();
        BuildContext {
            cloud,
            connect,
            cx,
            plan,
            definition,
            wall,
            scratch,
            work,
            downloads,
            proxies,
            until,
            pool,
            keep_on_failure,
            home,
            range,
        }
    }

    /// Runs one stage and tells of its begin, end and time.
    pub(super) async fn stage<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, BuildError>>,
    ) -> Result<T, BuildError> {
        self.cx.cancel.check()?;
        let begin = Instant::now();
        self.cx.events.emit(Event::StageStarted { stage });
        let result = match stage {
            // What it did counts, whatever becomes of the disk meanwhile: the image is what
            // everybody gets.
            Stage::Publish => work.await,
            _ => space::watched(self, stage, work).await,
        };
        let seconds = seconds(begin.elapsed());
        self.cx.events.emit(match &result {
            Ok(_) => Event::StageDone { stage, seconds },
            Err(e) => Event::StageFailed { stage, seconds, error: e.to_string() },
        });
        result
    }
}

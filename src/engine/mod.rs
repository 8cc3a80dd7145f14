//! The straight line from a plan to an image: source, boot, provision, tidy, capture, smoke,
//! publish; and the one road home.
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::fetch::FetchError;
use crate::guest::{Connect, RemoteError};
use crate::model::event::{Check, Event, Stage, Tally, seconds};
use crate::model::image::{self, Image, State};
use crate::plan::Plan;
use crate::provider::ledger::{Entry, Kind, Leak, LedgerError};
use crate::provider::{CloudError, Provider, RunCx};
use crate::system::cancel::Cancelled;
use crate::system::exec::{self, ExecError, process};
use crate::system::http::Proxies;
use crate::wall::{Wall, WallError};

pub mod ansible;
mod answer;
mod cause;
pub mod checks;
mod child;
pub mod cloud_init;
pub mod console;
mod heard;
mod inventory;
mod machine;
mod provision;
mod ready;
mod signs;
mod required;
mod smoke;
mod source;
pub mod space;
#[cfg(test)]
mod tests;
pub mod tidy;
mod watch;

/// Everything a build works with.
pub struct BuildContext<'a> {
    pub cloud: &'a dyn Provider,
    pub connect: &'a dyn Connect,
    pub cx: &'a RunCx,
    pub plan: &'a Plan,
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
    pub until: Goal<'a>,
    /// Leave the machine of a failed build up.
    pub keep_on_failure: bool,
}

/// How far the line is walked.
#[derive(Clone, Copy)]
pub enum Goal<'a> {
    /// To the published image.
    Published,
    /// To the verdict on an image that is there already.
    Tested,
    /// To the provisioned builder, which is handed over; what is returned ends the build.
    Provisioned(&'a dyn Interactive),
}

/// Takes a provisioned builder, for `image-factory shell`. `failed` tells what stopped the steps.
#[async_trait::async_trait]
pub trait Interactive: Send + Sync {
    /// Ends when the person leaves, or is to leave because of a signal.
    async fn open(&self, builder: &SshAccess, failed: Option<&BuildError>);
}

/// How a person gets into a machine that is up.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SshAccess {
    pub machine: String,
    /// Program and arguments of an interactive login, host key pinned.
    pub ssh: Vec<String>,
}

/// What a build came to. Cleaning up never hides the cause.
pub struct Outcome {
    pub result: Result<Built, BuildError>,
    pub leaks: Vec<Leak>,
    /// Machine left up on purpose.
    pub kept: Option<SshAccess>,
}

/// What a build that went well gives.
#[derive(Debug)]
pub enum Built {
    Image(Box<Image>),
    /// `shell` was left; no image was asked for.
    ShellEnded,
    /// The image passed its checks; it is what it was.
    Tested,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The machine came up but not far enough to be used; `console` is its last lines.
    #[error("{machine}: {reason}")]
    NotReady { machine: String, reason: String, console: Vec<String> },
    #[error("source {script}: {reason}")]
    Source { script: String, reason: String },
    #[error("source: {0}")]
    Fetch(FetchError),
    #[error("step {}, {name}: {reason}", index + 1)]
    Step { index: usize, name: String, reason: String },
    #[error("step {}, {name}: {source}", index + 1)]
    StepRemote { index: usize, name: String, source: RemoteError },
    /// The builder died, froze or left the network during a stage.
    #[error("the builder was lost: {reason}")]
    BuilderLost { reason: String, console: Vec<String> },
    /// What the definition brings could not be started behind the wall.
    #[error("wall: {0}")]
    Wall(String),
    #[error("tidy: {0}")]
    Tidy(String),
    #[error("{} of {} smoke checks failed: \
        {}", failed.len(), of, reasons(failed))]
    Smoke { failed: Vec<Check>, of: usize },
    #[error("cannot write {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Space(space::Short),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn reasons(failed: &[Check]) -> String {
    failed.iter().map(|c| format!("{} ({})", c.id, c.reason)).collect::<Vec<_>>().join(", ")
}

impl From<LedgerError> for BuildError {
    fn from(e: LedgerError) -> Self {
        Self::Cloud(e.into())
    }
}

impl From<FetchError> for BuildError {
    fn from(e: FetchError) -> Self {
        match e {
            FetchError::Cancelled(c) => Self::Cancelled(c),
            e => Self::Fetch(e),
        }
    }
}

impl From<WallError> for BuildError {
    fn from(e: WallError) -> Self {
        match e {
            WallError::Cancelled(c) => Self::Cancelled(c),
            e => Self::Wall(e.to_string()),
        }
    }
}

impl BuildError {
    /// An orderly stop on a signal, and not a failure, however deep it was noticed.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_) | Self::Cloud(CloudError::Cancelled(_)))
    }
}

impl<'a> BuildContext<'a> {
    /// The same, with events, or a way to stop, of its own.
    fn with<'b>(&'b self, cx: &'b RunCx) -> BuildContext<'b>
    where
        'a: 'b,
    {
        let BuildContext { cloud, connect, plan, wall, until, keep_on_failure, .. } = *self;
        let (scratch, work, downloads) =
            (self.scratch.clone(), self.work.clone(), self.downloads.clone());
        let proxies = self.proxies.clone();
        BuildContext {
            cloud,
            connect,
            cx,
            plan,
            wall,
            scratch,
            work,
            downloads,
            proxies,
            until,
            keep_on_failure,
        }
    }

    /// Runs one stage and tells of its begin, end and time.
    async fn stage<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, BuildError>>,
    ) -> Result<T, BuildError> {
        self.cx.cancel.check()?;
        let begin = Instant::now();
        self.cx.events.emit(Event::StageStarted { stage });
        let result = match stage {
            // One short write. What it did counts, whatever became of the disk meanwhile: the image
            // is what everybody gets.
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

/// Walks the line, then the road home: the same one for success and failure.
pub async fn build(site: &BuildContext<'_>) -> Outcome {
    let mut up = None;
    let result = line(site, &mut up).await;
    // A machine that filled the disk is not left to it.
    let keep = site.keep_on_failure
        && matches!(&result, Err(e) if !e.is_cancelled() && !matches!(e, BuildError::Space(_)));
    if keep && up.is_some() {
        // The machine and what carries it stand in the ledger; what a script left running is of no
        // use to anybody.
        return Outcome { result, leaks: end_processes(site).await, kept: up };
    }
    let leaks = unwind(site).await;
    Outcome { result, leaks, kept: None }
}

/// The line itself. `up` is set as long as a machine is up that a person could open after a
/// failure.
async fn line(site: &BuildContext<'_>, up: &mut Option<SshAccess>) -> Result<Built, BuildError> {
    let plan = site.plan;
    let mut tally = Tally::default();
    let base = source::image(site).await?;
    let mut identities = Vec::new();
    let image = match &plan.builder {
        Some(wanted) => {
            let mut builder =
                site.stage(Stage::Boot, machine::boot_builder(site, wanted, &base)).await?;
            *up = Some(builder.opened(site)?);
            let provisioned =
                site.stage(Stage::Provision, provision::steps(site, &mut builder)).await;
            if let Goal::Provisioned(person) = site.until {
                return visited(site, &builder, person, provisioned).await;
            }
            provisioned?;
            if plan.smoke.is_some() {
                identities.push(builder.identity().await?);
            }
            let build_key = builder.login_key();
            site.stage(Stage::Tidy, provision::tidy(site, &builder)).await?;
            let name = builder.machine.name.clone();
            let captured = site.stage(Stage::Capture, machine::capture(site, builder)).await?;
            *up = None;
            retire(site, &name).await;
            if let Some(smoke) = &plan.smoke {
                tally = site
                    .stage(
                        Stage::Smoke,
                        smoke::test(site, smoke, &captured, &identities, Some(build_key), up),
                    )
                    .await?;
            }
            captured
        }
        None => {
            if let Some(smoke) = &plan.smoke {
                tally = site
                    .stage(Stage::Smoke, smoke::test(site, smoke, &base, &identities, None, up))
                    .await?;
            }
            base
        }
    };
    if matches!(site.until, Goal::Tested) {
        return Ok(Built::Tested);
    }
    let published = site.stage(Stage::Publish, publish(site, &image, tally)).await?;
    Ok(Built::Image(Box::new(published)))
}

/// The builder is opened for a person, whatever became of the steps.
async fn visited(
    site: &BuildContext<'_>,
    builder: &machine::Running,
    person: &dyn Interactive,
    provisioned: Result<(), BuildError>,
) -> Result<Built, BuildError> {
    // The run is at its end, or was told to end: nothing is opened any more.
    match provisioned {
        Err(e) if e.is_cancelled() || matches!(e, BuildError::Space(_)) => return Err(e),
        _ => {}
    }
    let opened = builder.opened(site)?;
    let open = async {
        person.open(&opened, provisioned.as_ref().err()).await;
        Ok(())
    };
    space::watched(site, Stage::Provision, open).await?;
    // It did not end because the person left.
    site.cx.cancel.check()?;
    provisioned.map(|()| Built::ShellEnded)
}

/// A builder that has done its work gives back what it holds of the project's quota before the next
/// machines come up. What cannot be deleted now is deleted on the way home.
async fn retire(site: &BuildContext<'_>, machine: &str) {
    let of_it = |e: &&Entry| {
        e.name == machine && matches!(e.kind, Kind::Machine | Kind::Address | Kind::Volume)
    };
    for entry in site.cx.ledger.entries().iter().filter(of_it) {
        if let Ok(Ok(())) =
            tokio::time::timeout(DELETE, site.cloud.resources().delete(&site.plan.run, entry)).await
        {
            let _ = site.cx.ledger.gone(entry.seq);
        }
    }
}

async fn publish(
    site: &BuildContext<'_>,
    staged: &Image,
    tests: Tally,
) -> Result<Image, BuildError> {
    let mut publication = site.plan.publish.clone();
    publication.properties.insert(image::TESTS.into(), tests.to_string());
    let image = match site.cloud.artifacts().publish(site.cx, staged, &publication).await {
        Ok(image) => image,
        // The write may have been done and its answer lost: what the cloud shows counts, if it
        // proves itself.
        Err(e) => {
            let published = |i: &Image| {
                let of_run = i.properties.get(image::RUN) == Some(&site.plan.run);
                i.id == staged.id && i.state == State::Active && i.is_ours() && of_run
            };
            match site
                .cloud
                .artifacts()
                .list()
                .await
                .unwrap_or_default()
                .into_iter()
                .find(published)
            {
                Some(image) => {
                    site.cx.events.warn(format!("image {} is published, and yet: {e}", image.id));
                    image
                }
                None => return Err(e.into()),
            }
        }
    };
    site.cx.ledger.keep(Kind::Image, &image.id)?;
    Ok(image)
}

/// How long a single deletion may take before it is called a leak.
const DELETE: Duration = Duration::from_secs(120);

/// Deletes what the ledger holds, machines first and then newest first, past failures. What could
/// not be deleted is returned and stays in the ledger; so is the rest after a second signal, for
/// `sweep`.
pub async fn unwind(site: &BuildContext<'_>) -> Vec<Leak> {
    let outlived = end_processes(site).await;
    let mut entries = site.cx.ledger.entries();
    // A disk that was given to a machine can go when that is gone.
    entries.sort_by_key(|e| e.kind != Kind::Machine);
    if entries.is_empty() {
        return outlived;
    }
    let begin = Instant::now();
    site.cx.events.emit(Event::StageStarted { stage: Stage::Unwind });
    let mut leaks = outlived;
    for entry in entries {
        let deleted = site
            .cx
            .cancel
            .for_unwind()
            .or(tokio::time::timeout(DELETE, site.cloud.resources().delete(&site.plan.run, &entry)))
            .await;
        let done = match deleted {
            Ok(Ok(done)) => done
                .and_then(|()| site.cx.ledger.gone(entry.seq).map_err(CloudError::from))
                .map_err(|e| e.to_string()),
            Ok(Err(_)) => Err(format!("not deleted after {DELETE:?}")),
            Err(_) => Err("a second signal ended the clean-up".into()),
        };
        if let Err(reason) = done {
            leaks.push(Leak { entry, reason });
        }
    }
    let seconds = seconds(begin.elapsed());
    site.cx.events.emit(match leaks.len() {
        0 => Event::StageDone { stage: Stage::Unwind, seconds },
        n => Event::StageFailed {
            stage: Stage::Unwind,
            seconds,
            error: format!("{n} things could not be deleted"),
        },
    });
    leaks
}

/// Ends what carries the run's mark and stands in no ledger: what a step or a script left running
/// and no wall ended. Machines are the cloud's to end. What does not end is returned.
async fn end_processes(site: &BuildContext<'_>) -> Vec<Leak> {
    let entries = site.cx.ledger.entries();
    let called = |p: &process::Proc, name: &str| p.env(exec::PROCESS_MARK).as_deref() == Some(name);
    let known = |p: &process::Proc| {
        entries.iter().any(|e| e.id == Some(p.to_string()) || called(p, &e.name))
    };
    let mut leaks = Vec::new();
    let left = process::ours().into_iter().filter(|p| p.is_of(&site.plan.run) && !known(p));
    for proc in left {
        if proc.state() != process::State::Gone
            && let Err(e) = proc.end(Duration::from_secs(5)).await
        {
            let entry = Entry {
                seq: u64::MAX,
                kind: Kind::Process,
                name: proc.title(),
                id: Some(proc.to_string()),
                unanswered: None,
            };
            leaks.push(Leak { entry, reason: e.to_string() });
        }
    }
    leaks
}

/// What went wrong with a program, as a sentence for a step or source.
fn exec_reason(e: ExecError) -> Result<String, BuildError> {
    match e {
        ExecError::Cancelled(c) => Err(c.into()),
        other => Ok(other.to_string()),
    }
}

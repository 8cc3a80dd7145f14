//! The straight line from a plan to an image: source, boot, provision, tidy, capture, smoke,
//! publish; and the one road home.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::digest::Digest;
use crate::model::event::{Stage, Tally};
use crate::model::image::Image;
use crate::provider::CloudError;
use crate::provider::ledger::Leak;

pub mod ansible;
mod answer;
mod cause;
pub mod checks;
pub mod checkpoints;
mod child;
pub mod cloud_init;
pub mod console;
mod context;
mod error;
mod heard;
mod inventory;
mod machine;
pub mod pool;
mod ready;
mod publish;
mod required;
pub mod run_dir;
mod signs;
mod smoke;
mod source;
pub mod space;
mod steps;
mod surroundings;
#[cfg(test)]
pub(crate) mod tests;
pub mod tidy;
mod unwind;
mod watch;

pub use context::BuildContext;
pub use error::BuildError;
use error::exec_reason;
pub use publish::Unsettled;
use publish::{is_gone, publish, settled};
pub use smoke::played;
pub use surroundings::surroundings;
pub use unwind::unwind;
use unwind::{home, retire, retire_builder, unwind_around};

/// How far the line is walked.
#[derive(Clone)]
pub enum Goal {
    /// To the published image.
    Published,
    /// To the verdict on an image that is there already.
    Tested,
    /// To a builder that boots, which is left up for a build to come.
    Warm,
    /// To the provisioned builder, which is handed over; what is returned ends the build.
    Provisioned(Arc<dyn Interactive>),
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
    /// A warm builder is up, or the pool has as many as are wanted.
    Warm,
    /// The image passed its checks; it is what it was.
    Tested,
}

/// Walks the line, then the road home: the same one for success and failure.
pub async fn build(site: &BuildContext<'_>) -> Outcome {
    let mut up = None;
    let result = line(site, &mut up).await;
    checkpoints::settle(site, checkpoints::SETTLE).await;
    // A machine that filled the disk is not left to it.
    // Nor does a publication whose checks were passed leave anything to look at in it, nor a cloud
    // that lost it.
    let looked_at = |e: &BuildError| {
        let ends =
            matches!(e, BuildError::Space(_) | BuildError::Unsettled(_) | BuildError::Amiss { .. });
        let lost = matches!(e, BuildError::MachineLost { .. });
        !e.is_cancelled() && !ends && !lost
    };
    let keep = site.keep_on_failure && result.as_ref().is_err_and(looked_at)
        || matches!(result, Ok(Built::Warm));
    if let Some(kept) = up.filter(|_| keep) {
        return Outcome {
            result,
            leaks: unwind_around(site, &kept.machine).await,
            kept: Some(kept),
        };
    }
    let published = match &result {
        Ok(Built::Image(image)) | Err(BuildError::Amiss { image, .. }) => Some(image.id.as_str()),
        _ => None,
    };
    // After the way home, nobody could tell what it deleted from what was gone.
    let was_gone = match &result {
        Err(BuildError::Unsettled(unsettled)) => is_gone(site, unsettled).await,
        _ => false,
    };
    let mut leaks = home(site, published).await;
    let result = match result {
        Err(BuildError::Unsettled(one)) => settled(site, (*one, was_gone), &mut leaks).await,
        known => known,
    };
    Outcome { result, leaks, kept: None }
}

/// The line itself. `up` is set as long as a machine is up that a person could open after a
/// failure.
async fn line(site: &BuildContext<'_>, up: &mut Option<SshAccess>) -> Result<Built, BuildError> {
    let mut tally = Tally::default();
    let source::Begin { image: base, plan, source } = source::image(site).await?;
    let (site, plan) = (&site.of_plan(&plan), &plan);
    runs_every_step(site)?;
    let (mut identities, mut made) = (Vec::new(), BTreeMap::new());
    let (image, build_key) = match &plan.builder {
        Some(wanted) if matches!(site.until, Goal::Warm) => {
            *up = site.stage(Stage::Boot, pool::make(site, wanted, &base)).await?;
            return Ok(Built::Warm);
        }
        Some(wanted) => {
            let (mut builder, mut trail) =
                site.stage(Stage::Boot, checkpoints::builder(site, wanted, &base)).await?;
            *up = Some(builder.opened(site)?);
            let steps = steps::run(site, &mut builder, &mut trail);
            let provisioned = site.stage(Stage::Provision, steps).await;
            if let Goal::Provisioned(person) = &site.until {
                return visited(site, &builder, &**person, provisioned).await;
            }
            provisioned?;
            made = trail.properties(plan);
            if plan.smoke.is_some() {
                identities.push(builder.identity(site).await?);
            }
            let build_key = builder.login_key();
            site.stage(Stage::Tidy, tidy::run(site, &builder)).await?;
            let name = builder.machine.name.clone();
            let captured = site.stage(Stage::Capture, machine::capture(site, builder)).await?;
            *up = None;
            retire_builder(site, &name, &base).await;
            (captured, Some(build_key))
        }
        None => (base, None),
    };
    if let Some(smoke) = &plan.smoke {
        let candidate = smoke::Candidate { image: &image, earlier: &identities, build_key };
        tally = site.stage(Stage::Smoke, smoke::test(site, smoke, &candidate, up)).await?;
    }
    match &site.until {
        Goal::Published => {
            let publish = publish(site, &image, Findings { tests: tally, source, made });
            Ok(Built::Image(Box::new(site.stage(Stage::Publish, publish).await?)))
        }
        Goal::Tested => Ok(Built::Tested),
        // Both have a builder, and end there. Whatever a plan says, they publish nothing.
        Goal::Provisioned(_) | Goal::Warm => Err(CloudError::refused(
            "open the builder",
            "the plan has none, and nothing is published without one",
        )
        .into()),
    }
}

/// An image is made of all steps: only the builder of a visit ends before the last one.
fn runs_every_step(site: &BuildContext<'_>) -> Result<(), BuildError> {
    let (steps, visits) = (site.plan.steps.len(), matches!(site.until, Goal::Provisioned(_)));
    match site.range.end(steps) {
        end if end < steps && !visits => {
            let why = format!("only {end} of {steps} steps were to be run");
            Err(CloudError::refused("make an image", why).into())
        }
        _ => Ok(()),
    }
}

/// What a build has found out of its image.
struct Findings {
    tests: Tally,
    /// Checksum of the file that is its source.
    source: Option<Digest>,
    /// Properties that tell how its steps were run.
    made: BTreeMap<String, String>,
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

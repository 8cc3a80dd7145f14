//! Facts and plan of a run: reads only.
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::base::{base_name, missing_base};
use super::index::names_of_live_runs;
use super::options::RunOptions;
use super::outcome::RunError;
use crate::frontend::build_vars;
use crate::model::definition::{Base, Definition, Source};
use crate::model::diagnostic::Diagnostic;
use crate::model::facts::{BaseLookup, ControllerFacts, Facts, FactsQuery, Publishing};
use crate::model::image::{Image, Visibility};
use crate::plan::{self, Plan, Purpose};
use crate::provider::{CloudError, RunCx};
use crate::ready;
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::probe;
use crate::system::git;

/// The plans of what a build of `bundle` would build: a base that is missing, with its own, and
/// then the bundle.
pub async fn make_plans(
    setup: &RunOptions<'_>,
    bundle: &Definition,
    now: Timestamp,
    cx: &RunCx,
) -> Result<Vec<Plan>, RunError> {
    let run = plan::run_id(now, 0);
    let mut plans = match missing_base(setup, bundle).await? {
        Some((base, _)) => Box::pin(make_plans(setup, &base, now, cx)).await?,
        None => Vec::new(),
    };
    let base = plans.last().map(Plan::expected);
    let live = names_of_live_runs(setup.home, setup.cloud.name()).unwrap_or_default();
    let taken_by = live.get(&plan::image_name(bundle, now)).map(String::as_str);
    plans.push(make_plan(setup, bundle, &Moment { run: &run, now, base, taken_by }, cx).await?);
    Ok(plans)
}

/// When a plan is made, and upon what.
pub(super) struct Moment<'m> {
    pub run: &'m str,
    pub now: Timestamp,
    /// The base that is going to be there, in place of what the cloud has.
    pub base: Option<Image>,
    /// The live run that is going to publish an image of the name that is wanted.
    pub taken_by: Option<&'m str>,
}

/// Facts and plan: reads only. `Err` holds everything that is wrong, at once.
pub(super) async fn make_plan(
    setup: &RunOptions<'_>,
    bundle: &Definition,
    at: &Moment<'_>,
    cx: &RunCx,
) -> Result<Plan, RunError> {
    let (now, purpose) = (at.now, setup.purpose());
    if let (Some(Source::Url { wish, .. }), false) = (&bundle.source, setup.test_only) {
        wish.urls().iter().try_for_each(|url| setup.proxies.check(url))?;
    }
    let wanted = FactsQuery {
        base: base_name(bundle)?,
        image_name: plan::image_name(bundle, now),
        base_is_family: matches!(bundle.base, Some(Base::Os(_))),
        base_only: false,
        volumes: bundle.volume.is_some(),
        second_disk: purpose.smokes() && bundle.tests.chosen(bundle.kind).contains(&"volume"),
        volume_type: bundle.volume.as_ref().and_then(|v| v.kind.clone()),
        zones: bundle.availability_zone.is_some()
            || bundle.volume.as_ref().is_some_and(|v| v.zone.is_some()),
        publishing: publishing(bundle).filter(|_| matches!(purpose, Purpose::Build { .. })),
        consoles: purpose.smokes(),
    };
    let (cloud, host) =
        tokio::join!(setup.cloud.facts(&wanted, cx), host_facts(bundle, &cx.cancel));
    let mut cloud = cloud?;
    if let Some(base) = &at.base {
        cloud.base = BaseLookup::Found(Box::new(base.clone()));
    }
    cloud.name_taken_by.extend(at.taken_by.map(|run| format!("run {run}, which is at work")));
    let facts = Facts {
        cloud_name: setup.cloud.name().into(),
        cloud,
        host: host.map_err(CloudError::from)?,
    };
    let plan =
        plan::plan(bundle, &facts, at.run, now, purpose).map_err(|unfit| match unfit.refuses {
            true => RunError::Refused(unfit.wrong),
            false => RunError::Bad(unfit.wrong),
        })?;
    let plan = if setup.test_only { plan.testing() } else { plan };
    let mut unfit = setup.wall.unfit(&plan, &cx.cancel).await.map_err(CloudError::from)?;
    let lacks =
        ready::lacks(&plan, &setup.home.data, &cx.cancel).await.map_err(CloudError::from)?;
    unfit.refuses |= !lacks.is_empty();
    unfit
        .wrong
        .extend(lacks.into_iter().map(|(what, hint)| Diagnostic::error(None, what).hint(hint)));
    match (unfit.wrong.is_empty(), unfit.refuses) {
        (true, _) => Ok(plan),
        (false, true) => Err(RunError::Refused(unfit.wrong)),
        (false, false) => Err(RunError::Bad(unfit.wrong)),
    }
}

/// What not everybody may publish: everybody's images.
pub(super) fn publishing(bundle: &Definition) -> Option<Publishing> {
    let visibility = bundle.published_as();
    let asks = matches!(visibility, Visibility::Public | Visibility::Community);
    asks.then(|| Publishing { visibility, properties: bundle.own_properties() })
}

pub(super) async fn host_facts(
    bundle: &Definition,
    cancel: &Cancel,
) -> Result<ControllerFacts, Cancelled> {
    let ansible = probe::version("ansible-playbook", "--version", "ansible-core", cancel);
    let settings = bundle.tree.join(&bundle.label);
    let linked = build_vars::linked(bundle);
    let dirs: Vec<&Path> = [bundle.dir.as_path(), &settings]
        .into_iter()
        .chain(linked.iter().map(PathBuf::as_path))
        .collect();
    let commit = git::commit(&bundle.tree, &dirs, cancel);
    // Files may be large; a signal does not wait for them. One that cannot be read is told of where
    // it is used.
    let definition = bundle.clone();
    let inputs =
        cancel.or(tokio::task::spawn_blocking(move || build_vars::inputs(&definition).ok()));
    let (ansible, commit, inputs) = tokio::join!(ansible, commit, inputs);
    let inputs = inputs.ok().and_then(Result::ok).flatten();
    Ok(ControllerFacts { ansible: ansible?, commit, inputs })
}

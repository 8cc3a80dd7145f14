//! Facts and plan of a run: reads only.

use crate::plan::Request;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::base::missing_base;
use super::factory::{Factory, Setup};
use super::outcome::RunError;
use super::request::RunOptions;
use super::run::reading;
use crate::engine::Goal;
use crate::engine::run_dir::names_of_live_runs;
use crate::frontend::{self, build_vars};
use crate::lifecycle::base_name;
use crate::model::definition::{Base, Definition, Source};
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::facts::{BaseLookup, ControllerFacts, Facts, FactsQuery, Publishing};
use crate::model::image::{Image, Visibility};
use crate::plan::{self, Plan, Purpose};
use crate::provider::{CloudError, RunCx};
use crate::ready;
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::probe;
use crate::system::git;

impl Factory {
    /// The plans of what a build of `bundle` would build: a base that is missing, with its own, and
    /// then the bundle. Reads only.
    pub async fn plans(
        &self,
        options: &RunOptions,
        bundle: &Definition,
        now: Timestamp,
    ) -> Result<Vec<Plan>, RunError> {
        let setup = Setup { factory: self, options };
        make_plans(setup, bundle, now, &reading(setup)).await
    }
}

async fn make_plans(
    setup: Setup<'_>,
    bundle: &Definition,
    now: Timestamp,
    cx: &RunCx,
) -> Result<Vec<Plan>, RunError> {
    let run = plan::run_id(now, 0);
    let mut plans = match missing_base(setup, bundle).await? {
        Some((base, _)) => {
            let options = RunOptions { goal: Goal::Published, ..setup.options.clone() };
            let of_base = Setup { options: &options, ..setup };
            Box::pin(make_plans(of_base, &base, now, cx))
                .await
                .map_err(|e| RunError::Base { base: base.label.clone(), source: Box::new(e) })?
        }
        None => Vec::new(),
    };
    let live =
        names_of_live_runs(&setup.factory.home, setup.factory.provider.name()).unwrap_or_default();
    let moment = Moment {
        run: &run,
        now,
        base: plans.last().map(Plan::expected),
        bases: plans.len() as u64,
        taken_by: live.get(&plan::image_name(bundle, now)).map(String::as_str),
    };
    plans.push(make_plan(setup, bundle, &moment, cx).await?);
    Ok(plans)
}

/// When a plan is made, and upon what.
pub(super) struct Moment<'m> {
    pub run: &'m str,
    pub now: Timestamp,
    /// The base that is going to be there, in place of what the cloud has.
    pub base: Option<Image>,
    /// How many bases are built before, and stay.
    pub bases: u64,
    /// The live run that is going to publish an image of the name that is wanted.
    pub taken_by: Option<&'m str>,
}

/// Facts and plan: reads only. `Err` holds everything that is wrong, at once.
pub(super) async fn make_plan(
    setup: Setup<'_>,
    bundle: &Definition,
    at: &Moment<'_>,
    cx: &RunCx,
) -> Result<Plan, RunError> {
    let (now, purpose) = (at.now, setup.options.purpose());
    if let (Some(Source::Url { wish, .. }), false) = (&bundle.source, setup.options.tests()) {
        wish.urls().iter().try_for_each(|url| setup.factory.proxies.check(url))?;
    }
    let wanted = FactsQuery {
        base: base_name(bundle).map_err(RunError::Bad)?,
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
        tokio::join!(setup.factory.provider.facts(&wanted, cx), host_facts(bundle, &cx.cancel));
    let mut cloud = cloud?;
    if let Some(base) = &at.base {
        cloud.base = BaseLookup::Found(Box::new(base.clone()));
    }
    cloud.name_taken_by.extend(at.taken_by.map(|run| format!("run {run}, which is at work")));
    let (host, unreadable) = host.map_err(CloudError::from)?;
    let facts = Facts { cloud_name: setup.factory.provider.name().into(), cloud, host };
    let request = Request { run: at.run, now, purpose, bases: at.bases };
    let plan = plan::plan(bundle, &facts, &request).map_err(|unfit| match unfit.refuses {
        true => RunError::Refused(unfit.wrong),
        false => RunError::Bad(unfit.wrong),
    })?;
    let mut plan = if setup.options.tests() { plan.testing() } else { plan };
    plan.notes.extend(unknown_inputs(&facts.host, purpose));
    let mut unfit = setup.factory.wall.unfit(&plan, &cx.cancel).await.map_err(CloudError::from)?;
    let lacks = ready::lacks(&plan, &setup.factory.home.data, &cx.cancel)
        .await
        .map_err(CloudError::from)?;
    unfit.refuses |= !lacks.is_empty();
    unfit
        .errors
        .extend(lacks.into_iter().map(|(what, hint)| Diagnostic::error(None, what).hint(hint)));
    unfit.errors.extend(unreadable.filter(|_| matches!(purpose, Purpose::Build { .. })));
    if matches!(purpose, Purpose::Build { .. }) {
        unfit.errors.extend(unrenderable(setup, bundle, &plan, cx).await?);
    }
    match (unfit.errors.is_empty(), unfit.refuses) {
        (true, _) => Ok(plan),
        (false, true) => Err(RunError::Refused(unfit.errors)),
        (false, false) => Err(RunError::Bad(unfit.errors)),
    }
}

/// That the image will not say what it is made from.
fn unknown_inputs(host: &ControllerFacts, purpose: Purpose) -> Option<String> {
    let is_told = host.inputs.is_none() && matches!(purpose, Purpose::Build { .. });
    is_told.then(|| {
        "what the definition consists of is not known, because its tree is a git repository and \
            git is not installed: the image gets no factory_inputs"
            .to_owned()
    })
}

/// What is wrong with the templates under the plan's values, before anything is created: afterwards
/// an image is published whose outputs are missing.
async fn unrenderable(
    setup: Setup<'_>,
    bundle: &Definition,
    plan: &Plan,
    cx: &RunCx,
) -> Result<Vec<Diagnostic>, RunError> {
    let found = setup.factory.templates.check_plan(bundle, plan, &cx.cancel).await;
    Ok(found.map_err(CloudError::from)?)
}

/// What not everybody may publish: everybody's images.
pub(super) fn publishing(bundle: &Definition) -> Option<Publishing> {
    let visibility = bundle.published_as();
    let asks = matches!(visibility, Visibility::Public | Visibility::Community);
    asks.then(|| Publishing { visibility, properties: bundle.own_properties() })
}

/// Facts about this machine, and the file of the definition that cannot be read, if there is one:
/// its image could never be compared with it.
pub(super) async fn host_facts(
    bundle: &Definition,
    cancel: &Cancel,
) -> Result<(ControllerFacts, Option<Diagnostic>), Cancelled> {
    let ansible = probe::version("ansible-playbook", "--version", "ansible-core", cancel);
    let places = frontend::places(bundle);
    let dirs: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
    let commit = git::commit(&bundle.tree, &dirs, cancel);
    // Files may be large; a signal does not wait for them.
    let definition = bundle.clone();
    let read = cancel.or(tokio::task::spawn_blocking(move || {
        (frontend::inputs(&definition), build_vars::os_near(&definition))
    }));
    let (ansible, commit, read) = tokio::join!(ansible, commit, read);
    let (inputs, near_definition) = match read? {
        Ok(read) => read,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    };
    let (inputs, unreadable) = match inputs {
        Ok(inputs) => (Some(inputs), None),
        // What git ignores is not known; no file is at fault.
        Err((path, _)) if path == bundle.tree => (None, None),
        Err((path, e)) => {
            let place = Location { file: path, line: 0, column: 0 };
            (None, Some(Diagnostic::error(place, format!("cannot be read: {e}"))))
        }
    };
    let values = Some(frontend::values(bundle));
    let facts = ControllerFacts { ansible: ansible?, commit, inputs, values, near_definition };
    Ok((facts, unreadable))
}

//! One run as a task: its record, plan, build, prune and end, as `jobs::run` does them, without
//! what is for people.
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::engine::Built;
use crate::engine::run_dir::{Beginning, RunDir};
use crate::guest::{
    Command, Connect, Exit, OnOutput, OnProgress, Remote, RemoteError, Stream, Target, Transfer,
};
use crate::jobs::building::build_in;
use crate::jobs::factory::Setup;
use crate::jobs::retention::prune_family;
use crate::jobs::{Factory, RunOptions};
use crate::lifecycle::base_name;
use crate::model::definition::Definition;
use crate::model::event::Events;
use crate::model::facts::{ControllerFacts, Facts, FactsQuery};
use crate::plan::{self, Plan, Purpose};
use crate::provider::RunCx;
use crate::provider::ledger::Leak;

/// A run that is to be begun.
pub struct Wanted {
    pub run: String,
    pub at: Timestamp,
    pub definition: Definition,
}

/// What a run said at its end.
pub struct Ended {
    /// It has a plan, and with that it may have made something.
    pub planned: bool,
    /// ID of the image that it says is published.
    pub result: Result<String, String>,
    pub leaks: Vec<Leak>,
}

pub async fn run(factory: Arc<Factory>, options: RunOptions, wanted: Wanted) -> Ended {
    let setup = Setup { factory: &factory, options: &options };
    let Wanted { run, at, definition } = &wanted;
    let beginning = Beginning {
        run,
        cloud: factory.provider.name(),
        name: plan::image_name(definition, *at),
        publishes: true,
        shows_log: false,
    };
    let results = definition.tree.join("images/target").join(&definition.name);
    let mut dir = RunDir::create(&factory.home, &results, beginning).await.unwrap();
    let plan = match planned(setup, &wanted, dir.taken_by.as_deref()).await {
        Ok(plan) => plan,
        Err(why) => {
            dir.forget();
            return Ended { planned: false, result: Err(why), leaks: Vec::new() };
        }
    };
    let ledger = dir.planned(&plan).unwrap();
    let cx = RunCx::new(run, ledger, Events::default(), options.cancel.child());
    let outcome = build_in(setup, (definition, &plan), &cx).await;
    let result = match outcome.result {
        Ok(Built::Image(image)) => {
            prune_family(setup, &plan, &image, &cx).await;
            Ok(image.id)
        }
        Ok(other) => Err(format!("{other:?}")),
        Err(e) => Err(e.to_string()),
    };
    if outcome.leaks.is_empty() {
        dir.forget();
    }
    Ended { planned: true, result, leaks: outcome.leaks }
}

async fn planned(
    setup: Setup<'_>,
    wanted: &Wanted,
    taken_by: Option<&str>,
) -> Result<Plan, String> {
    let Wanted { run, at, definition } = wanted;
    let provider = &setup.factory.provider;
    let query = FactsQuery {
        base: base_name(definition).unwrap(),
        image_name: plan::image_name(definition, *at),
        ..FactsQuery::default()
    };
    let cx = RunCx::outside(setup.options.cancel.clone());
    let mut cloud = provider.facts(&query, &cx).await.map_err(|e| e.to_string())?;
    cloud.name_taken_by.extend(taken_by.map(str::to_owned));
    let host = ControllerFacts {
        ansible: Ok("none".into()),
        commit: None,
        inputs: None,
        values: None,
        near_definition: None,
    };
    let facts = Facts { cloud_name: provider.name().into(), cloud, host };
    let request =
        plan::Request { run, now: *at, purpose: Purpose::Build { smoke: false }, bases: 0 };
    plan::plan(definition, &facts, &request)
        .map_err(|unfit| unfit.wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// Machines on which all goes well.
pub struct Obedient;

#[async_trait]
impl Connect for Obedient {
    async fn connect(&self, _: &Target, _: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        Ok(Arc::new(Obedient))
    }
}

#[async_trait]
impl Remote for Obedient {
    async fn exec(&self, command: Command, mut output: OnOutput) -> Result<Exit, RemoteError> {
        let script = String::from_utf8_lossy(&command.script).into_owned();
        let marks =
            script.split_once("trap 'printf \"\\036").and_then(|(_, rest)| rest.split_once(' '));
        if let Some((id, _)) = marks {
            output(Stream::Stdout, format!("\x1e{id} answer\nwell\n\x1e{id} end\n").as_bytes());
        }
        Ok(Exit::Code(0))
    }

    async fn put(&self, _: &Transfer<'_>, _: OnProgress) -> Result<(), RemoteError> {
        Ok(())
    }

    async fn ping(&self, _: Duration) -> Result<(), RemoteError> {
        Ok(())
    }
}

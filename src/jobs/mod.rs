//! Builds several bundles: bases first, independent ones in parallel, each base once. Also decides
//! which bundles are stale.
use crate::model::category::OS;
use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::frontend::build_vars;
use crate::lifecycle::lineage;
use crate::model::definition::{Base, Definition};
use crate::model::family;
use crate::provider::{Cloud, CloudError};
use crate::run::{self, RunError, RunOptions, RunOutcome};

mod schedule;
use schedule::Schedule;

/// A bundle of a batch.
#[derive(Debug)]
pub struct Job {
    pub bundle: Definition,
    /// Index of the job that builds its base.
    pub base: Option<usize>,
}

/// Result of a job.
pub enum End {
    RunOutcome(Box<RunOutcome>, f64),
    /// Its base, with this label, was not built.
    BaseFailed(String),
    /// Cancelled before it began.
    NotBegun,
}

const NOT_BEGUN: &str = "stopped by a signal before its turn came";

/// The jobs for these bundles, each once, with notes on additions. A missing base `os/<name>`
/// becomes a job of its own, so that it is built only once.
pub async fn jobs(
    setup: &RunOptions<'_>,
    named: Vec<Definition>,
) -> Result<(Vec<Job>, Vec<String>), RunError> {
    let mut bundles: Vec<Definition> = Vec::new();
    for bundle in named {
        if bundles.iter().all(|b| b.label != bundle.label) {
            bundles.push(bundle);
        }
    }
    let (mut notes, mut there) = (Vec::new(), BTreeSet::new());
    let mut looked = 0;
    while looked < bundles.len() {
        let bundle = &bundles[looked];
        looked += 1;
        let Some(Base::Os(name)) = &bundle.base else { continue };
        let label = OS.label(name);
        if bundles.iter().any(|b| b.label == label) || !there.insert(label.clone()) {
            continue;
        }
        if let Some((base, why)) = run::missing_base(setup, bundle).await? {
            notes.push(run::first(&label, bundle, why));
            bundles.push(base);
        }
    }
    let all: Vec<&Definition> = bundles.iter().collect();
    let bases: Vec<Option<usize>> = all.iter().map(|b| build_vars::base_among(&all, b)).collect();
    Ok((bundles.into_iter().zip(bases).map(|(bundle, base)| Job { bundle, base }).collect(), notes))
}

/// Runs the jobs, at most `at_once` in parallel, and reports each result immediately. Begins no job
/// after a signal; running jobs end by themselves.
pub async fn run(
    setup: &RunOptions<'_>,
    jobs: &[Job],
    at_once: usize,
    mut on_end: impl FnMut(usize, End),
) {
    let mut schedule = Schedule::new(jobs.iter().map(|j| j.base).collect(), at_once);
    let mut running = FuturesUnordered::new();
    loop {
        while setup.cancel.check().is_ok()
            && let Some(index) = schedule.next()
        {
            running.push(async move {
                let begin = Instant::now();
                let ended = run::run(setup, &jobs[index].bundle).await;
                (index, ended, begin.elapsed().as_secs_f64())
            });
        }
        let Some((index, ended, seconds)) = running.next().await else { break };
        let skipped = schedule.ended(index, ended.result.is_ok());
        let stopped = setup.cancel.check().is_err();
        on_end(index, End::RunOutcome(Box::new(ended), seconds));
        for other in skipped {
            let base = jobs[other].base.map(|b| jobs[b].bundle.label.clone()).unwrap_or_default();
            let why =
                if stopped { NOT_BEGUN.to_owned() } else { format!("base {base} was not built") };
            run::not_built(setup, &jobs[other].bundle, &why);
            on_end(other, if stopped { End::NotBegun } else { End::BaseFailed(base) });
        }
    }
    for index in schedule.waiting() {
        run::not_built(setup, &jobs[index].bundle, NOT_BEGUN);
        on_end(index, End::NotBegun);
    }
}

/// Whether a definition needs a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// The reasons.
    Stale(Vec<String>),
    Fresh,
    /// No image of it exists.
    NeverBuilt,
    /// It has images, but for this reason none that its family's name refers to.
    NoneActive(String),
    /// An image of the same inputs exists and was deprecated; its name.
    RolledBack(String),
}

/// Whether each of `bundles` needs a build. With `named`, the user selected them, and never-built
/// ones are built too; otherwise only those with an active image.
pub async fn needs(
    cloud: &dyn Cloud,
    bundles: &[Definition],
    named: bool,
) -> Result<Vec<Need>, CloudError> {
    let images = cloud.images().await?;
    let mut needs = Vec::new();
    for bundle in bundles {
        let Some(image) = family::current(&images, &bundle.name) else {
            let (deprecated, hidden) = (
                family::deprecated(&images, &bundle.name).len(),
                family::hidden(&images, &bundle.name).len(),
            );
            let why = match (deprecated, hidden) {
                (0, 0) => "it was never built",
                (0, _) => "all its images are hidden",
                (_, 0) => "all its images are deprecated",
                _ => "all its images are deprecated or hidden",
            };
            needs.push(match named {
                true => Need::Stale(vec![why.into()]),
                false if deprecated + hidden > 0 => Need::NoneActive(why.into()),
                false => Need::NeverBuilt,
            });
            continue;
        };
        let now = lineage::now(cloud, &images, bundle).await?;
        let why = family::stale(image, &now);
        needs.push(match family::rolled_back(&images, image, &now) {
            _ if why.is_empty() => Need::Fresh,
            Some(same) => Need::RolledBack(same.name.clone()),
            None => Need::Stale(why),
        });
    }
    let all: Vec<&Definition> = bundles.iter().collect();
    let bases: Vec<Option<(usize, &str)>> = all
        .iter()
        .map(|b| build_vars::base_among(&all, b).map(|base| (base, all[base].label.as_str())))
        .collect();
    spread(&mut needs, &bases);
    Ok(needs)
}

/// Marks bundles whose base is rebuilt.
fn spread(needs: &mut [Need], bases: &[Option<(usize, &str)>]) {
    // A chain of bases is no longer than the list.
    for _ in 0..needs.len() {
        for index in 0..needs.len() {
            let Some((base, label)) = bases[index] else { continue };
            if matches!(needs[base], Need::Stale(_))
                && matches!(needs[index], Need::Fresh | Need::RolledBack(_))
            {
                needs[index] = Need::Stale(vec![format!("its base {label} is rebuilt")]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_on_something_stale_is_stale() {
        let changed = || Need::Stale(vec!["its definition changed".into()]);
        let mut needs = [
            Need::Fresh,
            Need::Fresh,
            changed(),
            Need::NeverBuilt,
            Need::RolledBack("x".into()),
            Need::Fresh,
        ];
        // 0 on 1 on 2; 3 and 4 on 2; 5 on none.
        let bases = [
            Some((1, "os/b")),
            Some((2, "os/c")),
            None,
            Some((2, "os/c")),
            Some((2, "os/c")),
            None,
        ];
        spread(&mut needs, &bases);
        let rebuilt = |base: &str| Need::Stale(vec![format!("its base {base} is rebuilt")]);
        assert_eq!(
            needs,
            [
                rebuilt("os/b"),
                rebuilt("os/c"),
                changed(),
                Need::NeverBuilt,
                rebuilt("os/c"),
                Need::Fresh
            ]
        );
    }
}

//! Whether a build has anything to do: an image that is already what it would make is its result.
use jiff::Timestamp;

use super::factory::Setup;
use super::request::RunOptions;
use crate::engine::{Goal, surroundings};
use crate::lifecycle::lineage::{self, Sources};
use crate::model::definition::{Definition, Source};
use crate::model::event::Tally;
use crate::model::family;
use crate::model::image::{self, Image};
use crate::plan;
use crate::provider::{CloudError, RunCx};

/// The image that a build of `bundle` would make again. `None`: there is none, or nobody can know.
/// That a cloud does not answer is for the plan to say.
pub(super) async fn unchanged(
    setup: Setup<'_>,
    bundle: &Definition,
    cx: &RunCx,
) -> Result<Option<Image>, CloudError> {
    if !is_compared(setup.options, bundle) {
        return Ok(None);
    }
    let factory = setup.factory;
    let Ok(images) = factory.provider.artifacts().list().await else { return Ok(None) };
    let Some(image) = lineage::latest(&images, bundle) else { return Ok(None) };
    let is_tested = !setup.options.smoke || is_tested(image, bundle);
    if !is_whole(image) || !is_tested || !is_fresh(image, bundle, Timestamp::now()) {
        return Ok(None);
    }
    if !sees_the_same(setup, (image, bundle), cx).await? {
        return Ok(None);
    }
    let fetch = lineage::fetch(&factory.home, &factory.proxies);
    let (cloud, cancel) = (&*factory.provider, &cx.cancel);
    let from = Sources { cloud, fetch: &fetch, cancel, noted: None };
    let now = match lineage::now(from, &images, bundle).await {
        Ok(now) => now,
        Err(e @ CloudError::Cancelled(_)) => return Err(e),
        Err(_) => return Ok(None),
    };
    let same = now.unknown.is_none() && family::stale(image, &now).is_empty();
    Ok(same.then(|| image.clone()))
}

/// What the environment holds is in no digest, nor what a source script writes.
fn is_compared(options: &RunOptions, bundle: &Definition) -> bool {
    let is_told = bundle.asks.env.is_empty() && !matches!(bundle.source, Some(Source::Script(_)));
    !options.force && matches!(options.goal, Goal::Published) && is_told
}

/// No step is older than its `fresh`.
fn is_fresh(image: &Image, bundle: &Definition, now: Timestamp) -> bool {
    let until = image.properties.get(image::FRESH_UNTIL).and_then(|until| until.parse().ok());
    let is_bound = bundle.steps.iter().any(|step| step.fresh.is_some());
    !is_bound || until.is_some_and(|until: Timestamp| now < until)
}

/// Its playbooks, if it has some, saw of this machine what they would see now.
async fn sees_the_same(
    setup: Setup<'_>,
    (image, bundle): (&Image, &Definition),
    cx: &RunCx,
) -> Result<bool, CloudError> {
    if !bundle.steps.iter().any(|step| step.action.is_playbook()) {
        return Ok(true);
    }
    let Some(had) = image.properties.get(image::SURROUNDINGS) else { return Ok(false) };
    let factory = setup.factory;
    let now = surroundings(&factory.wall, &factory.home.data, &cx.cancel).await;
    cx.cancel.check()?;
    Ok(now.ok().flatten().as_ref() == Some(had))
}

/// What is compared is known of the image.
fn is_whole(image: &Image) -> bool {
    [image::INPUTS, image::VALUES].iter().all(|key| image.properties.contains_key(*key))
}

/// It passed as many checks as a build makes: what was built as the base of a bundle had fewer.
fn is_tested(image: &Image, bundle: &Definition) -> bool {
    let wanted = plan::checks_of_build(bundle).len() + bundle.tests.own().len();
    let left_out = bundle.tests.skip.len();
    let said = image.properties.get(image::TESTS);
    said.and_then(|said| Tally::parse(said)).is_some_and(|had| had.all() >= wanted + left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::jobs::tests::{factory, quiet};
    use crate::model::kind::Kind;
    use crate::model::step::{Step, StepKind};
    use crate::provider::fake::Memory;

    #[test]
    fn what_reads_the_environment_or_makes_no_image_is_not_compared() {
        let mut bundle = Definition::default();
        let options = RunOptions { force: false, ..quiet() };
        assert!(is_compared(&options, &bundle));
        assert!(!is_compared(&RunOptions { force: true, ..options.clone() }, &bundle));
        assert!(!is_compared(&RunOptions { goal: Goal::Tested, ..options.clone() }, &bundle));
        bundle.source = Some(Source::Script("make".into()));
        assert!(!is_compared(&options, &bundle), "it may write another disk each time");
        bundle.source = None;
        bundle.asks.env.push("TOKEN".into());
        assert!(!is_compared(&options, &bundle));
    }

    fn step(action: StepKind, fresh: Option<u64>) -> Step {
        Step {
            name: None,
            action,
            timeout: None,
            retries: 0,
            env: Default::default(),
            sudo: false,
            fresh: fresh.map(Duration::from_secs),
        }
    }

    /// A role of the owner changed, and the image of the old one was said to be what a build makes.
    #[tokio::test]
    async fn what_playbooks_see_besides_the_definition_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        let (factory, options) = (factory(dir.path(), Arc::new(Memory::new())), quiet());
        let setup = Setup { factory: &factory, options: &options };
        let cx = RunCx::outside(Default::default());
        let playbook = StepKind::Ansible {
            playbook: "p.yml".into(),
            extra_vars: Default::default(),
            tags: Vec::new(),
            plain: false,
            local: false,
        };
        let bundle = Definition { steps: vec![step(playbook, None)], ..Definition::default() };
        let mut image = Image::of_test("i", "x-1", "x");
        let same = async |image: &Image, bundle: &Definition| {
            sees_the_same(setup, (image, bundle), &cx).await.unwrap()
        };
        assert!(same(&image, &Definition::default()).await, "it has no playbook");
        assert!(!same(&image, &bundle).await, "nothing is known of it");
        let now = surroundings(&factory.wall, &factory.home.data, &cx.cancel).await.unwrap();
        image.properties.insert(image::SURROUNDINGS.into(), now.unwrap());
        assert!(same(&image, &bundle).await);
        image.properties.insert(image::SURROUNDINGS.into(), "0".repeat(64));
        assert!(!same(&image, &bundle).await);
    }

    #[test]
    fn a_step_that_is_too_old_is_run_again() {
        let now = Timestamp::now();
        let steps = vec![step(StepKind::Reboot, None)];
        let mut bundle = Definition { steps, ..Definition::default() };
        let mut image = Image::of_test("i", "x-1", "x");
        assert!(is_fresh(&image, &bundle, now));
        bundle.steps.push(step(StepKind::Reboot, Some(60)));
        assert!(!is_fresh(&image, &bundle, now), "nothing is known of it");
        for (seconds, fresh) in [(1, true), (0, false), (-1, false)] {
            let until = now + jiff::SignedDuration::from_secs(seconds);
            image.properties.insert(image::FRESH_UNTIL.into(), until.to_string());
            assert_eq!(is_fresh(&image, &bundle, now), fresh, "{seconds}");
        }
    }

    #[test]
    fn an_image_counts_as_tested_by_as_many_checks_as_are_wanted() {
        let mut bundle = Definition { kind: Kind::Image, ..Definition::default() };
        let mut image = Image::of_test("i", "x-1", "x");
        let all = bundle.tests.chosen(Kind::Image).len();
        assert!(!is_tested(&image, &bundle), "nothing is known of it");
        for (said, tested) in [
            ("untested".to_owned(), false),
            (format!("{all} passed"), true),
            (format!("{} passed, 2 skipped", all - 2), true),
            (format!("{} passed", all - 1), false),
            ("many passed".to_owned(), false),
        ] {
            image.properties.insert(image::TESTS.into(), said.clone());
            assert_eq!(is_tested(&image, &bundle), tested, "{said}");
        }
        image.properties.insert(image::TESTS.into(), format!("{all} passed"));
        bundle.kind = Kind::Os;
        assert!(!is_tested(&image, &bundle), "as the base of a bundle it had fewer");
        bundle.tests.only = Some(Vec::new());
        image.properties.insert(image::TESTS.into(), "untested".into());
        assert!(is_tested(&image, &bundle), "no check is wanted");
    }

    /// A build without a builder makes no check of the builder's key.
    #[test]
    fn an_image_of_a_source_alone_is_tested_without_a_key() {
        let source = Some(Source::Script("make".into()));
        let mut bundle = Definition { kind: Kind::Os, source, ..Definition::default() };
        let all = bundle.tests.chosen(Kind::Os).len();
        let mut image = Image::of_test("i", "x-1", "x");
        image.properties.insert(image::TESTS.into(), format!("{} passed", all - 1));
        assert!(is_tested(&image, &bundle));
        bundle.source = None;
        assert!(!is_tested(&image, &bundle), "it is built on a base");
    }
}

//! Lineage of an image: its base, its children, and whether it is stale.
use std::path::Path;

use serde::Serialize;

use super::base::base_name;
use crate::engine::run_dir;
use crate::frontend;

use crate::model::definition::{Base, Definition};
use crate::model::event::{Check, Event, Stamped, Tally};
use crate::model::facts::{BaseLookup, FactsQuery};
use crate::model::family::{self, CurrentInputs};
use crate::model::image::{self, Image, State};

use crate::provider::{CloudError, Provider, RunCx};

#[derive(Debug, Serialize)]
pub struct Lineage {
    /// Its family's name refers to it.
    pub current: bool,
    /// `None`: made from a source, or not by the factory.
    pub base: Option<Ancestor>,
    pub children: Vec<Named>,
    pub commit: Option<String>,
    /// Digest of the definition's files at the time.
    pub inputs: Option<String>,
    pub definition: Option<String>,
    /// Results of the smoke checks; `None` if neither recorded nor found in this tree.
    pub tests: Option<String>,
    /// Reasons why a build would give another image now; empty if none is known.
    pub stale: Vec<String>,
    /// Compared with the definition in the tree; otherwise only with the base's family.
    pub compared: bool,
}

#[derive(Debug, Serialize)]
pub struct Named {
    pub id: String,
    pub name: String,
    pub state: State,
}

#[derive(Debug, Serialize)]
pub struct Ancestor {
    pub id: String,
    pub sha512: String,
    /// `None` if deleted or invisible.
    pub image: Option<Named>,
    /// Whether the image with that ID still has the same content; `None` if unknown.
    pub same: Option<bool>,
}

/// A tree of definitions, if there is one.
#[derive(Clone, Copy)]
pub struct Tree<'t> {
    pub root: Option<&'t Path>,
    pub definitions: &'t [Definition],
}

/// Lineage of `image`, one of `images`.
pub async fn lineage(
    cloud: &dyn Provider,
    images: &[Image],
    image: &Image,
    tree: Tree<'_>,
) -> Result<Lineage, CloudError> {
    let definition = definition_of(tree.definitions, image);
    let now = match definition {
        Some(bundle) => now(cloud, images, bundle).await?,
        None => CurrentInputs { inputs: None, base: family::newer_base(images, image).cloned() },
    };
    let base = match image.base() {
        Some((id, sha512)) => Some(ancestor(cloud, images, id, sha512).await?),
        None => None,
    };
    let children =
        images.iter().filter(|i| i.counts() && i.base().is_some_and(|(id, _)| id == image.id));
    let text = |key: &str| image.properties.get(key).cloned();
    Ok(Lineage {
        current: family::current(images, &image.family).is_some_and(|c| c.id == image.id),
        base,
        children: children.map(named).collect(),
        commit: text(image::COMMIT),
        inputs: text(image::INPUTS),
        definition: text(image::DEFINITION),
        tests: text(image::TESTS)
            .or_else(|| tests_of_run(tree.root?, image.properties.get(image::RUN)?)),
        stale: family::stale(image, &now),
        compared: definition.is_some(),
    })
}

fn named(image: &Image) -> Named {
    Named { id: image.id.clone(), name: image.name.clone(), state: image.state }
}

async fn ancestor(
    cloud: &dyn Provider,
    images: &[Image],
    id: &str,
    sha512: &str,
) -> Result<Ancestor, CloudError> {
    let found = match images.iter().find(|i| i.id == id) {
        Some(image) => Some(image.clone()),
        // It may be another's: a public one.
        None => looked_up(cloud, id, false).await?,
    };
    let known = found.as_ref().filter(|i| !i.checksum.is_empty() && !sha512.is_empty());
    Ok(Ancestor {
        id: id.into(),
        sha512: sha512.into(),
        same: known.map(|i| i.checksum == sha512),
        image: found.as_ref().map(named),
    })
}

/// The definition that an image was built from: the one it names, otherwise that of its family.
pub fn definition_of<'a>(bundles: &'a [Definition], image: &Image) -> Option<&'a Definition> {
    let mut of_family = bundles.iter().filter(|b| b.name == image.family);
    let label = image.properties.get(image::DEFINITION);
    of_family.clone().find(|b| Some(&b.label) == label).or_else(|| of_family.next())
}

/// Current inputs of `bundle`. Looks its base up in `images`, then in the cloud.
pub async fn now(
    cloud: &dyn Provider,
    images: &[Image],
    bundle: &Definition,
) -> Result<CurrentInputs, CloudError> {
    let mut now = now_among(images, bundle, frontend::inputs(bundle).ok().map(|i| i.sha256));
    if now.base.is_none()
        && let Some(Base::Image(name)) = &bundle.base
        && *name != bundle.name
    {
        now.base = looked_up(cloud, name, false).await?;
    }
    Ok(now)
}

/// Current inputs, from `images` alone; `inputs` is the definition's digest. Ignores the base of a
/// bundle that is built on its own last image; it would always be stale.
pub fn now_among(images: &[Image], bundle: &Definition, inputs: Option<String>) -> CurrentInputs {
    let family = matches!(bundle.base, Some(Base::Os(_)));
    let base = base_name(bundle).ok().flatten().filter(|name| family || *name != bundle.name);
    CurrentInputs {
        inputs,
        base: base.and_then(|name| family::resolve(images, &name, family)).cloned(),
    }
}

async fn looked_up(
    cloud: &dyn Provider,
    name: &str,
    family: bool,
) -> Result<Option<Image>, CloudError> {
    let cx = RunCx::outside(Default::default());
    let wanted = FactsQuery {
        base: Some(name.to_owned()),
        base_is_family: family,
        base_only: true,
        ..FactsQuery::default()
    };
    match cloud.facts(&wanted, &cx).await?.base {
        BaseLookup::Found(image) => Ok(Some(*image)),
        _ => Ok(None),
    }
}

/// Results of a run's checks, from its record in the tree.
fn tests_of_run(tree: &Path, run: &str) -> Option<String> {
    let dir =
        run_dir::directories(tree).into_iter().find(|d| d.file_name().is_some_and(|n| n == run))?;
    let text = run_dir::read_text(&dir, "events.jsonl").ok()?;
    let check = |line: &str| match serde_json::from_str::<Stamped>(line).ok()?.event {
        Event::Check(check) => Some(check),
        _ => None,
    };
    let checks: Vec<Check> = text.lines().filter_map(check).collect();
    (!checks.is_empty()).then(|| checks.iter().collect::<Tally>().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::fake::Memory;

    fn bundle(tree: &Path, label: &str, vars: &str) -> Definition {
        std::fs::create_dir_all(tree.join(label)).unwrap();
        std::fs::write(tree.join(label).join("build-vars.yml"), vars).unwrap();
        frontend::load(tree, &tree.join(label)).unwrap().bundle
    }

    #[tokio::test]
    async fn a_base_is_what_the_definition_means_now() {
        let tree = tempfile::tempdir().unwrap();
        let cloud = Memory::new();
        let (old, new) = (cloud.add_image("base-1", "base"), cloud.add_image("base-2", "base"));
        let images = cloud.artifacts().list().await.unwrap();
        let base = |vars: &str| {
            bundle(tree.path(), "images/x", &format!("bundle: {{name: x, img_base: {vars}}}\n"))
        };
        for (written, meant) in [("base", &new), ("base-1", &old), (old.id.as_str(), &old)] {
            let now = now(&cloud, &images, &base(written)).await.unwrap();
            assert_eq!(now.base.as_ref(), Some(meant), "{written}");
            assert_eq!(now.inputs.unwrap().len(), 64);
        }
        // One that is not the factory's is asked for.
        assert_eq!(now(&cloud, &[], &base("base-1")).await.unwrap().base, Some(old));
        assert_eq!(now(&cloud, &images, &base("none")).await.unwrap().base, None);
        bundle(tree.path(), "os/b", "bundle: {name: base, img_base: other}\n");
        assert_eq!(now(&cloud, &images, &base("os/b")).await.unwrap().base, Some(new));
    }

    #[tokio::test]
    async fn what_is_built_on_its_own_last_image_is_not_stale_for_it() {
        let tree = tempfile::tempdir().unwrap();
        let cloud = Memory::new();
        cloud.add_image("x-1", "x");
        let images = cloud.artifacts().list().await.unwrap();
        let own = bundle(tree.path(), "images/x", "bundle: {name: x, img_base: x}\n");
        assert_eq!(now(&cloud, &images, &own).await.unwrap().base, None);
    }

    #[test]
    fn tests_are_counted_from_the_record_of_a_run() {
        let tree = tempfile::tempdir().unwrap();
        let dir = tree.path().join("images/target/x/runs/r1");
        std::fs::create_dir_all(&dir).unwrap();
        assert_eq!(tests_of_run(tree.path(), "r1"), None);
        std::fs::write(dir.join("plan.json"), "{}").unwrap();
        let line = |verdict: &str| {
            format!(
                "{{\"at\":\"2026-11-21T10:00:00Z\",\"event\":\"check\",\"id\":\"a\",\
                 \"verdict\":\"{verdict}\",\"seconds\":1.0,\"reason\":\"\"}}\n"
            )
        };
        let events =
            [line("passed"), line("skipped"), line("passed"), "{\"at\": cut off".into()].concat();
        std::fs::write(dir.join("events.jsonl"), events).unwrap();
        assert_eq!(tests_of_run(tree.path(), "r1").as_deref(), Some("2 passed, 1 skipped"));
        assert_eq!(tests_of_run(tree.path(), "1"), None);
    }

    #[test]
    fn a_record_that_is_no_file_holds_nobody_up() {
        let tree = tempfile::tempdir().unwrap();
        let dir = tree.path().join("images/target/x/runs/r1");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("plan.json"), "{}").unwrap();
        assert!(
            std::process::Command::new("mkfifo")
                .arg(dir.join("events.jsonl"))
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(tests_of_run(tree.path(), "r1"), None);
    }
}

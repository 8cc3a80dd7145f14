//! Lineage of an image: its base, its children, and whether it is stale.
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::base::base_name;
use crate::engine::run_dir::{self, Home};
use crate::fetch::{Fetch, FetchError, RetryPolicy, TransferContext};
use crate::frontend::{self, Noted};

use crate::model::definition::{Base, Definition, Source};
use crate::model::event::{Check, Event, Events, Stamped, Tally};
use crate::model::facts::{BaseLookup, FactsQuery};
use crate::model::family::{self, CurrentInputs};
use crate::model::image::{self, Image, State};
use crate::model::source_uri::SourceUri;

use crate::provider::{CloudError, Provider, RunCx};
use crate::system::cancel::Cancel;
use crate::system::http::Proxies;

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
    /// Why it is not known whether its definition or its source changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
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

/// Where the current inputs of definitions are read.
#[derive(Clone, Copy)]
pub struct Sources<'s> {
    pub cloud: &'s dyn Provider,
    pub fetch: &'s Fetch,
    pub cancel: &'s Cancel,
    /// Where digests of definitions and sources are noted, whose files are then read only if one of
    /// them has another size or time. `None` reads all files.
    pub noted: Option<&'s Path>,
}

/// Time for the checksum of a source.
const SOURCE: Duration = Duration::from_secs(300);

/// Asks publishers for checksums.
pub fn fetch(home: &Home, proxies: &Proxies) -> Fetch {
    Fetch::new(&home.data.join("cache/downloads"), RetryPolicy::brief(), proxies)
}

/// Lineage of `image`, one of `images`.
pub async fn lineage(
    from: Sources<'_>,
    images: &[Image],
    image: &Image,
    tree: Tree<'_>,
) -> Result<Lineage, CloudError> {
    let cloud = from.cloud;
    let definition = definition_of(tree.definitions, image);
    let now = now_of(from, images, image, definition).await?;
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
        unknown: now.unknown,
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

/// The definition that an image was built from: the one it names, otherwise the only one of its
/// family.
pub fn definition_of<'a>(
    bundles: impl IntoIterator<Item = &'a Definition>,
    image: &Image,
) -> Option<&'a Definition> {
    let label = image.properties.get(image::DEFINITION);
    let of_family: Vec<&Definition> =
        bundles.into_iter().filter(|b| !b.name.is_empty() && b.name == image.family).collect();
    let named = of_family.iter().find(|b| Some(&b.label) == label);
    match (named, &of_family[..]) {
        (Some(one), _) | (None, [one]) => Some(one),
        _ => None,
    }
}

/// The image that a build of `bundle` is compared with, if it has one.
pub fn latest<'a>(images: &'a [Image], bundle: &Definition) -> Option<&'a Image> {
    family::latest(images, &bundle.name, bundle.glance.hidden == Some(true))
}

/// Current inputs of `image`: those of its definition, otherwise its base's family.
pub async fn now_of(
    from: Sources<'_>,
    images: &[Image],
    image: &Image,
    definition: Option<&Definition>,
) -> Result<CurrentInputs, CloudError> {
    match definition {
        Some(bundle) => now(from, images, bundle).await,
        None => {
            let base = family::newer_base(images, image).cloned();
            Ok(CurrentInputs { base, ..CurrentInputs::default() })
        }
    }
}

/// Current inputs of `bundle`. Looks its base up in `images`, then in the cloud, and the checksum
/// of its source where that is published. Ignores the base of a bundle that is built on its own
/// last image; it would always be stale.
pub async fn now(
    from: Sources<'_>,
    images: &[Image],
    bundle: &Definition,
) -> Result<CurrentInputs, CloudError> {
    let (inputs, source) = (inputs(bundle.clone(), from.noted), source(from, bundle));
    let (inputs, source) = tokio::join!(inputs, source);
    let source = match source {
        Err(FetchError::Cancelled(stopped)) => return Err(stopped.into()),
        source => source.map_err(|e| e.to_string()),
    };
    let base = base(from.cloud, images, bundle).await?;
    let unknown: Vec<String> =
        [inputs.as_ref().err(), source.as_ref().err()].into_iter().flatten().cloned().collect();
    let unknown = (!unknown.is_empty()).then(|| unknown.join("; "));
    let (inputs, source) = (inputs.ok(), source.ok().flatten());
    let values = Some(frontend::values(bundle));
    Ok(CurrentInputs { inputs, values, base, source, unknown })
}

/// Digest of the definition's files, on a thread of its own: they may be large.
async fn inputs(bundle: Definition, noted: Option<&Path>) -> Result<String, String> {
    let noted = noted.map(Path::to_owned);
    let digest = move || match noted {
        Some(dir) => frontend::known_digest(&bundle, &dir),
        None => frontend::inputs(&bundle).map(|inputs| inputs.sha256),
    };
    match tokio::task::spawn_blocking(digest).await {
        Ok(Ok(digest)) => Ok(digest),
        Ok(Err((path, e))) => Err(format!("cannot read {}: {e}", path.display())),
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

async fn base(
    cloud: &dyn Provider,
    images: &[Image],
    bundle: &Definition,
) -> Result<Option<Image>, CloudError> {
    let family = matches!(bundle.base, Some(Base::Os(_)));
    let base = base_name(bundle).ok().flatten().filter(|name| family || *name != bundle.name);
    let Some(name) = base else { return Ok(None) };
    match family::resolve(images, &name, family) {
        Some(image) => Ok(Some(image.clone())),
        None if family => Ok(None),
        None => looked_up(cloud, &name, false).await,
    }
}

/// Checksum of the file that is the source now. `None`: the source is none, or a script.
async fn source(from: Sources<'_>, bundle: &Definition) -> Result<Option<String>, FetchError> {
    let Some(Source::Url { wish, .. }) = &bundle.source else { return Ok(None) };
    // Its own bytes alone tell of a local file without a checksum.
    let noted = match (from.noted, &wish.sum, &wish.from) {
        (Some(dir), None, SourceUri::File(path)) => {
            let name = format!("source\n{}", path.display());
            Some(Noted::new(dir, &name, vec![path.clone()]))
        }
        _ => None,
    };
    if let Some(digest) = noted.as_ref().and_then(Noted::digest) {
        return Ok(Some(digest));
    }
    let job = TransferContext::new(&Events::default(), from.cancel, SOURCE);
    let digest = from.fetch.digest(wish, &job).await?.to_string();
    noted.iter().for_each(|noted| noted.note(&digest));
    Ok(Some(digest))
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

    /// The inputs of a bundle, with a home that holds nothing.
    async fn now_in(cloud: &Memory, images: &[Image], bundle: &Definition) -> CurrentInputs {
        let home = Home { data: "/nonexistent".into(), runtime: "/nonexistent".into() };
        let (fetch, cancel) = (fetch(&home, &Proxies::default()), Cancel::default());
        now(Sources { cloud, fetch: &fetch, cancel: &cancel, noted: None }, images, bundle)
            .await
            .unwrap()
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
            let now = now_in(&cloud, &images, &base(written)).await;
            assert_eq!(now.base.as_ref(), Some(meant), "{written}");
            assert_eq!(now.inputs.unwrap().len(), 64);
        }
        // One that is not the factory's is asked for.
        assert_eq!(now_in(&cloud, &[], &base("base-1")).await.base, Some(old));
        assert_eq!(now_in(&cloud, &images, &base("none")).await.base, None);
        bundle(tree.path(), "os/b", "bundle: {name: base, img_base: other}\n");
        assert_eq!(now_in(&cloud, &images, &base("os/b")).await.base, Some(new));
    }

    /// Of two definitions of one family, which only an older factory let be, the one that made it.
    #[test]
    fn an_image_is_of_the_definition_that_it_names() {
        let tree = tempfile::tempdir().unwrap();
        let of = |label: &str| bundle(tree.path(), label, "bundle: {name: x, img_base: b}\n");
        let both = [of("images/a"), of("images/b")];
        let image = |label: &str| {
            let mut image = Image::of_test("i", "x-1", "x");
            image.properties.insert(image::DEFINITION.into(), label.into());
            image
        };
        let found = |of: &[Definition], label: &str| {
            definition_of(of, &image(label)).map(|one| one.label.clone())
        };
        assert_eq!(found(&both, "images/b").as_deref(), Some("images/b"));
        assert_eq!(found(&both, "images/gone"), None, "nobody knows which");
        assert_eq!(found(&both[..1], "images/gone").as_deref(), Some("images/a"), "it was moved");
    }

    /// `latest` images of publishers, and files of this machine.
    #[tokio::test]
    async fn the_source_is_what_its_list_or_its_file_says_now() {
        let tree = tempfile::tempdir().unwrap();
        let (file, list) = (tree.path().join("disk.img"), tree.path().join("SHA256SUMS"));
        let listed = |hex: &str| std::fs::write(&list, format!("{hex}  disk.img\n")).unwrap();
        std::fs::write(&file, "one").unwrap();
        let vars = |more: &str| {
            format!("bundle: {{name: x}}\nsource: {{url: {}{more}}}\n", file.display())
        };
        let cloud = Memory::new();
        let plain = bundle(tree.path(), "os/x", &vars(""));
        let first = now_in(&cloud, &[], &plain).await.source.unwrap();
        assert!(first.starts_with("sha512:"), "{first}");
        std::fs::write(&file, "another").unwrap();
        assert_ne!(now_in(&cloud, &[], &plain).await.source.unwrap(), first);

        listed(&"a".repeat(64));
        let by_list =
            bundle(tree.path(), "os/y", &vars(&format!(", checksum_url: {}", list.display())));
        assert_eq!(
            now_in(&cloud, &[], &by_list).await.source,
            Some(format!("sha256:{}", "a".repeat(64)))
        );
        std::fs::remove_file(&list).unwrap();
        let now = now_in(&cloud, &[], &by_list).await;
        assert_eq!(now.source, None);
        assert!(now.unknown.as_ref().is_some_and(|why| why.contains("SHA256SUMS")), "{now:?}");
    }

    #[tokio::test]
    async fn what_is_built_on_its_own_last_image_is_not_stale_for_it() {
        let tree = tempfile::tempdir().unwrap();
        let cloud = Memory::new();
        cloud.add_image("x-1", "x");
        let images = cloud.artifacts().list().await.unwrap();
        let own = bundle(tree.path(), "images/x", "bundle: {name: x, img_base: x}\n");
        assert_eq!(now_in(&cloud, &images, &own).await.base, None);
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

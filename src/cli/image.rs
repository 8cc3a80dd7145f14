//! `image-factory image`
use std::process::ExitCode;

use futures_util::{StreamExt, TryStreamExt};

use super::{Context, Failure, err, out};
use crate::engine::run_dir::CHECKED;
use crate::lifecycle::lineage::{self, Sources};
use crate::model::definition::Definition;
use crate::model::diagnostic::there_are;
use crate::model::facts::{BaseLookup, FactsQuery};
use crate::model::family;
use crate::model::image::{Image, Provenance, State};
use crate::provider::{CloudError, Provider};
use crate::text::suggest;

mod adopt;
mod prune;
mod show;
mod lifecycle;

#[derive(clap::Subcommand)]
pub enum Command {
    /// List images, newest first
    ///
    /// The column NOTE marks the image that a family's name refers to (`current`), images that a
    /// build would replace by a different one (`stale`; `image show` gives the reason), hidden
    /// images, images that a person made active again and no prune touches (`held`), and images
    /// published before images carried a proof of origin (`legacy`). Checksum lists of
    /// sources are read, too. Images on a base that is rebuilt, and rolled-back ones, are told by
    /// `build --stale --dry-run` alone.
    ///
    /// STATE is `foreign` for an image that has the properties of a factory image without being
    /// one, such as a snapshot or a copy. A foreign image is never current, and never changed or
    /// deleted.
    List {
        /// List only images of this family
        family: Option<String>,
    },
    /// Show an image and its lineage
    ///
    /// The lineage is the image it was built from, and whether that image is unchanged; the images
    /// built from it; the commit and the digest of its definition; the results of its smoke checks;
    /// and whether it is stale: its base has a newer image, or its definition in this tree or the
    /// checksum of its source has changed.
    Show {
        /// ID, exact name, or family (its current image, else its newest, with a warning)
        image: String,
    },
    /// Make a family's previous image current again
    ///
    /// Deprecates the current image, in one write. The family's name then refers to the newest
    /// image that is still active. Running stacks and servers keep running. `image deprecate
    /// --undo` reverts a rollback.
    ///
    /// The exit code is 70 if the image is deprecated, and which one is current now cannot be told.
    #[command(after_help = "Examples:\n  image-factory image rollback bundle-nginx --dry-run\n  \
            image-factory image rollback bundle-nginx")]
    Rollback(lifecycle::Rollback),
    /// Deprecate an image, so that its family's name no longer refers to it
    ///
    /// Its ID and its exact name still refer to it.
    ///
    /// The exit code is 70 if the change is done, and which image is current now cannot be told.
    #[command(
        after_help = "Examples:\n  image-factory image deprecate bundle-nginx-2026-11-202331\n  \
            image-factory image deprecate bundle-nginx --dry-run\n  image-factory image deprecate \
            --undo bundle-nginx-2026-11-202331"
    )]
    Deprecate(lifecycle::Deprecate),
    /// Add a proof of origin to images that were published without one
    ///
    /// `image list` shows such an image as `legacy`. Its family's name refers to it only if the
    /// family has no active image with a proof. It is never hidden or deleted.
    ///
    /// Some copies and snapshots look the same as the image itself: check what is shown before you
    /// adopt it. Adopting takes one write per image. Images known to be snapshots, copies, or
    /// another project's are refused.
    #[command(after_help = "Examples:\n  image-factory image adopt bundle-nginx-2026-11-202331 \
            --dry-run\n  image-factory image adopt bundle-nginx-2026-11-202331")]
    Adopt(adopt::Args),
    /// Keep the newest images of each family; hide older images, then delete them
    ///
    /// The number of images to keep is `keep` of the family's definition in this tree, or --keep.
    /// Pruning takes two passes: the first deprecates and hides older images, the next deletes
    /// them. A build of a bundle with `keep` prunes its family itself.
    ///
    /// Prune never deletes an image that is protected, that other projects may use, or that does
    /// not prove that a run of the factory published it. Nor does it delete an image that a server,
    /// a volume, a machine of a build, or an image that is in use and was built from it needs.
    ///
    /// An image that a person made active again (`image deprecate --undo`) stays until a person
    /// deprecates it.
    ///
    /// On OpenStack it also deletes checkpoints that are older than a week, and those of a step
    /// that has a newer one.
    ///
    /// The exit code is 0 even if there is nothing to prune, 2 if neither --keep nor a definition
    /// gives the number to keep, 10 if a definition that would give it is invalid (families of
    /// valid ones are pruned all the same), and 20 for a family that has neither an image nor a
    /// definition.
    /// --dry-run has the same exit codes.
    #[command(
        after_help = "Examples:\n  image-factory image prune --dry-run             show what would \
            become of each image\n  image-factory image prune bundle-nginx --keep 3\n  \
            image-factory image prune bundle-nginx --now    delete without hiding first"
    )]
    Prune(prune::Args),
}

pub async fn run(context: &Context, command: &Command) -> Result<ExitCode, Failure> {
    let (cloud, _) = context.cloud()?;
    tell_unreadable(&*cloud).await?;
    match command {
        Command::List { family } => {
            let images = cloud.artifacts().list().await?;
            let listed: Vec<&Image> =
                images.iter().filter(|i| family.as_ref().is_none_or(|f| *f == i.family)).collect();
            if context.common.json {
                out(&json(&listed.iter().map(|image| value(image)).collect::<Vec<_>>()));
            } else {
                out(&table(&listed, &notes(context, &*cloud, &images, &listed).await?));
            }
        }
        Command::Show { image } => show::run(context, &*cloud, image).await?,
        Command::Rollback(args) => lifecycle::rollback(context, &*cloud, args).await?,
        Command::Deprecate(args) => lifecycle::deprecate(context, &*cloud, args).await?,
        Command::Adopt(args) => adopt::run(context, &*cloud, args).await?,
        Command::Prune(args) => return prune::run(context, &*cloud, args).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reports images that are left out because they cannot be read.
pub(super) async fn tell_unreadable(cloud: &dyn Provider) -> Result<(), Failure> {
    for why in cloud.artifacts().unreadable().await? {
        err(&format!("warning: left out: {why}"));
    }
    Ok(())
}

/// `known` are the families that have images.
fn no_family(wanted: &str, known: &[&str]) -> Failure {
    let suggestion = known.iter().find(|family| suggest::is_near(family, wanted));
    Failure::cloud(format!("no family `{wanted}`")).hint(match suggestion {
        Some(suggestion) => format!("did you mean `{suggestion}`?"),
        None if known.is_empty() => {
            "this cloud has no image of the factory yet: `image-factory build` makes one".to_owned()
        }
        None => format!("{}; `image-factory image list` shows them", there_are(known)),
    })
}

/// Resolves a name to one image: of `images`, or as a base. Foreign images can be shown, but not
/// changed.
async fn need(
    context: &Context,
    cloud: &dyn Provider,
    images: &[Image],
    wanted: &str,
) -> Result<Image, Failure> {
    if let Some(found) = find(images, wanted)? {
        return Ok(found.clone());
    }
    let asked =
        FactsQuery { base: Some(wanted.to_owned()), base_only: true, ..FactsQuery::default() };
    let missing = |suggestions: Vec<String>| {
        let strange = images.iter().find(|i| {
            (i.name == wanted || i.family == wanted) && !i.counts() && i.state != State::Staged
        });
        let hint = match strange.map(|i| (i, i.provenance())) {
            Some((i, Provenance::Foreign(why))) => {
                format!("{} is foreign: {why}; if you mean it, name it by its ID", label(i))
            }
            _ if !suggestions.is_empty() => {
                format!("did you mean `{}`?", suggestions.join("` or `"))
            }
            _ => "`image-factory image list` shows what there is".to_owned(),
        };
        Failure::cloud(format!("no image `{wanted}`")).hint(hint)
    };
    match cloud.facts(&asked, &lifecycle::writing(context)).await?.base {
        BaseLookup::Found(image) => Ok(*image),
        BaseLookup::Ambiguous(images) => Err(several(wanted, &images.iter().collect::<Vec<_>>())),
        BaseLookup::Missing { near } => Err(missing(near)),
        BaseLookup::Doubtful(_) | BaseLookup::None => Err(missing(Vec::new())),
    }
}

pub(super) fn several(wanted: &str, images: &[&Image]) -> Failure {
    let ids = images.iter().map(|i| i.id.as_str()).collect::<Vec<_>>().join(", ");
    Failure::cloud(format!("{} images are called `{wanted}`", images.len()))
        .hint(format!("name one by its ID: {ids}"))
}

/// An image as JSON, with its `provenance`: `ours`, `legacy` or `foreign`; `foreign` holds the
/// reason.
fn value(image: &Image) -> serde_json::Value {
    let mut value = serde_json::to_value(image).expect("images are plain data");
    let provenance = image.provenance();
    value["provenance"] = provenance.word().into();
    if let Provenance::Foreign(why) = provenance {
        value["foreign"] = why.into();
    }
    value
}

/// Finds an image by ID, exact name or family. Fails if several match. Says so if a family has no
/// current image, and its newest is taken for it.
pub fn find<'a>(images: &'a [Image], wanted: &str) -> Result<Option<&'a Image>, Failure> {
    match &family::find(images, wanted)[..] {
        [one] => {
            if family::is_stand_in(images, one, wanted) {
                let how = if one.hidden { "hidden" } else { one.state.name() };
                err(&format!(
                    "warning: family {wanted} has no current image; its newest is {}, which is \
                        {how}",
                    label(one)
                ));
            }
            Ok(Some(one))
        }
        [] => Ok(None),
        all => Err(several(wanted, all)),
    }
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("images are plain data")
}

/// `web-2026-11-202331 (0193c0de)`
fn label(image: &Image) -> String {
    format!("{} ({})", image.name, image.id)
}

fn table(listed: &[&Image], notes: &[String]) -> String {
    let name = listed.iter().map(|i| i.name.len()).max().unwrap_or(0).max("NAME".len());
    let mut lines = vec![format!(
        "{:<36}  {:<name$}  {:<10}  {:>9}  {:<16}  NOTE",
        "ID", "NAME", "STATE", "SIZE", "CREATED"
    )];
    for (i, note) in listed.iter().zip(notes) {
        let created = i.created.strftime("%Y-%m-%d %H:%M");
        let state = if matches!(i.provenance(), Provenance::Foreign(_)) {
            "foreign"
        } else {
            i.state.name()
        };
        let line = format!(
            "{:<36}  {:<name$}  {state:<10}  {:>5} MiB  {created}  {note}",
            i.id,
            i.name,
            i.size >> 20
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

/// Definitions whose inputs are read in parallel.
const AT_ONCE: usize = 8;

async fn notes(
    context: &Context,
    cloud: &dyn Provider,
    images: &[Image],
    listed: &[&Image],
) -> Result<Vec<String>, Failure> {
    let definitions = context.sound().await?;
    let fetch = lineage::fetch(&context.home, &context.proxies);
    let noted = context.home.data.join(CHECKED);
    let from = Sources { cloud, fetch: &fetch, cancel: &context.cancel, noted: Some(&noted) };
    let notes = listed.iter().map(|image| note(from, images, image, &definitions));
    Ok(futures_util::stream::iter(notes).buffered(AT_ONCE).try_collect().await?)
}

async fn note(
    from: Sources<'_>,
    images: &[Image],
    image: &Image,
    definitions: &[Definition],
) -> Result<String, CloudError> {
    let legacy = match image.provenance() {
        Provenance::Foreign(why) => return Ok(why),
        Provenance::Legacy => "legacy",
        Provenance::Ours => "",
    };
    let current = family::current(images, &image.family);
    let definition = lineage::definition_of(definitions, image);
    let latest = definition.map_or(current, |bundle| lineage::latest(images, bundle));
    let is = |other: Option<&Image>| other.is_some_and(|other| other.id == image.id);
    let mut stale = "";
    if is(latest) {
        let now = lineage::now_of(from, images, image, definition).await?;
        if let Some(unknown) = &now.unknown {
            err(&format!("warning: whether {} is stale is not known: {unknown}", label(image)));
        }
        stale = if family::stale(image, &now).is_empty() { "" } else { "stale" };
    }
    let hidden = match image.hidden_at().filter(|_| image.hidden) {
        Some(at) => format!("hidden {}", at.strftime("%Y-%m-%d")),
        None if image.hidden => "hidden".into(),
        None => String::new(),
    };
    let held = if image.is_held() { "held" } else { "" };
    let notes = [legacy, &hidden, if is(current) { "current" } else { "" }, stale, held];
    Ok(notes.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(", "))
}

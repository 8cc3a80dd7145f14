//! `image-factory image`
use std::process::ExitCode;

use super::{Context, Failure, out};
use crate::bundle::Bundle;
use crate::cloud::Cloud;
use crate::diagnostic::there_are;
use crate::family;
use crate::image::{Image, Provenance, State};
use crate::lineage;
use crate::plan::{BaseLookup, FactsQuery};

mod adopt;
mod prune;
mod show;
mod lifecycle;

#[derive(clap::Subcommand)]
pub enum Command {
    /// List images, newest first
    ///
    /// NOTE tells which image the name of a family means (`current`), which of these are no longer
    /// what a build would give (`stale`; `image show` says why), what is hidden, and what was
    /// published before images proved whose they are (`legacy`). STATE is `foreign` for what
    /// carries the properties of such an image without being one: a snapshot or a copy. It is
    /// nobody's current image, and never changed or deleted.
    List {
        /// Only images of this family
        family: Option<String>,
    },
    /// Show one image and its lineage: by ID, exact name, or family (its current one)
    ///
    /// Lineage is: the image it was built from, and whether that is still what it was; those built
    /// from it; the commit and the digest of the definition; what its smoke checks came to; and
    /// whether it is stale: its base has a newer image, or its definition in this tree has changed.
    Show { image: String },
    /// Make the image before the current one the current one of its family again
    ///
    /// One write: the current image becomes deprecated, and the newest that is still active is what
    /// the family's name means. Stacks and servers that run go on running. `image deprecate --undo`
    /// takes it back.
    #[command(after_help = "Examples:\n  image-factory image rollback bundle-nginx --dry-run\n  \
            image-factory image rollback bundle-nginx")]
    Rollback(lifecycle::Rollback),
    /// Deprecate an image: the name of its family no longer means it; its ID and name still do
    #[command(
        after_help = "Examples:\n  image-factory image deprecate bundle-nginx-2026-11-202331\n  \
            image-factory image deprecate bundle-nginx --dry-run\n  image-factory image deprecate \
            --undo bundle-nginx-2026-11-202331"
    )]
    Deprecate(lifecycle::Deprecate),
    /// Give images that were published before images proved whose they are that proof
    ///
    /// Such an image (`legacy` in the list) is found by its family, where that has no active image
    /// with a proof, and is never hidden or deleted. A copy or a snapshot of it looks the same in
    /// some cases: look at what is shown before you adopt it. One write for each; what is a
    /// snapshot, a copy, or another project's is refused.
    #[command(after_help = "Examples:\n  image-factory image adopt bundle-nginx-2026-11-202331 \
            --dry-run\n  image-factory image adopt bundle-nginx-2026-11-202331")]
    Adopt(adopt::Args),
    /// Keep the newest images of families; hide older ones, and delete those that an earlier prune
    /// hid
    ///
    /// How many are kept is `keep` of the family's definition in this tree, or --keep. What is
    /// older than the last one kept is deprecated and hidden first; the next prune deletes it.
    /// Never deleted is an image that a server, a volume, a machine of a build or a current image
    /// built from it still needs, that is protected, that other projects may use, or that does not
    /// prove that a run of the factory published it. A build of a bundle that says `keep` prunes
    /// its family by itself.
    ///
    /// Exit code 0 also where there is nothing to prune, 2 where neither --keep nor a definition
    /// says how many are kept, whether there are images or not, and 20 for a family of which there
    /// is neither an image nor a definition. --dry-run changes none.
    #[command(
        after_help = "Examples:\n  image-factory image prune --dry-run             what would \
            become of each image of this tree's families\n  image-factory image prune bundle-nginx \
            --keep 3\n  image-factory image prune bundle-nginx --now    deletes at once, without \
            hiding first"
    )]
    Prune(prune::Args),
}

pub async fn run(context: &Context, command: &Command) -> Result<ExitCode, Failure> {
    let (cloud, _) = context.cloud()?;
    match command {
        Command::List { family } => {
            let images = cloud.images().await?;
            let listed: Vec<&Image> =
                images.iter().filter(|i| family.as_ref().is_none_or(|f| *f == i.family)).collect();
            if context.common.json {
                out(&json(&listed.iter().map(|image| value(image)).collect::<Vec<_>>()));
            } else {
                out(&table(&images, &listed, &context.sound().await?));
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

/// `known`: the families of the images there are.
fn no_family(wanted: &str, known: &[&str]) -> Failure {
    let near = known.iter().find(|family| strsim::jaro_winkler(family, wanted) > 0.85);
    Failure::cloud(format!("no family `{wanted}`")).hint(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => {
            "this cloud has no image of the factory yet: `image-factory build` makes one".to_owned()
        }
        None => format!("{}; `image-factory image list` shows them", there_are(known)),
    })
}

/// The one image that is meant: one of `images`, or what the same name would mean as a base. What
/// is not ours is shown, and refused where it would be changed.
async fn need(
    context: &Context,
    cloud: &dyn Cloud,
    images: &[Image],
    wanted: &str,
) -> Result<Image, Failure> {
    if let Some(found) = find(images, wanted)? {
        return Ok(found.clone());
    }
    let asked =
        FactsQuery { base: Some(wanted.to_owned()), base_only: true, ..FactsQuery::default() };
    let missing = |near: Vec<String>| {
        let strange = images.iter().find(|i| {
            (i.name == wanted || i.family == wanted) && !i.counts() && i.state != State::Staged
        });
        let hint = match strange.map(|i| (i, i.provenance())) {
            Some((i, Provenance::Foreign(why))) => {
                format!("{} is foreign: {why}; if you mean it, name it by its ID", label(i))
            }
            _ if !near.is_empty() => format!("did you mean `{}`?", near.join("` or `")),
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

/// An image with what it proves: `provenance` is `ours`, `legacy` or `foreign`, and `foreign` says
/// why.
fn value(image: &Image) -> serde_json::Value {
    let mut value = serde_json::to_value(image).expect("images are plain data");
    let provenance = image.provenance();
    value["provenance"] = provenance.word().into();
    if let Provenance::Foreign(why) = provenance {
        value["foreign"] = why.into();
    }
    value
}

/// By ID, exact name, or family: its current one. An error where several have the name.
pub fn find<'a>(images: &'a [Image], wanted: &str) -> Result<Option<&'a Image>, Failure> {
    match &family::find(images, wanted)[..] {
        [one] => Ok(Some(one)),
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

fn table(images: &[Image], listed: &[&Image], bundles: &[Bundle]) -> String {
    let name = listed.iter().map(|i| i.name.len()).max().unwrap_or(0).max("NAME".len());
    let mut lines = vec![format!(
        "{:<36}  {:<name$}  {:<10}  {:>9}  {:<16}  NOTE",
        "ID", "NAME", "STATE", "SIZE", "CREATED"
    )];
    for i in listed {
        let (created, note) = (i.created.strftime("%Y-%m-%d %H:%M"), note(images, i, bundles));
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

fn note(images: &[Image], image: &Image, bundles: &[Bundle]) -> String {
    match image.provenance() {
        Provenance::Foreign(why) => return why,
        Provenance::Legacy => {
            return ["legacy", &standing_note(images, image, bundles)]
                .join(", ")
                .trim_end_matches(", ")
                .to_owned();
        }
        Provenance::Ours => {}
    }
    standing_note(images, image, bundles)
}

fn standing_note(images: &[Image], image: &Image, bundles: &[Bundle]) -> String {
    if let Some(at) = image.hidden_at().filter(|_| image.hidden) {
        return format!("hidden {}", at.strftime("%Y-%m-%d"));
    }
    if image.hidden {
        return "hidden".into();
    }
    if image.state != State::Active
        || family::current(images, &image.family).is_none_or(|c| c.id != image.id)
    {
        return String::new();
    }
    let now = match lineage::definition_of(bundles, image) {
        Some(bundle) => lineage::now_among(images, bundle),
        None => {
            family::CurrentInputs { inputs: None, base: family::newer_base(images, image).cloned() }
        }
    };
    if family::stale(image, &now).is_empty() { "current".into() } else { "current, stale".into() }
}

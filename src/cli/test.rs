//! `image-factory test`: runs the smoke checks on an existing image.
use crate::model::category::IMAGES;
use std::process::ExitCode;
use std::time::Instant;

use super::{Context, Failure, LoadResult, build, err, findings};
use crate::engine::Goal;
use crate::frontend::{self, build_vars};
use crate::jobs::{RunOptions, RunRequest};
use crate::lifecycle::lineage;
use crate::model::definition::Definition;

use crate::model::facts::{BaseLookup, FactsQuery};
use crate::model::image::Image;
use crate::model::kind::Kind;

use crate::provider::{Provider, RunCx};
use crate::system::scratch::Scratch;

pub const EXAMPLES: &str = "\
Examples:
  image-factory test debian-12
  image-factory test 3f1c70a2-… --set ssh_user=ubuntu --set tests.skip=[package-update]

The exit code is 40 if a check failed. Reports are written to images/target/NAME/test/, those of
an operating system to os/target/NAME/test/. The last lines of the output name them.";

#[derive(clap::Args)]
pub struct Args {
    /// ID, exact name, or family (its current image, else its newest, with a warning)
    image: String,
    /// Definition whose `tests`, network and user apply [default: the one that made the image, else
    /// the one of its family]
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<String>,
    /// Keep a machine of a failed test, and print the command that logs in to it
    #[arg(long)]
    keep_on_failure: bool,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (cloud, line) = context.cloud()?;
    if !context.common.quiet {
        err(&line);
    }
    let images = cloud.artifacts().list().await?;
    let image = super::image::find(&images, &args.image)?;
    // One that is not the factory's is found by the cloud itself.
    if image.is_none() {
        there(context, &*cloud, &args.image).await?;
    }
    let id = image.map_or(args.image.as_str(), |i| i.id.as_str());
    let (bundle, _dir) = match definition(context, args, image).await? {
        Some(bundle) => (bundle, None),
        None => made_up(context, image.map_or(&args.image, |i| &i.name), id)
            .map(|(bundle, dir)| (bundle, Some(dir)))?,
    };
    let bundle = bundle.testing(id);
    let options = RunOptions {
        goal: Goal::Tested,
        keep_on_failure: args.keep_on_failure,
        ..context.options()
    };
    let (request, begin) = (RunRequest { definition: bundle.clone(), options }, Instant::now());
    let ended = context.factory(cloud)?.build(request).await;
    Ok(ExitCode::from(build::told_alone(context, &bundle, ended, begin)))
}

/// Fails if the cloud has no such image, or several.
async fn there(context: &Context, cloud: &dyn Provider, image: &str) -> Result<(), Failure> {
    let cx = RunCx::outside(context.cancel.clone());
    let wanted =
        FactsQuery { base: Some(image.to_owned()), base_only: true, ..FactsQuery::default() };
    let near = match cloud.facts(&wanted, &cx).await?.base {
        BaseLookup::Missing { near } => near,
        BaseLookup::Ambiguous(images) => {
            return Err(super::image::several(image, &images.iter().collect::<Vec<_>>()));
        }
        BaseLookup::Found(_) | BaseLookup::Doubtful(_) | BaseLookup::None => return Ok(()),
    };
    let names = near.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
    let hint = if near.is_empty() {
        "`image-factory image list` shows what there is".into()
    } else {
        format!("did you mean {names}?")
    };
    Err(Failure::cloud(format!("no image `{image}`")).hint(hint))
}

/// The named definition, or the one that made the image.
async fn definition(
    context: &Context,
    args: &Args,
    image: Option<&Image>,
) -> Result<Option<Definition>, Failure> {
    if let Some(named) = &args.bundle {
        let bundles = context.load(std::slice::from_ref(named)).await?;
        return Ok(bundles.into_iter().next());
    }
    let (Some(image), Ok(tree)) = (image, context.tree()) else { return Ok(None) };
    let dirs = frontend::all(&tree);
    let found = context.definitions(&tree, &[], &dirs).await?;
    let read: Vec<&Definition> = found.iter().filter_map(findings::read).collect();
    let Some(maker) = lineage::definition_of(read, image).map(|one| one.label.clone()) else {
        return Ok(None);
    };
    let of_maker = |one: &LoadResult| findings::read(one).is_some_and(|one| one.label == maker);
    let Some(dir) = found.iter().position(of_maker).map(|at| dirs[at].clone()) else {
        return Ok(None);
    };
    let meant = context.definitions(&tree, &[dir], &[]).await?.into_iter().next();
    meant
        .transpose()
        .map(|one| one.map(|loaded| loaded.bundle))
        .map_err(|unsound| Failure::bundle(unsound.findings))
}

/// A synthetic definition for an image without one, with the values of `--set`. Its directory must
/// be kept while it is in use.
fn made_up(context: &Context, name: &str, id: &str) -> Result<(Definition, Scratch), Failure> {
    let dir = Scratch::new().map_err(|e| Failure::host(format!("cannot make a directory: {e}")))?;
    let here = match context.tree() {
        Ok(tree) => tree,
        Err(_) => {
            std::env::current_dir().map_err(|e| Failure::host(format!("current directory: {e}")))?
        }
    };
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.chars().map(plain).take(200).collect();
    let text = serde_json::json!({ "bundle": { "name": name.trim_start_matches(['.', '_', '-']),
        "img_base": id } })
    .to_string();
    let path = dir.path().join(build_vars::FILE);
    std::fs::write(&path, text)
        .map_err(|e| Failure::host(format!("cannot write {}: {e}", path.display())))?;
    let loaded =
        frontend::load_with(&here, dir.path(), &context.overrides()?).map_err(Failure::bundle)?;
    // An operating system without a definition gets all checks.
    Ok((Definition { label: IMAGES.label(&name), kind: Kind::Os, ..loaded.bundle }, dir))
}

//! `image-factory test`: runs the smoke checks on an existing image.
use crate::model::category::IMAGES;
use std::process::ExitCode;

use super::{Context, Failure, build, err, exit};
use crate::engine::Goal;
use crate::frontend::{self, build_vars};
use crate::jobs::{RunOptions, RunRequest};
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

The exit code is 40 if a check failed. Reports are written to images/target/NAME-test/, those of
an operating system to os/target/NAME-test/. The last lines of the output name them.";

#[derive(clap::Args)]
pub struct Args {
    /// ID, exact name, or family (its newest active image)
    image: String,
    /// Definition whose `tests`, network and user apply [default: the one that makes images of this
    /// family]
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
    let request = RunRequest { definition: bundle.clone(), options };
    let ended = context.factory(cloud)?.build(request).await;
    let code = exit::code(&ended);
    build::tell(&bundle, ended);
    Ok(ExitCode::from(code))
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

/// The named definition, or the one that makes images of this family.
async fn definition(
    context: &Context,
    args: &Args,
    image: Option<&Image>,
) -> Result<Option<Definition>, Failure> {
    if let Some(named) = &args.bundle {
        let bundles = context.load(std::slice::from_ref(named)).await?;
        return Ok(bundles.into_iter().next());
    }
    let family = image.map(|i| i.family.as_str()).filter(|f| !f.is_empty());
    if let (Some(family), Ok(tree)) = (family, context.tree()) {
        let dirs = frontend::all(&tree);
        let found = context.definitions(&tree, &[], &dirs).await?;
        let maker = found
            .iter()
            .position(|one| one.as_ref().is_ok_and(|loaded| loaded.bundle.name == family));
        if let Some(dir) = maker.map(|at| dirs[at].clone()) {
            let meant = context.definitions(&tree, &[dir], &[]).await?.into_iter().next();
            return meant
                .transpose()
                .map(|one| one.map(|loaded| loaded.bundle))
                .map_err(|unsound| Failure::bundle(unsound.findings));
        }
    }
    Ok(None)
}

/// A synthetic definition for an image without one, with the values of `--set`. Its directory must
/// be kept while it is in use.
fn made_up(context: &Context, name: &str, id: &str) -> Result<(Definition, Scratch), Failure> {
    let dir = Scratch::new().map_err(|e| Failure::host(format!("cannot make a directory: {e}")))?;
    let here =
        std::env::current_dir().map_err(|e| Failure::host(format!("current directory: {e}")))?;
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

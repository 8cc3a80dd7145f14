//! `image-factory image rollback` and `deprecate`: one write each.
use super::{json, label, need, no_family};
use crate::cli::{Context, Failure, err, out};
use crate::lifecycle::prune;
use crate::model::family;
use crate::model::image::Image;

use crate::provider::{Provider, RunCx, why_immutable};

#[derive(clap::Args)]
pub struct Rollback {
    /// Family: `bundle.name` of a definition
    family: String,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
pub struct Deprecate {
    /// ID, exact name, or family (its current image; with --undo its deprecated image, if it has
    /// only one)
    image: String,
    /// Make the image active again, and visible if a prune hid it
    #[arg(long)]
    undo: bool,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn writing(context: &Context) -> RunCx {
    RunCx::outside(context.cancel.clone())
}

/// Fails as the cloud would, also in a dry run or if nothing would change.
fn may_change(image: &Image) -> Result<(), Failure> {
    match why_immutable(image) {
        Some(why) => Err(Failure::cloud(format!("{} is not changed: {why}", label(image)))),
        None => Ok(()),
    }
}

fn brief(image: Option<&Image>) -> serde_json::Value {
    image.map_or(
        serde_json::Value::Null,
        |i| serde_json::json!({"id": i.id, "name": i.name, "state": i.state}),
    )
}

pub async fn rollback(
    context: &Context,
    cloud: &dyn Provider,
    args: &Rollback,
) -> Result<(), Failure> {
    let images = cloud.artifacts().list().await?;
    let family = &args.family;
    let known = family::all(&images);
    let was =
        family::current(&images, family).ok_or_else(|| match known.contains(&family.as_str()) {
            true => Failure::cloud(format!("family {family} has no active image"))
                .hint("`image deprecate --undo` makes one active again"),
            false => no_family(family, &known),
        })?;
    let before = family::before(&images, family).ok_or_else(|| {
        Failure::cloud(format!(
            "family {family} has no active image before {}: there is nothing to go back to",
            label(was)
        ))
        .hint("`image list` shows deprecated ones; `image deprecate --undo` makes one active again")
    })?;
    may_change(was)?;
    let mut now = before.clone();
    if !args.dry_run {
        let lifecycle = was.standing().deprecated();
        cloud.artifacts().set_lifecycle(&writing(context), was, &lifecycle).await?;
        // As the cloud shows it: another build may have published meanwhile.
        let images = cloud.artifacts().list().await?;
        now = family::current(&images, family).cloned().ok_or_else(|| {
            Failure::cloud(format!(
                "{} was deprecated, and family {family} has no active image now",
                label(was)
            ))
        })?;
    }
    if context.common.json {
        let done = serde_json::json!({"family": family, "dry_run": args.dry_run,
            "was": brief(Some(was)), "now": brief(Some(&now))});
        out(&json(&done));
        return Ok(());
    }
    let (is, would) = if args.dry_run {
        ("would be", "would become deprecated")
    } else {
        ("is", "is deprecated now")
    };
    out(&format!("{family}: current was {}, which {would}", label(was)));
    out(&format!("{family}: current {is} {}", label(&now)));
    if now.id != before.id {
        err(&format!("note: it is not the one before: {} was published meanwhile", label(&now)));
    }
    Ok(())
}

/// The image that `deprecate` changes.
async fn chosen(
    context: &Context,
    cloud: &dyn Provider,
    images: &[Image],
    args: &Deprecate,
) -> Result<Image, Failure> {
    let by_family = args.undo && images.iter().all(|i| i.id != args.image && i.name != args.image);
    let undone = if by_family { family::deprecated(images, &args.image) } else { Vec::new() };
    match &undone[..] {
        [] => need(context, cloud, images, &args.image).await,
        [one] => Ok((*one).clone()),
        several => {
            let text = format!(
                "{} images of family {} are deprecated, and which one is meant cannot be told",
                several.len(),
                args.image
            );
            let names = several.iter().map(|i| label(i)).collect::<Vec<_>>().join(", ");
            Err(Failure::cloud(text)
                .hint(format!("name one by its name or ID, newest first: {names}")))
        }
    }
}

pub async fn deprecate(
    context: &Context,
    cloud: &dyn Provider,
    args: &Deprecate,
) -> Result<(), Failure> {
    let mut images = cloud.artifacts().list().await?;
    let image = chosen(context, cloud, &images, args).await?;
    may_change(&image)?;
    let before = family::current(&images, &image.family).cloned();
    let lifecycle = match args.undo {
        false => image.standing().deprecated(),
        true => image.brought_back(prune::this_second()),
    };
    let changes = lifecycle != image.standing();
    if changes && args.dry_run {
        if let Some(there) = images.iter_mut().find(|i| i.id == image.id) {
            there.stand(&lifecycle);
        }
    } else if changes {
        cloud.artifacts().set_lifecycle(&writing(context), &image, &lifecycle).await?;
        images = cloud.artifacts().list().await?;
    }
    let after = family::current(&images, &image.family);
    if context.common.json {
        let done = serde_json::json!({
            "image": brief(images.iter().find(|i| i.id == image.id)), "family": image.family,
            "dry_run": args.dry_run, "changed": changes,
            "was": brief(before.as_ref()), "now": brief(after),
        });
        out(&json(&done));
        return Ok(());
    }
    let word = lifecycle.state.name();
    let told = match (lifecycle.state == image.state, args.dry_run) {
        (true, _) => format!("{} is {word} already", label(&image)),
        (false, true) => format!("{} would become {word}", label(&image)),
        (false, false) => format!("{} is {word} now", label(&image)),
    };
    let held = if args.undo { "; no prune hides it until `image deprecate`" } else { "" };
    out(&format!("{told}{held}"));
    if before.as_ref().map(|i| &i.id) != after.map(|i| &i.id) {
        say_current(&image.family, after, args.dry_run);
    }
    Ok(())
}

/// Says which image is current after the change.
fn say_current(family: &str, current: Option<&Image>, dry_run: bool) {
    let is = if dry_run { "would be" } else { "is" };
    match current {
        Some(now) => out(&format!("{family}: current {is} {}", label(now))),
        None => err(&format!(
            "warning: {family}: no active image {is} left: builds on this family will find none"
        )),
    }
}
